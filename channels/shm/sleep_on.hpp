// How a thread or a wire sleeps on a word of shared memory.
//
// A thread: on the futex. A wire: by io_uring's wait for futexes. Where there is none, for instance
// with epoll, a thread of its own sleeps on the futex in its stead, and signals the wire; it is
// started with the first such sleep and stays until the sleeper is gone.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include <wire/config.hpp>
#include <wire/deadline.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/shm/detail/system_sync.hpp>

namespace wire::shm::detail {

/// A call begins that may block. ECANCELED: the running wire is cancelled.
int begin_call() noexcept;

/// Sleeps on one word, one sleep at a time. Others may sleep on the same word.
class sleeper : wire::detail::immovable {
public:
    using word = system_sync::word;

    /// Ends while nobody sleeps. Rings `w`, the word that has been slept on.
    ~sleeper();

    /// Sleeps while `w` holds `value`, until it is woken or `until`, of the system's clock; may
    /// return early. Of wires, the others of the thread run meanwhile. Returns 0, or in a wire
    /// ECANCELED or why it cannot wait.
    int sleep(word& w, std::uint32_t value, deadline until) noexcept;

    /// `here` is signalled when `w` no longer holds `value`, or at `until`. Returns false if there
    /// is no thread.
    bool enlist(word& w, std::uint32_t value, deadline until, wire::detail::place& here) noexcept;
    /// Ends that. Returns false if it has been signalled.
    bool withdraw() noexcept;

private:
    int sleep_by_thread(word& w, std::uint32_t value, deadline until) noexcept;
    bool start() noexcept;
    void stand_in() noexcept;

    std::mutex lock_;
    std::condition_variable changed_;
    std::thread stand_in_;
    // With the lock.
    word* word_ = nullptr;
    std::uint32_t value_ = 0;
    deadline until_;
    wire::detail::place* waiting_ = nullptr;  // in its place the thread sleeps
    bool stop_ = false;
};

}  // namespace wire::shm::detail
