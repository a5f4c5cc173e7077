// What lies where in an arena: a header, tables, a heap of pages, and the queues of channels.
//
//     header | users | segments | channels | page words | pages ... | queues
//
// Who is who. A *user* is an attached handle, of a thread of some process. A *record* is a block of
// the heap with a word in front that says how long it is and whose it is:
//
//     nobody's        only the user who owns its slab may allocate it
//     a user's        allocated, or received: that user may write, send or free it
//     in flight, c    sent: in the queue of channel c, or about to be
//
// Each step of a record is one store of that word, and each step of a queue one store of its head
// or tail. So nothing can be half done, and what a user who died was about to do is told from the
// words and the queues alone; see arena_recovery.
//
// Small records live in *slabs*: a page, or a few, cut into blocks of one size, which belong to one
// user. It allocates from its slabs without asking anybody: a block of its own slab is free when
// its word says so. Whoever frees a block stores the word, whosesoever slab it is. Large records
// take a *run* of pages.
//
// Pages, channels, segments and users are changed with the arena's lock; see arena_lock.
//
// Everything here may be changed by a hostile peer at any time: what is read is read once, and
// bounded before it is used. The sizes are read from the header when one opens, validated, and kept
// in private memory, as is what a user knows of its slabs and of its end of a queue.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <wire/config.hpp>
#include <wire/shm/detail/doorbell.hpp>
#include <wire/shm/detail/layout.hpp>

namespace wire::shm::detail {

inline constexpr std::uint64_t arena_magic = 0x616E'6572'6165'7277;  // "wrearena"
inline constexpr std::uint32_t arena_version = 1;

inline constexpr std::uint32_t users_max = 1024;
inline constexpr std::uint32_t arena_channels_max = 4096;
inline constexpr std::uint32_t segments_max = 64;
inline constexpr std::uint32_t heap_pages_max = std::uint32_t{1} << 28;
inline constexpr std::uint32_t queue_size = 512;  // records in flight in a channel

/// The word in front of a record.
struct block_word {
    static constexpr std::uint64_t bytes_mask = (std::uint64_t{1} << 40) - 1;
    static constexpr unsigned holder_shift = 48;
    static constexpr std::uint16_t nobody = 0;
    static constexpr std::uint16_t in_flight = 0x8000;  // with the channel's number

    static constexpr std::uint64_t make(std::uint16_t holder, std::uint64_t bytes) noexcept {
        return std::uint64_t{holder} << holder_shift | bytes;
    }
    static constexpr std::uint16_t in_channel(std::uint32_t n) noexcept {
        return static_cast<std::uint16_t>(in_flight | n);
    }
    static constexpr std::uint16_t holder(std::uint64_t word) noexcept {
        return static_cast<std::uint16_t>(word >> holder_shift);
    }
    static constexpr std::uint64_t bytes(std::uint64_t word) noexcept { return word & bytes_mask; }
};

/// The word of a page: what it is, the size class of its blocks, whose it is, and, of the first
/// page of a slab or run, of how many.
struct page_word {
    enum kind : std::uint8_t { free, slab, run, segment, rest };

    static constexpr std::uint64_t make(kind k, std::uint16_t user, std::uint8_t size_class,
                                        std::uint32_t pages) noexcept {
        return std::uint64_t{k} | std::uint64_t{size_class} << 8 | std::uint64_t{user} << 16 |
               std::uint64_t{pages} << 32;
    }
    static constexpr kind kind_of(std::uint64_t w) noexcept { return static_cast<kind>(w & 0xFF); }
    static constexpr std::uint8_t class_of(std::uint64_t w) noexcept {
        return static_cast<std::uint8_t>(w >> 8);
    }
    static constexpr std::uint16_t user_of(std::uint64_t w) noexcept {
        return static_cast<std::uint16_t>(w >> 16);
    }
    static constexpr std::uint32_t pages_of(std::uint64_t w) noexcept {
        return static_cast<std::uint32_t>(w >> 32);
    }
};

/// The sizes of blocks with their words, and of the slabs that are cut into them.
struct block_sizes {
    static constexpr std::uint32_t sizes[] = {32,  48,  64,  96,   128,  192, 256,
                                              384, 512, 768, 1024, 2048, 4096};
    static constexpr std::uint8_t count = sizeof sizes / sizeof *sizes;
    static constexpr std::uint32_t slab_pages_max = 8;
    static constexpr std::uint32_t pages(std::uint8_t c) noexcept {
        return sizes[c] <= 512 ? 1 : slab_pages_max;
    }
};
struct size_classes : block_sizes {
    static constexpr std::uint8_t none = count;  // a run of pages
    static constexpr std::uint32_t overhead = 16;

