// An arena: a named piece of shared memory with a heap, and channels that pass records of it from
// one process to another without copying them. (RaftLib's ipc::buffer, by its ideas.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <wire/config.hpp>
#include <wire/deadline.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/result.hpp>
#include <wire/shm/detail/unless_copied.hpp>

namespace wire::shm {

/// The sizes of a new arena, and what becomes of its name.
struct arena_options {
    /// Bytes of the heap, rounded up to pages of 4,096.
    std::size_t size = std::size_t{1} << 20;
    /// So many channels at once, 1 to 4,096. One takes 4,096 bytes beside the heap, when it is
    /// added for the first time.
    std::uint32_t channels = 64;
    /// Keep the name, and what is in the arena, when the last user leaves or dies.
    bool keep = false;
};

enum class role : unsigned char { producer, consumer };

class arena;

namespace detail {
class arena_state;
struct from_arena;
}  // namespace detail

/// Memory of an arena's heap, which belongs to one user until it is sent or freed. Empty if it was
/// moved from or sent. Its bytes are aligned to 16. It must be gone before the arena that it is of.
class WIRE_API arena_record {
public:
    arena_record() noexcept = default;
    arena_record(arena_record&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
    arena_record& operator=(arena_record&& other) noexcept {
        arena_record moved(std::move(other));
        std::swap(of_, moved.of_);
        std::swap(bytes_, moved.bytes_);
        return *this;
    }
    ~arena_record() {
        if (of_) free();
    }

    /// As many as were allocated.
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
    explicit operator bool() const noexcept { return of_ != nullptr; }

    /// Gives the bytes to the caller: they stay allocated, this user's, until arena::adopt() makes
    /// a record of them again, or the user leaves.
    std::span<std::byte> release() noexcept;

private:
    friend class arena;
    arena_record(detail::arena_state& of, std::span<std::byte> bytes) noexcept
        : of_(&of), bytes_(bytes) {}
    void free() noexcept;

    detail::arena_state* of_ = nullptr;
    std::span<std::byte> bytes_;
};

/// A handle to an arena: one *user* of it. For one thread, and any of its wires; another thread
/// opens one of its own. Up to 1,024 users at once.
///
/// A channel has a number, and up to two users: a producer and a consumer. Up to 512 records wait
/// in it. They are received in order, each once, also if the producer has left or died meanwhile,
/// and by a next consumer what one that left or died has not received.
///
/// A user who dies at any instruction holds up nobody for longer than a moment: what it held is
/// free again, at the latest when somebody finds no memory; what it had sent is delivered; and
/// has_producers() turns false.
///
/// The handle and its records belong to the process that has opened it: a forked child must not use
/// them, and does not end or free them.
///
/// Everything that others can write is checked before it is used: a hostile process can spoil the
/// contents of an arena and hold up its users, but not make them touch other memory than the
/// arena's. (The system cannot keep a named file from being truncated by its owner's processes.)
class WIRE_API arena {
public:
    /// Makes an arena of that name ("/name", mode 0600), opens it, or whichever is possible: then
    /// the options are those of who made it. One that all users have died in is no more, unless it
    /// is kept.
    ///
    /// Throw std::system_error, with a sentence: EEXIST, ENOENT, EINVAL (impossible sizes), ENOSPC,
    /// EUSERS (1,024 users), EPERM (another's, or not private), EPROTO, EPROTONOSUPPORT, EBADMSG
    /// (no arena, of another version, damaged), EXDEV (of another pid or time namespace),
    /// and what shm_open and mmap fail with.
    static arena create(const std::string& name, const arena_options& options = {});
    static arena open(const std::string& name);
    static arena open_or_create(const std::string& name, const arena_options& options = {});
    /// A name that no other arena has.
    static std::string unique_name();
    /// Takes the name away, also of an arena that is kept: its users go on, and nobody finds it any
    /// more. Fails with ENOENT and what shm_unlink fails with.
    static result<void> remove(const std::string& name);

    arena(arena&&) noexcept;
    arena& operator=(arena&&) noexcept;
    /// Leaves all channels, and frees what this user holds. The last one removes the arena, unless
    /// it is kept. Its records must be gone (asserted).
    ~arena();

