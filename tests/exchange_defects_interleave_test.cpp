// Exchanges with one thing spoiled at a time: the explorer must find each such defect, with the
// scenarios and the bounds of the files beside this one.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_claims.hpp"
#include "support/exchange_end.hpp"
#include "support/exchange_traffic.hpp"

using namespace interleave;

namespace {

constexpr options once{.preemptions = 1, .executions_max = 5'000, .samples = 50'000};
constexpr options twice{.preemptions = 2, .executions_max = 5'000, .samples = 50'000};

constexpr const char* taken_once = "what is given is taken, and once";

using scenario = result (*)();

// What the first of these scenarios that fails says.
std::string failure_with(defect d, std::initializer_list<scenario> scenarios) {
    const plant one(d);
    for (const scenario run_one : scenarios)
        if (const result r = run_one(); !r.failure.empty()) return r.failure;
    return "";
}

void check_found(defect d, scenario s, const std::string& sentence) {
    INFO("defect number ", static_cast<int>(d));
    CHECK(failure_with(defect::none, {s}) == "");
    CHECK(failure_with(d, {s}) == sentence);
}

result pass_one() {
    return one_each<spoiled>(1, 1, once);
}
result drain() {
    return drain_after_close<spoiled>(2, twice);
}
result see_end() {
    return closed_is_seen<spoiled>(twice);
}
result wait_for_two() {
    return wait_for_takers<spoiled>(2, false, once);
}
result end_claim() {
    return close_among_claims_of_free<spoiled>(1, ends::given_up, twice);
}

template <ends How, bool OfFull>
result end_of_kind() {
    return wait_for_kind<spoiled>(How, OfFull, twice);
}

}  // namespace

TEST_CASE("exchange: under ThreadSanitizer, its defects" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: every memory order and every step is needed") {
    const auto scenarios = {&pass_one, &drain, &see_end, &wait_for_two};
    CHECK(failure_with(defect::none, scenarios) == "");
    for (const defect d : {defect::pushed_without_release, defect::seen_without_acquire,
                           defect::closed_without_release, defect::closed_seen_without_acquire}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d, scenarios) == race);
    }
    for (const defect d : {defect::closed_without_lock, defect::last_free_slot_untold}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d, scenarios) != "");
    }
}

TEST_CASE("exchange: whoever gives, takes or ends a claim must tell who waits for that") {
    check_found(defect::gift_untold, &pass_one, deadlock);
    check_found(
        defect::taking_untold, [] { return one_each<spoiled>(1, 2, once); }, deadlock);
    check_found(defect::gift_untold, &end_of_kind<ends::given, false>, deadlock);
    check_found(defect::release_untold, &end_of_kind<ends::given, true>, deadlock);
    check_found(defect::free_given_up_untold, &end_of_kind<ends::given_up, false>, deadlock);
    check_found(defect::full_given_up_untold, &end_of_kind<ends::given_up, true>, deadlock);
}

TEST_CASE("exchange: close must tell all givers and all takers") {
    const scenario givers = [] { return close_wakes_givers<spoiled>(1, once); };
    const scenario takers = [] { return close_wakes_takers<spoiled>(1, once); };
    check_found(defect::close_untold_to_givers, givers, deadlock);
    check_found(defect::close_untold_to_takers, takers, deadlock);
    check_found(defect::one_told_for_all, givers, deadlock);
    check_found(defect::closed_overlooked, &end_claim, deadlock);
}

TEST_CASE("exchange: a batch must tell as many as it is enough for") {
    check_found(
        defect::one_too_few_told, [] { return batch_for_two<spoiled>(2, once); }, deadlock);
}

TEST_CASE("exchange: a slot is filled before it is pushed") {
    check_found(defect::pushed_before_filled, &pass_one, race);
}

TEST_CASE("exchange: takers are told of the end once every slot is free") {
    check_found(
        defect::end_told_before_all_is_free, [] { return close_among_all<spoiled>(1, 1, twice); },
        taken_once);
}

TEST_CASE("exchange: a claim ends on the ring from which it came") {
    check_found(defect::free_given_up_as_full, &end_claim, "what was not given is not taken");
    check_found(
        defect::full_given_up_as_free, [] { return claims_of_full<spoiled>(2, false, twice); },
        deadlock);
}

TEST_SUITE_END();
