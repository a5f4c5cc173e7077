#include <algorithm>

#include "arena_state.hpp"

namespace wire::shm::detail {

result<void> arena_state::try_send(std::uint32_t id, bytes record) {
    membership* const m = member(id, role::producer);
    if (!m) return failure{ENOENT};
    return to_result(try_at(*m, [&] { return push(*m, record); }));
}
result<void> arena_state::send(std::uint32_t id, bytes record, deadline until) {
    membership* const m = member(id, role::producer);
    if (!m) return failure{ENOENT};
    return to_result(wait_at(*m, until, [&] { return push(*m, record); }));
}
result<std::span<std::byte>> arena_state::try_recv(std::uint32_t id) {
    membership* const m = member(id, role::consumer);
    if (!m) return failure{ENOENT};
    bytes record;
    if (const int error = try_at(*m, [&] { return pop(*m, record); })) return failure{error};
    return record;
}
result<std::span<std::byte>> arena_state::recv(std::uint32_t id, deadline until) {
    membership* const m = member(id, role::consumer);
    if (!m) return failure{ENOENT};
    bytes record;
    if (const int error = wait_at(*m, until, [&] { return pop(*m, record); }))
        return failure{error};
    return record;
}

int arena_state::push(membership& m, bytes record) noexcept {
    if (!holds(record)) return EINVAL;
    const int error =
        m.producer.push(map(), m.number, block::of(record.data()), record.size(), fence_);
    if (error == 0) --records_;
    return error;
}
int arena_state::pop(membership& m, bytes& record) noexcept {
    std::optional<blocks::place> got;
    std::uint64_t n = 0;
    const int error = m.consumer.pop(map(), *blocks_, m.number, me_, fence_, got, n);
    if (error) return error;
    ++records_;
    record = {got->here.bytes(), n};
    return 0;
}
// Who asks again and again, and never waits, hears of deaths, too. Returns whether it has looked.
bool arena_state::looks_now(membership& m) noexcept {
    constexpr std::uint32_t look_every = 64;
    if (++m.idle % look_every != 0) return false;
    watch_other(m);
    bury_dead_partners();
    return true;
}

template <class F>
int arena_state::try_at(membership& m, F attempt) noexcept {
    int error = attempt();
    if (error == EAGAIN && looks_now(m)) error = attempt();
    return error;
}
template <class F>
int arena_state::wait_at(membership& m, deadline until, F attempt) noexcept {
    if (const int error = begin_call()) return error;
    for (;;) {
        int error = attempt();
        if (error != EAGAIN) return error;
        if (arena_sync::now_ns() >= until.ns()) return ETIMEDOUT;
        auto& bell = own_end(map().channel(m.number), m.as).bell;
        const std::uint32_t rung = prepare(m, bell);
        int stopped = 0;
        error = attempt();
        if (error == EAGAIN) stopped = m.sleeps->sleep(bell.bell(), rung, soonest(m, until));
        m.waits = false;
        bell.reset(heavy_);
        if (error != EAGAIN) return error;
        if (stopped) return stopped;
    }
}
std::uint32_t arena_state::prepare(membership& m, basic_doorbell<arena_sync>& bell) noexcept {
    WIRE_ASSERT(!m.waits, "two wires wait at the same end of a channel");
    m.waits = true;
    const std::uint32_t rung = bell.prepare(heavy_);
    m.watched = watch_other(m);
    bury_dead_partners();
    return rung;
}
// Who cannot be watched is looked at now and then.
deadline arena_state::soonest(const membership& m, deadline until) noexcept {
    const std::int64_t at_most = m.watched ? sleep_at_most_ns : look_every_ns;
    return std::min(until, deadline::at_ns(arena_sync::now_ns() + at_most));
}

arena_state::channel_end& arena_state::own_end(channel& c, role as) noexcept {
    return as == role::producer ? c.producer : c.consumer;
}
arena_state::channel_end& arena_state::other_end(channel& c, role as) noexcept {
    return as == role::producer ? c.consumer : c.producer;
}

// ---- those who die while this user waits for them

// Returns false if the system cannot watch it: then it was looked at.
bool arena_state::watch_other(const membership& m) noexcept {
    // [U'] acquire: the process of that user. Pairs with [B] and [U].
    const std::uint32_t user =
        other_end(map().channel(m.number), m.as).user.load(std::memory_order_acquire);
    const std::uint64_t who = process_of(user);
    if (who == 0 || who == identity_) return true;
    if (watch_->watch(who)) return true;
    const locked guard(*this);
    static_cast<void>(lives(user));
    return false;
}
void arena_state::bury_dead_partners() noexcept {
    if (!watch_->any_died()) return;
    watch_->forget_the_dead();
    const locked guard(*this);
    for (const auto& [id, m] : members_)
        static_cast<void>(
            lives(other_end(map().channel(m.number), m.as).user.load(std::memory_order_relaxed)));
}
// On the thread that watches.
void arena_state::ring_all() noexcept {
    for (std::uint32_t n = 0; n < map().geometry.channels; ++n) {
        channel& c = map().channel(n);
        if (c.id.load(std::memory_order_relaxed) == 0) continue;
        c.producer.bell.ring();
        c.consumer.bell.ring();
    }
}

// ---- for a select

bool arena_state::ready(std::uint32_t id) noexcept {
    membership* const m = member(id, role::consumer);
    if (!m) return true;
    const channel& c = map().channel(m->number);
    return m->consumer.has_something(c) || (looks_now(*m) && m->consumer.has_something(c));
}
int arena_state::begin_wait(std::uint32_t id, wire::detail::place& here) noexcept {
    membership* const m = member(id, role::consumer);
    if (!m) return EAGAIN;
    auto& bell = own_end(map().channel(m->number), m->as).bell;
    const std::uint32_t rung = prepare(*m, bell);
    const int error = ready(id)                                                        ? EAGAIN
                      : m->sleeps->enlist(bell.bell(), rung, soonest(*m, never), here) ? 0
                                                                                       : ENOMEM;
    if (error) {
        m->waits = false;
        bell.reset(heavy_);
    }
    return error;
}
bool arena_state::end_wait(std::uint32_t id) noexcept {
    membership* const m = member(id, role::consumer);
    WIRE_ASSERT(m, "a channel is left while a wire waits in it");
    const bool waited = m->sleeps->withdraw();
    m->waits = false;
    own_end(map().channel(m->number), m->as).bell.reset(heavy_);
    return waited;
}

}  // namespace wire::shm::detail
