#include <wire/reactor.hpp>

#include "reactor_epoll.hpp"
#include "scheduler.hpp"

namespace wire::io {

detail::backend* detail::backend::current(backend* likely) noexcept {
    poller& p = wire::detail::current_poller("I/O outside a wire: call it from a wire");
    if (&p == likely) return likely;  // a dynamic_cast takes longer than the rest of a wait
    auto* const b = dynamic_cast<backend*>(&p);
    WIRE_ASSERT(b || wire::detail::current_scheduler()->running()->root.cancelled,
                "I/O in a runtime without a reactor: make a wire::io::reactor for it");
    return b;
}

reactor::reactor(runtime& rt) : runtime_(rt), backend_(new detail::reactor_epoll) {
    runtime_.attach(backend_);
}

reactor::~reactor() {
    runtime_.internals().drain();
    runtime_.attach(nullptr);
    backend_->retire();
}

std::string_view reactor::backend() const noexcept {
    return backend_->name();
}

}  // namespace wire::io
