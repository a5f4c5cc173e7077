// A cache line that goes to another core and back.
#pragma once

#include <atomic>
#include <cstdint>

namespace bench {

/// Two counters on lines of their own: the asker raises one, the answerer copies it to the other.
class round_trip {
public:
    void ask() {
        asked_.store(++number_, std::memory_order_release);
        await();
    }

    /// Waits for the answer to a question that was put in some other way.
    void await_next() {
        ++number_;
        await();
    }

    /// Answers if something is asked. For the answerer's thread.
    void answer_if_asked() {
        const std::uint64_t asked = asked_.load(std::memory_order_acquire);
        if (asked == answered_.load(std::memory_order_relaxed)) return;
        answered_.store(asked, std::memory_order_release);
    }

    void answer() { answered_.store(answered_.load(std::memory_order_relaxed) + 1); }

private:
    void await() const {
        while (answered_.load(std::memory_order_acquire) != number_) {
        }
    }

    alignas(128) std::atomic<std::uint64_t> asked_{0};
    alignas(128) std::atomic<std::uint64_t> answered_{0};
    alignas(128) std::uint64_t number_ = 0;  // the asker's
};

}  // namespace bench
