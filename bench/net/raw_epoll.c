// The limit of the suite `net`: a server that is nothing but an epoll loop.
//
//     raw_epoll PORT et|lt                   sends back what it receives
//     raw_epoll PORT et|lt ANSWER END        sends ANSWER for each END that it receives
//
// Edge-triggered or level-triggered; one receive and one send per event. END is a character that
// each request has once, or "empty-line": what ends the head of an HTTP request.
#include "raw.h"

#include <sys/epoll.h>

enum { batch = 1024, fds_max = 65536, answers_max = 64 };

static int epoll;
static unsigned trigger;

static void watch(int fd, unsigned how) {
    struct epoll_event event = {.events = EPOLLIN | how, .data.fd = fd};
    require(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static const char* end_mark;
static char* answers;  // answers_max of them in a row
static size_t answer_size;
static unsigned char line_size[fds_max];  // of the unfinished line so far; 2 stands for more

static void accept_all(int door) {
    int fd;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        require(fd < fds_max, "a descriptor too high");
        line_size[fd] = 0;
        set_no_delay(fd);
        watch(fd, trigger);
    }
}

static size_t count_characters(const char* data, size_t size, char c) {
    size_t count = 0;
    const char* const end = data + size;
    while ((data = memchr(data, c, (size_t)(end - data)))) ++count, ++data;
    return count;
}

// Lines may come in pieces.
static size_t count_empty_lines(int fd, const char* data, size_t size) {
    size_t count = 0;
    size_t before = line_size[fd];
    const char* const end = data + size;
    const char* next;
    while ((next = memchr(data, '\n', (size_t)(end - data)))) {
        count += before + (size_t)(next - data) <= 1;  // nothing but '\r'
        before = 0;
        data = next + 1;
    }
    before += (size_t)(end - data);
    line_size[fd] = before < 2 ? (unsigned char)before : 2;
    return count;
}

static int answer(int fd, const char* data, size_t size) {
    if (!end_mark) return send_all(fd, data, size);
    size_t left =
        end_mark[1] ? count_empty_lines(fd, data, size) : count_characters(data, size, end_mark[0]);
    while (left > 0) {
        const size_t now = left < answers_max ? left : answers_max;
        if (!send_all(fd, answers, now * answer_size)) return 0;
        left -= now;
    }
    return 1;
}

// A receive that does not fill the buffer has emptied the socket: the next byte makes a new edge.
static void serve(int fd) {
    static char buffer[buffer_size];
    for (;;) {
        const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0 || !answer(fd, buffer, (size_t)n)) {
            close(fd);
            return;
        }
        if ((size_t)n < sizeof buffer || !trigger) return;
    }
}

static void prepare_answers(const char* text, const char* mark) {
    answer_size = strlen(text);
    answers = malloc(answers_max * answer_size + 1);
    require(answers != NULL, "malloc");
    for (int i = 0; i < answers_max; ++i) strcpy(answers + (size_t)i * answer_size, text);
    end_mark = mark;
}

int main(int argc, char** argv) {
    require(argc > 2, "usage: raw_epoll PORT et|lt [ANSWER END]");
    if (strcmp(argv[2], "et") == 0) trigger = EPOLLET;
    if (argc > 4) prepare_answers(argv[3], argv[4]);
    epoll = epoll_create1(0);
    require(epoll >= 0, "epoll_create1");
    const int door = listen_on(atoi(argv[1]));
    watch(door, 0);
    for (;;) {
        struct epoll_event events[batch];
        const int n = epoll_wait(epoll, events, batch, -1);
        for (int i = 0; i < n; ++i)
            if (events[i].data.fd == door)
                accept_all(door);
            else
                serve(events[i].data.fd);
    }
}
