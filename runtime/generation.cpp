#include "generation.hpp"

#include <pthread.h>

#include "scheduler.hpp"

namespace wire::detail {
namespace {

void in_child() noexcept {
    ++this_generation;
    if (scheduler* const s = current_scheduler()) s->look_at_next_switch();
}

}  // namespace

void count_forks() noexcept {
    // What fails for want of memory is the warning, not the program.
    static const int registered = ::pthread_atfork(nullptr, nullptr, &in_child);
    static_cast<void>(registered);
}

}  // namespace wire::detail
