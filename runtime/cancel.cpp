// The tree of scopes. A flag is written down the tree when something is cancelled, which is rare,
// so that asking whether one is cancelled, which happens in every call that may block, is one load.
#include <wire/cancel.hpp>

#include <cerrno>

#include "scheduler.hpp"

namespace wire {
namespace detail {
namespace {

void mark(cancel_node& node) noexcept {
    node.cancelled = true;
    if (!node.owner) return;  // of a wire_pool
    fiber& f = *node.owner;
    // A wire is woken only if its innermost scope is cancelled: it may be behind a shield.
    if (f.state != fiber_state::waiting || f.shielded || !f.scope->cancelled) return;
    f.outcome = ECANCELED;
    f.home->make_ready(f);
}

// The node after `n` in pre-order below `top`, leaving out what lies below n if `skip`.
cancel_node* next_below(cancel_node& top, cancel_node* n, bool skip) noexcept {
    cancel_node* next = skip ? nullptr : n->children.next(nullptr);
    while (!next && n != &top) {
        next = n->parent->children.next(n);
        n = n->parent;
    }
    return next;
}

}  // namespace

void cancel_node::cancel() noexcept {
    if (cancelled) return;
    mark(*this);
    bool skip = false;
    for (cancel_node* n = this; (n = next_below(*this, n, skip));) {
        // What is cancelled already has passed it on.
        skip = n->shield || n->cancelled;
        if (!skip) mark(*n);
    }
}

void cancel_node::attach(cancel_node* to) noexcept {
    parent = to;
    if (!to) return;
    to->children.push_back(*this);
    if (!shield && to->cancelled) cancelled = true;
}

void enter_scope(cancel_node& node) noexcept {
    fiber& self = running_fiber("a scope outside a wire: open it in a wire");
    node.owner = &self;
    node.attach(self.scope);
    self.scope = &node;
}

void leave_scope(cancel_node& node) noexcept {
    WIRE_ASSERT(node.owner->scope == &node,
                "a scope is left that is not the innermost: scopes nest like blocks");
    WIRE_ASSERT(node.children.empty(), "a scope is left with scopes or wires still inside");
    node.owner->scope = node.parent;
    node.unlink();
}

}  // namespace detail

cancel_scope::expiry::expiry(cancel_scope& s) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<expiry&>(t);
          self.passed = !self.scope.cancelled();
          self.scope.cancel();
      }),
      scope(s) {}

cancel_scope::cancel_scope(deadline until) noexcept : expiry_(*this) {
    detail::enter_scope(node_);
    if (!until.is_never()) node_.owner->home->timers().arm(expiry_, until.ns());
}

cancel_scope::~cancel_scope() {
    if (expiry_.armed()) node_.owner->home->timers().disarm(expiry_);
    detail::leave_scope(node_);
}

shield::shield() noexcept {
    node_.shield = true;
    detail::enter_scope(node_);
}

shield::~shield() {
    detail::leave_scope(node_);
}

}  // namespace wire
