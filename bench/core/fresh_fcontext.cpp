// For the record: what starting and ending a wire costs at least: make_fcontext on a warm stack, a
// switch to it and one back.
#include "ontop.hpp"

namespace {

using bench::ontop_switch;

void end_at_once(ontop_switch::context& self) {
    ontop_switch::resume_next(self);
}

double spawn_run_join() {
    const bench::stacks memory(1);
    ontop_switch::context parent;
    ontop_switch::context child;
    parent.next = &child;
    child.next = &parent;
    return bench::ns_per_operation([&](std::uint64_t n) {
        for (; n > 0; --n) {
            ontop_switch::make(child, memory.top(0), &end_at_once);
            ontop_switch::resume_next(parent);
        }
    });
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run_cases({{"spawn-run-join", &spawn_run_join}}, argc, argv);
}
