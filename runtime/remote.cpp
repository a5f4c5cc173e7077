// What other threads do to a runtime.
#include <wire/remote.hpp>

#include <unistd.h>

#include <wire/diagnostics.hpp>
#include "scheduler.hpp"

namespace wire {
namespace detail {
namespace {

void serve_requests(inbox_node& node, scheduler* on) {
    auto& slot = static_cast<wire_slot&>(node);
    const auto asked = slot.take();
    if (!on || !slot.wire || slot.wire->id != asked.id) return;
    // In this order: a wake-up that came with the cancellation wins.
    if (asked.has(request::wake)) static_cast<void>(on->resume(ref_of(*slot.wire)));
    if (asked.has(request::cancel)) cancel_wire(*slot.wire);
}

void look_around(inbox_node& node, scheduler* on) {
    const auto asked = static_cast<shared_state::nudge_node&>(node).take();
    if (!on) return;
    if (asked.has(request::cancel)) on->cancel_all();
    if (asked.has(request::dump)) on->dump(STDERR_FILENO);
}

// Starts the wire that was sent; it owns the parcel once there is a stack for it.
void deliver(inbox_node& node, scheduler* on) {
    auto* const sent = static_cast<parcel*>(&node);
    if (on) {
        go_on({*on}, {.name = "remote"}, [sent] {
            const std::unique_ptr<parcel> mine(sent);
            mine->call();
        });
        return;
    }
    report(diagnostic::straggler,
           "a wire that was sent by remote::go is destroyed unrun: its runtime has ended");
    delete sent;
}

}  // namespace

parcel::parcel() noexcept : inbox_node(&deliver, true) {}
wire_slot::wire_slot() noexcept : basic_request(&serve_requests) {}
shared_state::nudge_node::nudge_node() noexcept : basic_request(&look_around) {}

void wire_table::reserve(std::size_t n) {
    while (size_ < n) {
        const std::size_t count = chunk_first << chunks_used_;
        auto& chunk = chunks_[chunks_used_];
        chunk = std::make_unique<wire_slot[]>(count);
        ++chunks_used_;
        size_ += count;
        for (std::size_t i = count; i-- > 0;) give_back(chunk[i]);
    }
}

bool shared_state::post(inbox_node& node) noexcept {
    WIRE_ASSERT(is_of_this_process(), of_the_parent);
    using outcome = basic_inbox<real_sync>::push_result;
    switch (inbox.push(node)) {
        case outcome::closed:
            return false;
        case outcome::owner_sleeps:
            sleeps_in->notify();
            inbox.paid();
            return true;
        default:
            return true;
    }
}

bool shared_state::nudge(request also) noexcept {
    return nudger.ask(1, also) ? post(nudger) : !inbox.is_closed();
}

bool shared_state::ask_to_stop() noexcept {
    stop_.raise();
    return nudge();
}

void shared_state::add_reference() noexcept {
    // relaxed: whoever adds one has one, or knows that the runtime exists meanwhile.
    references_.fetch_add(1, std::memory_order_relaxed);
}

void shared_state::drop_reference() noexcept {
    // [D] acq_rel: everything done with this state happens before its end. Pairs with itself.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool send_parcel(shared_state& to, std::unique_ptr<parcel> p) {
    if (!to.post(*p)) return false;
    static_cast<void>(p.release());  // the runtime's now
    return true;
}

}  // namespace detail

remote::remote(detail::shared_state& state) noexcept : state_(&state) {
    state_->add_reference();
    // relaxed: as references_; and nothing is read because of it.
    state_->remotes.fetch_add(1, std::memory_order_relaxed);
}

remote::remote(const remote& other) noexcept : remote() {
    if (other.state_) *this = remote(*other.state_);
}

remote::~remote() {
    if (!state_) return;
    // The last remote is gone: wires that hoped for it may be a deadlock now.
    // [R'] release: the runtime that sees no remote sees what this one has sent. Pairs with [R].
    if (state_->remotes.fetch_sub(1, std::memory_order_release) == 1 &&
        state_->is_of_this_process())
        state_->nudge();
    state_->drop_reference();
}

bool remote::resume(const wire_ref& wire) const noexcept {
    return ask(wire, detail::request::wake, "remote::resume() of an empty reference",
               "remote::resume() of a wire of another runtime");
}

bool remote::cancel(const wire_ref& wire) const noexcept {
    return ask(wire, detail::request::cancel, "remote::cancel() of an empty reference",
               "remote::cancel() of a wire of another runtime");
}

bool remote::ask(const wire_ref& of, detail::request what, const char* if_empty,
                 const char* if_elsewhere) const noexcept {
    detail::shared_state& state = checked();
    WIRE_ASSERT(of.id_ != 0, if_empty);
    WIRE_ASSERT(of.owner_ == &state, if_elsewhere);
    return of.slot_->ask(of.id_, what) ? state.post(*of.slot_) : !state.inbox.is_closed();
}

bool remote::cancel_all() const noexcept {
    return checked().nudge(detail::request::cancel);
}

bool remote::stop() const noexcept {
    return checked().ask_to_stop();
}

namespace this_wire {

wire::remote remote() noexcept {
    return wire::remote(
        detail::on_wire("wire::this_wire outside a wire: call it from a wire").shared());
}

}  // namespace this_wire
}  // namespace wire
