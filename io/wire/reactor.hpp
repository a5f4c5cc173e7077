// The reactor: lets the wires of a runtime wait for file descriptors.
#pragma once

#include <string_view>

#include <wire/runtime.hpp>

namespace wire::io {

namespace detail {
class backend;
}

/// Where a runtime sleeps while its wires wait for descriptors. Make it after the runtime, on the
/// same thread, and destroy it before. wire::run does both.
class WIRE_API reactor {
public:
    /// Attaches to `rt`. Its kernel objects are made by the first run(), which throws
    /// std::system_error if that fails. On the runtime's own thread, not in run().
    explicit reactor(runtime& rt);
    /// Cancels the runtime's wires and waits for them as ~runtime does: none may wait here after
    /// it. Not from a wire. I/O of wires that other threads send between this and ~runtime fails
    /// with ECANCELED where it would have to wait, also behind a shield.
    ~reactor();
    reactor(const reactor&) = delete;
    reactor& operator=(const reactor&) = delete;

    /// What it runs on: "epoll".
    [[nodiscard]] std::string_view backend() const noexcept;

private:
    runtime& runtime_;
    detail::backend* const backend_;  // its retire() ends it
};

}  // namespace wire::io
