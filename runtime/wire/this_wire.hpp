// What a wire does with itself: give way, sleep, wait to be resumed, ask who it is.
#pragma once

#include <cstdint>
#include <string_view>

#include <wire/deadline.hpp>
#include <wire/result.hpp>

namespace wire {

namespace detail {
class scheduler;
struct wire_slot;
struct shared_state;
}  // namespace detail

/// A non-owning reference to a wire, which stays safe to use after the wire has ended.
class wire_ref {
public:
    wire_ref() noexcept = default;
    /// The wire's id; 0 for an empty reference.
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    friend bool operator==(const wire_ref&, const wire_ref&) noexcept = default;

private:
    friend class detail::scheduler;
    friend class remote;
    detail::shared_state* owner_ = nullptr;  // compared, never followed
    detail::wire_slot* slot_ = nullptr;
    std::uint64_t id_ = 0;
};

/// Lets every other ready wire run once before the caller goes on. Returns at once if there is
/// none. Not a point of cancellation.
WIRE_API void yield() noexcept;

/// Suspends the running wire until `until`. Fails with ECANCELED. `sleep(within(5ms))`.
WIRE_API result<void> sleep(deadline until) noexcept;

/// Suspends the running wire until resume(). A resume that came before is remembered, once, and
/// lets this return at once. Fails with ETIMEDOUT or ECANCELED.
WIRE_API result<void> suspend(deadline until = never) noexcept;

/// Makes the wire, if it is in suspend(), ready; else lets its next suspend() return at once.
///
/// Returns false if the wire has ended. Never runs it. Call on the wire's own thread (asserted);
/// from other threads use remote::resume.
WIRE_API bool resume(const wire_ref& wire) noexcept;

/// About the running wire. Each asserts that there is one.
namespace this_wire {

/// The name given at its start; "wire" if none was.
[[nodiscard]] WIRE_API std::string_view name() noexcept;
/// Unique in its runtime, and never used again.
[[nodiscard]] WIRE_API std::uint64_t id() noexcept;
/// Whether the innermost scope is cancelled, so that blocking calls fail.
[[nodiscard]] WIRE_API bool cancelled() noexcept;
/// A pointer for the wire's own use, null at its start.
[[nodiscard]] WIRE_API void*& slot() noexcept;
[[nodiscard]] WIRE_API wire_ref ref() noexcept;

}  // namespace this_wire
}  // namespace wire
