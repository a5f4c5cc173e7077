#include "look.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>

#include <wire/shm/detail/attach.hpp>
#include <wire/shm/detail/lane.hpp>

namespace {

using namespace wire::shm::detail;

[[noreturn]] void refuse(const std::string& ring, const refusal& no) {
    throw std::system_error(no.error, std::system_category(), ring + ": " + no.why);
}

class read_only_ring {
public:
    explicit read_only_ring(const std::string& name) {
        const int fd = open(name);
        struct stat s {};
        refusal no = ::fstat(fd, &s) == 0 ? check_memory(s) : refusal{errno, "fstat"};
        if (!no && s.st_size == 0) no = {EAGAIN, "whoever makes the ring is not done, or died"};
        size_ = static_cast<std::size_t>(s.st_size);
        void* const at = no ? MAP_FAILED : ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
        if (!no && at == MAP_FAILED) no = {errno, "mmap: is there address space?"};
        ::close(fd);
        if (no) refuse(name, no);
        map_.base = static_cast<std::byte*>(at);
        no = read_geometry(map_.header(), size_, map_.geometry);
        if (no.error == EAGAIN && !is_half_made())
            no = {EPROTO, "there is something else than a ring"};
        if (!no) return;
        ::munmap(at, size_);
        refuse(name, no);
    }
    ~read_only_ring() { ::munmap(map_.base, size_); }
    read_only_ring(const read_only_ring&) = delete;
    read_only_ring& operator=(const read_only_ring&) = delete;

    [[nodiscard]] const ring_geometry& geometry() const { return map_.geometry; }
    // Of memory that cannot be written.
    [[nodiscard]] const ring_header& header() const { return map_.header(); }
    [[nodiscard]] const ring_map::lane_type& lane(std::uint32_t n) const { return map_.lane(n); }

private:
    static int open(const std::string& name) {
        constexpr int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
        const bool shared = is_shared_name(name);
        const int fd = shared ? ::shm_open(name.c_str(), O_RDONLY, 0) : ::open(name.c_str(), flags);
        if (fd < 0)
            refuse(name, {errno, shared ? "shm_open: is there a ring of that name, and is it yours?"
                                        : "open: is there a ring in that file, and is it yours?"});
        return fd;
    }

    // Whoever makes one writes the sizes before the magic, and nothing behind them. Other files
    // that begin with zeros are no rings.
    [[nodiscard]] bool is_half_made() const {
        const auto* const sizes_end =
            reinterpret_cast<const std::byte*>(&map_.header().time_namespace + 1);
        return size_ % page == 0 &&
               std::all_of(sizes_end, static_cast<const std::byte*>(map_.base) + page,
                           [](std::byte b) { return b == std::byte{}; });
    }

    ring_map map_;
    std::size_t size_ = 0;
};

bool is_stopped(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    const std::string stat{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = stat.rfind(')');
    if (name_end == stat.npos || name_end + 2 >= stat.size()) return false;
    return stat[name_end + 2] == 'T' || stat[name_end + 2] == 't';
}

std::string process(std::uint64_t word, bool sleeps, bool can_tell) {
    const std::uint64_t who = word & ~identity::arriving;
    if (who == identity::nobody) return "nobody";
    const pid_t pid = identity::pid(who);
    const std::string text = "process " + std::to_string(pid) + (who == word ? "" : ", arriving");
    if (!can_tell) return text;
    if (identity::has_ended(who)) return text + ", dead";
    if (is_stopped(pid)) return text + ", stopped";
    return text + (sleeps ? ", asleep" : ", alive");
}

// Of a lane that is in use meanwhile. More than the lane holds: it is damaged.
std::uint64_t committed(const ring_map::lane_type& lane) {
    std::uint64_t head = 0, tail = lane.tail.load(std::memory_order_acquire);
    for (int tries = 0; tries < 100; ++tries) {
        head = lane.head.load(std::memory_order_acquire);
        const std::uint64_t before = std::exchange(tail, lane.tail.load(std::memory_order_acquire));
        if (before == tail) break;
    }
    return head - tail;
}

// Returns whether there is something to say.
bool print_lane(const read_only_ring& ring, std::uint32_t n, bool can_tell) {
    const ring_map::lane_type& lane = ring.lane(n);
    const std::uint64_t owner = lane.owner.load(std::memory_order_relaxed);
    const std::uint64_t bytes = committed(lane);
    if (owner == identity::nobody && bytes == 0) return false;
    std::printf("lane %-4" PRIu32 " %s", n, process(owner, lane.room.sleeps(), can_tell).c_str());
    if (bytes > ring.geometry().lane_bytes)
        std::printf("; damaged\n");
    else
        std::printf("; %" PRIu64 " bytes to be received, of %" PRIu64 " ever\n", bytes,
                    lane.head.load(std::memory_order_relaxed));
    return true;
}

}  // namespace

bool is_shared_name(const std::string& ring) {
    return ring.starts_with('/') && ring.find('/', 1) == ring.npos;
}

void print_ring(const std::string& name) {
    const read_only_ring ring(name);
    const ring_geometry& g = ring.geometry();
    const ring_header& h = ring.header();
    const bool can_tell = h.pid_namespace == identity::pid_namespace() &&
                          h.time_namespace == identity::time_namespace();
    std::printf("ring      %s, version %" PRIu32 ", %" PRIu64 " bytes%s\n", name.c_str(),
                ring_version, ring_map::total_bytes(g),
                h.closed.load(std::memory_order_relaxed) != 0 ? ", closed" : "");
    std::printf("lanes     %" PRIu32 " of %" PRIu64 " bytes; records of up to %" PRIu64 " bytes\n",
                g.lanes, g.lane_bytes, record_word::longest(g.lane_bytes));
    std::printf("attached  %" PRIu64 " times\n", h.attached.load(std::memory_order_relaxed));
    const std::uint64_t consumer = h.consumer.load(std::memory_order_relaxed);
    std::printf("consumer  %s\n", process(consumer, h.records.sleeps(), can_tell).c_str());
    std::uint32_t in_use = 0;
    for (std::uint32_t n = 0; n < g.lanes; ++n) in_use += print_lane(ring, n, can_tell);
    std::printf("%" PRIu32 " of %" PRIu32 " lanes in use\n", in_use, g.lanes);
    if (!can_tell)
        std::printf("made in another pid or time namespace: nothing is known of processes\n");
}

void remove_ring(const std::string& name, bool force) {
    try {
        const read_only_ring ring(name);
        const std::uint64_t who = ring.header().consumer.load(std::memory_order_relaxed);
        if (!force && who != identity::nobody && !identity::has_ended(who))
            refuse(name, {EBUSY, "its consumer lives: end that first, or use --force"});
    } catch (const std::system_error& e) {
        // What is half made or damaged is a ring, too.
        const int error = e.code().value();
        if (error != EAGAIN && error != EBADMSG && error != EPROTONOSUPPORT) throw;
    }
    const bool shared = is_shared_name(name);
    if ((shared ? ::shm_unlink(name.c_str()) : ::unlink(name.c_str())) != 0)
        refuse(name, {errno, shared ? "shm_unlink: is it yours?" : "unlink: is it yours?"});
}
