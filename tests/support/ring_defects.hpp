// What can be spoiled in a ring, one thing at a time: each of these defects must be found, or the
// tests prove nothing.
#pragma once

namespace interleave {

enum class ring_defect {
    none,
    // Orders.
    head_published_without_release,      // [H]
    head_seen_without_acquire,           // [T]
    tail_released_without_release,       // [E]
    tail_seen_without_acquire,           // [E'], [E'']
    begun_without_release,               // [W]
    left_without_release,                // [O]
    taken_without_acquire,               // [O']
    buried_without_release,              // [O'']
    owner_seen_without_acquire,          // [D], [W']
    attachment_counted_without_release,  // [A]
    attachment_seen_without_acquire,     // [A']
    rung_without_release,                // [B]
    bell_seen_without_acquire,           // [B']
    // Fences.
    heavy_fence_missing,
    sleepers_full_fence_missing,
    bringers_full_fence_missing,
    // Steps.
    slept_without_second_look,
    bell_not_changed,
    state_not_restored,
    state_not_changed,
    state_without_count,
    filler_not_written,
    head_published_before_word,
    buried_before_drained,
    left_before_published,
    attached_untold,
    death_untold,
    next_consumer_rings_nobody,
};

inline ring_defect planted_in_ring = ring_defect::none;

inline bool spoils(ring_defect d) {
    return planted_in_ring == d;
}

/// Plants a defect as long as it lives.
struct plant_in_ring {
    explicit plant_in_ring(ring_defect d) { planted_in_ring = d; }
    ~plant_in_ring() { planted_in_ring = ring_defect::none; }
    plant_in_ring(const plant_in_ring&) = delete;
    plant_in_ring& operator=(const plant_in_ring&) = delete;
};

}  // namespace interleave
