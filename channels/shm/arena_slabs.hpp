// The slabs of one user, by size. Private to its process: nothing here is read from shared memory
// but the words of blocks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "arena_blocks.hpp"

namespace wire::shm::detail {

template <class Sync>
class basic_slab_set {
    using block = basic_block<Sync>;

public:
    basic_slab_set(const basic_arena_map<Sync>& map, std::uint16_t user) noexcept
        : map_(map), user_(user) {}

    /// A free block of that class, which is the user's from now on; none among the next `looks`, or
    /// among all of them. Goes on where it has stopped, so each block is looked at in turn: that
    /// finds first what was freed first.
    [[nodiscard]] std::optional<block> take(std::uint8_t size_class, std::uint64_t bytes,
                                            std::size_t looks) noexcept {
        shelf& s = shelves_[size_class];
        const std::uint32_t size = size_classes::sizes[size_class];
        looks = std::min(looks, s.slabs.size() * size_classes::blocks(size_class));
        for (; looks > 0; --looks) {
            if (s.next == s.end) open(s, s.slab + 1 < s.slabs.size() ? s.slab + 1 : 0, size_class);
            const block b(s.next);
            s.next += size;
            if (b.holder() != block_word::nobody) continue;
            b.set(user_, bytes);
            return b;
        }
        return std::nullopt;
    }
    /// Room for one more, so that add() does not fail. May throw std::bad_alloc.
    void reserve(std::uint8_t size_class) {
        std::vector<std::uint32_t>& slabs = shelves_[size_class].slabs;
        if (slabs.size() == slabs.capacity()) slabs.reserve(2 * slabs.size() + 4);
    }
    /// The next that is looked at is the new one.
    void add(std::uint8_t size_class, std::uint32_t first_page) noexcept {
        shelf& s = shelves_[size_class];
        s.slabs.push_back(first_page);
        open(s, s.slabs.size() - 1, size_class);
    }
    /// How many there are, of all sizes.
    [[nodiscard]] std::size_t count() const noexcept {
        std::size_t n = 0;
        for (const shelf& s : shelves_) n += s.slabs.size();
        return n;
    }
    /// Calls give_up(first page) for each slab, and forgets those for which it returns true.
    template <class F>
    void remove_if(F give_up) {
        for (std::uint8_t c = 0; c < size_classes::count; ++c) {
            shelf& s = shelves_[c];
            std::erase_if(s.slabs, give_up);
            s.next = s.end = nullptr;
            s.slab = s.slabs.size();
        }
    }

private:
    struct shelf {
        std::vector<std::uint32_t> slabs;  // their first pages
        std::size_t slab = 0;              // where to look next
        std::byte* next = nullptr;
        std::byte* end = nullptr;
    };
    void open(shelf& s, std::size_t n, std::uint8_t c) noexcept {
        s.slab = n;
        s.next = map_.heap() + std::uint64_t{s.slabs[n]} * page;
        s.end = s.next + std::size_t{size_classes::blocks(c)} * size_classes::sizes[c];
    }

    const basic_arena_map<Sync> map_;
    const std::uint16_t user_;
    shelf shelves_[size_classes::count];
};

}  // namespace wire::shm::detail
