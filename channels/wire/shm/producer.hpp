// The producer's end of a ring. This header needs nothing else of the library: no runtime, and
// nothing to link. In a wire use sender, of <wire/shm/sender.hpp>, whose waits let others run.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/shm/detail/attach.hpp>
#include <wire/shm/detail/lane.hpp>

namespace wire::shm {

/// Puts records into a ring, of which it owns a lane. For one thread at a time.
///
/// A record exists for the consumer once it is committed. If the process is killed before, nothing
/// of it is ever seen; what was committed is delivered in any case. Records of one producer arrive
/// in order, with those of others somehow between.
///
/// Each call returns 0 or an errno; in general
///
///     EAGAIN     a try_ call: the lane is full
///     ETIMEDOUT  the deadline passed while it was full
///     EMSGSIZE   longer than longest(): no lane of this ring will ever have room for it
///     EINVAL     a record of no bytes
///     EPIPE      the consumer has closed the ring
///     EBADMSG    the ring's memory was damaged by another process
///
/// The handle belongs to the process that has attached: a forked child must not use it, and does
/// not detach it. A process that becomes another program (execve) is to detach before: it is the
/// same process still, and keeps the lane until it ends.
class producer {
    using sync = detail::system_sync;
    using writer = detail::basic_lane_writer<sync>;

public:
    using refusal = detail::refusal;

    /// Not attached: all calls but attach and the destructor are not allowed.
    producer() noexcept = default;
    producer(producer&& other) noexcept { swap(other); }
    producer& operator=(producer&& other) noexcept {
        producer(std::move(other)).swap(*this);
        return *this;
    }
    ~producer() { detach(); }

    /// Attach to a ring by its name, by its file, by a descriptor that somebody has sent (which is
    /// taken over, also if this fails), or in memory that is shared. Return what is wrong, if
    /// anything: `error`
    ///
    ///     ENOENT            there is none
    ///     EAGAIN            it is just being made, or its maker died before it was
    ///     EPROTO            it is something else
    ///     EPROTONOSUPPORT   it is of another version
    ///     EBADMSG           its header is damaged, or it was truncated
    ///     EPERM, EACCES     it is somebody else's, or open to others
    ///     EXDEV             it is of another pid or time namespace
    ///     EPIPE             its consumer has closed it
    ///     EUSERS            it has as many producers as it has lanes
    ///     ENOSPC            there is no memory for the lane
    ///
    /// and a sentence. The ring is unchanged then.
    refusal attach(const char* name) noexcept {
        return attach_with([&](auto& r) { return detail::attach_to_name(name, r); });
    }
    refusal attach_file(const char* path) noexcept {
        return attach_with([&](auto& r) { return detail::attach_to_path(path, r); });
    }
    refusal attach_fd(int fd) noexcept {
        return attach_with([&](auto& r) { return detail::attach_to(fd, false, r); });
    }
    refusal attach_memory(std::span<std::byte> memory) noexcept {
        return attach_with([&](auto& r) { return detail::attach_to(detail::mapping(memory), r); });
    }
    /// What was committed stays. What was only claimed or prepared is gone.
    void detach() noexcept {
        if (!writer_) return;
        const bool of_parent = is_copy();
        writer_.reset();
        if (of_parent) return;
        lane().leave();
        header().records.tell(fence_);
        ring_ = {};
    }
    [[nodiscard]] bool attached() const noexcept { return writer_.has_value(); }

    /// The longest record, in bytes.
    [[nodiscard]] std::size_t longest() const noexcept {
        return detail::record_word::longest(ring_.map.geometry.lane_bytes);
    }

    /// Room for a record of `n` bytes, to be filled and committed. Another claim replaces it.
    int try_claim(std::size_t n, std::span<std::byte>& bytes) noexcept {
        if (header().closed.load(std::memory_order_relaxed) != 0) return EPIPE;
        return writer_->claim(n, bytes);
    }
    int claim(std::size_t n, std::span<std::byte>& bytes, deadline until = never) noexcept {
        return wait_for_room(n, bytes, until, [](auto& bell, std::uint32_t rung, deadline at) {
            sync::futex_wait(bell, rung, at.ns());
            return 0;
        });
    }
    /// What was claimed is a record: of its first `n` bytes.
    void commit(std::size_t n) noexcept {
        prepare(n);
        publish();
    }
    /// The same in two steps, so that many records are committed at once: those that are prepared
    /// are committed by publish(). claim() publishes before it waits.
    void prepare(std::size_t n) noexcept { writer_->prepare(n); }
    void publish() noexcept {
        writer_->publish();
        header().records.tell(fence_);
    }
    /// What was claimed is not.
    void abort() noexcept { writer_->abort(); }

