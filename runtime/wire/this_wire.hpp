// What a wire does with itself: give way, sleep, wait to be resumed, ask who it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <wire/deadline.hpp>
#include <wire/result.hpp>

namespace wire {

class wire_ref;

namespace detail {
class scheduler;
struct fiber;
struct wire_slot;
struct shared_state;
WIRE_API wire_ref ref_of(fiber& f) noexcept;
}  // namespace detail

/// A non-owning reference to a wire, which stays safe to use after the wire has ended. A value that
/// may be handed to other threads. It comes from this_wire::ref() or handle::ref() and goes to
/// resume() or remote::resume().
class wire_ref {
public:
    /// Refers to no wire.
    wire_ref() noexcept = default;
    /// The wire's id; 0 for an empty reference.
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    friend bool operator==(const wire_ref&, const wire_ref&) noexcept = default;

private:
    friend class detail::scheduler;
    friend class remote;
    friend wire_ref detail::ref_of(detail::fiber&) noexcept;
    detail::shared_state* owner_ = nullptr;  // compared, never followed
    detail::fiber* wire_ = nullptr;          // for its own thread; nullptr: ask the slot there, too
    detail::wire_slot* slot_ = nullptr;      // for others
    std::uint64_t id_ = 0;
};

/// Lets every other ready wire run once before the caller goes on. Returns at once if there is
/// none. Not a point of cancellation. Call from a wire.
WIRE_API void yield() noexcept;

/// Suspends the running wire until `until`; at once ready again if that has passed. Fails with
/// ECANCELED. `sleep(within(5ms))`. Call from a wire.
WIRE_API result<void> sleep(deadline until) noexcept;

/// Suspends the running wire until resume(). A resume that came before is remembered, once, and
/// lets this return at once. Returns for no other reason. Fails with ETIMEDOUT or ECANCELED; a
/// resume that was remembered, or comes later, is then kept for the next suspend().
/// Call from a wire.
WIRE_API result<void> suspend(deadline until = never) noexcept;

/// Makes the wire, if it is in suspend(), ready; else lets its next suspend() return at once. It
/// does not end other waits.
///
/// Returns false if the wire has ended. Never runs it. Asserts that `wire` is not empty. Call from
/// a wire, or a poller, of the same runtime (asserted); from elsewhere use remote::resume.
WIRE_API bool resume(const wire_ref& wire) noexcept;

/// About the running wire. Each asserts that there is one. (See <wire/remote.hpp> for remote().)
namespace this_wire {

/// The name given at its start, of which 31 characters count; "wire" if none was. Valid until the
/// wire ends.
[[nodiscard]] WIRE_API std::string_view name() noexcept;
/// Its number: from 1, unique in its runtime, and never used again.
[[nodiscard]] WIRE_API std::uint64_t id() noexcept;
/// Whether the innermost scope is cancelled, so that blocking calls fail.
[[nodiscard]] WIRE_API bool cancelled() noexcept;
/// A pointer for the wire's own use, null at its start; the library never looks at it.
[[nodiscard]] WIRE_API void*& slot() noexcept;
/// A reference to the running wire: what it gives to those who are to resume it.
[[nodiscard]] WIRE_API wire_ref ref() noexcept;
/// wire::high_water() of its stack: how many bytes of that were ever used, by it or by a wire that
/// had the stack before. See <wire/stack.hpp>.
[[nodiscard]] WIRE_API std::size_t high_water() noexcept;

}  // namespace this_wire
}  // namespace wire
