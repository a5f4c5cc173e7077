// Peer: ZeroMQ, a PUSH socket for each thread that sends and one PULL socket, over ipc.
#include <zmq.hpp>

#include "run_link.hpp"

namespace {

class zeromq {
public:
    zeromq(const bench::record_shape&, int nth) : address_("ipc://@" + bench::unique_name(nth)) {}

    class writer {
    public:
        explicit writer(const std::string& address) { socket_.connect(address); }

        void put(std::size_t n, auto fill) {
            zmq::message_t message(n);
            fill(message.data());
            static_cast<void>(socket_.send(message, zmq::send_flags::none));
        }

    private:
        zmq::context_t context_{1};
        zmq::socket_t socket_{context_, zmq::socket_type::push};
    };

    class reader {
    public:
        explicit reader(const std::string& address) { socket_.bind(address); }

        void take(auto use) {
            while (!socket_.recv(message_, zmq::recv_flags::none)) {
            }
            use(message_.data());
        }

    private:
        zmq::context_t context_{1};
        zmq::socket_t socket_{context_, zmq::socket_type::pull};
        zmq::message_t message_;
    };

    auto sender() { return writer(address_); }
    auto receiver() { return reader(address_); }

private:
    std::string address_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<zeromq>(argc, argv);
}
