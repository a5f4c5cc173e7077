// The limit of the suite `tls`: an echo server that is nothing but an epoll loop and OpenSSL.
//
//     raw_epoll PORT CERTIFICATE KEY fd|memory
//
// OpenSSL is given the socket, and reads ahead so that a record takes one receive; or it works on
// two BIO_s_mem(), and the loop moves the bytes. Level-triggered: after a read that emptied OpenSSL
// nothing is asked again. Errors are cleared where they arise.
#include "../net/raw.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

enum { batch = 1024 };

struct connection {
    SSL* ssl;
    int fd;
};

static int epoll;
static int with_memory;
static SSL_CTX* context;

static void watch(int fd, void* what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    require(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void accept_all(int door) {
    int fd;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection* const c = malloc(sizeof *c);
        require(c != NULL, "malloc");
        c->fd = fd;
        c->ssl = SSL_new(context);
        require(c->ssl != NULL, "SSL_new");
        if (with_memory)
            SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        else
            SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
        set_no_delay(fd);
        watch(fd, c);
    }
}

static void end(struct connection* c) {
    ERR_clear_error();
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
}

// What OpenSSL has left in memory.
static int send_left(struct connection* c) {
    char* data;
    BIO* const out = SSL_get_wbio(c->ssl);
    const long size = BIO_get_mem_data(out, &data);
    const int sent = size == 0 || send_all(c->fd, data, (size_t)size);
    BIO_reset(out);
    return sent;
}

static int receive_more(struct connection* c) {
    static char buffer[buffer_size + 1024];
    const ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    return BIO_write(SSL_get_rbio(c->ssl), buffer, (int)n) == n;
}

static int echo_all(struct connection* c) {
    static char buffer[buffer_size];
    do {
        const int n = SSL_read(c->ssl, buffer, sizeof buffer);
        if (n <= 0) return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
        if (SSL_write(c->ssl, buffer, n) != n) return 0;
    } while (SSL_has_pending(c->ssl) || (with_memory && BIO_pending(SSL_get_rbio(c->ssl)) > 0));
    return 1;
}

static void serve(struct connection* c) {
    int fine = !with_memory || receive_more(c);
    if (fine) fine = echo_all(c);
    if (fine && with_memory) fine = send_left(c);
    if (!fine) end(c);
}

static void make_context(const char* certificate, const char* key) {
    context = SSL_CTX_new(TLS_server_method());
    require(context && SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
                SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1,
            "certificate and key");
    if (!with_memory) SSL_CTX_set_read_ahead(context, 1);
}

int main(int argc, char** argv) {
    require(argc == 5, "usage: raw_epoll PORT CERTIFICATE KEY fd|memory");
    with_memory = strcmp(argv[4], "memory") == 0;
    make_context(argv[2], argv[3]);
    epoll = epoll_create1(0);
    require(epoll >= 0, "epoll_create1");
    const int door = listen_on(atoi(argv[1]));
    watch(door, NULL);
    for (;;) {
        struct epoll_event events[batch];
        const int n = epoll_wait(epoll, events, batch, -1);
        for (int i = 0; i < n; ++i)
            if (events[i].data.ptr)
                serve(events[i].data.ptr);
            else
                accept_all(door);
    }
}
