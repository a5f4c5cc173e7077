// A FIFO between threads, with a channel's interface.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include <wire/assert.hpp>
#include <wire/detail/exchange.hpp>
#include <wire/detail/recv_iterator.hpp>
#include <wire/detail/slot_memory.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/result.hpp>

namespace wire {

/// Carries values between threads, in order: from wires or plain threads to wires or plain threads,
/// any number of each. A channel for several threads; between the wires of one runtime a channel is
/// several times as fast.
///
/// A wire that has to wait parks, and the others of its thread run; a plain thread sleeps. It costs
/// no system call while nobody sleeps.
///
/// T is moved, never copied but by send(const T&). Its move constructor must not throw, and must
/// not use the bridge or suspend the wire: others are kept out meanwhile. Nothing allocates but the
/// constructor with a capacity.
///
/// What a thread does before send() happens before the return of the recv() that has its value.
/// While a wire waits here, the wires of its runtime are no deadlock: another thread may come.
template <class T>
class bridge : detail::immovable {
    static_assert(std::is_object_v<T>, "a bridge carries objects: send pointers for references");
    static_assert(std::is_nothrow_move_constructible_v<T>,
                  "T's move constructor must be noexcept: it runs while others are kept out, and "
                  "what it left half done nobody could clear away. Send a std::unique_ptr<T>");

public:
    /// Room for `capacity` values, at least one (asserted), allocated here (std::bad_alloc).
    explicit bridge(std::size_t capacity, waiting how = waiting::adaptive)
        : memory_(shape, capacity), exchange_(memory_.slots(), memory_.numbers(), how) {}
    /// As many values as fit into `storage`, which stays the caller's and must outlive the bridge.
    /// Asserts that one fits; storage_size() tells how much n values take.
    explicit bridge(std::span<std::byte> storage, waiting how = waiting::adaptive) noexcept
        : memory_(shape, storage), exchange_(memory_.slots(), memory_.numbers(), how) {}
    [[nodiscard]] static constexpr std::size_t storage_size(std::size_t capacity) noexcept {
        return shape.storage_for(capacity);
    }
    /// Destroys the values that nobody has received. No call may be under way.
    ~bridge() {
        while (exchange_.try_take([this](detail::slot_in_hand slot) {
            std::destroy_at(memory_.at<T>(slot));
        }) == 0) {
        }
    }

    /// Sends a value; waits while the bridge is full.
    ///
    /// Fails with EPIPE (closed, before or meanwhile), ETIMEDOUT or, in a wire, ECANCELED, and has
    /// not moved from `value` then. Any thread.
    result<void> send(T&& value, deadline until = never) noexcept {
        return to_result(exchange_.give(filler(std::move(value)), until));
    }
    /// The same with a copy, which is made first and may throw.
    result<void> send(const T& value,
                      deadline until = never) requires std::is_copy_constructible_v<T> {
        if constexpr (std::is_trivially_copyable_v<T>)
            return to_result(exchange_.give(filler(value), until));
        else
            return send(T(value), until);
    }
    /// Fails with EAGAIN if the bridge is full, or with EPIPE, and has not moved from `value` then.
    /// Never suspends. Any thread.
    result<void> try_send(T&& value) noexcept {
        return to_result(exchange_.try_give(filler(std::move(value))));
    }
    result<void> try_send(const T& value) requires std::is_copy_constructible_v<T> {
        if constexpr (std::is_trivially_copyable_v<T>)
            return to_result(exchange_.try_give(filler(value)));
        else
            return try_send(T(value));
    }

    /// Receives the oldest value; waits while there is none.
    ///
    /// Fails with EPIPE (closed, and all values have been received), ETIMEDOUT or, in a wire,
    /// ECANCELED. Any thread.
    result<T> recv(deadline until = never) noexcept {
        result<T> got = failure{EAGAIN};
        if (const int error = exchange_.take(emptier(got), until)) got = failure{error};
        return got;
    }
    /// Fails with EAGAIN if there is no value, or with EPIPE. Never suspends. Any thread.
    result<T> try_recv() noexcept {
        result<T> got = failure{EAGAIN};
        if (const int error = exchange_.try_take(emptier(got))) got = failure{error};
        return got;
    }

    using iterator = detail::recv_iterator<bridge, T>;
    /// For `for (T& value : bridge)`, which ends when recv() fails: the bridge is closed and empty,
    /// or the wire's scope is cancelled.
    iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    /// From now on send() fails with EPIPE; so does recv() when what was sent has been received.
    /// Those that wait are woken. What has been sent before is never lost. Again has no effect.
    /// Never suspends. Any thread.
    void close() noexcept { exchange_.close(); }
    [[nodiscard]] bool closed() const noexcept { return exchange_.closed(); }

    [[nodiscard]] std::size_t capacity() const noexcept { return exchange_.size(); }
    /// How many values it holds, about: others come and go meanwhile.
    [[nodiscard]] std::size_t size() const noexcept {
        return exchange_.counts().inside(exchange_.size());
    }

private:
    friend struct detail::exchange_access;
    static constexpr detail::slot_shape shape = detail::slot_shape::of<T>();

    template <class From>
    auto filler(From&& value) noexcept {
        return [this, &value](detail::slot_in_hand slot) {
            std::construct_at(memory_.to_fill<T>(slot), std::forward<From>(value));
        };
    }
    auto emptier(result<T>& got) noexcept {
        return [this, &got](detail::slot_in_hand slot) {
            // In place of a failure, which needs no destructor.
            T* const value = memory_.to_empty<T>(slot);
            std::construct_at(&got, std::move(*value));
            std::destroy_at(value);
        };
    }

    detail::slot_memory memory_;
    detail::basic_exchange<detail::thread_sync> exchange_;
};

}  // namespace wire
