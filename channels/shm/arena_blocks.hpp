// Records in the heap of an arena: their words, and which offsets are records.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "arena_pages.hpp"

namespace wire::shm::detail {

/// A block for a record: its word, and room behind.
template <class Sync>
class basic_block {
public:
    explicit basic_block(std::byte* at) noexcept : at_(at) {}
    /// The block of a record.
    static basic_block of(std::byte* bytes) noexcept {
        return basic_block(bytes - size_classes::overhead);
    }

    // [W'] acquire: who freed or sent it is done with it. Pairs with [W].
    [[nodiscard]] std::uint64_t word() const noexcept {
        return Sync::ref(at_).load(std::memory_order_acquire);
    }
    void set(std::uint16_t holder, std::uint64_t bytes) const noexcept {
        // [W] release: what was done to the record. Pairs with [W'].
        Sync::ref(at_).store(block_word::make(holder, bytes), std::memory_order_release);
    }
    /// Unless it is no longer `seen`: then somebody who lives has gone on with it.
    bool change(std::uint64_t seen, std::uint16_t holder) const noexcept {
        const std::uint64_t bytes = holder == block_word::nobody ? 0 : block_word::bytes(seen);
        // [W] release: as above; who has `seen` it has acquired it. Pairs with [W'].
        return Sync::ref(at_).compare_exchange_strong(seen, block_word::make(holder, bytes),
                                                      std::memory_order_release,
                                                      std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint16_t holder() const noexcept { return block_word::holder(word()); }
    [[nodiscard]] std::byte* bytes() const noexcept { return at_ + size_classes::overhead; }

private:
    std::byte* at_;
};

/// The blocks of an arena.
template <class Sync>
class basic_arena_blocks {
    using map = basic_arena_map<Sync>;
    using block = basic_block<Sync>;

public:
    /// A block, where it lies, and how long a record in it can be.
    struct place {
        block here;
        std::uint32_t first_page;
        std::uint64_t room;
        bool is_run;
    };

    explicit basic_arena_blocks(const map& m) noexcept : map_(m), pages_(m) {}

    /// The block whose bytes begin at that offset in the heap, if there is one.
    [[nodiscard]] std::optional<place> at_offset(std::uint64_t offset) const noexcept {
        if (offset < size_classes::overhead || offset >= map_.heap_bytes()) return std::nullopt;
        const std::uint64_t begin = offset - size_classes::overhead;
        auto first = static_cast<std::uint32_t>(begin / page);
        // The first page of a slab is at most so many before.
        for (std::uint32_t back = 0; back < size_classes::slab_pages_max; ++back, --first) {
            const std::uint64_t w = pages_.get(first);
            if (page_word::kind_of(w) != page_word::rest)
                return place_in(first, w, begin - std::uint64_t{first} * page);
            if (first == 0) break;
        }
        return std::nullopt;
    }
    [[nodiscard]] std::uint64_t offset_of(const block& b) const noexcept {
        return static_cast<std::uint64_t>(b.bytes() - map_.heap());
    }
    [[nodiscard]] block first_of(std::uint32_t first_page) const noexcept {
        return block(map_.heap() + std::uint64_t{first_page} * page);
    }
    /// Calls f(block) for each block of what begins on that page.
    template <class F>
    void for_each_in(std::uint32_t first_page, std::uint64_t w, F f) const {
        if (page_word::kind_of(w) == page_word::run) return f(first_of(first_page));
        if (!is_slab(first_page, w)) return;
        const std::uint8_t c = page_word::class_of(w);
        std::byte* at = map_.heap() + std::uint64_t{first_page} * page;
        for (std::uint32_t n = 0; n < size_classes::blocks(c); ++n, at += size_classes::sizes[c])
            f(block(at));
    }
    basic_arena_pages<Sync>& pages() noexcept { return pages_; }
    const basic_arena_pages<Sync>& pages() const noexcept { return pages_; }

private:
    [[nodiscard]] bool is_slab(std::uint32_t first_page, std::uint64_t w) const noexcept {
        const std::uint8_t c = page_word::class_of(w);
        return page_word::kind_of(w) == page_word::slab && c < size_classes::count &&
               size_classes::pages(c) <= map_.geometry.pages - first_page;
    }
    [[nodiscard]] std::optional<place> place_in(std::uint32_t first_page, std::uint64_t w,
                                                std::uint64_t at) const noexcept {
        if (page_word::kind_of(w) == page_word::run) {
            const std::uint64_t bytes = pages_.length(first_page, w) * std::uint64_t{page};
            if (at != 0) return std::nullopt;
            return place{first_of(first_page), first_page, bytes - size_classes::overhead, true};
        }
        if (!is_slab(first_page, w)) return std::nullopt;
        const std::uint8_t c = page_word::class_of(w);
        if (size_classes::number(c, at) == size_classes::blocks(c)) return std::nullopt;
        return place{block(map_.heap() + std::uint64_t{first_page} * page + at), first_page,
                     size_classes::sizes[c] - size_classes::overhead, false};
    }

    map map_;
    basic_arena_pages<Sync> pages_;
};

}  // namespace wire::shm::detail
