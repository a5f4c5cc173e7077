// The switch between wires: raw Boost.Context, and all that must change hands with the registers.
// The only file that includes Boost.
//
// ontop_fcontext runs arrive() on the target's stack, and arrive() returns into the target by a
// real `ret`. So the processor's return-address predictor stays in step: measured 5.5 ns a switch
// instead of the 11.4 ns of jump_fcontext, and 7.4 instead of 47 when it happens four calls deep.
// For the same reason there is one call site only: switch_to() is never inlined.
//
// What else belongs to a wire and is exchanged:
//   - the C++ runtime's exception globals (16 bytes: caught exceptions, uncaught count). Boost
//   before
//     1.88 leaves them with the thread, and two wires that yield inside a catch block would then
//     rethrow each other's exception;
//   - errno;
//   - the shadow state of AddressSanitizer and ThreadSanitizer.
#pragma once

#include <cxxabi.h>
#include <boost/context/detail/fcontext.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <wire/config.hpp>
#include "sanitizers.hpp"

namespace wire::detail {

namespace bc = boost::context::detail;

/// The exception globals of the Itanium C++ ABI: what __cxa_get_globals() points to.
struct exception_globals {
    void* caught = nullptr;
    // Twelve bytes are copied in two pieces: one load of sixteen would have to wait for the two
    // stores that a fresh context has just been written with.
    unsigned int uncaught = 0;
};

/// Where the calling thread keeps what a switch exchanges. Looked up once a thread: wires never
/// migrate, and asking at every switch would double its cost.
struct thread_globals {
    exception_globals* exceptions;
    int* error;
};

inline thread_globals find_thread_globals() noexcept {
    return {reinterpret_cast<exception_globals*>(abi::__cxa_get_globals()), &errno};
}

/// A suspended flow of control. Must not lie inside the usable stack: the sanitizers poison that.
struct context {
    bc::fcontext_t at = nullptr;  // where to continue; valid while suspended
    exception_globals exceptions;
    int error = 0;
#if WIRE_ASAN
    void* lowest = nullptr;
    std::size_t size = 0;
    void* fake = nullptr;
    context* to = nullptr;
    bool dying = false;
#endif
#if WIRE_TSAN
    void* shadow = nullptr;
#endif
};

inline bc::transfer_t arrive(bc::transfer_t t) noexcept {
    context* const from = static_cast<context*>(t.data);
    from->at = t.fctx;
#if WIRE_ASAN
    __sanitizer_finish_switch_fiber(from->to->fake, nullptr, nullptr);
#endif
    return t;
}

/// Saves the running flow in `from` and continues `to`.
[[gnu::noinline]] void switch_to(context& from, context& to, const thread_globals& thread) noexcept;

/// The running flow, `c`, will switch once more and never be continued.
inline void mark_dying([[maybe_unused]] context& c) noexcept {
#if WIRE_ASAN
    c.dying = true;
#endif
}

/// Describes a stack [lowest, lowest + size) and the flow that starts on it with `entry` when it is
/// switched to. `top` <= lowest + size.
inline void make_context(context& c, std::byte* lowest, std::byte* top,
                         void (*entry)(bc::transfer_t)) noexcept {
    const auto size = static_cast<std::size_t>(top - lowest);
    c.at = bc::make_fcontext(top, size, entry);
#if WIRE_ASAN
    __asan_unpoison_memory_region(lowest, size);
    c.lowest = lowest;
    c.size = size;
    c.fake = nullptr;
    c.dying = false;
#endif
#if WIRE_TSAN
    c.shadow = __tsan_create_fiber(0);
#endif
}

/// Describes the calling thread's own flow, so that wires can switch back to it.
void adopt_thread(context& c) noexcept;

/// The flow of `c` has ended and another one runs: gives back what the sanitizers keep for it.
inline void forget_context([[maybe_unused]] context& c) noexcept {
#if WIRE_ASAN
    __asan_unpoison_memory_region(c.lowest, c.size);
#endif
#if WIRE_TSAN
    if (c.shadow) __tsan_destroy_fiber(c.shadow);
    c.shadow = nullptr;
#endif
}

}  // namespace wire::detail
