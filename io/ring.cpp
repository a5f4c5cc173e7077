#include "ring.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>

#include "sanitizers.hpp"
#include "sys.hpp"

namespace wire::io::detail {
namespace {

constexpr unsigned submissions = 256;
constexpr unsigned completions = 4096;
constexpr unsigned few = 32;  // where locked memory is scarce

// A ring may be mapped where another thread's has been, by system calls that no sanitizer sees.
char mappings;

// Whether completions wait for a system call to be seen.
bool must_fetch(const io_uring& r) noexcept {
    return (IO_URING_READ_ONCE(*r.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

// liburing returns errors negative, and leaves errno alone.
template <class Fn>
int call(const char* name, Fn&& fn) noexcept {
    const int n = wire::detail::sys::call(name, [&] {
        const int outcome = fn();
        if (outcome < 0) errno = -outcome;
        return outcome;
    });
    return n < 0 ? -errno : n;
}

}  // namespace

int ring::open_with(unsigned flags, unsigned entries) noexcept {
    io_uring_params with{};
    with.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    with.cq_entries = entries == few ? few * 4 : completions;
    return -call("io_uring_setup",
                 [&] { return ::io_uring_queue_init_params(entries, &ring_, &with); });
}

ring_refusal ring::open() noexcept {
    constexpr std::array<unsigned, 3> ladder = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL, 0};
    int error = EINVAL;
    for (const unsigned flags : ladder) {
        error = open_with(flags, submissions);
        if (error == ENOMEM) error = open_with(flags, few);
        modern_ = flags != 0;
        if (error != EINVAL) break;
    }
    if (error) return {"io_uring_setup", error};
    open_ = true;
    wire::detail::borrow(&mappings);
    if (const char* const lacking = missing()) {
        close();
        return {lacking, 0};
    }
    ::io_uring_ring_dontfork(&ring_);
    // Spares looking the ring's number up at each entry; needs 5.18, and is no loss before.
    static_cast<void>(
        call("io_uring_register", [&] { return ::io_uring_register_ring_fd(&ring_); }));
    return {};
}

// What the kernel lacks of what the reactor needs.
const char* ring::missing() noexcept {
    constexpr unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                                IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG;
    if ((ring_.features & needed) != needed) return "io_uring before Linux 5.11";
    const std::unique_ptr<io_uring_probe, decltype(&::io_uring_free_probe)> probe(
        ::io_uring_get_probe_ring(&ring_), &::io_uring_free_probe);
    if (!probe) return "the probe of io_uring";
    for (const int op : {IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_ACCEPT,
                         IORING_OP_RECV, IORING_OP_SEND, IORING_OP_RECVMSG, IORING_OP_SENDMSG,
                         IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_WRITEV})
        if (!::io_uring_opcode_supported(probe.get(), op)) return "an operation of io_uring";
    futex_ = ::io_uring_opcode_supported(probe.get(), op_futex_wait) != 0;
    return nullptr;
}

void ring::close() noexcept {
    if (open_) {
        wire::detail::lend(&mappings);
        ::io_uring_queue_exit(&ring_);
    }
    open_ = false;
}

bool ring::has_news() const noexcept {
    return ::io_uring_cq_ready(&ring_) > 0 || must_fetch(ring_);
}

int ring::signal(int eventfd) noexcept {
    return -call("io_uring_register", [&] { return ::io_uring_register_eventfd(&ring_, eventfd); });
}

// The kernel sets IORING_SQ_TASKRUN and then reads our wish; we write the wish and then read the
// flag, so one of both sees the other. Its order is certain where setting a bit is a full barrier,
// and where completions come only when we ask.
void ring::quieten(bool quiet) noexcept {
#if defined(__x86_64__)
    if (!(ring_.flags & IORING_SETUP_DEFER_TASKRUN)) return;
    const std::atomic_ref<unsigned> flags(*ring_.cq.kflags);
    // [E] seq_cst: the wish before what has_news() reads. Pairs with the kernel's locked "or".
    if (quiet)
        flags.fetch_or(IORING_CQ_EVENTFD_DISABLED, std::memory_order_relaxed);
    else
        flags.fetch_and(~IORING_CQ_EVENTFD_DISABLED, std::memory_order_seq_cst);
#else
    static_cast<void>(quiet);
#endif
}

void ring::be_silent() noexcept {
    static_cast<void>(
        call("io_uring_register", [&] { return ::io_uring_unregister_eventfd(&ring_); }));
}

io_uring_sqe* ring::next() noexcept {
    if (io_uring_sqe* const place = ::io_uring_get_sqe(&ring_)) return place;
    submit();
    return ::io_uring_get_sqe(&ring_);
}

void ring::submit() noexcept {
    static_cast<void>(call("io_uring_enter", [&] { return ::io_uring_submit(&ring_); }));
}

int ring::enter(bool sleeps, const timespec* patience) noexcept {
    int n = 0;
    if (sleeps) {
        __kernel_timespec limit{};
        if (patience) limit = {.tv_sec = patience->tv_sec, .tv_nsec = patience->tv_nsec};
        io_uring_cqe* first = nullptr;
        n = call("io_uring_enter", [&] {
            return ::io_uring_submit_and_wait_timeout(&ring_, &first, 1,
                                                      patience ? &limit : nullptr, nullptr);
        });
    } else if (::io_uring_sq_ready(&ring_) > 0) {
        n = call("io_uring_enter", [&] { return ::io_uring_submit_and_get_events(&ring_); });
    } else if (must_fetch(ring_)) {
        n = call("io_uring_enter", [&] { return ::io_uring_get_events(&ring_); });
    }
    // EBUSY: completions must be taken first; the submissions stay queued.
    const bool harmless = n >= 0 || n == -EINTR || n == -ETIME || n == -EBUSY || n == -EAGAIN;
    return harmless ? 0 : -n;
}

}  // namespace wire::io::detail
