// The helper threads of a reactor: they make the calls that would block the runtime's thread.
//
// A job lies in the frame of the wire that waits for it. It is in one of four states:
//
//     queued     in queue_: the wire may withdraw it, when it is cancelled or its deadline passes
//     running    a helper has it, so the wire waits for its end whatever happens
//     returned   in the runtime's inbox, on its way back
//     over       the wire is ready, or runs
//
//     queued --take--> running --post--> returned --open--> over
//        └─────────── withdraw, or the end of the reactor ───┘
//
// A job on the heap may be abandoned instead by a wire that gives up while it runs; it is dropped
// when it has returned. That is for calls that may take very long and use nothing of their caller.
//
// A job waits for a helper that is about to look for one: its wire may well run before the helper
// that has woken it sleeps, and to wake another would make three of two switches of threads. Else,
// if a helper is idle, the job calls it; the one that began to rest last, so that the others can be
// idle for long and end. If none is and more are allowed, one more is started.
//
// Why a mutex: it is held for a few instructions, and the hand-over to a thread costs a system call
// at least. The way back is the inbox: lock-free, and no system call while the runtime is awake.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>

#include <wire/deadline.hpp>
#include <wire/detail/inbox_node.hpp>
#include <wire/detail/list.hpp>
#include <wire/detail/park.hpp>
#include "shared_state.hpp"
#include "sync.hpp"

namespace wire::io::detail {

/// A call on its way to a helper and back. Made on the wire that waits for it.
struct job : wire::detail::inbox_node, wire::detail::link {
    job(void (*f)(void*), void* with, void (*d)(job&) = nullptr) noexcept;
    /// Ends the wait. On the runtime's thread.
    void end() noexcept;

    void (*const call)(void*);
    void* const context;
    void (*const drop)(job&);  // destroys one on the heap; nullptr: it is in its wire's frame
    std::exception_ptr thrown;
    bool over = false;
    bool refused = false;    // the reactor has ended before it ran
    bool abandoned = false;  // the wire has gone on
    wire::detail::waiter sleeper;
};

/// Lets a helper make the call of `j`, and waits. Returns 0 if it was made; otherwise, as
/// run_on_helper(), why not, or why nobody waits for it any more; one that has drop() must not be
/// touched then.
int run_job(job& j, deadline until) noexcept;

class helpers : wire::detail::immovable {
public:
    /// At most `most` threads, each of which ends when it was idle for so long. Throws
    /// std::bad_alloc.
    helpers(wire::detail::shared_state& home, unsigned most, std::chrono::nanoseconds idle);
    /// Waits for the jobs that run and refuses the others.
    ~helpers();

    /// Queues a job. Fails with ENOMEM if there is no helper and none can be started.
    int submit(job& j) noexcept;
    /// Takes a job back that has not begun; false: it runs, or has run.
    bool withdraw(job& j) noexcept;

private:
    struct helper : wire::detail::link {
        helpers* pool = nullptr;
        pthread_t thread{};
        bool started = false;                     // and not joined; the runtime's thread only
        bool ended = false;                       // guarded by mutex_
        wire::detail::real_sync::word called{0};  // 1: no longer idle; written under mutex_
    };

    void take(job& j) noexcept;
    int start_helper() noexcept;
    int go_on_without(job& j, int error) noexcept;
    void serve(helper& me) noexcept;
    void make(job& j) noexcept;
    bool rest(helper& me, std::unique_lock<std::mutex>& lock) noexcept;
    static void* thread_main(void* h) noexcept;

    wire::detail::shared_state& home_;
    const unsigned most_;
    const std::int64_t idle_ns_;
    const std::unique_ptr<helper[]> all_;
    bool complained_ = false;

    // Helpers that are done with a job and look for the next in a moment.
    std::atomic<unsigned> returning_{0};

    std::mutex mutex_;
    wire::detail::list<job> queue_;  // guarded by mutex_, as all below
    unsigned queued_ = 0;
    wire::detail::list<helper> idle_;  // that began last is first
    unsigned alive_ = 0;
    bool stopping_ = false;
};

}  // namespace wire::io::detail
