// Memory that a process and its children share, and a word in it that they sleep on.
#pragma once

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

namespace bench {

/// Ends the process if a system call has failed.
inline long checked(long returned, const char* call) {
    if (returned != -1) return returned;
    std::perror(call);
    std::exit(1);
}

/// A T in memory that children share. Its pages are there.
template <class T>
class shared {
public:
    template <class... Args>
    explicit shared(Args&&... args) {
        void* const at = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        checked(at == MAP_FAILED ? -1 : 0, "mmap");
        value_ = ::new (at) T(std::forward<Args>(args)...);
    }
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;
    ~shared() { ::munmap(value_, sizeof(T)); }

    T& operator*() const { return *value_; }
    T* operator->() const { return value_; }

private:
    T* value_;
};

/// A futex of more than one process.
class shared_word {
public:
    [[nodiscard]] std::uint32_t value() const { return value_.load(std::memory_order_acquire); }
    void store(std::uint32_t value) {
        // What was written before. Pairs with value().
        value_.store(value, std::memory_order_release);
    }
    void add_and_wake(int waiters) {
        value_.fetch_add(1, std::memory_order_release);  // Pairs with value().
        wake(waiters);
    }
    void wake(int waiters) {
        ::syscall(SYS_futex, &value_, FUTEX_WAKE, waiters, nullptr, nullptr, 0);
    }
    void wait_while(std::uint32_t expected) {
        while (value() == expected)
            ::syscall(SYS_futex, &value_, FUTEX_WAIT, expected, nullptr, nullptr, 0);
    }

private:
    std::atomic<std::uint32_t> value_{0};
};

}  // namespace bench