    /// Commits a copy.
    int try_send(std::span<const std::byte> record) noexcept {
        std::span<std::byte> bytes;
        if (const int error = try_claim(record.size(), bytes)) return error;
        std::memcpy(bytes.data(), record.data(), record.size());
        commit(record.size());
        return 0;
    }
    int send(std::span<const std::byte> record, deadline until = never) noexcept {
        std::span<std::byte> bytes;
        if (const int error = claim(record.size(), bytes, until)) return error;
        std::memcpy(bytes.data(), record.data(), record.size());
        commit(record.size());
        return 0;
    }
    /// Commits copies of as many as there is room for, all at once, from the first. `done`: how
    /// many; with an error only if it is none.
    int try_send_some(std::span<const std::span<const std::byte>> records,
                      std::size_t& done) noexcept {
        int error = 0;
        for (done = 0; done < records.size(); ++done) {
            std::span<std::byte> bytes;
            if ((error = try_claim(records[done].size(), bytes))) break;
            std::memcpy(bytes.data(), records[done].data(), bytes.size());
            prepare(bytes.size());
        }
        if (done > 0) publish();
        return done > 0 ? 0 : error;
    }

protected:
    /// This is a forked child, and what is here its parent's.
    [[nodiscard]] bool is_copy() const noexcept { return attached() && ::getpid() != pid_; }
    [[nodiscard]] detail::ring_header& header() const noexcept { return ring_.map.header(); }
    [[nodiscard]] detail::basic_lane<sync>& lane() const noexcept {
        return ring_.map.lane(number_);
    }

    /// claim(), with `sleep(word, value, until)`, which sleeps while the word holds that value and
    /// returns 0 or an error.
    template <class Sleep>
    int wait_for_room(std::size_t n, std::span<std::byte>& bytes, deadline until, Sleep sleep) {
        int error = try_claim(n, bytes);
        if (error != EAGAIN) [[likely]]
            return error;
        publish();  // or nothing of it would ever be released
        while ((error = try_claim(n, bytes)) == EAGAIN) {
            if (sync::now_ns() >= until.ns()) return ETIMEDOUT;
            const std::uint32_t rung = lane().room.prepare(heavy_);
            int stopped = 0;
            error = try_claim(n, bytes);
            if (error == EAGAIN) stopped = sleep(lane().room.bell(), rung, soonest(until));
            lane().room.reset(heavy_);
            if (error != EAGAIN) return error;
            if (stopped) return stopped;
        }
        return error;
    }

private:
    static deadline soonest(deadline until) noexcept {
        return std::min(until, deadline::at_ns(sync::now_ns() + detail::sleep_at_most_ns));
    }

    template <class F>
    refusal attach_with(F find) noexcept {
        detach();
        refusal no = find(ring_);
        if (!no && header().closed.load(std::memory_order_relaxed) != 0)
            no = {EPIPE, "its consumer has closed the ring: it takes no more"};
        if (!no) no = take_lane();
        if (no) ring_ = {};
        return no;
    }

    refusal take_lane() noexcept {
        const std::uint64_t me = detail::identity::mine();
        if (me == detail::identity::nobody) return {errno, detail::identity::needs_proc};
        const std::uint32_t lanes = ring_.map.geometry.lanes;
        for (number_ = 0; number_ < lanes; ++number_)
            if (lane().take(me | detail::identity::arriving)) return begin(me);
        // Of who has died while it was arriving the consumer may not know.
        header().count_attachment();
        header().records.ring();
        return {EUSERS,
                "each lane of the ring has a producer, or one that died and that no consumer has "
                "heard of yet: start that, or make the ring with more lanes"};
    }
    // Whoever dies before it has told the consumer has never been attached. Whoever has told is
    // watched from then on.
    refusal begin(std::uint64_t me) noexcept {
        const detail::ring_map& map = ring_.map;
        const std::uint64_t at = detail::ring_map::records_at(map.geometry, number_);
        if (const refusal no = ring_.memory.reserve(at, map.geometry.lane_bytes)) {
            lane().leave();  // what [O'] has shown is for the next one, too
            return no;
        }
        fence_ = !sync::join_heavy_fences();
        pid_ = ::getpid();
        heavy_ = sync::can_make_heavy_fences();
        lane().room.reset(heavy_);
        writer_.emplace(
            lane(), detail::basic_lane_bytes<sync>(map.records(number_), map.geometry.lane_bytes));
        header().count_attachment();
        header().records.tell(fence_);
        lane().begin(me);
        return {};
    }

    void swap(producer& other) noexcept {
        std::swap(ring_.memory, other.ring_.memory);
        std::swap(ring_.map, other.ring_.map);
        std::swap(writer_, other.writer_);
        std::swap(number_, other.number_);
        std::swap(pid_, other.pid_);
        std::swap(fence_, other.fence_);
        std::swap(heavy_, other.heavy_);
    }

    detail::attached_ring ring_;
    std::optional<writer> writer_;
    std::uint32_t number_ = 0;
    pid_t pid_ = 0;
    bool fence_ = false;  // for others' sleeps, it cannot be made to pass a barrier
    bool heavy_ = false;  // for its own, it can make others pass one
};

}  // namespace wire::shm
