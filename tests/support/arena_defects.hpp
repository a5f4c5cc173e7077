// What can be spoiled in an arena, one thing at a time: each of these defects must be found, or the
// tests prove nothing.
#pragma once

namespace interleave {

enum class arena_defect {
    none,
    // Orders.
    sent_without_release,              // [E], the producer's
    sent_seen_without_acquire,         // [E'], by the consumer
    received_without_release,          // [E], the consumer's
    received_seen_without_acquire,     // [E'], by the producer
    freed_without_release,             // [W]
    free_seen_without_acquire,         // [W']
    settled_without_release,           // [W], of who buries
    sent_settled_without_acquire,      // [E'], the same
    received_settled_without_acquire,  // [E'], the same
    left_without_release,              // [U]
    left_seen_without_acquire,         // [U']
    unlocked_without_release,          // [Q]
    locked_without_acquire,            // [Q']
    looked_before_unlocked,            // [N'], which comes after [Q]
    counted_after_look,                // [N]
    called_without_release,            // [L]
    call_seen_without_acquire,         // [L']
    // Steps of a queue.
    word_not_in_flight,
    word_not_receivers,
    place_not_stored,
    sent_before_place,
    received_before_word,
    told_nobody,
    slept_without_second_look,
    // Steps of a burial.
    settled_whatever_happens,  // by a store, not a change
    settled_without_queue,     // what is in the queue is taken for lost
    in_hand_freed,             // what was about to be received
    unsettled,
    left_untold,
    not_left,
    not_forgotten,
    forgotten_first,
    not_dropped,
    dropped_last,
    // Steps of the lock.
    called_nobody,
    unlocked_unchanged,
    not_counted,
    taken_from_the_living,
    taken_by_two,
    not_repaired,
    // Steps of pages.
    made_from_the_front,
    given_back_from_the_back,
};

inline arena_defect planted_in_arena = arena_defect::none;

inline bool spoils(arena_defect d) {
    return planted_in_arena == d;
}

/// Plants a defect as long as it lives.
struct plant_in_arena {
    explicit plant_in_arena(arena_defect d) { planted_in_arena = d; }
    ~plant_in_arena() { planted_in_arena = arena_defect::none; }
    plant_in_arena(const plant_in_arena&) = delete;
    plant_in_arena& operator=(const plant_in_arena&) = delete;
};

}  // namespace interleave
