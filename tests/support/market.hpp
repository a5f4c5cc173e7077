// Slots with goods in them, and those who give and take them, for tests of exchanges under the
// explorer.
#pragma once

#include <wire/detail/exchange.hpp>

#include <array>
#include <cstdint>

#include "exchange_defects.hpp"

namespace interleave {

constexpr wire::deadline at_once = wire::deadline::at_ns(0);

/// An exchange whose slots hold numbers. A value is giver * 10 + its place in what that gives.
template <class Sync>
class market {
    static constexpr std::uint32_t slots_max = 4;
    std::array<std::uint32_t, 2 * slots_max> numbers_{};

public:
    wire::detail::basic_exchange<Sync> exchange;

    explicit market(std::uint32_t slots)
        : exchange(begun(slots), numbers_.data(), wire::waiting::park) {}

    int try_give(int value) {
        const untold perhaps(defect::gift_untold);
        return exchange.try_give([&](std::uint32_t slot) { goods_[slot].set(value); });
    }
    int give(int value, wire::deadline until = wire::never) {
        const untold perhaps(defect::gift_untold);
        if (has(defect::pushed_before_filled)) return give_then_fill(value, until);
        return exchange.give([&](std::uint32_t slot) { goods_[slot].set(value); }, until);
    }
    /// What was taken is noted if that succeeds.
    int try_take() {
        const untold perhaps(defect::taking_untold);
        if (has(defect::end_looked_at_before_pop)) detail::my_steps().ended = exchange.closed();
        const int error = exchange.try_take([&](std::uint32_t slot) { note(goods_[slot].get()); });
        detail::my_steps().ended.reset();
        const bool hasty = has(defect::end_told_before_all_is_free);
        return hasty && error == EAGAIN && exchange.closed() ? EPIPE : error;
    }
    int take(wire::deadline until = wire::never) {
        const untold perhaps(defect::taking_untold);
        return exchange.take([&](std::uint32_t slot) { note(goods_[slot].get()); }, until);
    }
    /// Gives the first `n` values of this giver, several at once.
    void give_batches(int giver, int n) {
        const tells_too_few perhaps;
        int next = 0;
        const auto fill = [&](std::uint32_t slot) { goods_[slot].set(giver * 10 + next++); };
        for (int given = 0; given < n;) {
            std::uint32_t done = 0;
            const auto rest = static_cast<std::uint32_t>(n - given);
            check(exchange.give_some(rest, done, fill, wire::never) == 0, "a give succeeds");
            given += static_cast<int>(done);
            check(done > 0 && given == next, "it says how many it has given");
        }
    }
    /// Takes `n`, as many at once as there are.
    void take_batches(int n) {
        const auto use = [&](std::uint32_t slot) { note(goods_[slot].get()); };
        while (n > 0) {
            std::uint32_t done = 0;
            check(exchange.take_some(static_cast<std::uint32_t>(n), done, use, wire::never) == 0,
                  "a take succeeds");
            n -= static_cast<int>(done);
            check(done > 0 && n >= 0, "it takes one at least, and no more than it may");
        }
    }
    /// Gives the first `n` values of this giver.
    void give_all(int giver, int n) {
        for (int i = 0; i < n; ++i) check(give(giver * 10 + i) == 0, "a give succeeds");
    }
    void take_all(int n) {
        while (n-- > 0) check(take() == 0, "a take succeeds");
    }

    // How a claim ends.

    void give_claimed(std::uint32_t slot, int value) {
        const untold perhaps(defect::gift_untold);
        goods_[slot].set(value);
        exchange.give(slot);
    }
    void release(std::uint32_t slot) {
        const untold perhaps(defect::release_untold);
        note(goods_[slot].get());
        exchange.release(slot);
    }
    void give_up_free(std::uint32_t slot) {
        if (has(defect::free_given_up_as_full)) return exchange.give(slot);
        const untold perhaps(defect::free_given_up_untold);
        exchange.give_up_free(slot);
    }
    void give_up_full(std::uint32_t slot) {
        if (has(defect::full_given_up_as_free)) return exchange.release(slot);
        const untold perhaps(defect::full_given_up_untold);
        exchange.give_up_full(slot);
    }

