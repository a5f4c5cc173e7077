// Which wire runs on this thread, for the inline paths of public headers.
#pragma once

#include <wire/config.hpp>

namespace wire::detail {

struct fiber;

/// The part of a scheduler that public headers know.
class scheduler_front {
public:
    /// The wire that runs; nullptr on the thread's own flow.
    [[nodiscard]] fiber* running() const noexcept { return running_; }

protected:
    fiber* running_ = nullptr;
};

/// The scheduler that runs on this thread; nullptr outside run(). One per thread: everything about
/// the running wire follows from it.
extern WIRE_API constinit thread_local scheduler_front* current_front
    [[gnu::tls_model("initial-exec")]];

/// The wire that runs on this thread; nullptr if none does. Two loads.
inline fiber* running_or_none() noexcept {
    const scheduler_front* const s = current_front;
    return s ? s->running() : nullptr;
}

}  // namespace wire::detail
