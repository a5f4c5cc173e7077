// Users of an arena against whatever another process may write into its memory. Nothing waits: each
// call tries, or its deadline has passed.
//
// The input is a program: each step is a byte that says what to do, and bytes for that. A part of
// the steps changes the segment, at words that mean something more often than at others. The lock's
// word alone stays as it is: who holds it up holds up everybody, which is no damage.
//
// libFuzzer ends without destructors: then the arena's name stays in /dev/shm.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <system_error>
#include <vector>

#include <shm/arena_segment.hpp>
#include <wire/shm/arena.hpp>

namespace {

using namespace wire;
using wire::shm::detail::arena_map;
using wire::shm::detail::page;

constexpr shm::arena_options small{.size = 24 * page, .channels = 3, .keep = true};
constexpr wire::shm::detail::arena_geometry geometry{24, 3};
constexpr std::size_t bytes_of_segment = arena_map::total_bytes(geometry);

/// An arena that nobody is in, made once, as another process sees it.
class victim {
public:
    victim() : name(shm::arena::unique_name()) { make(); }
    ~victim() { ::shm_unlink(name.c_str()); }
    victim(const victim&) = delete;
    victim& operator=(const victim&) = delete;

    /// As it was.
    void restore() {
        if (::access(path().c_str(), F_OK) != 0) make();
        std::memcpy(memory_, whole_.data(), bytes_of_segment);
    }
    [[nodiscard]] std::span<std::byte> memory() const { return {memory_, bytes_of_segment}; }

