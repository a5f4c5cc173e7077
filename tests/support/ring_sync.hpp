// What rings in shared memory take from the system, with the explorer of interleavings in its
// place; with one thing spoiled, if a defect is planted.
//
// The bytes of records are plain data: two uses that acquire and release do not order fail the
// execution; those of the word before a record too, as if it were no atomic. membarrier(2) is a
// barrier in its caller and in every thread whose process has asked for it, and orders nothing
// else: what is known of plain data comes from the pairs of the code.
//
// The product's own code runs. Which of its accesses is meant is told from the place and the order.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "interleave.hpp"
#include "ring_defects.hpp"

namespace interleave {

/// The bytes of all lanes, eight by eight. One ring at a time.
class record_cells {
public:
    static constexpr std::size_t bytes_max = 128;

    explicit record_cells(std::byte* begin) : begin_(begin) { current_ = this; }
    ~record_cells() { current_ = nullptr; }
    record_cells(const record_cells&) = delete;
    record_cells& operator=(const record_cells&) = delete;

    static void read(const std::byte* at) { cell(at).read(); }
    static void change(const std::byte* at) { cell(at).change(); }

private:
    static detail::uses& cell(const std::byte* at) {
        const auto n = static_cast<std::size_t>(at - current_->begin_) / 8;
        check(n < bytes_max / 8, "nobody leaves the lanes");
        return current_->cells_[n];
    }

    static inline record_cells* current_ = nullptr;
    std::byte* begin_;
    std::array<detail::uses, bytes_max / 8> cells_{};
};

/// The word before a record.
class record_word_ref {
public:
    explicit record_word_ref(std::byte* at) : at_(at) {}

    void store(std::uint64_t word, std::memory_order o) const {
        const bool is_filler = word >> 63U != 0;
        if (is_filler && spoils(ring_defect::filler_not_written)) return;
        if (spoils(ring_defect::head_published_before_word)) return late().put(at_, word);
        record_cells::change(at_);
        detail::current->memory.store(detail::current->step(), {at_, 8}, word, o);
    }
    [[nodiscard]] std::uint64_t load(std::memory_order o) const {
        const std::uint64_t word =
            detail::current->memory.load(detail::current->step(), {at_, 8}, o);
        record_cells::read(at_);
        return word;
    }

    /// What this thread should have stored before.
    struct late_words {
        struct late_word {
            std::byte* at;
            std::uint64_t word;
        };
        void put(std::byte* at, std::uint64_t word) { words[count++ % words.size()] = {at, word}; }
        void store_all() {
            for (std::size_t n = std::exchange(count, 0); n > 0; --n) {
                record_cells::change(words[n - 1].at);
                detail::current->memory.store(detail::current->step(), {words[n - 1].at, 8},
                                              words[n - 1].word, std::memory_order_relaxed);
            }
        }
        std::array<late_word, 4> words;
        std::size_t count = 0;
    };
    static late_words& late() {
        static std::array<late_words, detail::threads_max + 1> of{};
        return of[detail::current->running()];
    }

private:
    std::byte* at_;
};

/// What the words of a ring are for. ring_memory knows.
enum class ring_word { other, attached, owner, head, tail, state, bell };

/// The policy. Each thread is a process of its own.
struct ring_sync : sync {
    template <class T>
    class atomic;
    using word = atomic<std::uint32_t>;

    // Of this execution.
    static inline bool has_membarrier = true;
    static inline unsigned outsiders = 0;  // threads whose processes have not joined, as bits
    // Threads that are killed, or stopped for ever, before they change a bell, or before they call
    // its sleeper; and those that have been. As bits.
    static inline unsigned dies_at_bell = 0;
    static inline unsigned dies_at_wake = 0;
    static inline unsigned stopped = 0;
    static inline int wakes = 0;  // system calls that were to wake somebody
    static inline bool sleeper_is_next[detail::threads_max + 1] =
        {};  // a full fence is a sleeper's

    static void begin(bool membarrier = true) {
        has_membarrier = membarrier;
        outsiders = dies_at_bell = dies_at_wake = stopped = 0;
        wakes = 0;
        for (bool& b : sleeper_is_next) b = false;
    }
    static bool is_one_of(unsigned threads) { return (threads >> me() & 1U) != 0; }

    static void stop_if(unsigned threads) { stopped |= threads & 1U << me(); }

    static record_word_ref ref(std::byte* at) { return record_word_ref(at); }

