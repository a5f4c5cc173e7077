// A user of an arena, in its process.
//
//     arena_state.cpp      comes and leaves; the lock, and those who have died
//     arena_channels.cpp   takes part in channels, and asks about them
//     arena_memory.cpp     allocates and frees records; shared segments
//     arena_transfer.cpp   sends and receives, and waits for it
#pragma once

#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <wire/assert.hpp>
#include "arena_lock.hpp"
#include "arena_queue.hpp"
#include "arena_recovery.hpp"
#include "arena_segment.hpp"
#include "arena_slabs.hpp"
#include "death_watch.hpp"
#include "generation.hpp"
#include "sleep_on.hpp"

namespace wire::shm::detail {

inline constexpr std::int64_t look_every_ns = 50'000'000;

class arena_state : wire::detail::immovable {
    using channel = basic_arena_channel<arena_sync>;
    using channel_end = channel::end;
    using block = basic_block<arena_sync>;
    using blocks = basic_arena_blocks<arena_sync>;
    using bytes = std::span<std::byte>;

public:
    arena_state(const std::string& name, find what, const arena_options& options);
    ~arena_state();
    [[nodiscard]] bool is_of_this_process() const noexcept { return ::getpid() == pid_; }
    /// The same without a system call, for what is asked of each record.
    [[nodiscard]] bool is_forked() const noexcept {
        return wire::detail::this_generation != made_in_;
    }

    result<void> add_channel(std::uint32_t id, role as, std::uint64_t type);
    result<void> leave_channel(std::uint32_t id);
    result<void> remove_channel(std::uint32_t id);
    bool has_channel(std::uint32_t id);
    bool has_data(std::uint32_t id);
    bool has_producers(std::uint32_t id);
    bool has_active_channels();
    std::vector<std::uint32_t> channels();
    result<void> wait_for_channel(std::uint32_t id, deadline until);

    result<bytes> allocate(std::size_t n);
    /// Returns false if this user does not hold it.
    bool free(bytes record) noexcept;
    bool adopt(bytes record) noexcept;
    void let_go() noexcept { --records_; }
    result<bytes> add_segment(std::uint32_t id, std::size_t n, const arena::initialiser& initialise,
                              deadline until);
    result<bytes> segment(std::uint32_t id);

    [[nodiscard]] bool produces(std::uint32_t id) { return member(id, role::producer) != nullptr; }
    result<void> try_send(std::uint32_t id, bytes record);
    result<void> send(std::uint32_t id, bytes record, deadline until);
    result<bytes> try_recv(std::uint32_t id);
    result<bytes> recv(std::uint32_t id, deadline until);

    // For a select.
    bool ready(std::uint32_t id) noexcept;
    /// Returns 0, EAGAIN (something is there) or why it cannot wait.
    int begin_wait(std::uint32_t id, wire::detail::place& here) noexcept;
    /// Returns false if `here` has been signalled.
    bool end_wait(std::uint32_t id) noexcept;

private:
    /// A channel in which this user takes part.
    struct membership {
        std::uint32_t number;
        role as;
        basic_producer_end<arena_sync> producer;
        basic_consumer_end<arena_sync> consumer;
        std::unique_ptr<sleeper> sleeps;
        bool waits = false;
        bool watched = true;     // the other side; else it is looked at now and then
        std::uint32_t idle = 0;  // so often there was nothing
    };
    /// While it is there this user has the arena's lock.
    class locked : wire::detail::immovable {
    public:
        explicit locked(arena_state& s) noexcept;
        ~locked() { state_.lock_->unlock(); }

    private:
        arena_state& state_;
    };

    [[nodiscard]] const arena_map& map() const noexcept { return segment_.map; }
    [[nodiscard]] arena_map::header_type& header() const noexcept { return segment_.map.header(); }
    [[nodiscard]] basic_arena_recovery<arena_sync> recovery() const noexcept {
        return basic_arena_recovery<arena_sync>(segment_.map);
    }
    void notify() noexcept;