    const std::string name;

private:
    [[nodiscard]] std::string path() const { return "/dev/shm" + name; }
    void make() {
        static_cast<void>(shm::arena::create(name, small));
        const int fd = ::open(path().c_str(), O_RDWR | O_CLOEXEC);
        if (memory_) ::munmap(memory_, bytes_of_segment);
        memory_ = static_cast<std::byte*>(
            ::mmap(nullptr, bytes_of_segment, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        ::close(fd);
        whole_.assign(memory_, memory_ + bytes_of_segment);
    }
    std::byte* memory_ = nullptr;
    std::vector<std::byte> whole_;
};

class program {
public:
    program(victim& v, std::span<const std::uint8_t> input) : victim_(v), input_(input) {}

    void run() {
        victim_.restore();
        if ((next() & 1) != 0) change();
        open(0);
        open(1);
        for (int steps = 0; !input_.empty() && steps < 200; ++steps) step();
        for (user& u : users_) u.close();
    }

private:
    struct user {
        std::optional<shm::arena> arena;
        std::vector<shm::arena_record> records;
        std::vector<std::span<std::byte>> released;
        void close() {
            records.clear();
            released.clear();
            arena.reset();
        }
    };

    std::uint8_t next() {
        if (input_.empty()) return 0;
        const std::uint8_t byte = input_.front();
        input_ = input_.subspan(1);
        return byte;
    }
    std::uint64_t next_word() {
        std::uint64_t word = 0;
        for (int i = 0; i < 8; ++i) word = word << 8 | next();
        return word;
    }
    std::size_t next_below(std::size_t n) {
        const std::size_t high = next();
        return (high << 8 | next()) % n;
    }

    void open(std::size_t n) {
        users_[n].close();
        try {
            users_[n].arena.emplace(shm::arena::open(victim_.name));
        } catch (const std::system_error&) {
            // It is damaged, and says so.
        }
    }

    void step() {
        const std::uint8_t what = next();
        user& u = users_[what >> 7];
        if ((what & 15) < 3) return change();
        if ((what & 127) == 127) return open(what >> 7);
        if (u.arena) use(u, what & 15);
    }
    void use(user& u, int what) {
        shm::arena& a = *u.arena;
        switch (what) {
            case 3:
                return keep(u, a.allocate(1 + next()));
            case 4:
                return keep(u, a.allocate(1 + next_below(7 * page)));
            case 5:
                return send(u);
            case 6:
                return keep(u, a.try_recv(next() % 4));
            case 7:
                return look_into(u);
            case 8:
                return drop(u);
            case 9:
                return static_cast<void>(a.add_channel(
                    next() % 4, (next() & 1) != 0 ? shm::role::producer : shm::role::consumer));
            case 10:
                return static_cast<void>(a.leave_channel(next() % 4));
            case 11:
                return static_cast<void>(a.remove_channel(next() % 4));
            case 12:
                return ask(a);
            case 13:
                return share(a);
            case 14:
                return give_and_take(u);
            default:
                return keep(u, a.recv(next() % 4, within(std::chrono::seconds(-1))));
        }
    }
    // All bytes of records are in the heap, and may be used.
    void keep(user& u, result<shm::arena_record>&& got) {
        if (!got) return;
        touch(got->bytes());
        u.records.push_back(*std::move(got));
    }
    static void touch(std::span<std::byte> bytes) {
        for (std::byte& b : bytes) b ^= std::byte{1};
    }
    shm::arena_record* any(user& u) {
        return u.records.empty() ? nullptr : &u.records[next() % u.records.size()];
    }
    void send(user& u) {
        shm::arena_record* const r = any(u);
        if (r && u.arena->try_send(next() % 4, *r)) take_out(u, r);
    }
    void drop(user& u) {
        shm::arena_record* const r = any(u);
        if (!r) return;
        if ((next() & 1) != 0) static_cast<void>(u.arena->free(std::move(*r)));
        take_out(u, r);
    }
    static void take_out(user& u, shm::arena_record* r) {
        std::swap(*r, u.records.back());
        u.records.pop_back();
    }
    void look_into(user& u) {
        if (shm::arena_record* const r = any(u)) touch(r->bytes());
    }
    void give_and_take(user& u) {
        if (shm::arena_record* const r = any(u)) {
            u.released.push_back(r->release());
            take_out(u, r);
        }
        user& taker = users_[next() & 1];
        if (u.released.empty() || !taker.arena) return;
        keep(taker, taker.arena->adopt(u.released[next() % u.released.size()]));
    }
    void ask(shm::arena& a) {
        const std::uint32_t id = next() % 4;
        static_cast<void>(a.has_channel(id));
        static_cast<void>(a.has_data(id));
        static_cast<void>(a.has_producers(id));
        static_cast<void>(a.has_active_channels());
        static_cast<void>(a.channels());
    }
    void share(shm::arena& a) {
        const std::uint32_t id = next() % 4;
        const auto old = a.segment(id);
        if (old) touch(*old);
        const auto made = a.add_segment(
            id, 1 + next_below(3 * page), [](std::span<std::byte>) {},
            within(std::chrono::seconds(-1)));
        if (made) touch(*made);
    }

    // What another process may do.
    void change() {
        const std::size_t at = somewhere();
        std::byte* const to = victim_.memory().data() + at;
        switch (next() % 4) {
            case 0:
                *to = static_cast<std::byte>(next());
                break;
            case 1:
                store(at, next_word());
                break;
            case 2:
                store(at, next());
                break;
            default: {
                std::uint64_t word = 0;
                std::memcpy(&word, victim_.memory().data() + (somewhere() & ~std::size_t{7}), 8);
                store(at, word + next() - 1);
            }
        }
        constexpr std::uint64_t unlocked = 0;
        auto& lock = arena_map{victim_.memory().data(), geometry}.header().lock;
        std::memcpy(static_cast<void*>(&lock), &unlocked, sizeof unlocked);
    }
    void store(std::size_t at, std::uint64_t word) {
        std::memcpy(victim_.memory().data() + (at & ~std::size_t{7}), &word, sizeof word);
    }
    std::size_t somewhere() {
        constexpr std::size_t places[] = {0,
                                          arena_map::users_at,
                                          arena_map::segments_at,
                                          arena_map::channels_at,
                                          arena_map::page_words_at(geometry),
                                          arena_map::heap_at(geometry),
                                          arena_map::queues_at(geometry)};
        const std::size_t part = next() % 8;
        if (part == 7) return next_below(bytes_of_segment);
        const std::size_t near = part == 5 ? next_below(8 * page) : next_below(512);
        return places[part] + near;
    }

    victim& victim_;
    std::span<const std::uint8_t> input_;
    std::array<user, 2> users_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static victim v;
    program(v, {data, size}).run();
    return 0;
}
