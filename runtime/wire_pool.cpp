#include <wire/wire_pool.hpp>

#include <cerrno>

#include <wire/runtime.hpp>
#include "bounded_pool.hpp"
#include "scheduler.hpp"

namespace wire {
namespace detail {

bounded_pool::bounded_pool(scheduler& runs_on, std::size_t wires_max, std::string_view its_name,
                           const stack_options& options)
    : fiber_pool(options, true), home(runs_on), permits_max(wires_max), permits(wires_max), name{} {
    WIRE_ASSERT(wires_max > 0, "a wire_pool has room for one wire at least");
    WIRE_ASSERT(home.on_own_thread(), "a wire_pool is made on its runtime's own thread");
    its_name.copy(name.data(), name.size() - 1);
    home.adopt(*this);
}

// Each permit comes back once: from wires that end, from handles that go, and from those who were
// given one while they waited and find the pool closing. Then nobody has any business here.
bounded_pool::~bounded_pool() {
    WIRE_ASSERT(home.on_own_thread(), "a wire_pool ends on its runtime's own thread");
    closing = true;
    const fiber* const running = current_scheduler() == &home ? home.running() : nullptr;
    if (running) {
        WIRE_ASSERT(running->pool != this, "a wire destroys the wire_pool that it runs in");
        wires.cancel();
        const shield against_cancellation;
        for (std::size_t i = 0; i < permits_max; ++i)
            permits.acquire_for("the wires and handles of a wire_pool", never);
    } else {
        WIRE_ASSERT(permits.available() == permits_max,
                    "a wire_pool is destroyed outside a wire while it has wires or handles of "
                    "them: destroy it in a wire, or when they have ended and are joined");
    }
    home.dismiss(*this);
}

int bounded_pool::take_permit(const deadline* until) noexcept {
    if (closing) return ECANCELED;
    if (!until) return permits.try_acquire() ? 0 : EAGAIN;
    const int error = permits.acquire_for("a place in a wire_pool", *until);
    if (error == 0 && closing) {
        permits.release();
        return ECANCELED;
    }
    return error;
}

void fiber_pool::give_permit_back() noexcept {
    static_cast<bounded_pool*>(this)->permits.release();
}

}  // namespace detail

wire_pool::wire_pool(std::size_t wires_max, const wire_pool_options& options)
    : core_(std::make_unique<detail::bounded_pool>(
          detail::running_scheduler("a wire_pool is made outside a wire: name its runtime"),
          wires_max, options.name, options.stack)) {}

wire_pool::wire_pool(runtime& rt, std::size_t wires_max, const wire_pool_options& options)
    : core_(std::make_unique<detail::bounded_pool>(rt.internals(), wires_max, options.name,
                                                   options.stack)) {}

wire_pool::~wire_pool() = default;

int wire_pool::take_place(const deadline* until) noexcept {
    return core_->take_permit(until);
}
void wire_pool::give_place_back() noexcept {
    core_->permits.release();
}
detail::origin wire_pool::origin() const noexcept {
    return {core_->home, nullptr, core_.get()};
}
spawn_options wire_pool::options() const noexcept {
    return {.name = core_->name.data()};
}
std::size_t wire_pool::wires_max() const noexcept {
    return core_->permits_max;
}
std::size_t wire_pool::available() const noexcept {
    return core_->permits.available();
}

}  // namespace wire
