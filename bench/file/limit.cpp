// The limits of the suite `file`: an io_uring loop, and a hand-over to a thread and back by futex.
#include <liburing.h>
#include <linux/futex.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <thread>

#include "measure.hpp"

namespace {

class ring {
public:
    ring() {
        constexpr unsigned fast =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
        int error = ::io_uring_queue_init(bench::depth, &ring_, fast);
        if (error == -EINVAL) error = ::io_uring_queue_init(bench::depth, &ring_, 0);
        if (error < 0) bench::fail("io_uring_setup", -error);
        ::io_uring_register_ring_fd(&ring_);
    }
    ~ring() { ::io_uring_queue_exit(&ring_); }
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;

    // To be submitted with the others: there are never more than `depth`.
    void read(int fd, std::byte* to, std::uint64_t at, std::size_t slot) {
        io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_);
        ::io_uring_prep_read(entry, fd, to, bench::page_size, at);
        ::io_uring_sqe_set_data64(entry, slot);
    }

    // Calls `done(slot)` for what has ended: one read at least.
    template <class Done>
    void wait(Done done) {
        ::io_uring_submit_and_wait(&ring_, 1);
        io_uring_cqe* ended;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring_, head, ended) {
            if (ended->res != bench::page_size) bench::fail("read", -ended->res);
            done(ended->user_data);
            ++count;
        }
        ::io_uring_cq_advance(&ring_, count);
    }

private:
    io_uring ring_{};
};

bench::cost measure_reads(const bench::reads& what) {
    const int fd = ::open(what.path, what.flags());
    if (fd < 0) bench::fail("open", errno);
    ring all;
    bench::buffers buffers;
    bench::places where(what);
    return bench::cost_of(bench::depth, [&](std::uint64_t n) {
        std::uint64_t to_start = n * bench::depth, under_way = 0;
        const auto start = [&](std::uint64_t slot) {
            all.read(fd, buffers[slot], where.next(), slot);
            --to_start, ++under_way;
        };
        for (std::uint64_t slot = 0; slot < bench::depth; ++slot) start(slot);
        while (under_way > 0)
            all.wait([&](std::uint64_t slot) {
                --under_way;
                if (to_start > 0) start(slot);
            });
    });
}

// Whose turn it is; the other side sleeps until it changes.
class turn {
public:
    enum side : std::uint32_t { asker, helper, nobody };

    void pass_to(side s) {
        word_.store(s, std::memory_order_release);  // what was written before. Pairs with await().
        ::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    // Returns false if nobody's turn will come.
    bool await(side s) {
        for (;;) {
            // Pairs with pass_to().
            const std::uint32_t now = word_.load(std::memory_order_acquire);
            if (now == s || now == nobody) return now == s;
            ::syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, now, nullptr, nullptr, 0);
        }
    }

private:
    std::atomic<std::uint32_t> word_{asker};
};

bench::cost measure_calls() {
    turn whose;
    struct stat st;
    std::thread helper([&] {
        while (whose.await(turn::helper)) {
            ::fstat(STDIN_FILENO, &st);
            whose.pass_to(turn::asker);
        }
    });
    const bench::cost result = bench::cost_of(1, [&](std::uint64_t n) {
        for (; n > 0; --n) {
            whose.pass_to(turn::helper);
            whose.await(turn::asker);
        }
    });
    whose.pass_to(turn::nobody);
    helper.join();
    return result;
}

}  // namespace

int main(int argc, char** argv) {
    bench::print(bench::run_case(argc, argv, measure_reads, measure_calls), "limit");
}
