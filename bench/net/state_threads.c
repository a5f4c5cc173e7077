// Peer: State Threads, a thread per connection; on epoll if the library was built for it. Debian's
// was not and uses select, for descriptors below 1,024.
//
//     state_threads PORT
#define _GNU_SOURCE
#include <signal.h>
#include <st.h>

#include "listen.h"

enum { stack_size = 64 * 1024 };

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
    require(argc > 1, "usage: state_threads PORT");
    signal(SIGPIPE, SIG_IGN);
    require(st_set_eventsys(ST_EVENTSYS_ALT) == 0 && st_init() == 0, "st_init");
    st_netfd_t const door = st_netfd_open_socket(listen_on(atoi(argv[1])));
    for (;;) {
        st_netfd_t const peer = st_accept(door, NULL, NULL, ST_UTIME_NO_TIMEOUT);
        if (!peer) continue;
        set_no_delay(st_netfd_fileno(peer));
        require(st_thread_create(echo, peer, 0, stack_size) != NULL, "st_thread_create");
    }
}
