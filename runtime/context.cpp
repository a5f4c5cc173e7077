#include "context.hpp"

#include <pthread.h>

namespace wire::detail {

void switch_to(context& from, context& to, const thread_globals& thread) noexcept {
    from.exceptions = *thread.exceptions;
    *thread.exceptions = to.exceptions;
    from.error = *thread.error;
    *thread.error = to.error;
#if WIRE_ASAN
    from.to = &to;
    __sanitizer_start_switch_fiber(from.dying ? nullptr : &from.fake, to.lowest, to.size);
#endif
#if WIRE_TSAN
    __tsan_switch_to_fiber(to.shadow, 0);  // the last call before the jump
#endif
    bc::ontop_fcontext(to.at, &from, arrive);
}

void adopt_thread([[maybe_unused]] context& c) noexcept {
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
