// Limits of the suite `net`: an echo server that is nothing but an io_uring loop, on one thread.
//
//     raw_uring PORT single|multishot
//
// One io_uring_enter per batch submits the answers of the last batch and waits for the next. An
// answer is sent while it is submitted or, if the socket has no room, by the loop itself: so only
// a send that fails completes visibly, and before any later receive of its connection.
//
// single: a receive is submitted beside each answer, into the other one of two buffers.
// multishot: a receive stays armed and takes its buffers from a ring; a buffer goes back after the
// batch that its answer was submitted with.
#include "raw.h"

#include <liburing.h>

enum { entries = 4096, completions = 16384, fds_max = 65536, shared_buffers = 2048 };
enum kind { accepted, received, sent };

// Their starts fall into different cache sets.
struct buffer {
    char bytes[buffer_size + 64];
};

static struct io_uring ring;
static int multishot;

static struct {
    struct buffer* two;
    int current;
    unsigned size;       // of the answer that is sent from two[current]
} connections[fds_max];  // by descriptor; single

static struct io_uring_buf_ring* shared_ring;
static struct buffer shared[shared_buffers];
static unsigned sizes[shared_buffers];          // of the answers that are sent from them
static unsigned short used[2][shared_buffers];  // buffers of this batch and of the last one
static unsigned used_count[2];

static __u64 tag(enum kind what, int fd, unsigned buffer) {
    return (__u64)what << 56 | (__u64)buffer << 32 | (__u64)fd;
}
static enum kind kind_of(__u64 tag) {
    return (enum kind)(tag >> 56);
}
static unsigned buffer_of(__u64 tag) {
    return (unsigned)(tag >> 32 & 0xffff);
}
static int fd_of(__u64 tag) {
    return (int)(tag & 0xffffffff);
}

static struct io_uring_sqe* next_entry(void) {
    struct io_uring_sqe* entry;
    while (!(entry = io_uring_get_sqe(&ring))) io_uring_submit(&ring);
    return entry;
}

static void submit_accept(int door) {
    struct io_uring_sqe* const entry = next_entry();
    io_uring_prep_multishot_accept(entry, door, NULL, NULL, SOCK_NONBLOCK);
    entry->user_data = tag(accepted, door, 0);
}

// The answer to the last request has only just left: do not try before the socket is readable.
static void submit_receive(int fd) {
    struct io_uring_sqe* const entry = next_entry();
    if (multishot) {
        io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = 0;
    } else {
        struct buffer* const b = &connections[fd].two[connections[fd].current];
        io_uring_prep_recv(entry, fd, b->bytes, buffer_size, 0);
    }
    entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    entry->user_data = tag(received, fd, 0);
}

static void submit_send(int fd, const char* data, unsigned size, unsigned buffer) {
    struct io_uring_sqe* const entry = next_entry();
    io_uring_prep_send(entry, fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = tag(sent, fd, buffer);
}

static void on_accepted(int door, int fd, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE)) submit_accept(door);
    if (fd < 0) return;
    require(fd < fds_max, "a descriptor too high");
    set_no_delay(fd);
    if (!multishot && !connections[fd].two) {
        connections[fd].two = malloc(2 * sizeof(struct buffer));
        require(connections[fd].two != NULL, "malloc");
    }
    submit_receive(fd);
}

static void on_received_single(int fd, int n) {
    if (n <= 0) {
        close(fd);
        return;
    }
    const int full = connections[fd].current;
    connections[fd].size = (unsigned)n;
    submit_send(fd, connections[fd].two[full].bytes, (unsigned)n, (unsigned)full);
    connections[fd].current = !full;
    submit_receive(fd);
}

static void on_received_multishot(int fd, int n, unsigned flags) {
    if (flags & IORING_CQE_F_BUFFER) {
        const unsigned short b = (unsigned short)(flags >> IORING_CQE_BUFFER_SHIFT);
        used[0][used_count[0]++] = b;
        if (n > 0) submit_send(fd, shared[b].bytes, sizes[b] = (unsigned)n, b);
    }
    if (flags & IORING_CQE_F_MORE) return;
    if (n > 0 || n == -ENOBUFS)
        submit_receive(fd);
    else
        close(fd);
}

// What was sent in spite of it is in n.
static void on_send_failed(int fd, unsigned buffer, int n) {
    const size_t done = n > 0 ? (size_t)n : 0;
    if (n < 0 && n != -EAGAIN) return;  // its receive will tell
    const char* const data = multishot ? shared[buffer].bytes : connections[fd].two[buffer].bytes;
    const size_t size = multishot ? sizes[buffer] : connections[fd].size;
    send_all(fd, data + done, size - done);
}

static void on_completion(const struct io_uring_cqe* c) {
    const int fd = fd_of(c->user_data);
    if (kind_of(c->user_data) == accepted)
        on_accepted(fd, c->res, c->flags);
    else if (kind_of(c->user_data) == sent)
        on_send_failed(fd, buffer_of(c->user_data), c->res);
    else if (multishot)
        on_received_multishot(fd, c->res, c->flags);
    else
        on_received_single(fd, c->res);
}

static void give_back(const unsigned short* which, unsigned count) {
    const int mask = io_uring_buf_ring_mask(shared_buffers);
    for (unsigned i = 0; i < count; ++i)
        io_uring_buf_ring_add(shared_ring, shared[which[i]].bytes, buffer_size, which[i], mask,
                              (int)i);
    io_uring_buf_ring_advance(shared_ring, (int)count);
}

// The answers of the last batch have left by now.
static void end_batch(void) {
    give_back(used[1], used_count[1]);
    memcpy(used[1], used[0], used_count[0] * sizeof used[0][0]);
    used_count[1] = used_count[0];
    used_count[0] = 0;
}

static void set_up_ring(void) {
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_TASKRUN_FLAG,
                                     .cq_entries = completions};
    errno = -io_uring_queue_init_params(entries, &ring, &params);
    if (errno == EINVAL) {  // before Linux 6.1
        params = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE, .cq_entries = completions};
        errno = -io_uring_queue_init_params(entries, &ring, &params);
    }
    require(errno == 0, "io_uring_setup");
    io_uring_register_ring_fd(&ring);
}

static void set_up_buffers(void) {
    struct io_uring_buf_reg registration = {.ring_entries = shared_buffers};
    require(posix_memalign((void**)&shared_ring, 4096,
                           shared_buffers * sizeof(struct io_uring_buf)) == 0,
            "posix_memalign");
    io_uring_buf_ring_init(shared_ring);
    registration.ring_addr = (__u64)shared_ring;
    errno = -io_uring_register_buf_ring(&ring, &registration, 0);
    require(errno == 0, "io_uring_register: a ring of buffers");
    static unsigned short all[shared_buffers];
    for (unsigned short i = 0; i < shared_buffers; ++i) all[i] = i;
    give_back(all, shared_buffers);
}

int main(int argc, char** argv) {
    require(argc > 2, "usage: raw_uring PORT single|multishot");
    multishot = strcmp(argv[2], "multishot") == 0;
    set_up_ring();
    if (multishot) set_up_buffers();
    submit_accept(listen_on(atoi(argv[1])));
    for (;;) {
        struct io_uring_cqe* completion;
        unsigned head, count = 0;
        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, completion) {
            on_completion(completion);
            ++count;
        }
        io_uring_cq_advance(&ring, count);
        if (multishot) end_batch();
    }
}
