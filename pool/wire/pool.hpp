// A pool of messages between threads, whose elements stay where they are. (msg-pool's and
// mpmc_pool's, by their ideas.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include <wire/detail/pool_base.hpp>
#include <wire/detail/slot_memory.hpp>

namespace wire {

/// Messages from any number of producers to any number of consumers: wires of several runtimes and
/// plain threads, mixed, which may come and go.
///
/// Its capacity is a number of slots, each of which holds a live T from the constructor to the
/// destructor. put() and take() move the value of one; put_swap() and take_swap() exchange it, so
/// that buffers circulate between both sides and nothing is allocated; claim_put() and claim_take()
/// let one work in the slot itself, and hold up nobody meanwhile. A call fails as full only when
/// every slot is full or claimed, as empty only when none is full.
///
/// Order: what one producer puts is taken in that order, but for messages whose claim was dropped.
/// Across producers none is promised.
///
/// A wire that has to wait parks, and the others of its thread run; a plain thread sleeps. It costs
/// no system call while nobody sleeps. Nothing allocates but the constructors without storage.
///
/// What a thread does before it puts a message happens before the return of the call that takes it;
/// and what it does before it frees a slot, before the return of the call that fills that slot.
/// T's moves, and the destructors of what they replace, run while others are kept out: in them, do
/// not use the pool or suspend the wire.
/// While a wire waits here, the wires of its runtime are no deadlock: another thread may come.
///
/// Every call that may block fails with EPIPE (see close()), ETIMEDOUT or, in a wire, ECANCELED;
/// the try_ forms fail with EAGAIN instead of waiting, or with EPIPE. What fails has moved nothing.
/// All calls but for_each() and the destructor are for any thread.
template <class T>
class pool : public detail::lending_pool<pool<T>, T&> {
    using base = detail::lending_pool<pool, T&>;
    using base::exchange_;
    using base::some;
    static_assert(std::is_object_v<T> && !std::is_const_v<T>, "a pool holds objects");
    static_assert(std::is_default_constructible_v<T>,
                  "each slot holds a T() from the beginning. Use a pool of std::optional<T>");
    static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>,
                  "T's moves must be noexcept: they run while others are kept out, and what one "
                  "left half done nobody could clear away. Use a pool of std::unique_ptr<T>");

public:
    /// `capacity` slots, at least one (asserted), allocated here (std::bad_alloc), each with T().
    explicit pool(std::size_t capacity, const pool_options& options = {})
        : pool(detail::slot_memory(shape, capacity), options) {}
    /// As many slots as fit into `storage`, which stays the caller's and must outlive the pool.
    /// Asserts that one fits; storage_size() tells how much n slots take.
    explicit pool(std::span<std::byte> storage, const pool_options& options = {})
        : pool(detail::slot_memory(shape, storage), options) {}
    [[nodiscard]] static constexpr std::size_t storage_size(std::size_t capacity) noexcept {
        return shape.storage_for(capacity);
    }
    /// Destroys the elements. No call may be under way, no claim held.
    ~pool() { std::destroy_n(memory_.at<T>(0), memory_.slots()); }

    result<void> put(T&& value, deadline until = never) noexcept {
        return to_result(exchange_.give(filler(std::move(value)), until));
    }
    /// Puts a copy, which is made first and may throw.
    result<void> put(const T& value,
                     deadline until = never) requires std::is_copy_constructible_v<T> {
        if constexpr (copied_straight)
            return to_result(exchange_.give(filler(value), until));
        else
            return put(T(value), until);
    }
    result<void> try_put(T&& value) noexcept {
        return to_result(exchange_.try_give(filler(std::move(value))));
    }
    result<void> try_put(const T& value) requires std::is_copy_constructible_v<T> {
        if constexpr (copied_straight)
            return to_result(exchange_.try_give(filler(value)));
        else
            return try_put(T(value));
    }
    /// Puts what `value` holds, and leaves there what the slot held.
    result<void> put_swap(T& value, deadline until = never) noexcept {
        return to_result(exchange_.give(swapper(value), until));
    }
    result<void> try_put_swap(T& value) noexcept {
        return to_result(exchange_.try_give(swapper(value)));
    }
    /// Waits until there is room, then puts as many as there is room for, from the first. Returns
    /// how many, which are moved from; 0 if `values` is empty.
    result<std::size_t> put_some(std::span<T> values, deadline until = never) noexcept {
        return some(values.size(), [&](auto n, auto& done) {
            return exchange_.give_some(n, done, row_mover(values), until);
        });
    }
    result<std::size_t> try_put_some(std::span<T> values) noexcept {
        return some(values.size(), [&](auto n, auto& done) {
            return exchange_.try_give_some(n, done, row_mover(values));
        });
    }

