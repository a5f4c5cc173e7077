// The contract between descriptors and whatever waits in the kernel for them.
//
// It is completion-style: a descriptor hands an operation over and gets its result, and how it
// comes about is the backend's affair. Descriptors first attempt an operation themselves, so the
// calls here are made only by a wire that is about to sleep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/poller.hpp>
#include "fd_table.hpp"
#include "file_call.hpp"
#include "generation.hpp"
#include "helpers.hpp"

namespace wire::io::detail {

class backend : public poller {
public:
    explicit backend(std::string line) : line_(std::move(line)) {}

    /// The backend of the running wire's runtime, most quickly if it is the `likely` one; asserts
    /// that it has one. nullptr: the reactor is gone because the runtime ends, and the wire, sent
    /// in the last moment, can only be cancelled.
    static backend* current(backend* likely = nullptr) noexcept;

    [[nodiscard]] bool armed() const noexcept final { return waiting_ > 0; }
    void notify() noexcept final;

    /// Makes `op` on the descriptor when it no longer blocks. `entry` is null until the first time.
    /// Returns the result of the call or -errno.
    virtual std::ptrdiff_t complete(int fd, fd_entry*& entry, operation& op,
                                    deadline until) noexcept = 0;

    /// Waits until somebody else's descriptor is ready. Returns 0 or an errno.
    virtual int wait(int fd, half h, deadline until) noexcept = 0;

    /// Queues `w`, which stands for a wait, until the descriptor is ready. Returns true, without
    /// queueing it, if the descriptor is ready already or cannot be waited for: w.error tells.
    virtual bool watch(fd_waiter& w, int fd, half h) noexcept = 0;

    /// Ends what watch() began.
    virtual void unwatch(fd_waiter& w) noexcept = 0;

    /// Makes a call on files without blocking the thread: here on a helper thread. Returns its
    /// result or -errno.
    virtual std::ptrdiff_t perform(const file_call& call, deadline until) noexcept;

    /// Waits until a word that may be shared with other processes is not `value` any more and
    /// somebody has woken its futex (never FUTEX_PRIVATE_FLAG). May return early. Returns 0 or an
    /// errno, ENOSYS if the kernel has no such wait beside others.
    virtual int wait_while(const std::uint32_t& word, std::uint32_t value, deadline until) noexcept;

    /// The descriptor is about to be closed or given away: wakes its waiters with EBADF.
    void forget(fd_entry& entry) noexcept;

    /// The same for one that has no record: wires of this thread may wait for its number. Also
    /// outside of wires.
    static void forget_number(int fd) noexcept;

    /// Begins what is queued for the kernel, if anything is.
    virtual void submit() noexcept {}

    /// Whether this is a forked child's copy: the kernel objects are its parent's, and a ring is
    /// not there at all. Descriptors may be closed in the child all the same.
    [[nodiscard]] bool is_copy() const noexcept {
        return bound_in_ != 0 && bound_in_ != wire::detail::this_generation;
    }

    /// The reactor ends: waits until the kernel is done with the buffers of wires that would not.
    virtual void recall() noexcept {}

    /// The reactor is gone, and no wire waits. Descriptors may still refer to their records here:
    /// the last one to be closed deletes the backend.
    void retire() noexcept;

    /// From now on rest() is called instead of a poll() that sleeps. Returns the descriptor that is
    /// readable then when run_once() is to be called. Throws std::system_error.
    virtual int expose() = 0;
    /// No more.
    virtual void hide() noexcept = 0;

    /// Which it is, and why: "io_uring", or "epoll: io_uring_setup: EPERM".
    [[nodiscard]] std::string_view line() const noexcept { return line_; }

    std::unique_ptr<helpers> helping;  // as long as there is a reactor

protected:
    ~backend() override = default;  // retire()

    /// Makes the eventfd that notify() writes to, if there is none yet.
    void make_wakeup();
    /// Parks the running wire, whose place is `me`. Returns me.error, or what park() returns.
    int sleep(fd_waiter& me, half h, deadline until) noexcept;
    /// A descriptor of the library gets its record. nullptr: no memory.
    fd_entry* enrol(int fd) noexcept;

    /// Nothing of the descriptor's may be with the kernel after this, or be taken for the next
    /// one's of the same number.
    virtual void let_go(fd_entry& entry) noexcept = 0;
    /// Gives the kernel objects up.
    virtual void shut() noexcept = 0;

    fd_table table_{*this};
    std::size_t waiting_ = 0;
    int wakeup_ = -1;  // eventfd, edge-triggered: never read

private:
    std::size_t enrolled_ = 0;  // descriptors of the library that refer to a record here
    bool retired_ = false;
    wire::detail::generation bound_in_ = 0;
    backend* next_here_ = nullptr;  // in the list of the bound ones of this thread
    const std::string line_;
};

/// What a waiting wire is said to wait for.
inline const char* what(half h) noexcept {
    return h == half::read ? "a readable descriptor" : "a writable descriptor";
}

/// Asks the system whether a descriptor is ready now. Returns 0, 1 or -errno.
int look(int fd, half h) noexcept;

/// Returns the outcome of a call that makes a kernel object; throws if it is an error.
int made(const char* call, std::ptrdiff_t outcome, const char* fix);

/// From `now` to the deadline, 0 if that has passed.
timespec remaining(deadline until, std::int64_t now) noexcept;

inline constexpr const char* more_files = "raise the limit of open files (ulimit -n)";

}  // namespace wire::io::detail
