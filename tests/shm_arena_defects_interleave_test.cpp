// Arenas with one thing spoiled at a time: the explorer must find each such defect, with the
// scenarios of the file beside this one.
#include <doctest/doctest.h>

#include "support/arena_deaths.hpp"
#include "support/environment.hpp"

using namespace interleave;

namespace {

using scenario = result (*)();
using enum arena_defect;

void check_found(arena_defect d, scenario s, const std::string& sentence) {
    INFO("defect number ", static_cast<int>(d));
    CHECK(failure_of(s()) == "");
    const plant_in_arena one(d);
    CHECK(failure_of(s()) == sentence);
}

result round() {
    return pass(arena_fences::heavy, 3, {.preemptions = 1});
}
result full() {
    return fill_up(arena_fences::heavy, 2, {});
}
result left_by_producer() {
    return producer_leaves(arena_fences::heavy, {});
}
result left_by_consumer() {
    return consumer_leaves(arena_fences::heavy, {});
}
result dead_producer() {
    return producer_dies(2, true, {.preemptions = 1});
}
result dead_consumer() {
    return consumer_dies(3, {.preemptions = 1});
}
result dead_burier() {
    return burier_dies({.preemptions = 1});
}
result dead_forgetter() {
    return forgetter_dies({.preemptions = 1});
}
result dead_maker() {
    return maker_dies({.preemptions = 1});
}
result in_turn() {
    return lock_in_turn(2, 1, {});
}
result dead_holder() {
    return holder_dies(2, {.preemptions = 1, .early_wakes = 2});
}

}  // namespace

TEST_CASE("shm arena: under ThreadSanitizer, its defects" *
          doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("shm arena: every memory order of a queue is needed") {
    check_found(sent_without_release, &round, race);
    check_found(sent_seen_without_acquire, &round, race);
    check_found(received_without_release, &full, race);
    check_found(received_seen_without_acquire, &full, race);
    check_found(left_without_release, &left_by_producer, race);
    check_found(left_seen_without_acquire, &left_by_producer, race);
}

TEST_CASE("shm arena: every memory order of a block is needed") {
    check_found(freed_without_release, &round, race);
    check_found(free_seen_without_acquire, &round, race);
    check_found(settled_without_release, &dead_consumer, race);
    check_found(sent_settled_without_acquire, &dead_consumer, race);
    check_found(received_settled_without_acquire, &dead_producer, race);
}

TEST_CASE("shm arena lock: every memory order is needed") {
    check_found(unlocked_without_release, &in_turn, race);
    check_found(locked_without_acquire, &in_turn, race);
    check_found(looked_before_unlocked, &in_turn, deadlock);
    check_found(counted_after_look, &in_turn, deadlock);
    check_found(called_without_release, &in_turn, race);
    check_found(call_seen_without_acquire, &in_turn, race);
}

TEST_CASE("shm arena: every step of a queue is needed") {
    check_found(word_not_in_flight, &round, sound);
    check_found(word_not_receivers, &dead_consumer, no_loss);
    check_found(place_not_stored, &round, sound);
    check_found(sent_before_place, &round, sound);
    check_found(received_before_word, &dead_consumer, no_loss);
    check_found(told_nobody, &round, deadlock);
    check_found(slept_without_second_look, &round, deadlock);
}

TEST_CASE("shm arena: every step of a burial is needed") {
    check_found(settled_whatever_happens, &dead_producer, kept);
    check_found(settled_without_queue, &dead_producer, race);
    check_found(in_hand_freed, &dead_consumer, sound);
    check_found(unsettled, &dead_producer, no_loss);
    check_found(unsettled, &dead_consumer, no_loss);
    check_found(left_untold, &dead_producer, deadlock);
    check_found(left_untold, &left_by_consumer, deadlock);
    check_found(not_left, &dead_producer, deadlock);
    check_found(not_forgotten, &dead_producer, forgotten);
    check_found(forgotten_first, &dead_burier, deadlock);
    check_found(not_dropped, &dead_forgetter, deadlock);
    check_found(dropped_last, &dead_forgetter, deadlock);
}

TEST_CASE("shm arena lock: every step is needed") {
    check_found(called_nobody, &in_turn, deadlock);
    check_found(unlocked_unchanged, &in_turn, deadlock);
    check_found(not_counted, &in_turn, deadlock);
    check_found(taken_from_the_living, &dead_holder, race);
    check_found(taken_by_two, &dead_holder, told_once);
}

TEST_CASE("shm arena: pages are made and given back in an order that can be told") {
    check_found(made_from_the_front, &dead_maker, whole);
    check_found(given_back_from_the_back, &dead_maker, whole);
    check_found(not_repaired, &dead_maker, whole);
}

TEST_SUITE_END();