    void close() {
        const closes_without_lock perhaps;
        const bool givers = has(defect::close_untold_to_givers);
        const untold one(givers ? planted : defect::close_untold_to_takers, givers ? 0 : 1);
        const tells_one of_all;
        exchange.close();
    }

    /// The last value that the calling thread has taken.
    [[nodiscard]] int taken() const { return last_of_[detail::current->running()]; }

    // From the scenario's frame.

    [[nodiscard]] int times_taken(int value) const { return taken_[index(value)]; }
    [[nodiscard]] int takes() const { return takes_; }

    /// Each of the first `n` values of this giver was taken once.
    void check_taken(int giver, int n) const {
        for (int i = 0; i < n; ++i)
            check(times_taken(giver * 10 + i) == 1, "what is given is taken, and once");
    }
    /// Fills all slots with the first values of this giver.
    void fill_up(int giver) {
        for (std::uint32_t i = 0; i < exchange.size(); ++i)
            check(try_give(giver * 10 + static_cast<int>(i)) == 0, "there is room");
    }
    /// All slots are there and free.
    void check_whole() {
        exchange.reopen();
        check(exchange.all_free(), "all slots are free");
        check(exchange.counts().inside(exchange.size()) == 0, "nothing is inside");
        for (std::uint32_t i = 0; i < exchange.size(); ++i)
            check(try_give(90) == 0, "a free slot takes a value");
        check(try_give(90) == EAGAIN, "there are not more slots than at first");
        for (std::uint32_t i = 0; i < exchange.size(); ++i)
            check(try_take() == 0, "what was given is there");
        check(try_take() == EAGAIN, "there is no more than was given");
    }

private:
    int give_then_fill(int value, wire::deadline until) {
        std::uint32_t given = 0;
        const int error = exchange.give([&](std::uint32_t slot) { given = slot; }, until);
        if (!error) goods_[given].set(value);
        return error;
    }

    static constexpr int givers_max = 10;

    static std::uint32_t begun(std::uint32_t slots) {
        Sync::begin();
        return slots;
    }
    static std::size_t index(int value) { return static_cast<std::size_t>(value); }

    // With the takers' lock or a claim: what one thread gives, others take in that order. A taker
    // at least sees that what it gets itself is.
    void note(int value) {
        const std::size_t me = detail::current->running();
        int& newest = newest_[me][index(value / 10)];
        check(value == 90 || newest <= value % 10, "the values of a giver come in order");
        newest = value % 10 + 1;
        ++taken_[index(value)];
        ++takes_;
        last_of_[me] = value;
    }

    std::array<tracked<int>, slots_max> goods_;
    // The explorer's own notes: no part of what it explores.
    std::array<int, 100> taken_{};
    std::array<std::array<int, givers_max>, detail::threads_max + 1> newest_{};
    std::array<int, detail::threads_max + 1> last_of_{};
    int takes_ = 0;
};

/// Returns how many were given before the end.
template <class Sync>
int give_until_closed(market<Sync>& m, int giver, int n) {
    for (int i = 0; i < n; ++i)
        if (const int error = m.give(giver * 10 + i)) {
            check(error == EPIPE, "a give fails only when it is closed");
            return i;
        }
    return n;
}

template <class Sync>
void take_until_closed(market<Sync>& m) {
    int error = 0;
    // A defect of try_take() only is met without a sleep.
    while (has(defect::end_told_before_all_is_free) && (!error || error == EAGAIN)) {
        error = m.try_take();
        if (error == EAGAIN) sync::pause();
    }
    while (!error) error = m.take();
    check(error == EPIPE, "a take fails only when it is closed");
}

}  // namespace interleave
