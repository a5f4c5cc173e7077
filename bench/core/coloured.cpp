// For the record: the bare ontop_fcontext loop whose stacks do not share cache sets and whose next
// contexts are fetched ahead. What a scheduler can win over the bare loop among many wires.
#include "ontop.hpp"

namespace {

struct coloured_switch : bench::ontop_switch {
    static std::size_t offset(std::size_t n) { return n % 21 * 192; }

    static void resume_next(context& self) {
        __builtin_prefetch(self.ahead->at);
        ontop_switch::resume_next(self);
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::bench_case> cases;
    bench::add_ring_yields<coloured_switch>(cases);
    return bench::run_cases(cases, argc, argv);
}
