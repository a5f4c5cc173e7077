// The limit of passing large records with one copy: the bytes that another core has just written
// are copied, from one of two buffers, each with a word that says whether it is full.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>

#include "run_link.hpp"

namespace {

constexpr std::size_t size = 1 << 20;

struct buffer {
    alignas(128) std::atomic<bool> full{false};
    alignas(128) std::array<std::byte, size> bytes{};
};
using buffers = std::array<buffer, 2>;

class sender {
public:
    explicit sender(buffers& b) : buffers_(b) {}

    bool try_put(std::size_t, auto fill) {
        buffer& b = buffers_[next_];
        if (b.full.load(std::memory_order_acquire)) return false;  // Pairs with try_take().
        fill(b.bytes.data());
        b.full.store(true, std::memory_order_release);  // Pairs with try_take().
        next_ ^= 1;
        return true;
    }

private:
    buffers& buffers_;
    std::size_t next_ = 0;
};

class receiver {
public:
    explicit receiver(buffers& b) : buffers_(b) {}

    bool try_take(auto use) {
        buffer& b = buffers_[next_];
        if (!b.full.load(std::memory_order_acquire)) return false;  // Pairs with try_put().
        std::memcpy(mine_->data(), b.bytes.data(), size);
        b.full.store(false, std::memory_order_release);  // Pairs with try_put().
        next_ ^= 1;
        use(mine_->data());
        return true;
    }

private:
    buffers& buffers_;
    std::size_t next_ = 0;
    std::unique_ptr<std::array<std::byte, size>> mine_ =
        std::make_unique<std::array<std::byte, size>>();
};

class copied {
public:
    static bool can(const bench::record_shape& s) {
        return s.bytes == size && s.producers == 1 && s.batch == 1;
    }

    copied(const bench::record_shape&, int) {}
    auto sender() { return ::sender(*buffers_); }
    auto receiver() { return ::receiver(*buffers_); }

private:
    bench::shared<buffers> buffers_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<copied>(argc, argv);
}
