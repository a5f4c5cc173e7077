// The pages of an arena's heap: which belong together, and whose they are, in one word each. All
// but reading with the lock.
//
// A slab, run or segment exists once the word of its first page is stored, which is last when it is
// made and first when it is given back. So whoever takes over the lock of one who died finds pages
// of the rest behind no first page at most, and frees them.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "arena_layout.hpp"

namespace wire::shm::detail {

template <class Sync>
class basic_arena_pages {
    using map = basic_arena_map<Sync>;
    using word = page_word;

public:
    explicit basic_arena_pages(const map& m) noexcept : map_(m) {}

    /// `n` free pages in a row, the first such: they stay free until make() is called.
    [[nodiscard]] std::optional<std::uint32_t> find(std::uint32_t n) const noexcept {
        std::uint32_t found = 0;
        for (std::uint32_t at = 0; at < map_.geometry.pages;) {
            const std::uint64_t w = get(at);
            if (word::kind_of(w) != word::free) {
                at += length(at, w);
                found = 0;
                continue;
            }
            ++at;
            if (++found == n) return at - n;
        }
        return std::nullopt;
    }
    void make(std::uint32_t at, word::kind first, std::uint16_t user, std::uint8_t size_class,
              std::uint32_t n) noexcept {
        for (std::uint32_t i = 1; i < n; ++i) set(at + i, word::make(word::rest, 0, 0, 0));
        set(at, word::make(first, user, size_class, n));
    }
    void give_back(std::uint32_t at) noexcept {
        const std::uint32_t n = length(at, get(at));
        for (std::uint32_t i = 0; i < n; ++i) set(at + i, 0);
    }
    /// After the death of one who had the lock.
    void repair() noexcept {
        for (std::uint32_t at = 0; at < map_.geometry.pages;) {
            const std::uint64_t w = get(at);
            if (!is_first(w) && w != 0) set(at, 0);
            at += length(at, w);
        }
    }

    /// Calls f(page, word) for the first page of each slab, run and segment.
    template <class F>
    void for_each(F f) const {
        for (std::uint32_t at = 0; at < map_.geometry.pages;) {
            const std::uint64_t w = get(at);
            if (is_first(w)) f(at, w);
            at += length(at, w);
        }
    }

    // relaxed: with the lock; or of the page of a record that its reader holds or has received,
    // which orders it.
    [[nodiscard]] std::uint64_t get(std::uint32_t at) const noexcept {
        return map_.page_at(at).load(std::memory_order_relaxed);
    }
    void set(std::uint32_t at, std::uint64_t w) noexcept {
        // [K] release: what was stored before, for whoever takes the lock over. Pairs with [Q'].
        map_.page_at(at).store(w, std::memory_order_release);
    }
    static bool is_first(std::uint64_t w) noexcept {
        const auto kind = word::kind_of(w);
        return kind == word::slab || kind == word::run || kind == word::segment;
    }
    /// How many pages belong to what begins there; within the heap, whatever the word says.
    [[nodiscard]] std::uint32_t length(std::uint32_t at, std::uint64_t w) const noexcept {
        const std::uint32_t n = is_first(w) ? word::pages_of(w) : 1;
        return n >= 1 && n <= map_.geometry.pages - at ? n : 1;
    }

private:
    map map_;
};

}  // namespace wire::shm::detail
