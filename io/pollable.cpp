#include <wire/pollable.hpp>

#include "backend.hpp"
#include "scheduler.hpp"

namespace wire::io {
namespace {

detail::backend& bound_backend(runtime& rt) {
    WIRE_ASSERT(!wire::detail::current_scheduler(), "an io::pollable is made outside run()");
    WIRE_ASSERT(!rt.internals().is_embedded(), "a runtime has one io::pollable at a time");
    rt.internals().bind();
    auto* const b = dynamic_cast<detail::backend*>(&rt.internals().sleeps_in());
    WIRE_ASSERT(b,
                "an io::pollable of a runtime without a reactor: make a wire::io::reactor for it");
    return *b;
}

}  // namespace

pollable::pollable(runtime& rt)
    : runtime_(rt), backend_(bound_backend(rt)), fd_(backend_.expose()) {
    runtime_.internals().embed(true);
}

pollable::~pollable() {
    WIRE_ASSERT(runtime_.internals().shared().is_of_this_process(), wire::detail::of_the_parent);
    runtime_.internals().embed(false);
    backend_.hide();
}

}  // namespace wire::io
