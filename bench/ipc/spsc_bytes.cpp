// The limit with one producer: a ring of bytes in shared memory with two positions, and nothing
// else. Nobody owns it, nothing is checked, and who is killed leaves it in any state.
//
// A record is its length and its bytes, rounded up to eight. The memory is mapped twice, side by
// side, so a record never wraps. Each side keeps what it last saw of the position of the other, and
// looks again only when by that there is nothing to do. The consumer tells its position whenever it
// has read a quarter of the ring, and when it finds it empty.
//
// With FETCH_AHEAD both sides also fetch the lines of records that come later, which the other core
// has: a KiB ahead, and who waits for a record its lines.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "run_link.hpp"

namespace {

struct positions {
    alignas(128) std::atomic<std::uint64_t> head{0};
    alignas(128) std::atomic<std::uint64_t> tail{0};
};

std::byte* mapped_twice(std::size_t bytes) {
    const int fd = static_cast<int>(bench::checked(::memfd_create("ring", 0), "memfd_create"));
    bench::checked(::ftruncate(fd, static_cast<off_t>(bytes)), "ftruncate");
    auto* const at = static_cast<std::byte*>(
        ::mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    for (std::byte* const half : {at, at + bytes})
        if (::mmap(half, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
                   0) == MAP_FAILED)
            bench::checked(-1, "mmap");
    ::close(fd);
    return at;
}

void fetch_to_write(const std::byte* line) {
#ifdef __x86_64__
    asm volatile("prefetchw (%0)" : : "r"(line));
#else
    __builtin_prefetch(line, 1);
#endif
}

constexpr std::uint64_t space_for(std::size_t n) {
    return (n + sizeof(std::uint64_t) + 7) / 8 * 8;
}

#ifdef FETCH_AHEAD
constexpr std::uint64_t fetched_ahead = 1'024;
#else
constexpr std::uint64_t fetched_ahead = 0;
#endif

class ring {
public:
    static bool can(const bench::record_shape& s) { return s.producers == 1; }

    ring(const bench::record_shape& s, int)
        : size_(s.room_bytes()), records_(mapped_twice(size_)) {}

    class writer {
    public:
        explicit writer(const ring& r) : r_(r) {}

        bool try_put(std::size_t n, auto fill) {
            const std::uint64_t end = head_ + space_for(n);
            if (end - seen_tail_ > r_.size_) {
                // The bytes have been read. Pairs with tell().
                seen_tail_ = r_.at_->tail.load(std::memory_order_acquire);
                if (end - seen_tail_ > r_.size_) return false;
            }
            std::byte* const at = r_.place(head_);
            *reinterpret_cast<std::uint64_t*>(at) = n;
            fill(at + sizeof(std::uint64_t));
            head_ = end;
            // The record. Pairs with try_take().
            r_.at_->head.store(head_, std::memory_order_release);
            if (fetched_ahead && head_ + fetched_ahead - seen_tail_ < r_.size_)
                fetch_to_write(r_.place(head_ + fetched_ahead));
            return true;
        }

    private:
        const ring& r_;
        std::uint64_t head_ = 0, seen_tail_ = 0;
    };

    class reader {
    public:
        explicit reader(const ring& r) : r_(r) {}

        bool try_take(auto use) {
            if (tail_ == seen_head_) {
                if (told_ != tail_) tell();
                // The records. Pairs with try_put().
                seen_head_ = r_.at_->head.load(std::memory_order_acquire);
                if (tail_ == seen_head_) return wait_for(r_.place(tail_));
            }
            const std::byte* const at = r_.place(tail_);
            use(at + sizeof(std::uint64_t));
            tail_ += space_for(*reinterpret_cast<const std::uint64_t*>(at));
            if (tail_ - told_ >= r_.size_ / 4) tell();
            if (fetched_ahead && seen_head_ - tail_ > fetched_ahead)
                __builtin_prefetch(r_.place(tail_ + fetched_ahead));
            return true;
        }

    private:
        static bool wait_for(const std::byte* record) {
            if (fetched_ahead) {
                __builtin_prefetch(record);
                __builtin_prefetch(record + 64);
            }
            return false;
        }
        void tell() {
            told_ = tail_;
            // What was read. Pairs with try_put().
            r_.at_->tail.store(tail_, std::memory_order_release);
        }

        const ring& r_;
        std::uint64_t tail_ = 0, seen_head_ = 0, told_ = 0;
    };

    auto sender() { return writer(*this); }
    auto receiver() { return reader(*this); }

private:
    [[nodiscard]] std::byte* place(std::uint64_t position) const {
        return records_ + (position & (size_ - 1));
    }

    std::size_t size_;
    std::byte* records_;
    bench::shared<positions> at_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<ring>(argc, argv);
}
