#include "arena_segment.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <system_error>

#include <wire/shm/detail/identity.hpp>
#include "create.hpp"

namespace wire::shm::detail {
namespace {

class descriptor : wire::detail::immovable {
public:
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    const int fd_;
};

arena_geometry geometry_for(const arena_options& options, const std::string& name) {
    const std::size_t pages = options.size / page + (options.size % page != 0);
    if (pages > heap_pages_max) refuse({EINVAL, "a heap has 1 TiB at most"}, name);
    const arena_geometry g{static_cast<std::uint32_t>(pages), options.channels};
    if (!g.possible())
        refuse({EINVAL, "an arena has a heap of one byte at least, and 1 to 4,096 channels"}, name);
    return g;
}

// The memory is zeros. The queues of channels are reserved when they are added.
void write_arena(arena_segment& a, const arena_geometry& g, const arena_options& options) {
    if (const refusal no = a.memory.reserve(0, arena_map::queues_at(g))) refuse(no, a.name);
    a.map = {a.memory.bytes().data(), g};
    auto& h = a.map.header();
    h.version = arena_version;
    h.pages.store(g.pages, std::memory_order_relaxed);
    h.channels.store(g.channels, std::memory_order_relaxed);
    h.kept = options.keep ? 1 : 0;
    h.total_bytes = arena_map::total_bytes(g);
    h.pid_namespace = identity::pid_namespace();
    h.time_namespace = identity::time_namespace();
    if (h.pid_namespace == 0) refuse({errno, identity::needs_proc}, a.name);
    // [M] release: the rest of the header. Pairs with [M'].
    h.magic.store(arena_magic, std::memory_order_release);
}

refusal read_arena(arena_segment& a) noexcept {
    const std::uint64_t bytes = a.memory.bytes().size();
    a.map.base = a.memory.bytes().data();
    const auto& h = a.map.header();
    // [M'] acquire: the rest of the header. Pairs with [M].
    if (h.magic.load(std::memory_order_acquire) != arena_magic)
        return {EPROTO, "there is something else than an arena"};
    if (h.version != arena_version)
        return {EPROTONOSUPPORT, "the arena is of another version of the library"};
    const arena_geometry g{h.pages.load(std::memory_order_relaxed),
                           h.channels.load(std::memory_order_relaxed)};
    if (!g.possible() || h.total_bytes != arena_map::total_bytes(g))
        return {EBADMSG, "the arena's header contradicts itself: it is damaged"};
    if (bytes < arena_map::total_bytes(g))
        return {EBADMSG, "the memory is shorter than the arena's header says: it was truncated"};
    if (const refusal no = check_namespaces(h.pid_namespace, h.time_namespace)) return no;
    a.map.geometry = g;
    return {};
}

void map(arena_segment& a, int fd, std::size_t size) {
    const int mine = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (mine < 0) refuse({errno, "fcntl: the arena needs a descriptor of its own"}, a.name);
    if (const refusal no = a.memory.map(mine, size)) refuse(no, a.name);
}

arena_segment make(const std::string& name, const arena_options& options) {
    arena_segment a{.memory = {}, .map = {}, .name = name, .is_new = true};
    const arena_geometry g = geometry_for(options, name);
    const std::uint64_t size = arena_map::total_bytes(g);
    const descriptor fd(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd.get() < 0) refuse({errno, "open: can files without a name be made in /dev/shm?"}, name);
    ::fchmod(fd.get(), 0600);  // whatever the umask is
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
        refuse({errno, "ftruncate: is the arena too large for its file system?"}, name);
    map(a, fd.get(), size);
    write_arena(a, g, options);
    return a;
}

// Returns false if there is one of that name.
bool give_name(const arena_segment& a) {
    const std::string self = "/proc/self/fd/" + std::to_string(a.memory.fd());
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path_in_shm(a.name).c_str(),
                 AT_SYMLINK_FOLLOW) == 0)
        return true;
    if (errno != EEXIST) refuse({errno, "linkat: can files in /dev/shm be named?"}, a.name);
    return false;
}

void read(arena_segment& a, int fd) {
    struct stat s {};
    if (::fstat(fd, &s) != 0) refuse({errno, "fstat"}, a.name);
    if (const refusal no = check_private(s)) refuse(no, a.name);
    if (s.st_size < static_cast<off_t>(page))
        refuse({EPROTO, "it is too short for an arena"}, a.name);
    map(a, fd, static_cast<std::size_t>(s.st_size));
    if (const refusal no = read_arena(a)) refuse(no, a.name);
}

int opened_again(int fd) noexcept {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return ::open(path, O_RDWR | O_CLOEXEC);
}

// Returns false if everything is to begin again.
bool come_to(arena_segment& a, int fd, const std::function<entry(arena_segment&)>& enter) {
    const file_lock lock(fd);
    if (!leads_to(path_in_shm(a.name), fd)) return false;
    read(a, fd);
    if (enter(a) == entry::done) return true;
    remove_name(fd, a.name);
    return false;
}

}  // namespace

file_lock::file_lock(int fd) noexcept : own_(opened_again(fd)), fd_(own_ >= 0 ? own_ : fd) {
    while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
}
file_lock::~file_lock() {
    ::flock(fd_, LOCK_UN);
    if (own_ >= 0) ::close(own_);
}

void remove_name(int fd, const std::string& name) noexcept {
    if (leads_to(path_in_shm(name), fd)) ::shm_unlink(name.c_str());
}

arena_segment open_arena(const std::string& name, find what, const arena_options& options,
                         const std::function<entry(arena_segment&)>& enter) {
    for (;;) {
        const descriptor fd(::shm_open(name.c_str(), O_RDWR, 0));
        if (fd.get() >= 0) {
            arena_segment a{.memory = {}, .map = {}, .name = name};
            if (come_to(a, fd.get(), enter)) return a;
        } else if (errno != ENOENT || what == find::existing) {
            refuse({errno, "shm_open: is there an arena of that name, and is it yours?"}, name);
        } else {
            arena_segment a = make(name, options);
            static_cast<void>(enter(a));
            if (give_name(a)) return a;
        }
    }
}

}  // namespace wire::shm::detail
