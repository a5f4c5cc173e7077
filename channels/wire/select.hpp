// Waiting for whichever of several things happens first, and doing exactly that one.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <wire/branch.hpp>
#include <wire/exchange_branch.hpp>
#include <wire/shm/record_branch.hpp>

namespace wire {

/// The value that is received, or EPIPE: closed and empty. `f(result<T>)`.
template <class T, class F>
auto on_recv(channel<T>& from, F f) {
    return detail::branch_to<detail::recv_branch<T>, F>(std::move(f), from);
}
/// `value` is sent, and moved from only then; or EPIPE: closed. `f(result<void>)`.
template <class T, class F>
auto on_send(channel<T>& to, T& value, F f) {
    return detail::branch_to<detail::send_branch<T>, F>(std::move(f), to, value);
}
/// The same of a bridge: other threads may be faster, and then the select goes on.
template <class T, class F>
auto on_recv(bridge<T>& from, F f) {
    return detail::on_take_by(from, detail::recv_of(from), std::move(f));
}
template <class T, class F>
auto on_send(bridge<T>& to, T& value, F f) {
    return detail::on_give_by(to, detail::send_of(to, value), std::move(f));
}
/// A message is taken from the pool, or EPIPE. `f(result<T>)`.
template <class T, class F>
auto on_take(pool<T>& from, F f) {
    return detail::on_take_by(from, detail::take_of(from), std::move(f));
}
/// `value` is put into the pool, and moved from only then; or EPIPE. `f(result<void>)`.
template <class T, class F>
auto on_put(pool<T>& to, T& value, F f) {
    return detail::on_give_by(to, detail::put_of(to, value), std::move(f));
}
/// The same of a pool of bytes: copied `into`, or from `element`, only then. `f(result<void>)`.
template <class F>
auto on_take(raw_pool& from, std::span<std::byte> into, F f) {
    return detail::on_take_by(from, detail::take_of(from, into), std::move(f));
}
template <class F>
auto on_put(raw_pool& to, std::span<const std::byte> element, F f) {
    return detail::on_give_by(to, detail::put_of(to, element), std::move(f));
}
/// A record of the ring, which stays until release(), or what peek() fails with:
/// `f(result<record>)`.
template <class F>
auto on_record(shm::ring& from, F f) {
    using at_ring = shm::record_branch<shm::detail::from_ring>;
    return detail::branch_to<at_ring, F>(std::move(f), shm::detail::from_ring{from});
}
/// The oldest record of a channel whose consumer the arena's handle is, or what recv() fails with.
/// `f(result<arena_record>)`.
template <class F>
auto on_record(shm::arena& from, std::uint32_t id, F f) {
    using at_arena = shm::record_branch<shm::detail::from_arena>;
    return detail::branch_to<at_arena, F>(std::move(f), shm::detail::from_arena{from, id});
}
/// `fd` can be read without blocking, as io::wait_readable(): a hint, which another wire may be
/// faster to use; or it cannot be waited for, as EBADF. `f()`, or `f(result<void>)` to tell these
/// apart: who ignores the latter in a loop will not wait there. A select asks the kernel once for
/// each of these.
template <class F>
auto on_readable(int fd, F f) {
    return detail::branch_to<detail::fd_branch, F>(std::move(f), fd, false);
}
/// The same for writing.
template <class F>
auto on_writable(int fd, F f) {
    return detail::branch_to<detail::fd_branch, F>(std::move(f), fd, true);
}
/// The time has come. `f()`.
template <class F = detail::nothing>
auto on_deadline(deadline until, F f = {}) {
    return detail::branch_to<detail::deadline_branch, F>(std::move(f), until);
}
/// The handle's wire has ended: join() does not block. Asserts that the handle has one. `f()`.
template <class R, class F>
auto on_join(const handle<R>& wire, F f) {
    return detail::branch_to<detail::join_branch, F>(std::move(f), wire.ref());
}
/// The event is set. `f()`.
template <class F>
auto on_event(event& e, F f) {
    return detail::branch_to<detail::event_branch, F>(std::move(f), e);
}
/// A permit is the caller's, to be given back with release(). `f()`.
template <class F>
auto on_acquire(semaphore& s, F f) {
    return detail::branch_to<detail::acquire_branch, F>(std::move(f), s);
}
/// One of the signals has come, which nobody else gets. `f(result<int>)`, as its wait() returns.
template <class F>
auto on_signal(io::signals& set, F f) {
    return detail::branch_to<detail::signal_branch, F>(std::move(f), set);
}
/// The child has ended. `f(result<io::exit_status>)`, as its wait() returns.
template <class F>
auto on_exit(io::process& child, F f) {
    return detail::branch_to<detail::exit_branch, F>(std::move(f), child);
}
/// Nothing else is ready: then select() does not wait for it. `f()`.
template <class F = detail::nothing>
auto otherwise(F f = {}) {
    return detail::branch_to<detail::otherwise_branch, F>(std::move(f));
}

namespace detail {

/// Branches that lie anywhere (stride 0: `first` points to pointers), or as elements of an array.
struct branch_list {
    const void* first;
    std::size_t count;
    std::size_t stride;

    branch& operator[](std::size_t i) const noexcept {
        if (stride == 0) return *static_cast<branch* const*>(first)[i];
        return *const_cast<branch*>(
            reinterpret_cast<const branch*>(static_cast<const std::byte*>(first) + i * stride));
    }
};

WIRE_API result<std::size_t> select(branch_list all);

}  // namespace detail

/// Waits until one of the branches can happen, makes exactly that one happen, calls its handler,
/// and returns its place in the list, from 0. If several are ready, each of them is as likely as
/// the others. Nothing happens to those that are not chosen: no value is moved, no permit taken,
/// and who would have been woken by a loser is not passed over.
///
///     wire::select(wire::on_recv(jobs, [&](wire::result<job> j) { … }),
///                  wire::on_readable(fd, [&] { … }),
///                  wire::on_deadline(wire::within(5s), [&] { … }));
///
/// The handler runs on the calling wire when the select is over: it may block, select, and throw.
/// Every 64th select of a thread begins with a yield, also one with otherwise(): a wire that never
/// has to wait would let nobody else run.
///
/// Fails with ECANCELED, or with EINVAL if there is no branch; then no handler is called. Call from
/// a wire; descriptors, signals and children need a runtime with a reactor. Allocates nothing.
inline result<std::size_t> select(std::span<branch* const> all) {
    return detail::select({all.data(), all.size(), 0});
}
/// The same for an array of branches of one type.
template <std::derived_from<branch> B>
requires(!std::is_abstract_v<B>) result<std::size_t> select(std::span<B> all) {
    return detail::select(
        {all.empty() ? nullptr : static_cast<branch*>(all.data()), all.size(), sizeof(B)});
}
template <class... B>
requires(sizeof...(B) > 0 && (std::derived_from<std::remove_reference_t<B>, branch> &&
                              ...)) result<std::size_t> select(B&&... branches) {
    branch* const all[]{&branches...};
    return detail::select({all, sizeof...(B), 0});
}

}  // namespace wire
