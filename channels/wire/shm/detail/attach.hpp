// Attaching to a ring that somebody has made: everything is validated before it is used, and
// nothing is changed if it is refused.
#pragma once

#include <wire/shm/detail/identity.hpp>
#include <wire/shm/detail/layout.hpp>
#include <wire/shm/detail/mapping.hpp>
#include <wire/shm/detail/system_sync.hpp>

namespace wire::shm::detail {

using ring_map = basic_ring_map<system_sync>;
using ring_header = ring_map::header_type;
static_assert(sizeof(ring_header) <= page);

/// A ring in this process.
struct attached_ring {
    mapping memory;
    ring_map map;
};

/// What somebody else may change is read once: a compiler may read an ordinary field again.
template <class T>
T read_once(const T& field) noexcept {
    return *static_cast<const volatile T*>(&field);
}

/// The sizes that a header tells, if it is one. `g` is what the rest is computed from, not the
/// header, which may change as soon as it is read.
inline refusal read_geometry(const ring_header& h, std::uint64_t bytes, ring_geometry& g) noexcept {
    // [M'] acquire: the rest of the header. Pairs with [M].
    const std::uint64_t magic = h.magic.load(std::memory_order_acquire);
    if (magic == 0)
        return {EAGAIN, "whoever makes the ring is not done, or died: try again, or remove it"};
    if (magic != ring_magic) return {EPROTO, "there is something else than a ring"};
    if (read_once(h.version) != ring_version)
        return {EPROTONOSUPPORT, "the ring is of another version of the library"};
    g = {read_once(h.lanes), read_once(h.lane_bytes)};
    if (!g.possible() || ring_map::total_bytes(g) != read_once(h.total_bytes))
        return {EBADMSG, "the ring's header contradicts itself: it is damaged"};
    if (bytes < ring_map::total_bytes(g))
        return {EBADMSG, "the memory is shorter than the ring's header says: it was truncated"};
    return {};
}

/// Whether processes are the same, by their identities, as where something was made.
inline refusal check_namespaces(std::uint64_t pid, std::uint64_t time) noexcept {
    if (pid != identity::pid_namespace())
        return {EXDEV,
                "it was made in another pid namespace, where processes have other numbers: nobody "
                "could tell who has died"};
    if (time != identity::time_namespace())
        return {EXDEV,
                "it was made in another time namespace, where processes were started at other "
                "times: the living would be taken for dead"};
    return {};
}

/// Attaches to the ring in `memory`.
inline refusal attach_to(mapping&& memory, attached_ring& ring) noexcept {
    const std::span<std::byte> bytes = memory.bytes();
    if (bytes.size() < page || reinterpret_cast<std::uintptr_t>(bytes.data()) % cache_line_pair)
        return {EINVAL, "the memory is too short for a ring, or not aligned to 128 bytes"};
    ring_map map{bytes.data(), {}};
    if (const refusal no = read_geometry(map.header(), bytes.size(), map.geometry)) return no;
    const ring_header& h = map.header();
    if (const refusal no = check_namespaces(h.pid_namespace, h.time_namespace)) return no;
    ring.memory = std::move(memory);
    ring.map = map;
    return {};
}

/// Attaches to the ring in what `fd` refers to, and takes that over, also if it fails.
inline refusal attach_to(int fd, bool must_be_private, attached_ring& ring) noexcept {
    mapping memory;
    struct stat s {};
    if (::fstat(fd, &s) != 0) return {errno, "fstat: is it a descriptor?"};
    refusal no = must_be_private ? check_private(s) : check_memory(s);
    if (!no && s.st_size < static_cast<off_t>(page))
        no = {EAGAIN, "whoever makes the ring is not done, or died: try again, or remove it"};
    if (no) {
        ::close(fd);
        return no;
    }
    no = memory.map(fd, static_cast<std::size_t>(s.st_size));
    return no ? no : attach_to(std::move(memory), ring);
}

/// Whether anything of the path would be followed, or created: neither.
inline constexpr int open_flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;

inline refusal attach_to_name(const char* name, attached_ring& ring) noexcept {
    const int fd = ::shm_open(name, O_RDWR, 0);
    if (fd < 0) return {errno, "shm_open: is there a ring of that name, and is it yours?"};
    return attach_to(fd, true, ring);
}
inline refusal attach_to_path(const char* path, attached_ring& ring) noexcept {
    const int fd = ::open(path, open_flags);
    if (fd < 0) return {errno, "open: is there a ring in that file, and is it yours?"};
    return attach_to(fd, true, ring);
}

}  // namespace wire::shm::detail
