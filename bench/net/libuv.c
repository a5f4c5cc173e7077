// Peer: libuv. Tries to write at once, as its fastest users do.
//
//     libuv PORT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct client {
    uv_tcp_t tcp;
    char buffer[16384];
};

struct rest {
    uv_write_t request;
    char data[];
};

static void require(int code, const char* what) {
    if (code >= 0) return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(code));
    exit(1);
}

static void on_close(uv_handle_t* handle) {
    free(handle->data);
}

static void lend_buffer(uv_handle_t* handle, size_t suggested, uv_buf_t* buf) {
    struct client* c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->buffer, sizeof c->buffer);
}

static void on_written(uv_write_t* request, int status) {
    (void)status;
    free(request->data);
}

static void write_later(uv_stream_t* stream, const char* data, size_t size) {
    struct rest* r = malloc(sizeof *r + size);
    require(r ? 0 : UV_ENOMEM, "malloc");
    memcpy(r->data, data, size);
    r->request.data = r;
    const uv_buf_t buf = uv_buf_init(r->data, (unsigned)size);
    uv_write(&r->request, stream, &buf, 1, on_written);
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
    if (n == 0) return;
    if (n < 0) {
        uv_close((uv_handle_t*)stream, on_close);
        return;
    }
    const uv_buf_t reply = uv_buf_init(buf->base, (unsigned)n);
    const int sent = uv_try_write(stream, &reply, 1);
    const size_t done = sent > 0 ? (size_t)sent : 0;
    if (done < (size_t)n) write_later(stream, buf->base + done, (size_t)n - done);
}

static void on_connection(uv_stream_t* door, int status) {
    require(status, "accept");
    struct client* c = malloc(sizeof *c);
    require(c ? 0 : UV_ENOMEM, "malloc");
    require(uv_tcp_init(door->loop, &c->tcp), "uv_tcp_init");
    c->tcp.data = c;
    require(uv_accept(door, (uv_stream_t*)&c->tcp), "uv_accept");
    uv_tcp_nodelay(&c->tcp, 1);
    require(uv_read_start((uv_stream_t*)&c->tcp, lend_buffer, on_read), "uv_read_start");
}

int main(int argc, char** argv) {
    require(argc > 1 ? 0 : UV_EINVAL, "usage: libuv PORT");
    uv_loop_t* const loop = uv_default_loop();
    uv_tcp_t door;
    struct sockaddr_in at;
    require(uv_tcp_init(loop, &door), "uv_tcp_init");
    require(uv_ip4_addr("127.0.0.1", atoi(argv[1]), &at), "uv_ip4_addr");
    require(uv_tcp_bind(&door, (const struct sockaddr*)&at, 0), "bind");
    require(uv_listen((uv_stream_t*)&door, 4096, on_connection), "listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}
