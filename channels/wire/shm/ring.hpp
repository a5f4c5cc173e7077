// A ring: many producers, in any processes, and one consumer, in shared memory.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <wire/config.hpp>
#include <wire/deadline.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/result.hpp>
#include <wire/shm/detail/unless_copied.hpp>

namespace wire::shm {

namespace detail {
struct from_ring;
}

/// The sizes of a new ring, and what becomes of its name.
struct ring_options {
    /// So many producers at once, 1 to 1,024.
    std::uint32_t producers = 64;
    /// Bytes for the records of each: a power of two from 4,096 on. A record takes at most half of
    /// it. Memory is taken when a producer attaches.
    std::uint64_t lane_bytes = 64 * 1024;
    /// Close the ring and remove the name, or the file, in the destructor.
    bool remove = true;
};

/// A producer that died while it was attached.
struct departure {
    pid_t pid;
    std::chrono::system_clock::time_point when;  ///< when the consumer heard of it
};

/// What has come in. Valid until release().
struct record {
    std::span<const std::byte> bytes;
    pid_t from;  ///< whose lane it lay in; 0: of one that has left
};

/// The consumer's end of a ring, of which there is one: a second is refused with EBUSY while the
/// first lives. For one thread at a time, a wire's or a plain one.
///
/// Records of one producer come in its order. Each producer gets its turn: at most 16 records, then
/// those of the next. What a producer has committed before it died, or left, is received. If the
/// consumer dies the next one goes on after the last record that was released.
///
/// Everything that producers can write is checked before it is used. A hostile one has all of the
/// memory: it can spoil records, those of others too, change them while they are read, and pretend
/// to be somebody else. It cannot make the consumer read or write anything beyond the ring.
///
/// The ring belongs to the process that has made or opened it: a forked child must not use it, and
/// does not end it. A process that becomes another program (execve) is to destroy it before: else
/// the ring has a consumer, which lives, until that ends.
class WIRE_API ring {
public:
    /// Makes a ring of that name ("/name", mode 0600), or in a new file, or without any name: then
    /// descriptor() is to be sent to the producers. Throws std::system_error, with a sentence:
    /// EEXIST, EINVAL (impossible sizes), ENOSPC and what shm_open and open fail with.
    static ring create(const std::string& name, const ring_options& options = {});
    static ring create_file(const std::string& path, const ring_options& options = {});
    static ring create_anonymous(const ring_options& options = {});
    /// Makes a ring in memory that is shared, at an address that is a multiple of 128. It stays the
    /// caller's.
    static ring create_in(std::span<std::byte> memory, const ring_options& options = {});
    [[nodiscard]] static std::size_t storage_size(const ring_options& options) noexcept;

    /// Goes on with a ring whose consumer has ended, also if that had closed it. `fd` is taken
    /// over, also if this fails. Throws as producer::attach() returns but for EPIPE, EUSERS and
    /// ENOSPC, and EBUSY: it lives.
    static ring open(const std::string& name);
    static ring open_file(const std::string& path);
    static ring open_descriptor(int fd);
    static ring open_in(std::span<std::byte> memory);

    ring(ring&&) noexcept;
    ring& operator=(ring&&) noexcept;
    /// If its name is removed the ring is closed. Else the records that were not released stay for
    /// the next consumer, for whom producers wait when their lanes are full.
    ~ring();

    /// The next record, which stays until release(); the same one again before that.
    ///
    /// Fails with ETIMEDOUT; in a wire with ECANCELED; with EOWNERDEAD, once for each producer that
    /// has died, after all that it had committed: last_departure() tells who; with EBADMSG for what
    /// a producer has damaged, which is passed over; with EPIPE if the ring is closed and empty.
    result<record> peek(deadline until = never);
    result<record> try_peek();
    /// The record that peek() has returned is done with: its memory is its producer's again.
    void release() noexcept;

    /// Copies the next record and releases it. Returns its length. Fails as peek(), and with
    /// EMSGSIZE if `into` is too short: the record stays, and peek() tells its length.
    result<std::size_t> recv(std::span<std::byte> into, deadline until = never);
    result<std::size_t> try_recv(std::span<std::byte> into);

    /// Of the last EOWNERDEAD or EBADMSG; of the latter the pid is 0 if who did it has left.
    [[nodiscard]] departure last_departure() const noexcept;

    /// From now on producers fail with EPIPE, those too that would attach, and those that wait are
    /// woken. What they have committed can still be received. A record that was claimed before may
    /// be committed after peek() has said EPIPE, and is received if one goes on until producers()
    /// is 0.
    void close() noexcept;

    /// As ring_options::remove, for who has opened what it has not made. Nothing happens without a
    /// name.
    void remove_at_end() noexcept;

    /// The ring's: who takes one over gets a dup(2) of it. -1: memory of the caller's.
    [[nodiscard]] int descriptor() const noexcept;
    /// How many producers are attached.
    [[nodiscard]] std::size_t producers() const noexcept;
    /// The longest record, in bytes.
    [[nodiscard]] std::size_t longest() const noexcept;

private:
    friend struct detail::from_ring;
    class state;

    result<std::size_t> copied(const result<record>& got, std::span<std::byte> into) noexcept;

    // For a select.
    [[nodiscard]] bool ready() noexcept;
    int begin_wait(wire::detail::place& here) noexcept;
    bool end_wait() noexcept;

    explicit ring(std::unique_ptr<state> s) noexcept;
    std::unique_ptr<state, detail::unless_copied<state>> state_;
};

}  // namespace wire::shm