    static constexpr std::uint8_t of(std::uint64_t bytes) noexcept {
        std::uint8_t c = 0;
        while (c < count && sizes[c] - overhead < bytes) ++c;
        return c;
    }
    /// In a slab.
    static constexpr std::uint32_t blocks(std::uint8_t c) noexcept { return table[c].blocks; }
    /// Which block of its slab begins there; blocks(c) if none does.
    static constexpr std::uint32_t number(std::uint8_t c, std::uint64_t at) noexcept {
        const std::uint64_t n = at * table[c].inverse >> 32;
        return n < blocks(c) && n * sizes[c] == at ? static_cast<std::uint32_t>(n) : blocks(c);
    }

private:
    // Divisions are made when the program is compiled. `at` is less than 2^15, so what number() has
    // is `at` / size, rounded down.
    struct divided {
        std::uint32_t blocks;
        std::uint64_t inverse;
    };
    static constexpr std::array<divided, count> table = [] {
        std::array<divided, count> all{};
        for (std::uint8_t c = 0; c < count; ++c)
            all[c] = {pages(c) * static_cast<std::uint32_t>(page) / sizes[c],
                      (std::uint64_t{1} << 32) / sizes[c] + 1};
        return all;
    }();
};

/// In the word of a channel's end: its user is about to take it, and the other may not know of it.
inline constexpr std::uint32_t arriving = std::uint32_t{1} << 31;

/// Where one user's records wait for another.
template <class Sync>
struct basic_arena_channel {
    template <class T>
    using atomic = typename Sync::template atomic<T>;

    /// One of its two ends. `user` is changed with the lock.
    struct end {
        alignas(cache_line_pair) atomic<std::uint64_t> at;  // so many were sent, or received, ever
        basic_doorbell<Sync> bell;                          // who has this end sleeps on it
        atomic<std::uint32_t> user;                         // 0: nobody
        atomic<std::uint32_t> had;                          // 1: somebody has had it
    };

    // With the lock.
    alignas(cache_line_pair) atomic<std::uint64_t> id;  // the user's number for it + 1; 0: none
    atomic<std::uint64_t> type;
    atomic<std::uint32_t> removed;
    end producer;
    end consumer;
};

/// Memory that is shared by all. With the lock.
template <class Sync>
struct basic_arena_segment_entry {
    template <class T>
    using atomic = typename Sync::template atomic<T>;

    atomic<std::uint64_t> id;     // the user's number for it + 1; 0: none
    atomic<std::uint64_t> bytes;  // as it was asked for
    atomic<std::uint32_t> first;  // its first page
    atomic<std::uint32_t> state;  // `ready`, or the user who makes it; `nobody`: that one has died
    static constexpr std::uint32_t ready = ~std::uint32_t{0};
};

/// The sizes of an arena.
struct arena_geometry {
    std::uint32_t pages = 0;
    std::uint32_t channels = 0;

    [[nodiscard]] constexpr bool possible() const noexcept {
        return pages >= 1 && pages <= heap_pages_max && channels >= 1 &&
               channels <= arena_channels_max;
    }
};

// Lines of their own for what is changed by many.
template <class Sync>  // NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct basic_arena_header {
    template <class T>
    using atomic = typename Sync::template atomic<T>;

    atomic<std::uint64_t> magic;  // last
    std::uint32_t version;
    atomic<std::uint32_t> pages;
    atomic<std::uint32_t> channels;
    std::uint32_t kept;  // 1: its name stays when the last user leaves
    std::uint64_t total_bytes;
    std::uint64_t pid_namespace;                          // in which all identities are meant
    std::uint64_t time_namespace;                         // the same
    alignas(cache_line_pair) atomic<std::uint64_t> lock;  // the process that has it; 0: free
    atomic<std::uint32_t> waiting;                        // 1: somebody may sleep for it
    typename Sync::word unlocked;                         // on this
    typename Sync::word changed;  // futex: a channel or a segment came or went
    typename Sync::word turns;    // futex: so often the lock was taken
};

// docs/arena-format.md in the compiler's words. Another layout is another version.
struct arena_layout_of_version_1 {
    template <class T>
    using atomic = std::atomic<T>;
    using word = std::atomic<std::uint32_t>;
    using header = basic_arena_header<arena_layout_of_version_1>;
    using channel = basic_arena_channel<arena_layout_of_version_1>;
    using end = channel::end;
    using segment = basic_arena_segment_entry<arena_layout_of_version_1>;

