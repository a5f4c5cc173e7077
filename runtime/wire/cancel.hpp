// Cancellation: scopes of which a wire leaves the inside by errors, not by force.
#pragma once

#include <wire/deadline.hpp>
#include <wire/detail/list.hpp>
#include <wire/detail/timer.hpp>

namespace wire {
namespace detail {

struct fiber;
struct wire_group;

/// A node of the tree of scopes. Every wire has one of its own at its root.
struct cancel_node : link {
    cancel_node() = default;
    explicit cancel_node(fiber& f) noexcept : owner(&f) {}

    cancel_node* parent = nullptr;  // nullptr: the runtime itself
    list<cancel_node> children;     // scopes opened inside, by this wire or by wires of this scope
    fiber* owner = nullptr;         // nullptr: not of a wire but of a pool of them
    bool shield = false;            // cancellation of the parent stops here
    bool cancelled = false;

    /// Cancels this node and all below it that no shield protects, and wakes their parked wires.
    WIRE_API void cancel() noexcept;
    void attach(cancel_node* to) noexcept;
};

WIRE_API void enter_scope(cancel_node& node) noexcept;
WIRE_API void leave_scope(cancel_node& node) noexcept;

}  // namespace detail

/// A part of a wire's work that can be cancelled as a whole, or that ends at a deadline.
///
/// From construction to destruction it is the innermost scope of the running wire. Once it is
/// cancelled, every call inside that may block fails with ECANCELED, also one that would not have
/// to block, again and again, until the scope is left; nothing is unwound by force. A call that has
/// delivered something in the same turn succeeds first.
///
/// A deadline that passes cancels the scope: the calls inside fail with ECANCELED then, too, not
/// with ETIMEDOUT. expired() tells why.
///
/// Scopes of one wire nest like blocks (asserted). Cancelling a scope cancels those inside it,
/// except behind a shield. A wire that is started inside is not part of it. Belongs to the wire
/// that made it; cancel() may come from any wire of the same runtime. Allocates nothing.
class WIRE_API cancel_scope : detail::immovable {
public:
    /// Opens the scope; one whose deadline has passed already is cancelled when timers are served
    /// next. Asserts that a wire runs.
    explicit cancel_scope(deadline until = never) noexcept;
    /// Leaves it: the calls that follow answer to the scope around it.
    ~cancel_scope();

    /// Cancels what runs inside: a wire that is parked there becomes ready. Again has no effect.
    /// Never suspends. On the runtime's own thread.
    void cancel() noexcept { node_.cancel(); }
    /// Whether it was cancelled, by cancel(), by its deadline or by a scope around it.
    [[nodiscard]] bool cancelled() const noexcept { return node_.cancelled; }
    /// Whether its own deadline has passed and cancelled it: what failed inside with ECANCELED ran
    /// out of time. False if something else cancelled it first.
    [[nodiscard]] bool expired() const noexcept { return expiry_.passed; }

private:
    friend struct detail::wire_group;
    struct expiry : detail::timer {
        explicit expiry(cancel_scope& s) noexcept;
        cancel_scope& scope;
        bool passed = false;
    };

    detail::cancel_node node_;
    expiry expiry_;
};

/// Keeps cancellation from outside away for the rest of the block: for clean-up that must block,
/// such as a farewell to a peer. Also in a wire that is cancelled already calls may block inside.
/// A cancel_scope that is opened inside works as usual. Give such calls a deadline, since nothing
/// else ends them.
class WIRE_API shield : detail::immovable {
public:
    /// Asserts that a wire runs.
    shield() noexcept;
    ~shield();

private:
    detail::cancel_node node_;
};

}  // namespace wire