    // Users, with the lock.
    bool is_over(const arena_segment& a) noexcept;
    entry take_seat(arena_segment& a);
    [[nodiscard]] std::uint16_t free_seat() noexcept;
    void bury_the_dead() noexcept;
    [[nodiscard]] bool any_lives() const noexcept;
    bool lives(std::uint32_t user) noexcept;
    [[nodiscard]] std::uint64_t process_of(std::uint32_t user) const noexcept;

    // Channels, with the lock.
    std::optional<std::uint32_t> look_up(std::uint32_t id) const noexcept;
    std::optional<std::uint32_t> find_channel(std::uint32_t id) noexcept;
    result<std::uint32_t> find_or_make(std::uint32_t id, std::uint64_t type);
    void drop_the_dead(std::uint32_t n) noexcept;
    [[nodiscard]] bool has_records(std::uint32_t n) const noexcept;
    [[nodiscard]] std::optional<std::uint32_t> free_channel() const noexcept;
    int take_end(std::uint32_t n, role as) noexcept;
    [[nodiscard]] membership* member(std::uint32_t id, role as) noexcept {
        if (last_ && last_id_ == id && last_->as == as) return last_;
        return find_member(id, as);
    }
    membership* find_member(std::uint32_t id, role as) noexcept;

    // Memory.
    std::optional<block> more(std::uint8_t size_class, std::size_t n);
    bool add_slab(std::uint8_t size_class) noexcept;
    bool make_slab(std::uint8_t size_class) noexcept;
    bool adopt_slab(std::uint8_t size_class) noexcept;
    result<bytes> allocate_run(std::size_t n) noexcept;
    std::optional<std::uint32_t> find_pages(std::uint32_t n) noexcept;
    void reclaim() noexcept;
    [[nodiscard]] bool holds(bytes record) const noexcept;
    void free_run(std::uint32_t first_page, block b) noexcept;
    result<bytes> find_or_make_segment(std::uint32_t id, std::size_t n, bool& is_mine);
    result<std::uint32_t> make_segment(std::uint32_t id, std::size_t n) noexcept;
    result<bytes> initialised(std::uint32_t id, bytes memory, const arena::initialiser& initialise);
    std::optional<std::uint32_t> find_segment(std::uint32_t id) const noexcept;
    bytes memory_of(const arena_map::segment_type& s) const noexcept;
    void drop_unmade_segments() noexcept;
    void settle_segment(std::uint32_t id, std::uint32_t state) noexcept;

    // Waiting.
    int push(membership& m, bytes record) noexcept;
    int pop(membership& m, bytes& record) noexcept;
    bool looks_now(membership& m) noexcept;
    template <class F>
    int try_at(membership& m, F attempt) noexcept;
    template <class F>
    int wait_at(membership& m, deadline until, F attempt) noexcept;
    std::uint32_t prepare(membership& m, basic_doorbell<arena_sync>& bell) noexcept;
    static deadline soonest(const membership& m, deadline until) noexcept;
    static channel_end& own_end(channel& c, role as) noexcept;
    static channel_end& other_end(channel& c, role as) noexcept;
    bool watch_other(const membership& m) noexcept;
    void bury_dead_partners() noexcept;
    void ring_all() noexcept;

    arena_segment segment_;
    std::optional<basic_arena_lock<arena_sync>> lock_;
    std::uint64_t identity_ = 0;
    std::uint16_t me_ = 0;
    bool fence_ = false;       // of this process, when it tells somebody
    bool heavy_ = false;       // it can make others pass a barrier
    std::size_t records_ = 0;  // that it has as objects
    const pid_t pid_;
    const wire::detail::generation made_in_;
    std::optional<blocks> blocks_;
    std::optional<basic_slab_set<arena_sync>> slabs_;
    std::unordered_map<std::uint32_t, membership> members_;
    membership* last_ = nullptr;  // that was asked for
    std::uint32_t last_id_ = 0;
    std::optional<death_watch> watch_;
};

}  // namespace wire::shm::detail
