// The numbers that a stream_receiver has given out, beside a std::set of the same.
#include "number_set.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>

namespace {

TEST_CASE("number set: it tells new numbers from known ones as a set does, in any order") {
    std::mt19937 random(1);
    number_set numbers;
    std::set<std::uint64_t> model;
    for (int i = 0; i < 20'000; ++i) {
        const std::uint64_t n = random() % 200;
        if (random() % 3 == 0) {
            numbers.erase(n);
            model.erase(n);
        } else {
            CHECK(numbers.insert(n) == model.insert(n).second);
        }
    }
}

TEST_CASE("number set: consecutive numbers are one range, also around a gap that is filled") {
    number_set numbers;
    for (const std::uint64_t n : {1U, 2U, 3U, 5U, 6U, 7U}) CHECK(numbers.insert(n));
    CHECK(numbers.ranges() == 2);
    CHECK(numbers.insert(4));
    CHECK(numbers.ranges() == 1);
    CHECK_FALSE(numbers.insert(7));
    CHECK(numbers.insert(~std::uint64_t{0}));
    CHECK_FALSE(numbers.insert(~std::uint64_t{0}));
}

TEST_CASE("number set: of too many ranges the lowest is forgotten") {
    number_set numbers;
    for (std::uint64_t n = 0; n <= number_set::ranges_max; ++n) CHECK(numbers.insert(2 * n));
    CHECK(numbers.ranges() == number_set::ranges_max);
    CHECK(numbers.insert(0));
    CHECK_FALSE(numbers.insert(2 * number_set::ranges_max));
}

TEST_CASE("numbers by sender: of too many senders the one that was silent for longest goes") {
    numbers_by_sender seen;
    const auto name = [](std::size_t i) { return "sender " + std::to_string(i); };
    for (std::size_t i = 0; i < numbers_by_sender::senders_max; ++i) CHECK(seen.insert(name(i), 1));
    CHECK_FALSE(seen.insert(name(0), 1));
    CHECK(seen.insert("one more", 1));
    CHECK(seen.senders() == numbers_by_sender::senders_max);
    CHECK_FALSE(seen.insert(name(0), 1));
    CHECK_FALSE(seen.insert(name(2), 1));
    CHECK(seen.insert(name(1), 1));
    seen.erase(name(0), 1);
    CHECK(seen.insert(name(0), 1));
    seen.erase("nobody", 1);
    CHECK(seen.senders() == numbers_by_sender::senders_max);
}

}  // namespace
