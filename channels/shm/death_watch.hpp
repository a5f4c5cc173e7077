// Hears of the death of processes, for a consumer that sleeps on a word of shared memory: a thread
// waits for their pidfds, and rings the word's bell. It is started with the first process to watch,
// and uses no processor time until one dies.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <unordered_map>

#include <wire/config.hpp>

namespace wire::shm::detail {

class death_watch : wire::detail::immovable {
public:
    /// `ring_bell()` is called on another thread.
    explicit death_watch(std::function<void()> ring_bell) : ring_bell_(std::move(ring_bell)) {}
    ~death_watch();

    /// From now on the bell rings when that process has ended. Returns false if the system refuses:
    /// then one must look by oneself.
    bool watch(std::uint64_t who) noexcept;
    /// All who have ended, whatever they were watched for. Whoever is still of interest is to be
    /// watched anew: it may have ended since it was last looked at.
    void forget_the_dead() noexcept;
    /// Those too who live, if there are more than `most` but for those who are wanted.
    template <class F>
    void forget_unwanted(std::size_t most, F is_wanted) noexcept {
        if (watched_.size() > most) forget_if([&](std::uint64_t who) { return !is_wanted(who); });
    }
    /// Whether any_died() would return true.
    [[nodiscard]] bool has_news() const noexcept { return died_.load(std::memory_order_relaxed); }
    /// Whether any has ended since the last call.
    bool any_died() noexcept { return died_.exchange(false, std::memory_order_relaxed); }

private:
    template <class F>
    void forget_if(F is_past) noexcept {
        std::erase_if(watched_, [&](const auto& who_and_fd) {
            const bool past = is_past(who_and_fd.first);
            if (past) ::close(who_and_fd.second);
            return past;
        });
    }
    bool start() noexcept;
    bool remember(std::uint64_t who, int fd) noexcept;
    void listen() noexcept;

    const std::function<void()> ring_bell_;
    std::unordered_map<std::uint64_t, int> watched_;  // the pidfd of each
    int epoll_ = -1;
    int stop_ = -1;
    std::atomic<bool> died_{false};  // relaxed: the bell orders it, and the kernel is asked then
    std::thread listener_;
};

}  // namespace wire::shm::detail