    /// Makes the channel `id`, or takes part in it. `type`: of its records, the same for both
    /// sides. Fails with EBUSY (another user has that role), EALREADY (this user takes part),
    /// EMEDIUMTYPE (of another type), EUSERS (no room for another channel), ENOSPC (no memory for
    /// it).
    result<void> add_channel(std::uint32_t id, role as, std::uint64_t type = 0);
    /// Takes part no longer. Fails with ENOENT (it did not).
    result<void> leave_channel(std::uint32_t id);
    /// The channel is gone for all who come, at once: `id` is free for another. Those who take part
    /// may go on, but do not wait for who has not come; when the last one leaves, its records are
    /// freed. Fails with ENOENT.
    result<void> remove_channel(std::uint32_t id);

    [[nodiscard]] bool has_channel(std::uint32_t id);
    /// Whether records wait in it.
    [[nodiscard]] bool has_data(std::uint32_t id);
    /// Whether it has a producer, which lives.
    [[nodiscard]] bool has_producers(std::uint32_t id);
    /// Whether any channel has a producer that lives, or records.
    [[nodiscard]] bool has_active_channels();
    /// The numbers of all.
    [[nodiscard]] std::vector<std::uint32_t> channels();
    /// Waits until the channel is there. Fails with ETIMEDOUT; in a wire with ECANCELED.
    result<void> wait_for_channel(std::uint32_t id, deadline until = never);

    /// `n` bytes, at least one, of any content. With `id`: for a record that will be sent there.
    /// Fails with ENOMEM (not so many in a row), EINVAL (none), ENOENT (this user is not the
    /// channel's producer).
    result<arena_record> allocate(std::size_t n);
    result<arena_record> allocate(std::size_t n, std::uint32_t id);
    /// Fails with EINVAL: it is not a record that this user holds.
    result<void> free(arena_record&& record) noexcept;
    /// The record whose bytes release() has returned. Fails with EINVAL: they are not all the bytes
    /// of a record that this user holds.
    result<arena_record> adopt(std::span<std::byte> bytes) noexcept;

    /// The record is the consumer's: `record` is empty then, and as it was if this fails. Waits
    /// while the channel is full. Fails with ENOENT (this user is not its producer), EINVAL (not a
    /// record that this user holds), EPIPE (full, and the consumer has left, or none can come),
    /// ETIMEDOUT; in a wire with ECANCELED. One wire at a time for each channel.
    result<void> send(std::uint32_t id, arena_record& record, deadline until = never);
    /// EAGAIN: full.
    result<void> try_send(std::uint32_t id, arena_record& record);
    /// The oldest record, which is this user's now. Fails with ENOENT (this user is not its
    /// consumer), EPIPE (empty, and the producer has left or died, or none can come), EBADMSG (a
    /// hostile process has spoiled a record; the next may be sound), ETIMEDOUT; in a wire with
    /// ECANCELED. One wire at a time for each channel. For a select: on_record().
    result<arena_record> recv(std::uint32_t id, deadline until = never);
    /// EAGAIN: empty.
    result<arena_record> try_recv(std::uint32_t id);

    /// Memory that all users share, aligned to 4,096 bytes, for as long as the arena is. The first
    /// one calls `initialise(bytes)`, on zeros, while others wait; if it dies meanwhile, another
    /// one begins anew. Fails with EINVAL (none, or it has another size), ENOMEM, EUSERS (more than
    /// 64), ETIMEDOUT; in a wire with ECANCELED. What `initialise` throws is passed on.
    using initialiser = std::function<void(std::span<std::byte>)>;
    result<std::span<std::byte>> add_segment(std::uint32_t id, std::size_t bytes,
                                             const initialiser& initialise, deadline until = never);
    /// The memory that somebody has added. Fails with ENOENT, EAGAIN (it is being initialised).
    result<std::span<std::byte>> segment(std::uint32_t id);

private:
    friend struct detail::from_arena;
    explicit arena(std::unique_ptr<detail::arena_state> s) noexcept;
    [[nodiscard]] bool holds(const arena_record& r) const noexcept {
        return r.of_ && r.of_ == state_.get();
    }
    result<arena_record> record_of(result<std::span<std::byte>>&& bytes) noexcept;
    static result<void> emptied_if(result<void> sent, arena_record& record) noexcept;

    // For a select.
    [[nodiscard]] bool ready(std::uint32_t id) noexcept;
    int begin_wait(std::uint32_t id, wire::detail::place& here) noexcept;
    bool end_wait(std::uint32_t id) noexcept;

    std::unique_ptr<detail::arena_state, detail::unless_copied<detail::arena_state>> state_;
};

}  // namespace wire::shm
