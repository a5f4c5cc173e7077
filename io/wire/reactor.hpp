// The reactor: lets the wires of a runtime wait for file descriptors.
#pragma once

#include <chrono>
#include <string_view>

#include <wire/runtime.hpp>

namespace wire::io {

namespace detail {
class backend;
}

/// What a reactor waits in.
enum class backend_choice {
    automatic,  ///< what WIRE_REACTOR says (auto, io_uring or epoll); else io_uring, or epoll where
                ///< the kernel has or allows none
    io_uring,
    epoll
};

/// What a reactor is made of.
struct reactor_options {
    backend_choice backend = backend_choice::automatic;
    /// Threads for blocking calls, at most; at least 1. See io::offload().
    unsigned helpers = 8;
    /// A helper that was idle for so long ends.
    std::chrono::nanoseconds helpers_idle = std::chrono::seconds(5);
};

/// Where a runtime sleeps while its wires wait for descriptors. Make it after the runtime, on the
/// same thread, and destroy it before. wire::run does both.
class WIRE_API reactor : wire::detail::immovable {
public:
    /// Attaches to `rt`. Its kernel objects are made by the first run(), which throws
    /// std::system_error if that fails. On the runtime's own thread, not in run().
    ///
    /// Where io_uring was not demanded and is refused, a diagnostic says so, unless it was the last
    /// one to say so in this process. Throws
    /// std::system_error if it was demanded, or if WIRE_REACTOR is not one of its three words; and
    /// std::bad_alloc.
    explicit reactor(runtime& rt, const reactor_options& options = {});
    /// Cancels the runtime's wires and waits for them as ~runtime does: none may wait here after
    /// it. Waits for calls that helper threads have begun, however long they take. Not from a wire.
    /// I/O of wires that other threads send between this and ~runtime fails with ECANCELED where it
    /// would have to wait, also behind a shield.
    ~reactor();

    /// What it runs on, and why if that was not the first choice: "io_uring", "epoll", or
    /// "epoll: io_uring_setup: EPERM".
    [[nodiscard]] std::string_view backend() const noexcept;

private:
    runtime& runtime_;
    detail::backend* const backend_;  // its retire() ends it
};

/// reactor::backend() of the runtime whose wire runs. Call from a wire of a runtime with a reactor.
WIRE_API std::string_view backend() noexcept;

}  // namespace wire::io
