// Rings and producers, as programs use them, against whatever another process may write into their
// memory. Nothing waits: each call tries, or its deadline has passed.
#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>

#include "ring_program.hpp"

#include <chrono>
#include <optional>
#include <system_error>

namespace {

using namespace wire;

struct ring_ends {
    static constexpr bool checks_bounds = true;

    class consumer {
    public:
        int open(std::span<std::byte> memory) {
            try {
                ring_.emplace(shm::ring::open_in(memory));
                return 0;
            } catch (const std::system_error& e) {
                return e.code().value();
            }
        }
        int peek(std::span<const std::byte>& bytes) { return found(ring_->try_peek(), bytes); }
        int look_for_the_dead(std::span<const std::byte>& bytes) {
            return found(ring_->peek(within(std::chrono::seconds(-1))), bytes);
        }
        void release() { ring_->release(); }
        void close() { ring_->close(); }

    private:
        static int found(const result<shm::record>& got, std::span<const std::byte>& bytes) {
            if (got) bytes = got->bytes;
            return got.code();
        }
        std::optional<shm::ring> ring_;
    };

    class producer {
    public:
        int attach(std::span<std::byte> memory) { return end_.attach_memory(memory).error; }
        void detach() { end_.detach(); }
        [[nodiscard]] bool attached() const { return end_.attached(); }
        int claim(std::size_t n, std::span<std::byte>& bytes) { return end_.try_claim(n, bytes); }
        void prepare(std::size_t n) { end_.prepare(n); }
        void publish() { end_.publish(); }
        void abort() { end_.abort(); }

    private:
        shm::producer end_;
    };
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static test::fenced_memory memory;
    test::ring_program<ring_ends>(memory, {data, size}).run();
    return 0;
}
