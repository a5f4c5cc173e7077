#include <algorithm>

#include "arena_state.hpp"

namespace wire::shm::detail {

result<void> arena_state::add_channel(std::uint32_t id, role as, std::uint64_t type) {
    const auto [at, is_new] = members_.try_emplace(id);
    if (!is_new) return failure{EALREADY};
    membership& m = at->second;
    m.as = as;
    m.sleeps = std::make_unique<sleeper>();
    const locked guard(*this);
    const result<std::uint32_t> n = find_or_make(id, type);
    const int error = n ? take_end(*n, as) : n.code();
    if (error) {
        members_.erase(at);
        return failure{error};
    }
    m.number = *n;
    m.producer.join(map().channel(*n));
    m.consumer.join(map().channel(*n));
    notify();
    return {};
}

result<void> arena_state::leave_channel(std::uint32_t id) {
    const auto at = members_.find(id);
    if (at == members_.end()) return failure{ENOENT};
    WIRE_ASSERT(!at->second.waits, "a channel is left while a wire waits in it");
    const locked guard(*this);
    recovery().leave(at->second.number, me_);
    members_.erase(at);
    last_ = nullptr;
    notify();
    return {};
}

result<void> arena_state::remove_channel(std::uint32_t id) {
    const locked guard(*this);
    const auto n = find_channel(id);
    if (!n) return failure{ENOENT};
    channel& c = map().channel(*n);
    // [I] release: which ends are taken. Pairs with [I'].
    c.removed.store(1, std::memory_order_release);
    // Somebody may wait for one who has not come yet.
    c.producer.bell.ring();
    c.consumer.bell.ring();
    recovery().forget_if_over(*n);
    notify();
    return {};
}

bool arena_state::has_channel(std::uint32_t id) {
    const locked guard(*this);
    return find_channel(id).has_value();
}
bool arena_state::has_data(std::uint32_t id) {
    const locked guard(*this);
    const auto n = find_channel(id);
    return n && has_records(*n);
}
bool arena_state::has_producers(std::uint32_t id) {
    const locked guard(*this);
    const auto n = find_channel(id);
    return n && map().channel(*n).producer.user.load(std::memory_order_relaxed) != 0;
}
bool arena_state::has_active_channels() {
    const std::vector<std::uint32_t> all = channels();
    return std::ranges::any_of(all,
                               [&](std::uint32_t id) { return has_producers(id) || has_data(id); });
}
std::vector<std::uint32_t> arena_state::channels() {
    std::vector<std::uint32_t> all;
    all.reserve(map().geometry.channels);
    const locked guard(*this);
    for (std::uint32_t n = 0; n < map().geometry.channels; ++n) {
        drop_the_dead(n);
        const channel& c = map().channel(n);
        const std::uint64_t id = c.id.load(std::memory_order_relaxed);
        if (id != 0 && c.removed.load(std::memory_order_relaxed) == 0)
            all.push_back(static_cast<std::uint32_t>(id - 1));
    }
    return all;
}
result<void> arena_state::wait_for_channel(std::uint32_t id, deadline until) {
    if (const int error = begin_call()) return failure{error};
    sleeper sleeps;
    for (;;) {
        // [C'] acquire: what has changed. Pairs with [C].
        const std::uint32_t seen = header().changed.load(std::memory_order_acquire);
        if (has_channel(id)) return {};
        if (arena_sync::now_ns() >= until.ns()) return failure{ETIMEDOUT};
        if (const int error = sleeps.sleep(header().changed, seen, until)) return failure{error};
    }
}

// ---- with the lock

std::optional<std::uint32_t> arena_state::look_up(std::uint32_t id) const noexcept {
    for (std::uint32_t n = 0; n < map().geometry.channels; ++n) {
        const channel& c = map().channel(n);
        if (c.id.load(std::memory_order_relaxed) == std::uint64_t{id} + 1 &&
            c.removed.load(std::memory_order_relaxed) == 0)
            return n;
    }
    return std::nullopt;
}
// Those who have died in it are buried, and it may be over then.
void arena_state::drop_the_dead(std::uint32_t n) noexcept {
    const channel& c = map().channel(n);
    if (c.id.load(std::memory_order_relaxed) == 0) return;
    for (const channel_end* const e : {&c.producer, &c.consumer})
        static_cast<void>(lives(e->user.load(std::memory_order_relaxed)));
}
std::optional<std::uint32_t> arena_state::find_channel(std::uint32_t id) noexcept {
    if (const auto n = look_up(id)) drop_the_dead(*n);
    return look_up(id);
}
bool arena_state::has_records(std::uint32_t n) const noexcept {
    const channel& c = map().channel(n);
    return c.producer.at.load(std::memory_order_relaxed) !=
           c.consumer.at.load(std::memory_order_relaxed);
}
result<std::uint32_t> arena_state::find_or_make(std::uint32_t id, std::uint64_t type) {
    if (const auto n = find_channel(id)) {
        const bool fits = map().channel(*n).type.load(std::memory_order_relaxed) == type;
        return fits ? result(*n) : failure{EMEDIUMTYPE};
    }
    std::optional<std::uint32_t> n = free_channel();
    if (!n) {
        bury_the_dead();
        n = free_channel();
    }
    if (!n) return failure{EUSERS};
    const std::uint64_t queue = arena_map::queue_at(map().geometry, *n);
    if (const refusal no = segment_.memory.reserve(queue, arena_map::queue_bytes))
        return failure{no.error};
    channel& c = map().channel(*n);
    c.type.store(type, std::memory_order_relaxed);
    c.removed.store(0, std::memory_order_relaxed);
    c.producer.had.store(0, std::memory_order_relaxed);
    c.consumer.had.store(0, std::memory_order_relaxed);
    // [K] release: all of it before, for whoever takes the lock over. Pairs with [Q'].
    c.id.store(std::uint64_t{id} + 1, std::memory_order_release);
    return *n;
}
std::optional<std::uint32_t> arena_state::free_channel() const noexcept {
    for (std::uint32_t n = 0; n < map().geometry.channels; ++n)
        if (map().channel(n).id.load(std::memory_order_relaxed) == 0) return n;
    return std::nullopt;
}
// The other side is told before this user has it: if it dies meanwhile, that one hears of it.
int arena_state::take_end(std::uint32_t n, role as) noexcept {
    channel& c = map().channel(n);
    channel_end& mine = own_end(c, as);
    if (mine.user.load(std::memory_order_relaxed) != 0) return EBUSY;
    mine.bell.reset(heavy_);
    // relaxed: the bell orders it.
    mine.user.store(me_ | arriving, std::memory_order_relaxed);
    other_end(c, as).bell.ring();
    // [I] release: that it is taken. Pairs with [I'].
    mine.had.store(1, std::memory_order_release);
    // [K] release: after all that. Pairs with [Q'].
    mine.user.store(me_, std::memory_order_release);
    return 0;
}
arena_state::membership* arena_state::find_member(std::uint32_t id, role as) noexcept {
    const auto at = members_.find(id);
    if (at == members_.end() || at->second.as != as) return nullptr;
    last_ = &at->second;
    last_id_ = id;
    return last_;
}

}  // namespace wire::shm::detail
