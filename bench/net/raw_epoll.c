// The limit of the suite `net`: an echo server that is nothing but an epoll loop.
//
//     raw_epoll PORT [et]
//
// One receive and one send per event; level-triggered, or edge-triggered with `et`.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { batch = 1024 };

static int epoll;
static unsigned trigger;

static void require(int ok, const char* what) {
    if (ok) return;
    perror(what);
    exit(1);
}

static int listen_on(int port) {
    const int one = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    require(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(bind(fd, (struct sockaddr*)&at, sizeof at) == 0, "bind");
    require(listen(fd, 4096) == 0, "listen");
    return fd;
}

static void watch(int fd, unsigned how) {
    struct epoll_event event = {.events = EPOLLIN | how, .data.fd = fd};
    require(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void accept_all(int door) {
    const int one = 1;
    int fd;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(fd, trigger);
    }
}

// Rarely more than one call: a full socket buffer blocks the loop, which a limit may do.
static int send_all(int fd, const char* data, size_t size) {
    while (size > 0) {
        const ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, -1);
            continue;
        }
        if (n < 0) return 0;
        data += n;
        size -= (size_t)n;
    }
    return 1;
}

// A receive that does not fill the buffer has emptied the socket: the next byte makes a new edge.
static void echo(int fd) {
    static char buffer[16384];
    for (;;) {
        const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0 || !send_all(fd, buffer, (size_t)n)) {
            close(fd);
            return;
        }
        if ((size_t)n < sizeof buffer || !trigger) return;
    }
}

int main(int argc, char** argv) {
    require(argc > 1, "usage: raw_epoll PORT [et]");
    if (argc > 2 && strcmp(argv[2], "et") == 0) trigger = EPOLLET;
    epoll = epoll_create1(0);
    require(epoll >= 0, "epoll_create1");
    const int door = listen_on(atoi(argv[1]));
    watch(door, 0);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[batch];
        const int n = epoll_wait(epoll, events, batch, -1);
        for (int i = 0; i < n; ++i)
            if (events[i].data.fd == door)
                accept_all(door);
            else
                echo(events[i].data.fd);
    }
}
