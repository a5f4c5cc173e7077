// A pool whose elements are bytes, of a size that is known at run time. (msg-pool's interface.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include <wire/detail/pool_base.hpp>
#include <wire/detail/slot_memory.hpp>

namespace wire {

/// As pool<T>, which see for all that is not said here; an element is a row of bytes, which begin
/// as zeros. Its address is a multiple of the largest power of two, at most 64, that divides the
/// element size: what is placed there is aligned as in an array. Each span that is given to it must
/// be of the element's size, or for several of a multiple (asserted).
class raw_pool : public detail::lending_pool<raw_pool, std::span<std::byte>> {
    using bytes = std::span<std::byte>;
    friend lending_pool;

    void check(std::size_t size) const noexcept {
        WIRE_ASSERT(size == element_size_, "a span that is not of the element's size");
    }
    std::size_t count_of(std::span<const std::byte> elements) const noexcept {
        WIRE_ASSERT(elements.size() % element_size_ == 0,
                    "a span that is not a number of whole elements");
        return elements.size() / element_size_;
    }
    auto reader(std::span<const std::byte> element) noexcept {
        check(element.size());
        return [this, element](detail::slot_in_hand slot) {
            const bytes into = memory_.bytes_to<detail::access::write>(slot);
            std::memcpy(into.data(), element.data(), element.size());
        };
    }
    auto writer(bytes into) noexcept {
        check(into.size());
        return [this, into](detail::slot_in_hand slot) {
            const bytes element = memory_.bytes_to<detail::access::read>(slot);
            std::memcpy(into.data(), element.data(), element.size());
        };
    }
    auto row_reader(std::span<const std::byte> elements) noexcept {
        return [this, elements](detail::slot_in_hand slot) mutable {
            reader(elements.first(element_size_))(slot);
            elements = elements.subspan(element_size_);
        };
    }
    auto row_writer(bytes into) noexcept {
        return [this, into](detail::slot_in_hand slot) mutable {
            writer(into.first(element_size_))(slot);
            into = into.subspan(element_size_);
        };
    }
    auto swapper(bytes element) noexcept {
        check(element.size());
        return [this, element](detail::slot_in_hand slot) {
            std::ranges::swap_ranges(memory_.bytes_to<detail::access::write>(slot), element);
        };
    }

public:
    /// `count` slots for elements of `element_size` bytes, each at least one (asserted), allocated
    /// here (std::bad_alloc).
    raw_pool(std::size_t count, std::size_t element_size, const pool_options& options = {})
        : raw_pool(detail::slot_memory(shape_of(element_size), count), element_size, options) {}
    /// As many slots as fit into `storage`, which stays the caller's and must outlive the pool.
    raw_pool(bytes storage, std::size_t element_size, const pool_options& options = {}) noexcept
        : raw_pool(detail::slot_memory(shape_of(element_size), storage), element_size, options) {}
    [[nodiscard]] static constexpr std::size_t storage_size(std::size_t count,
                                                            std::size_t element_size) noexcept {
        return detail::slot_shape::of_bytes(element_size).storage_for(count);
    }

    [[nodiscard]] std::size_t element_size() const noexcept { return element_size_; }

    /// Copies an element in.
    result<void> put(std::span<const std::byte> element, deadline until = never) noexcept {
        return to_result(exchange_.give(reader(element), until));
    }
    result<void> try_put(std::span<const std::byte> element) noexcept {
        return to_result(exchange_.try_give(reader(element)));
    }
    /// Copies an element out.
    result<void> take(bytes into, deadline until = never) noexcept {
        return to_result(exchange_.take(writer(into), until));
    }
    result<void> try_take(bytes into) noexcept {
        return to_result(exchange_.try_take(writer(into)));
    }

    /// As pool<T>::put_some() and take_some(): elements that lie one behind the other.
    result<std::size_t> put_some(std::span<const std::byte> elements,
                                 deadline until = never) noexcept {
        return some(count_of(elements), [&](auto n, auto& done) {
            return exchange_.give_some(n, done, row_reader(elements), until);
        });
    }
    result<std::size_t> try_put_some(std::span<const std::byte> elements) noexcept {
        return some(count_of(elements), [&](auto n, auto& done) {
            return exchange_.try_give_some(n, done, row_reader(elements));
        });
    }
    result<std::size_t> take_some(bytes into, deadline until = never) noexcept {
        return some(count_of(into), [&](auto n, auto& done) {
            return exchange_.take_some(n, done, row_writer(into), until);
        });
    }
    result<std::size_t> try_take_some(bytes into) noexcept {
        return some(count_of(into), [&](auto n, auto& done) {
            return exchange_.try_take_some(n, done, row_writer(into));
        });
    }

    /// Exchanges an element with what is in the slot.
    result<void> put_swap(bytes element, deadline until = never) noexcept {
        return to_result(exchange_.give(swapper(element), until));
    }
    result<void> take_swap(bytes element, deadline until = never) noexcept {
        return to_result(exchange_.take(swapper(element), until));
    }
    result<void> try_put_swap(bytes element) noexcept {
        return to_result(exchange_.try_give(swapper(element)));
    }
    result<void> try_take_swap(bytes element) noexcept {
        return to_result(exchange_.try_take(swapper(element)));
    }

private:
    raw_pool(detail::slot_memory&& memory, std::size_t element_size, const pool_options& options)
        : lending_pool(memory.slots(), memory.numbers(), options),
          memory_(std::move(memory)),
          element_size_(element_size) {
        for_each([](bytes element, std::size_t) { std::ranges::fill(element, std::byte{}); });
    }

    bytes element_at(std::uint32_t slot) noexcept { return memory_.bytes_at(slot); }
    static detail::slot_shape shape_of(std::size_t element_size) noexcept {
        WIRE_ASSERT(element_size > 0, "an element has at least one byte");
        return detail::slot_shape::of_bytes(element_size);
    }

    detail::slot_memory memory_;
    std::size_t element_size_;
};

}  // namespace wire
