// The switch between wires: raw Boost.Context, and all that must change hands with the registers.
// The only file that includes Boost.
//
// ontop_fcontext runs a function, the hook of the target, on the target's stack. The hook of a
// suspended flow is arrive(), which returns to where that flow called switch_to() by a real `ret`.
// So the processor's return-address predictor stays in step: measured 5.5 ns a switch instead of
// the 11.4 ns of jump_fcontext, and 7.4 instead of 47 when it happens four calls deep. For the same
// reason the jumps are tail calls:
//   - switch_to() ends in one, and so do its callers where they can: each return saved is one that
//     cannot be predicted wrongly when flows wait in different functions;
//   - a new flow's hook is its whole body and ends in end_in(), not by a return: the predictor then
//     stands where it stood when the flow was entered.
// What only costs time when a compiler makes them calls, as it does without optimisation.
//
// What else belongs to a wire and is exchanged:
//   - the C++ runtime's exception globals (16 bytes: caught exceptions, uncaught count). Boost
//     before 1.88 leaves them with the thread, and two wires that yield inside a catch block would
//     then rethrow each other's exception;
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

using hook = bc::transfer_t (*)(bc::transfer_t);

// That nothing is thrown across it lets functions that are noexcept end in it.
WIRE_LEFT_BY_JUMP inline bc::transfer_t jump(bc::fcontext_t to, void* from, hook first) noexcept {
    using function = bc::transfer_t (*)(bc::fcontext_t, void*, hook) noexcept;
    return reinterpret_cast<function>(&bc::ontop_fcontext)(to, from, first);
}

/// The exception globals of the Itanium C++ ABI: what __cxa_get_globals() points to.
struct exception_globals {
    void* caught;
    unsigned int uncaught;
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
    hook first = nullptr;         // what runs there first
    // The exception globals and errno. They are copied in three pieces: one load of sixteen bytes
    // would have to wait for the stores that a fresh context has just been written with.
    void* caught = nullptr;
    unsigned int uncaught = 0;
    int error = 0;
#if WIRE_ASAN
    void* lowest = nullptr;
    std::size_t size = 0;
    void* fake = nullptr;
    context* to = nullptr;
#endif
#if WIRE_TSAN
    void* shadow = nullptr;
#endif
};

/// The hook of every suspended flow: notes where the one that was left is to be continued.
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

/// Continues `to` and ends the running flow, that of `from`. The last thing that a body does:
/// `return end_in(...)`.
[[gnu::noinline]] bc::transfer_t end_in(context& from, context& to,
                                        const thread_globals& thread) noexcept;

/// Describes a stack [lowest, lowest + size) and the flow that starts on it when it is switched to.
/// `body` begins with begin_flow() and ends with end_in(). `top` <= lowest + size.
inline void make_context(context& c, std::byte* lowest, std::byte* top, hook body) noexcept {
    const auto size = static_cast<std::size_t>(top - lowest);
    c.at = bc::make_fcontext(top, size, nullptr);
    c.first = body;
    c.caught = nullptr;
    c.uncaught = 0;
    c.error = 0;
#if WIRE_ASAN
    c.lowest = lowest;
    c.size = size;
    c.fake = nullptr;
#endif
#if WIRE_TSAN
    if (!c.shadow) c.shadow = __tsan_create_fiber(0);
#endif
}

/// The first thing that a body does; `c` is its own context.
inline void begin_flow(context& c, bc::transfer_t t) noexcept {
    c.first = &arrive;
    arrive(t);
}

/// Describes the calling thread's own flow, so that wires can switch back to it.
void adopt_thread(context& c) noexcept;

/// No flow will be made in `c` again: gives back what ThreadSanitizer keeps for it. Not to be
/// called by the flow itself.
inline void drop_context([[maybe_unused]] context& c) noexcept {
#if WIRE_TSAN
    if (c.shadow) __tsan_destroy_fiber(c.shadow);
    c.shadow = nullptr;
#endif
}

}  // namespace wire::detail
