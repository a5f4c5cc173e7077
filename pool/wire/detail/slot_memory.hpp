// The memory of a pool or bridge: its slots, then two numbers for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <wire/config.hpp>
#include "prefetch.hpp"
#include "slot_rings.hpp"

namespace wire::detail {

/// The size and the alignment of a slot. Slots lie one behind the other.
struct slot_shape {
    std::size_t size;
    std::size_t alignment;

    template <class T>
    static constexpr slot_shape of() noexcept {
        return {sizeof(T), alignof(T) < cache_line ? cache_line : alignof(T)};
    }
    /// For bytes that somebody takes for objects of that size.
    static constexpr slot_shape of_bytes(std::size_t size) noexcept { return {size, cache_line}; }

    /// What `n` slots take, from a place that is aligned.
    [[nodiscard]] constexpr std::size_t space_for(std::size_t n) const noexcept {
        return numbers_after(n) + 2 * sizeof(std::uint32_t) * n;
    }
    /// Where the numbers begin.
    [[nodiscard]] constexpr std::size_t numbers_after(std::size_t n) const noexcept {
        constexpr std::size_t a = alignof(std::uint32_t);
        return (n * size + a - 1) / a * a;
    }
    /// What `n` slots take at most, wherever the memory begins.
    [[nodiscard]] constexpr std::size_t storage_for(std::size_t n) const noexcept {
        return space_for(n) + alignment - 1;
    }
};

/// Room for elements, uninitialised, and for the numbers of their slots.
class WIRE_API slot_memory {
public:
    /// Allocated here; throws std::bad_alloc. Asserts a capacity from 1 to 2^31.
    slot_memory(slot_shape shape, std::size_t capacity);
    /// As many as fit into the caller's `storage`; asserts that one does.
    slot_memory(slot_shape shape, std::span<std::byte> storage) noexcept;
    slot_memory(slot_memory&& other) noexcept
        : shape_(other.shape_),
          slots_(other.slots_),
          own_(std::exchange(other.own_, nullptr)),
          first_(other.first_) {}
    slot_memory& operator=(slot_memory&&) = delete;
    ~slot_memory();

    [[nodiscard]] std::uint32_t slots() const noexcept { return slots_; }
    template <class T>
    [[nodiscard]] T* at(std::uint32_t slot) const noexcept {
        return reinterpret_cast<T*>(first_) + slot;
    }
    [[nodiscard]] std::span<std::byte> bytes_at(std::uint32_t slot) const noexcept {
        return {first_ + slot * shape_.size, shape_.size};
    }

    // The same for one that is filled or emptied now: the next ones are fetched ahead.
    template <class T>
    [[nodiscard]] T* to_fill(slot_in_hand slot) const noexcept {
        prefetch_ahead<access::write>(at<T>(slot), sizeof(T), slot.more);
        return at<T>(slot);
    }
    template <class T>
    [[nodiscard]] T* to_empty(slot_in_hand slot) const noexcept {
        prefetch_ahead<access::read>(at<T>(slot), sizeof(T), slot.more);
        return at<T>(slot);
    }
    template <access For>
    [[nodiscard]] std::span<std::byte> bytes_to(slot_in_hand slot) const noexcept {
        const std::span<std::byte> bytes = bytes_at(slot);
        prefetch_ahead<For>(bytes.data(), bytes.size(), slot.more);
        return bytes;
    }

    [[nodiscard]] std::uint32_t* numbers() const noexcept {
        return reinterpret_cast<std::uint32_t*>(first_ + shape_.numbers_after(slots_));
    }

private:
    slot_shape shape_;
    std::uint32_t slots_ = 0;
    void* own_ = nullptr;
    std::byte* first_ = nullptr;
};

}  // namespace wire::detail
