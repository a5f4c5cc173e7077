// Slots with goods in them, and those who give and take them, for tests of exchanges under the
// explorer.
#pragma once

#include <wire/detail/exchange.hpp>

#include <array>
#include <cstdint>

#include "interleave.hpp"

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
        return exchange.try_give([&](std::uint32_t slot) { goods_[slot].set(value); });
    }
    int give(int value, wire::deadline until = wire::never) {
        return exchange.give([&](std::uint32_t slot) { goods_[slot].set(value); }, until);
    }
    /// What was taken is noted if that succeeds.
    int try_take() {
        return exchange.try_take([&](std::uint32_t slot) { note(goods_[slot].get()); });
    }
    int take(wire::deadline until = wire::never) {
        return exchange.take([&](std::uint32_t slot) { note(goods_[slot].get()); }, until);
    }
    /// Gives the first `n` values of this giver.
    void give_all(int giver, int n) {
        for (int i = 0; i < n; ++i) check(give(giver * 10 + i) == 0, "a give succeeds");
    }
    void take_all(int n) {
        while (n-- > 0) check(take() == 0, "a take succeeds");
    }

    void fill(std::uint32_t slot, int value) { goods_[slot].set(value); }
    void use(std::uint32_t slot) { note(goods_[slot].get()); }
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

}  // namespace interleave
