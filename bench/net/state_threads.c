// Peer: State Threads, a thread per connection; on epoll if the library was built for it. Debian's
// was not and uses select, for descriptors below 1,024.
//
//     state_threads PORT
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <st.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { stack_size = 64 * 1024 };

static void require(int ok, const char* what) {
    if (ok) return;
    perror(what);
    exit(1);
}

static int listen_on(int port) {
    const int one = 1;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    require(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(bind(fd, (struct sockaddr*)&at, sizeof at) == 0, "bind");
    require(listen(fd, 4096) == 0, "listen");
    return fd;
}

static void* echo(void* connection) {
    st_netfd_t const peer = connection;
    char buffer[16384];
    ssize_t n;
    while ((n = st_read(peer, buffer, sizeof buffer, ST_UTIME_NO_TIMEOUT)) > 0)
        if (st_write(peer, buffer, (size_t)n, ST_UTIME_NO_TIMEOUT) != n) break;
    st_netfd_close(peer);
    return NULL;
}

int main(int argc, char** argv) {
    const int one = 1;
    require(argc > 1, "usage: state_threads PORT");
    signal(SIGPIPE, SIG_IGN);
    require(st_set_eventsys(ST_EVENTSYS_ALT) == 0 && st_init() == 0, "st_init");
    st_netfd_t const door = st_netfd_open_socket(listen_on(atoi(argv[1])));
    for (;;) {
        st_netfd_t const peer = st_accept(door, NULL, NULL, ST_UTIME_NO_TIMEOUT);
        if (!peer) continue;
        setsockopt(st_netfd_fileno(peer), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        require(st_thread_create(echo, peer, 0, stack_size) != NULL, "st_thread_create");
    }
}
