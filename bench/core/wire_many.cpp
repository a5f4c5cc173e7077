// Our own runtime with very many wires: what each costs, and what their sleeps cost.
#include "wire_many.hpp"

#include <chrono>

#include <wire/reactor.hpp>
#include <wire/runtime.hpp>

#include "many.hpp"

namespace bench {
namespace {

// A wire starts `count` others, lets each run once, and looks around while they are parked.
figures live(std::size_t count) {
    cost_of_each cost(count);
    wire::runtime rt;
    rt.go([&] {
        for (std::size_t n = 0; n < count; ++n)
            wire::go([] { static_cast<void>(wire::suspend()); });
        wire::yield();
        cost.made();
        rt.cancel_all();
    });
    static_cast<void>(rt.run());
    return cost.get();
}

double sleep_all() {
    wire::runtime rt;
    wire::io::reactor reactor(rt);
    sleeping those;
    double result = 0;
    rt.go([&] {
        result = those.measure([](int ms) {
            static_cast<void>(wire::sleep(wire::within(std::chrono::milliseconds(ms))));
        });
    });
    for (std::size_t n = 0; n < sleepers; ++n)
        rt.go([&] {
            while (!those.stopped())
                static_cast<void>(
                    wire::sleep(wire::within(std::chrono::microseconds(those.length_us()))));
        });
    static_cast<void>(rt.run());
    return result;
}

}  // namespace

void add_wire_many(std::vector<bench_case>& cases) {
    cases.push_back({"live-100000", [] { return live(100'000); }});
    cases.push_back({"live-1000000", [] { return live(1'000'000); }});
    cases.push_back({"sleepers-100000", &sleep_all});
}

}  // namespace bench
