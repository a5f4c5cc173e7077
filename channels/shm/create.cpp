#include "create.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <system_error>

namespace wire::shm::detail {
namespace {

ring_geometry checked(const ring_options& options, const std::string& what) {
    const ring_geometry g{options.producers, options.lane_bytes};
    if (!g.possible())
        refuse({EINVAL,
                "1 to 1,024 producers, and a power of two from 4,096 on for the bytes of a "
                "lane"},
               what);
    if (identity::mine() == identity::nobody) refuse({errno, identity::needs_proc}, what);
    return g;
}

// The memory is zeros. `magic` is last: without it nobody attaches.
attached_ring write_header(mapping&& memory, const ring_geometry& g, const std::string& what) {
    const std::uint64_t shared = ring_map::header_bytes() + ring_map::lanes_bytes(g);
    if (const refusal no = memory.reserve(0, shared)) refuse(no, what);
    const ring_map map{memory.bytes().data(), g};
    ring_header& h = map.header();
    h.version = ring_version;
    h.lanes = g.lanes;
    h.lane_bytes = g.lane_bytes;
    h.total_bytes = ring_map::total_bytes(g);
    h.pid_namespace = identity::pid_namespace();
    h.time_namespace = identity::time_namespace();
    // [M] release: the rest of the header. Pairs with [M'].
    h.magic.store(ring_magic, std::memory_order_release);
    return {std::move(memory), map};
}

attached_ring make_in_file(int fd, const ring_geometry& g, const std::string& what) {
    mapping memory;
    const std::uint64_t size = ring_map::total_bytes(g);
    if (::ftruncate(fd, static_cast<off_t>(size)) != 0) {
        const int error = errno;
        ::close(fd);
        refuse({error, "ftruncate: is the ring too large for its file system?"}, what);
    }
    if (const refusal no = memory.map(fd, size)) refuse(no, what);
    return write_header(std::move(memory), g, what);
}

}  // namespace

void refuse(const refusal& no, const std::string& what) {
    throw std::system_error(no.error, std::system_category(), what + ": " + no.why);
}

std::string path_in_shm(const std::string& name) {
    return "/dev/shm/" + name.substr(name.find_first_not_of('/'));
}

bool leads_to(const std::string& path, int fd) noexcept {
    struct stat there {
    }, ours{};
    return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &there) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

void ring_name::remove() const noexcept {
    if (what == kind::shared) ::shm_unlink(text.c_str());
    if (what == kind::file) ::unlink(text.c_str());
}

void ring_name::remove_if_of(int fd) const noexcept {
    if (leads_to(what == kind::shared ? path_in_shm(text) : text, fd)) remove();
}

attached_ring make_named(const ring_name& name, const ring_options& options) {
    const ring_geometry g = checked(options, name.text);
    constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const bool is_file = name.what == ring_name::kind::file;
    const int fd = is_file ? ::open(name.text.c_str(), flags, 0600)
                           : ::shm_open(name.text.c_str(), flags, 0600);
    if (fd < 0)
        refuse({errno, errno == EEXIST ? "there is one already: open it, or remove it"
                                       : "it cannot be made"},
               name.text);
    ::fchmod(fd, 0600);  // whatever the umask is
    try {
        return make_in_file(fd, g, name.text);
    } catch (...) {
        name.remove();
        throw;
    }
}

attached_ring make_anonymous(const ring_options& options) {
    const std::string what = "a ring without a name";
    const ring_geometry g = checked(options, what);
    const int fd = ::memfd_create("wire-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) refuse({errno, "memfd_create"}, what);
    attached_ring made = make_in_file(fd, g, what);
    // Nobody can take away memory that others are using.
    if (::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        refuse({errno, "fcntl: its size cannot be sealed"}, what);
    return made;
}

attached_ring make_in(std::span<std::byte> memory, const ring_options& options) {
    const std::string what = "a ring in the caller's memory";
    const ring_geometry g = checked(options, what);
    if (memory.size() < ring_map::total_bytes(g) ||
        reinterpret_cast<std::uintptr_t>(memory.data()) % cache_line_pair != 0)
        refuse({EINVAL, "it is too short, or not aligned to 128 bytes: see storage_size()"}, what);
    std::memset(memory.data(), 0, ring_map::header_bytes() + ring_map::lanes_bytes(g));
    return write_header(mapping(memory), g, what);
}

}  // namespace wire::shm::detail
