// Peer: stand-alone Asio with callbacks and without locks (one thread).
//
//     asio PORT
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include <asio.hpp>

namespace {

using asio::ip::tcp;

class session : public std::enable_shared_from_this<session> {
public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)) {
        socket_.set_option(tcp::no_delay(true));
    }

    void read() {
        socket_.async_read_some(asio::buffer(buffer_),
                                [self = shared_from_this()](std::error_code error, std::size_t n) {
                                    if (!error) self->write(n);
                                });
    }

private:
    void write(std::size_t n) {
        asio::async_write(socket_, asio::buffer(buffer_, n),
                          [self = shared_from_this()](std::error_code error, std::size_t) {
                              if (!error) self->read();
                          });
    }

    tcp::socket socket_;
    std::array<char, 16384> buffer_;
};

void accept(tcp::acceptor& door) {
    door.async_accept([&door](std::error_code error, tcp::socket socket) {
        if (!error) std::make_shared<session>(std::move(socket))->read();
        accept(door);
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: asio PORT\n", stderr);
        return 1;
    }
    asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
    const auto port = static_cast<unsigned short>(std::atoi(argv[1]));
    tcp::acceptor door(context, {asio::ip::address_v4::loopback(), port});
    accept(door);
    context.run();
}
