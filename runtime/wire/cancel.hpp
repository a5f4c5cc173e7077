// Cancellation: scopes of which a wire leaves the inside by errors, not by force.
#pragma once

#include <wire/deadline.hpp>
#include <wire/detail/list.hpp>
#include <wire/detail/timer.hpp>

namespace wire {
namespace detail {

struct fiber;

/// A node of the tree of scopes. Every wire has one of its own at its root.
struct cancel_node : link {
    cancel_node() = default;
    explicit cancel_node(fiber& f) noexcept : owner(&f) {}

    cancel_node* parent = nullptr;  // nullptr: the runtime itself
    list<cancel_node> children;     // scopes opened inside, by this wire or by wires of this scope
    fiber* owner = nullptr;
    bool shield = false;  // cancellation of the parent stops here
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
/// cancelled, every call inside that may block fails with ECANCELED, again and again, until the
/// scope is left; nothing is unwound by force. A call that has delivered something in the same turn
/// succeeds first.
///
/// Scopes of one wire nest like blocks. Cancelling a scope cancels those inside it, except behind a
/// shield. Belongs to the wire that made it; cancel() may come from any wire of the same runtime.
class WIRE_API cancel_scope {
public:
    explicit cancel_scope(deadline until = never) noexcept;
    ~cancel_scope();
    cancel_scope(const cancel_scope&) = delete;
    cancel_scope& operator=(const cancel_scope&) = delete;

    /// Cancels what runs inside; again has no effect. Never suspends.
    void cancel() noexcept { node_.cancel(); }
    /// Whether it was cancelled, by cancel(), by its deadline or by a scope around it.
    [[nodiscard]] bool cancelled() const noexcept { return node_.cancelled; }
    /// Whether its own deadline has passed and cancelled it.
    [[nodiscard]] bool expired() const noexcept { return expiry_.passed; }

private:
    struct expiry : detail::timer {
        explicit expiry(cancel_scope& s) noexcept;
        cancel_scope& scope;
        bool passed = false;
    };

    detail::cancel_node node_;
    expiry expiry_;
};

/// Suspends cancellation from outside for the rest of the block: for clean-up that must block, such
/// as a farewell to a peer. Give such calls a deadline.
class WIRE_API shield {
public:
    shield() noexcept;
    ~shield();
    shield(const shield&) = delete;
    shield& operator=(const shield&) = delete;

private:
    detail::cancel_node node_;
};

}  // namespace wire