    static bool has_joined(std::size_t process) {
        return has_membarrier && (outsiders >> process & 1U) == 0;
    }
    static bool can_make_heavy_fences() { return has_membarrier; }
    static void heavy_fence() {
        check(has_membarrier, "who cannot make a heavy fence makes none");
        if (spoils(ring_defect::heavy_fence_missing)) return;
        detail::current->system_call();
        for (std::size_t t = 0; t <= detail::threads_max; ++t)
            if ((outsiders >> t & 1U) == 0) detail::current->memory.barrier(t);
    }
    static void full_fence() {
        const bool of_sleeper = std::exchange(sleeper_is_next[me()], false);
        if (spoils(of_sleeper ? ring_defect::sleepers_full_fence_missing
                              : ring_defect::bringers_full_fence_missing))
            return;
        detail::current->system_call();
    }

    static constexpr std::int64_t never = INT64_MAX;
    static void futex_wait(word& w, std::uint32_t expected, std::int64_t until);
    static void futex_wake(word& w);
    static std::int64_t now_ns() { return sync::now(); }

    /// Set by ring_memory.
    static inline ring_word (*word_at)(const void*) = nullptr;

private:
    static std::size_t me() { return detail::current->running(); }
};

template <class T>
class ring_sync::atomic : public sync::atomic<T> {
    using base = sync::atomic<T>;
    using order = std::memory_order;
    using enum ring_word;
    static constexpr order relaxed = std::memory_order_relaxed;

public:
    using base::base;

    T load(order o) const noexcept {
        const ring_word w = what();
        if (w == attached) o = without(ring_defect::attachment_seen_without_acquire, o);
        if (w == head) o = without(ring_defect::head_seen_without_acquire, o);
        if (w == tail) o = without(ring_defect::tail_seen_without_acquire, o);
        if (w == owner) o = without(ring_defect::owner_seen_without_acquire, o);
        if (w == bell) o = without(ring_defect::bell_seen_without_acquire, o);
        return base::load(o);
    }
    void store(T value, order o) noexcept {
        const ring_word w = what();
        if (w == head) o = without(ring_defect::head_published_without_release, o);
        if (w == tail) o = without(ring_defect::tail_released_without_release, o);
        if (w == owner)
            o = without(
                value == 0 ? ring_defect::left_without_release : ring_defect::begun_without_release,
                o);
        if (w == state && (value & 1U) == 0 && spoils(ring_defect::state_not_restored) &&
            (base::load(relaxed) & 1U) != 0)
            return;
        if (w == state && spoils(ring_defect::state_without_count)) value &= 3U;
        if (w == state) sleeper_is_next[detail::current->running()] = true;
        base::store(value, o);
        if (w == head) record_word_ref::late().store_all();
    }
    bool compare_exchange_strong(T& expected, T desired, order success, order failure) noexcept {
        const ring_word w = what();
        if (w == owner)
            success =
                without(success == std::memory_order_acquire ? ring_defect::taken_without_acquire
                                                             : ring_defect::buried_without_release,
                        success);
        if (w == state && (spoils(ring_defect::state_not_changed) || is_one_of(stopped)))
            return false;
        return base::compare_exchange_strong(expected, desired, success, failure);
    }
    T fetch_add(T n, order o) noexcept {
        const ring_word w = what();
        if (w == attached) o = without(ring_defect::attachment_counted_without_release, o);
        if (w == bell) {
            stop_if(dies_at_bell);
            if (spoils(ring_defect::bell_not_changed) || is_one_of(stopped)) return 0;
            o = without(ring_defect::rung_without_release, o);
        }
        return base::fetch_add(n, o);
    }

private:
    ring_word what() const noexcept {
        const ring_word w = word_at(this);
        if (detail::current) sleeper_is_next[detail::current->running()] = false;
        return w;
    }
    static order without(ring_defect d, order o) { return spoils(d) ? relaxed : o; }
};

inline void ring_sync::futex_wait(word& w, std::uint32_t expected, std::int64_t until) {
    struct time {
        std::int64_t at;
        [[nodiscard]] bool is_never() const { return at == never; }
        [[nodiscard]] std::int64_t ns() const { return at; }
    };
    sync::futex_wait(w, expected, time{until});
}

inline void ring_sync::futex_wake(word& w) {
    stop_if(dies_at_wake);
    if (is_one_of(stopped)) return;
    ++wakes;
    sync::futex_wake(w, 1);
}

}  // namespace interleave
