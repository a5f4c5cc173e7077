// Rings with one thing spoiled at a time: the explorer must find each such defect, with the
// scenarios of the files beside this one.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/ring_sweep_scenarios.hpp"

using namespace interleave;

namespace {

using scenario = result (*)();

void check_found(ring_defect d, scenario s, const std::string& sentence) {
    INFO("defect number ", static_cast<int>(d));
    CHECK(failure_of(s()) == "");
    const plant_in_ring one(d);
    CHECK(failure_of(s()) == sentence);
}

template <fences F>
result round() {
    return pass(F, 3, {});
}
result wrapped() {
    return wrap(fences::heavy, {});
}
result handed_over() {
    return hand_over({.preemptions = 1});
}
result next_one() {
    return next_consumer(false, {.preemptions = 1});
}
result next_after_death() {
    return next_consumer(true, {.preemptions = 1});
}
result bell_alone() {
    return ring_then_prepare(fences::heavy, {});
}
result told_awake() {
    return tell_one_awake(fences::heavy, {});
}
result two_bring() {
    return two_producers(fences::heavy, 1, {});
}
result dies() {
    return owner_dies(fences::heavy, false, {.preemptions = 1});
}
result dies_at_bell() {
    return owner_dies(fences::heavy, true, {.preemptions = 1});
}

}  // namespace

TEST_CASE("shm ring: under ThreadSanitizer, its defects" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("shm lane: every memory order is needed") {
    check_found(ring_defect::head_published_without_release, &round<fences::heavy>, race);
    check_found(ring_defect::head_seen_without_acquire, &round<fences::heavy>, race);
    check_found(ring_defect::tail_released_without_release, &round<fences::heavy>, race);
    check_found(ring_defect::tail_seen_without_acquire, &round<fences::heavy>, race);
    check_found(ring_defect::tail_released_without_release, &next_one, race);
    check_found(ring_defect::tail_seen_without_acquire, &next_one, race);
}

TEST_CASE("shm lane: every memory order of its owners is needed") {
    check_found(ring_defect::left_without_release, &handed_over, race);
    check_found(ring_defect::taken_without_acquire, &handed_over, race);
    check_found(ring_defect::buried_without_release, &dies, race);
    check_found(ring_defect::taken_without_acquire, &dies, race);
    const scenario leaves = [] { return leave({}); };
    check_found(ring_defect::left_without_release, leaves, race);
    check_found(ring_defect::owner_seen_without_acquire, leaves, race);
    const scenario begins = [] { return begin({}); };
    check_found(ring_defect::begun_without_release, begins, race);
    check_found(ring_defect::owner_seen_without_acquire, begins, race);
    const scenario attaches = [] { return attach_to_busy({}); };
    check_found(ring_defect::attachment_counted_without_release, attaches, race);
    check_found(ring_defect::attachment_seen_without_acquire, attaches, race);
}

TEST_CASE("shm bell: every memory order and every fence is needed") {
    check_found(ring_defect::rung_without_release, &bell_alone, race);
    check_found(ring_defect::bell_seen_without_acquire, &bell_alone, race);
    check_found(ring_defect::heavy_fence_missing, &round<fences::heavy>, deadlock);
    check_found(ring_defect::heavy_fence_missing, &round<fences::not_of_producer>, deadlock);
    check_found(ring_defect::bringers_full_fence_missing, &round<fences::not_of_producer>,
                deadlock);
    check_found(ring_defect::bringers_full_fence_missing, &round<fences::not_of_consumer>,
                deadlock);
    check_found(ring_defect::bringers_full_fence_missing, &round<fences::none>, deadlock);
    check_found(ring_defect::sleepers_full_fence_missing, &round<fences::none>, deadlock);
}

TEST_CASE("shm bell: every step is needed") {
    check_found(ring_defect::slept_without_second_look, &round<fences::heavy>, deadlock);
    check_found(ring_defect::bell_not_changed, &round<fences::heavy>, deadlock);
    check_found(ring_defect::state_not_restored, &told_awake, one_call);
    check_found(ring_defect::state_not_changed, &round<fences::heavy>, one_call);
    check_found(ring_defect::state_without_count, &two_bring, deadlock);
}

TEST_CASE("shm lane: every step is needed") {
    check_found(ring_defect::filler_not_written, &wrapped, sound);
    check_found(ring_defect::head_published_before_word, &round<fences::heavy>, race);
    check_found(ring_defect::left_before_published, &handed_over, race);
}

TEST_CASE("shm sweep: every step is needed") {
    check_found(ring_defect::buried_before_drained, &dies, sound);
    check_found(ring_defect::death_untold, &dies, deadlock);
    check_found(ring_defect::death_untold, &dies_at_bell, deadlock);
    check_found(
        ring_defect::attached_untold, [] { return dies_silent({}); }, deadlock);
    check_found(ring_defect::next_consumer_rings_nobody, &next_after_death, deadlock);
}

TEST_SUITE_END();
