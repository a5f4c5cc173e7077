// One io_uring and the ways to set it up, from the newest kernels to older ones.
#pragma once

#include <liburing.h>
#include <time.h>

#include <cstdint>

#include <wire/config.hpp>

namespace wire::io::detail {

/// Why there is no ring: the call, or what the kernel lacks, and the errno (0 if it lacks it).
struct ring_refusal {
    const char* what = nullptr;
    int error = 0;
    explicit operator bool() const noexcept { return what != nullptr; }
};

inline constexpr int op_futex_wait = 51;  // IORING_OP_FUTEX_WAIT, of later liburings

struct completion {
    std::uint64_t about = 0;
    int result = 0;
    unsigned flags = 0;
};

/// Made and used by one thread.
class ring : wire::detail::immovable {
public:
    ~ring() { close(); }

    /// Tries the flags from the best to none: SINGLE_ISSUER with DEFER_TASKRUN (Linux 6.1),
    /// COOP_TASKRUN (5.19), none (5.15). The ring is not inherited by a forked child.
    ring_refusal open() noexcept;
    void close() noexcept;
    [[nodiscard]] bool is_open() const noexcept { return open_; }
    /// Whether the kernel is 5.19 or later: multishot accept, POLL_FIRST.
    [[nodiscard]] bool is_modern() const noexcept { return modern_; }

    /// Whether wires can wait for a word in shared memory (Linux 6.7).
    [[nodiscard]] bool has_futex() const noexcept { return futex_; }

    /// A place for a submission; if all are taken, what is queued is submitted first. nullptr: the
    /// kernel takes none, and completions must be taken.
    io_uring_sqe* next() noexcept;
    [[nodiscard]] bool has_queued() const noexcept { return ::io_uring_sq_ready(&ring_) > 0; }
    /// Submits what is queued now: the numbers of descriptors in it may change their meaning.
    void submit() noexcept;
    /// Submits what is queued and takes up what has been completed; makes no system call if there
    /// is neither. With `patience`, sleeps until there is a completion or it has passed (null: for
    /// ever). Returns 0 or an errno, none of them EINTR, ETIME or EBUSY.
    int enter(bool sleeps, const timespec* patience) noexcept;
    /// Whether there is a completion, or the kernel has one to be fetched by enter(). No system
    /// call.
    [[nodiscard]] bool has_news() const noexcept;
    /// The kernel adds to the eventfd whenever has_news() may have become true. Returns 0 or an
    /// errno.
    int signal(int eventfd) noexcept;
    /// No more.
    void be_silent() noexcept;
    /// It may do without while `quiet`: its user looks at has_news() after it was. No system call.
    void quieten(bool quiet) noexcept;
    /// The next completion; false if there is none.
    bool take(completion& to) noexcept {
        const unsigned head = *ring_.cq.khead;
        if (head == io_uring_smp_load_acquire(ring_.cq.ktail)) return false;
        const io_uring_cqe& from = ring_.cq.cqes[head & ring_.cq.ring_mask];
        to = {from.user_data, from.res, from.flags};
        ::io_uring_cq_advance(&ring_, 1);
        return true;
    }

private:
    int open_with(unsigned flags, unsigned entries) noexcept;
    const char* missing() noexcept;

    io_uring ring_{};
    bool open_ = false;
    bool modern_ = false;
    bool futex_ = false;
};

}  // namespace wire::io::detail
