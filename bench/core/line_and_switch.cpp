// For the record: a cache-line round trip with a thread that switches between two bare contexts, of
// which only one looks at the line.
#include <atomic>
#include <cstdlib>
#include <thread>

#include "ontop.hpp"
#include "round_trip.hpp"

namespace {

using bench::ontop_switch;

bench::round_trip trip;

void busy(ontop_switch::context& self) {
    for (;;) ontop_switch::resume_next(self);
}

[[noreturn]] void answer_for_ever() {
    const bench::stacks memory(1);
    ontop_switch::context self;
    ontop_switch::context other;
    self.next = &other;
    other.next = &self;
    ontop_switch::make(other, memory.top(0), &busy);
    for (;;) {
        trip.answer_if_asked();
        ontop_switch::resume_next(self);
    }
}

double wake_busy() {
    const bench::cores cores;
    std::thread([&cores] {
        cores.pin(0);
        answer_for_ever();
    }).detach();
    cores.pin(1);
    return bench::ns_per_round_trip([](std::uint64_t n) {
        for (; n > 0; --n) trip.ask();
    });
}

}  // namespace

int main(int argc, char** argv) {
    const int code = bench::run_cases({{"wake-busy", &wake_busy}}, argc, argv);
    std::fflush(stdout);
    std::_Exit(code);  // the answering thread never ends
}
