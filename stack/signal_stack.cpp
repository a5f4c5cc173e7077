#include "signal_stack.hpp"

#include <execinfo.h>
#include <signal.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "sys.hpp"

namespace wire::detail {
namespace {

constexpr std::size_t signal_stack_size = 64 * 1024;  // backtrace() loads and unwinds on it

// A thread's alternate signal stack; disabled again before its memory goes.
struct signal_stack {
    std::unique_ptr<std::byte[]> memory;
    ~signal_stack() {
        if (!memory) return;
        stack_t off{};
        off.ss_flags = SS_DISABLE;
        ::sigaltstack(&off, nullptr);
    }
};

}  // namespace

bool use_signal_stack() noexcept {
    thread_local signal_stack mine;
    if (mine.memory) return true;
    stack_t there{};
    if (::sigaltstack(nullptr, &there) == 0 && !(there.ss_flags & SS_DISABLE))
        return true;  // the program, or a sanitizer, has one already
    auto memory = std::make_unique_for_overwrite<std::byte[]>(signal_stack_size);
    stack_t on{};
    on.ss_sp = memory.get();
    on.ss_size = signal_stack_size;
    if (sys::call("sigaltstack", [&] { return ::sigaltstack(&on, nullptr); }) != 0) return false;
    mine.memory = std::move(memory);
    return true;
}

void load_unwinder() noexcept {
    void* frames[1];
    ::backtrace(frames, 1);
}

}  // namespace wire::detail
