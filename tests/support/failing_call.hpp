// Makes system calls of the library fail, or counts them, while in scope.
#pragma once

#include <atomic>
#include <climits>
#include <cstring>

#include "sys.hpp"

namespace wire::test {

/// From the `first`th call of `name` on (1 is the next), `times` calls fail with `error`. With
/// error 0 it only counts. One at a time.
class failing_call {
public:
    failing_call(const char* name, int error, int first = 1, int times = INT_MAX) {
        name_ = name;
        error_ = error;
        first_ = first;
        times_ = times;
        calls_ = 0;
        wire::detail::sys::hook = &answer;
    }
    ~failing_call() { wire::detail::sys::hook = nullptr; }
    failing_call(const failing_call&) = delete;
    failing_call& operator=(const failing_call&) = delete;

    /// How often the call was asked for.
    [[nodiscard]] int calls() const { return calls_; }

private:
    static int answer(const char* call) noexcept {
        // "*madvise" stands for every call that ends so.
        const char* const name = name_;
        const char* const wanted = name[0] == '*' ? name + 1 : name;
        const std::size_t n = std::strlen(call), m = std::strlen(wanted);
        if (n < m || std::strcmp(call + (n - m), wanted) != 0) return 0;
        if (name[0] != '*' && n != m) return 0;
        const int nth = ++calls_;
        return nth >= first_ && nth - first_ < times_ ? error_.load() : 0;
    }

    // Atomic, since helper threads that rest may look while a test begins.
    static inline std::atomic<const char*> name_{""};
    static inline std::atomic<int> error_{0}, first_{1}, times_{0};
    static inline std::atomic<int> calls_{0};
};

}  // namespace wire::test
