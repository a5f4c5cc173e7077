// What lies where in the memory of a ring. docs/shm-format.md describes it byte by byte.
//
//     header | lanes: their words | lane 0: its records | lane 1: ... | ...
//
// Everything here may be changed by a hostile peer at any time: what is read is read once, and
// bounded before it is used. Sizes are read from the header when one attaches, validated, and kept
// in private memory.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <wire/config.hpp>
#include "doorbell.hpp"

namespace wire::shm::detail {

inline constexpr std::uint64_t ring_magic = 0x676E'6972'6572'6977;  // "wirering"
inline constexpr std::uint32_t ring_version = 1;
inline constexpr std::size_t page = 4096;

inline constexpr std::uint32_t lanes_max = 1024;
inline constexpr std::uint64_t lane_bytes_min = page;
inline constexpr std::uint64_t lane_bytes_max = std::uint64_t{1} << 40;

/// The sizes of a ring.
struct ring_geometry {
    std::uint32_t lanes = 64;
    std::uint64_t lane_bytes = 64 * 1024;  // of records; a power of two

    [[nodiscard]] constexpr bool possible() const noexcept {
        return lanes >= 1 && lanes <= lanes_max && std::has_single_bit(lane_bytes) &&
               lane_bytes >= lane_bytes_min && lane_bytes <= lane_bytes_max;
    }
    friend bool operator==(const ring_geometry&, const ring_geometry&) = default;
};

/// Offset 0. Written once, `magic` last, but for the words of the consumer. Lines of their own for
/// what different processes change.
template <class Sync>  // NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct basic_ring_header {
    template <class T>
    using atomic = typename Sync::template atomic<T>;

    atomic<std::uint64_t> magic;
    std::uint32_t version;
    std::uint32_t lanes;
    std::uint64_t lane_bytes;
    std::uint64_t total_bytes;
    std::uint64_t pid_namespace;   // in which all identities are meant
    std::uint64_t time_namespace;  // the same
    // Seldom changed.
    alignas(cache_line_pair) atomic<std::uint64_t> consumer;  // its identity; 0: none
    atomic<std::uint64_t> attached;                           // how often producers have attached
    atomic<std::uint32_t> closed;                             // 1: producers are to stop
    alignas(cache_line_pair) basic_doorbell<Sync> records;    // the consumer sleeps on it

    /// A lane has a new owner.
    void count_attachment() noexcept {
        // [A] release: the owner word. Pairs with [A'].
        attached.fetch_add(1, std::memory_order_release);
    }
};

/// What a producer and the consumer share but for the records.
template <class Sync>
struct basic_lane {
    template <class T>
    using atomic = typename Sync::template atomic<T>;

    // Changed by who attaches and detaches, and by the consumer when the owner has died. From `me`
    // and the mark of who is arriving it becomes `me` once the consumer has been told.
    alignas(cache_line_pair) atomic<std::uint64_t> owner;  // its identity; 0: nobody
    atomic<std::uint64_t> begins;                          // its head when it came
    // Of the producer: so many bytes have been committed, ever.
    alignas(cache_line_pair) atomic<std::uint64_t> head;
    // Of the consumer: so many have been released.
    alignas(cache_line_pair) atomic<std::uint64_t> tail;
    basic_doorbell<Sync> room;  // the producer sleeps on it

    /// Makes it `me`'s. Returns false if it is somebody's already.
    bool take(std::uint64_t me) noexcept {
        std::uint64_t nobody = 0;
        // relaxed: a hint that saves an exchange.
        // [O'] acquire: the position at which the one before has stopped. Pairs with [O], [O''].
        return owner.load(std::memory_order_relaxed) == 0 &&
               owner.compare_exchange_strong(nobody, me, std::memory_order_acquire,
                                             std::memory_order_relaxed);
    }
    /// The one who has taken it begins: from now on what it commits is its own.
    void begin(std::uint64_t me) noexcept {
        // [W] release: where it begins. Pairs with [W'].
        owner.store(me, std::memory_order_release);
    }
    /// Its owner leaves it.
    void leave() noexcept {
        // [O] release: the position at which the next one goes on. Pairs with [O'], [D].
        owner.store(0, std::memory_order_release);
    }
};

// docs/shm-format.md in the compiler's words. Another layout is another version.
struct layout_of_version_1 {
    template <class T>
    using atomic = std::atomic<T>;
    using word = std::atomic<std::uint32_t>;
    using bell = basic_doorbell<layout_of_version_1>;
    using header = basic_ring_header<layout_of_version_1>;
    using lane = basic_lane<layout_of_version_1>;

    static constexpr bool is_documented() noexcept {
        return bell::has_layout(0, 4) && sizeof(bell) == 8 && offsetof(header, magic) == 0 &&
               offsetof(header, version) == 8 && offsetof(header, lanes) == 12 &&
               offsetof(header, lane_bytes) == 16 && offsetof(header, total_bytes) == 24 &&
               offsetof(header, pid_namespace) == 32 && offsetof(header, time_namespace) == 40 &&
               offsetof(header, consumer) == 128 && offsetof(header, attached) == 136 &&
               offsetof(header, closed) == 144 && offsetof(header, records) == 256 &&
               sizeof(header) == 384 && offsetof(lane, owner) == 0 && offsetof(lane, begins) == 8 &&
               offsetof(lane, head) == 128 && offsetof(lane, tail) == 256 &&
               offsetof(lane, room) == 264 && sizeof(lane) == 384;
    }
};
static_assert(ring_version == 1 && layout_of_version_1::is_documented());
static_assert(std::endian::native == std::endian::little);

/// Where the parts of a ring lie.
template <class Sync>
struct basic_ring_map {
    using header_type = basic_ring_header<Sync>;
    using lane_type = basic_lane<Sync>;

    static constexpr std::uint64_t header_bytes() noexcept { return page; }
    static constexpr std::uint64_t lanes_bytes(const ring_geometry& g) noexcept {
        return (g.lanes * sizeof(lane_type) + page - 1) / page * page;
    }
    static constexpr std::uint64_t total_bytes(const ring_geometry& g) noexcept {
        return header_bytes() + lanes_bytes(g) + g.lanes * g.lane_bytes;
    }
    static constexpr std::uint64_t records_at(const ring_geometry& g, std::uint32_t lane) noexcept {
        return header_bytes() + lanes_bytes(g) + lane * g.lane_bytes;
    }

    [[nodiscard]] header_type& header() const noexcept {
        return *reinterpret_cast<header_type*>(base);
    }
    [[nodiscard]] lane_type& lane(std::uint32_t n) const noexcept {
        return reinterpret_cast<lane_type*>(base + header_bytes())[n];
    }
    [[nodiscard]] std::byte* records(std::uint32_t n) const noexcept {
        return base + records_at(geometry, n);
    }

    std::byte* base = nullptr;
    ring_geometry geometry;
};

}  // namespace wire::shm::detail
