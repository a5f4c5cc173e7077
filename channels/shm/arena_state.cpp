#include "arena_state.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "create.hpp"

namespace wire::shm::detail {

arena_state::arena_state(const std::string& name, find what, const arena_options& options)
    : pid_(::getpid()), made_in_((wire::detail::count_forks(), wire::detail::this_generation)) {
    segment_ = open_arena(name, what, options, [&](arena_segment& a) {
        if (a.is_new || what != find::missing) return take_seat(a);
        if (is_over(a)) return entry::is_over;
        refuse({EEXIST, "there is one already: open it, or remove it"}, a.name);
    });
    blocks_.emplace(map());
    slabs_.emplace(map(), me_);
    watch_.emplace([this] { ring_all(); });
}

arena_state::~arena_state() {
    WIRE_ASSERT(records_ == 0, "an arena's handle ends before its records");
    watch_.reset();
    const file_lock nobody_comes(segment_.memory.fd());
    const locked guard(*this);
    recovery().bury(me_);
    notify();
    if (header().kept == 0 && !any_lives()) remove_name(segment_.memory.fd(), segment_.name);
}

arena_state::locked::locked(arena_state& s) noexcept : state_(s) {
    if (!s.lock_->lock()) return;
    basic_arena_pages<arena_sync>(s.map()).repair();
    s.drop_unmade_segments();
    s.bury_the_dead();
    for (std::uint32_t n = 0; n < s.map().geometry.channels; ++n) s.recovery().forget_if_over(n);
    s.recovery().give_back_empty();
    s.notify();
}

void arena_state::notify() noexcept {
    // [C] release: what has changed. Pairs with [C'].
    header().changed.fetch_add(1, std::memory_order_release);
    arena_sync::futex_wake_all(header().changed);
}

// ---- users, with the lock

bool arena_state::is_over(const arena_segment& a) noexcept {
    segment_.map = a.map;
    return header().kept == 0 && !any_lives();
}
entry arena_state::take_seat(arena_segment& a) {
    identity_ = identity::mine();
    if (identity_ == identity::nobody) refuse({errno, identity::needs_proc}, a.name);
    fence_ = !arena_sync::join_heavy_fences();
    heavy_ = arena_sync::can_make_heavy_fences();
    if (!a.is_new && is_over(a)) return entry::is_over;
    segment_.map = a.map;
    lock_.emplace(header(), identity_);
    const locked guard(*this);
    me_ = free_seat();
    if (me_ == 0) {
        bury_the_dead();
        me_ = free_seat();
    }
    if (me_ == 0) refuse({EUSERS, "the arena has as many users as it can have"}, a.name);
    // relaxed: with the lock.
    map().user(me_).store(identity_, std::memory_order_relaxed);
    return entry::done;
}
std::uint16_t arena_state::free_seat() noexcept {
    for (std::uint16_t u = 1; u <= users_max; ++u)
        if (map().user(u).load(std::memory_order_relaxed) == 0) return u;
    return 0;
}
std::uint64_t arena_state::process_of(std::uint32_t user) const noexcept {
    user &= ~arriving;
    // relaxed: of a user whose number was found in a channel, which orders it.
    return user == 0 || user > users_max ? 0 : map().user(user).load(std::memory_order_relaxed);
}
bool arena_state::any_lives() const noexcept {
    for (std::uint32_t u = 1; u <= users_max; ++u) {
        const std::uint64_t who = process_of(u);
        if (who != 0 && !arena_sync::has_ended(who)) return true;
    }
    return false;
}
// A user that has died is buried.
bool arena_state::lives(std::uint32_t user) noexcept {
    user &= ~arriving;
    if (user == 0 || user > users_max) return false;
    const std::uint64_t who = process_of(user);
    if (who != 0 && (who == identity_ || !arena_sync::has_ended(who))) return true;
    recovery().bury(static_cast<std::uint16_t>(user));
    notify();
    return false;
}
void arena_state::bury_the_dead() noexcept {
    for (std::uint32_t u = 1; u <= users_max; ++u)
        if (process_of(u) != 0) static_cast<void>(lives(u));
}

}  // namespace wire::shm::detail