    /// Moves a message out of its slot.
    result<T> take(deadline until = never) noexcept {
        result<T> got = failure{EAGAIN};
        if (const int error = exchange_.take(mover_to(got), until)) got = failure{error};
        return got;
    }
    result<T> try_take() noexcept {
        result<T> got = failure{EAGAIN};
        if (const int error = exchange_.try_take(mover_to(got))) got = failure{error};
        return got;
    }
    /// Takes a message into `value`, and leaves in the slot what that held.
    result<void> take_swap(T& value, deadline until = never) noexcept {
        return to_result(exchange_.take(swapper(value), until));
    }
    result<void> try_take_swap(T& value) noexcept {
        return to_result(exchange_.try_take(swapper(value)));
    }
    /// Waits until there is a message, then takes as many as are there, at most as `into` has room
    /// for. Returns how many; 0 if that is none.
    result<std::size_t> take_some(std::span<T> into, deadline until = never) noexcept {
        return some(into.size(), [&](auto n, auto& done) {
            return exchange_.take_some(n, done, row_filler(into), until);
        });
    }
    result<std::size_t> try_take_some(std::span<T> into) noexcept {
        return some(into.size(), [&](auto n, auto& done) {
            return exchange_.try_take_some(n, done, row_filler(into));
        });
    }

private:
    friend base;
    friend struct detail::exchange_access;
    static constexpr detail::slot_shape shape = detail::slot_shape::of<T>();
    // A copy that cannot throw needs no place of its own before it is in the slot.
    static constexpr bool copied_straight =
        std::is_trivially_copyable_v<T> && std::is_copy_assignable_v<T>;

    pool(detail::slot_memory&& memory, const pool_options& options)
        : base(memory.slots(), memory.numbers(), options), memory_(std::move(memory)) {
        std::uninitialized_value_construct_n(memory_.at<T>(0), memory_.slots());
    }

    T& element_at(std::uint32_t slot) noexcept { return *memory_.at<T>(slot); }
    template <class From>
    auto filler(From&& value) noexcept {
        return [this, &value](detail::slot_in_hand slot) {
            *memory_.to_fill<T>(slot) = std::forward<From>(value);
        };
    }
    auto swapper(T& value) noexcept {
        return [this, &value](detail::slot_in_hand slot) {
            std::ranges::swap(*memory_.to_fill<T>(slot), value);
        };
    }
    auto mover_to(result<T>& got) noexcept {
        // In place of a failure, which needs no destructor.
        return [this, &got](detail::slot_in_hand slot) {
            std::construct_at(&got, std::move(*memory_.to_empty<T>(slot)));
        };
    }
    auto row_mover(std::span<T> values) noexcept {
        return [this, next = values.data()](detail::slot_in_hand slot) mutable {
            *memory_.to_fill<T>(slot) = std::move(*next++);
        };
    }
    auto row_filler(std::span<T> into) noexcept {
        return [this, next = into.data()](detail::slot_in_hand slot) mutable {
            *next++ = std::move(*memory_.to_empty<T>(slot));
        };
    }

    detail::slot_memory memory_;
};

}  // namespace wire
