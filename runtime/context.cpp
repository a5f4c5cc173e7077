#include "context.hpp"

#include <pthread.h>

#include <utility>

namespace wire::detail {

namespace {

bool any(const void* caught, unsigned int uncaught) noexcept {
    return (reinterpret_cast<std::uintptr_t>(caught) | uncaught) != 0;
}

}  // namespace

// The contexts of running flows hold no exception globals. So where neither side is in a catch
// block or unwinding, which is nearly always, there is nothing to move.
void switch_to(context& from, context& to, const thread_globals& thread) noexcept {
    from.error = *thread.error;
    *thread.error = to.error;
    exception_globals& now = *thread.exceptions;
    if (any(now.caught, now.uncaught) || any(to.caught, to.uncaught)) [[unlikely]] {
        from.caught = std::exchange(now.caught, std::exchange(to.caught, nullptr));
        from.uncaught = std::exchange(now.uncaught, std::exchange(to.uncaught, 0));
    }
#if WIRE_ASAN
    from.to = &to;
    __sanitizer_start_switch_fiber(&from.fake, to.lowest, to.size);
#endif
#if WIRE_TSAN
    __tsan_switch_to_fiber(to.shadow, 0);  // the last call before the jump
#endif
    jump(to.at, &from, to.first);
}

WIRE_LEFT_BY_JUMP bc::transfer_t end_in(context& from, context& to,
                                        const thread_globals& thread) noexcept {
    *thread.error = to.error;
    thread.exceptions->caught = std::exchange(to.caught, nullptr);
    thread.exceptions->uncaught = std::exchange(to.uncaught, 0);
#if WIRE_ASAN
    from.to = &to;
    __sanitizer_start_switch_fiber(nullptr, to.lowest, to.size);
#endif
#if WIRE_TSAN
    __tsan_switch_to_fiber(to.shadow, 0);
#endif
    return jump(to.at, &from, to.first);
}

void adopt_thread(context& c) noexcept {
    c.first = &arrive;
#if WIRE_ASAN
    pthread_attr_t attributes;
    ::pthread_getattr_np(::pthread_self(), &attributes);
    ::pthread_attr_getstack(&attributes, &c.lowest, &c.size);
    ::pthread_attr_destroy(&attributes);
#endif
#if WIRE_TSAN
    c.shadow = __tsan_get_current_fiber();
#endif
}

}  // namespace wire::detail
