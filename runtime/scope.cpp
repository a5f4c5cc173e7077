#include <wire/scope.hpp>

#include <cerrno>

#include <wire/diagnostics.hpp>
#include "scheduler.hpp"

namespace wire {
namespace detail {

void wire_group::fail(int error) noexcept {
    if (error == ECANCELED && inside.cancelled()) return;
    if (first_error == 0 && !first_thrown) first_error = error;
    inside.cancel();
}

void wire_group::fail(std::exception_ptr thrown) noexcept {
    if (first_error == 0 && !first_thrown)
        first_thrown = std::move(thrown);
    else
        report(diagnostic::failure, "a scope that has failed already drops an exception: %s",
               description(thrown).data());
    inside.cancel();
}

void wire_group::begin(cancel_node& root) noexcept {
    root.attach(&inside.node_);
    ++running;
}

void wire_group::ended() noexcept {
    if (--running == 0 && sleeper) wake(*sleeper);
}

void wire_group::join() noexcept {
    if (running == 0) return;
    scheduler& s = on_wire("a scope is left outside a wire");
    sleeper = s.running();
    while (running > 0) s.park_shielded("the wires of a scope");
    sleeper = nullptr;
}

result<void> run_scope(deadline until, int (*body)(void*, scope&), void* context) {
    std::exception_ptr thrown;
    int error = 0;
    {
        wire_group group(until);
        scope s(group);
        try {
            if (const int outcome = body(context, s)) group.fail(outcome);
        } catch (...) {
            group.fail(std::current_exception());
        }
        group.join();
        thrown = std::move(group.first_thrown);
        error = group.first_error ? group.first_error : group.inside.expired() ? ETIMEDOUT : 0;
    }
    if (thrown) std::rethrow_exception(std::move(thrown));
    return to_result(error ? error : check_cancelled());
}

}  // namespace detail
}  // namespace wire