    static constexpr bool is_documented() noexcept {
        return offsetof(header, magic) == 0 && offsetof(header, version) == 8 &&
               offsetof(header, pages) == 12 && offsetof(header, channels) == 16 &&
               offsetof(header, kept) == 20 && offsetof(header, total_bytes) == 24 &&
               offsetof(header, pid_namespace) == 32 && offsetof(header, time_namespace) == 40 &&
               offsetof(header, lock) == 128 && offsetof(header, turns) == 148 &&
               offsetof(header, waiting) == 136 && offsetof(header, unlocked) == 140 &&
               offsetof(header, changed) == 144 && sizeof(header) == 256 &&
               offsetof(channel, id) == 0 && offsetof(channel, type) == 8 &&
               offsetof(channel, removed) == 16 && offsetof(channel, producer) == 128 &&
               offsetof(channel, consumer) == 256 && sizeof(channel) == 384 &&
               offsetof(end, at) == 0 && offsetof(end, bell) == 8 && offsetof(end, user) == 16 &&
               offsetof(end, had) == 20 && sizeof(end) == 128 && offsetof(segment, id) == 0 &&
               offsetof(segment, bytes) == 8 && offsetof(segment, first) == 16 &&
               offsetof(segment, state) == 20 && sizeof(segment) == 24;
    }
};
static_assert(arena_version == 1 && arena_layout_of_version_1::is_documented());

/// Where the parts of an arena lie.
template <class Sync>
struct basic_arena_map {
    using header_type = basic_arena_header<Sync>;
    using channel_type = basic_arena_channel<Sync>;
    using segment_type = basic_arena_segment_entry<Sync>;
    using word_type = typename Sync::template atomic<std::uint64_t>;
    static_assert(sizeof(header_type) <= page);

    static constexpr std::uint64_t rounded(std::uint64_t n) noexcept {
        return (n + page - 1) / page * page;
    }
    static constexpr std::uint64_t users_at = page;
    static constexpr std::uint64_t segments_at = users_at + rounded(users_max * sizeof(word_type));
    static constexpr std::uint64_t channels_at =
        segments_at + rounded(segments_max * sizeof(segment_type));
    static constexpr std::uint64_t page_words_at(const arena_geometry& g) noexcept {
        return channels_at + rounded(g.channels * sizeof(channel_type));
    }
    static constexpr std::uint64_t heap_at(const arena_geometry& g) noexcept {
        return page_words_at(g) + rounded(g.pages * sizeof(word_type));
    }
    static constexpr std::uint64_t queues_at(const arena_geometry& g) noexcept {
        return heap_at(g) + g.pages * std::uint64_t{page};
    }
    static constexpr std::uint64_t queue_bytes = queue_size * sizeof(word_type);
    static constexpr std::uint64_t queue_at(const arena_geometry& g, std::uint32_t n) noexcept {
        return queues_at(g) + n * queue_bytes;
    }
    static constexpr std::uint64_t total_bytes(const arena_geometry& g) noexcept {
        return queue_at(g, g.channels);
    }

    [[nodiscard]] header_type& header() const noexcept {
        return *reinterpret_cast<header_type*>(base);
    }
    /// The process of a user; 0: there is none. Users are counted from 1.
    [[nodiscard]] word_type& user(std::uint32_t n) const noexcept {
        return reinterpret_cast<word_type*>(base + users_at)[n - 1];
    }
    [[nodiscard]] segment_type& segment(std::uint32_t n) const noexcept {
        return reinterpret_cast<segment_type*>(base + segments_at)[n];
    }
    [[nodiscard]] channel_type& channel(std::uint32_t n) const noexcept {
        return reinterpret_cast<channel_type*>(base + channels_at)[n];
    }
    [[nodiscard]] word_type& page_at(std::uint32_t n) const noexcept {
        return reinterpret_cast<word_type*>(base + page_words_at(geometry))[n];
    }
    /// Of channel `n`: offsets of the bytes of records in the heap.
    [[nodiscard]] word_type* queue(std::uint32_t n) const noexcept {
        return reinterpret_cast<word_type*>(base + queue_at(geometry, n));
    }
    [[nodiscard]] std::byte* heap() const noexcept { return base + heap_at(geometry); }
    [[nodiscard]] std::uint64_t heap_bytes() const noexcept {
        return geometry.pages * std::uint64_t{page};
    }

    std::byte* base = nullptr;
    arena_geometry geometry;
};

using arena_map_of_version_1 = basic_arena_map<arena_layout_of_version_1>;
static_assert(arena_map_of_version_1::users_at == 4'096 &&
              arena_map_of_version_1::segments_at == 12'288 &&
              arena_map_of_version_1::channels_at == 16'384 &&
              arena_map_of_version_1::queue_bytes == 4'096);

}  // namespace wire::shm::detail
