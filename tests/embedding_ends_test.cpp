// A runtime in somebody else's loop: before it and after, and what stands in its way.
#include "support/io.hpp"

#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <wire/pollable.hpp>
#include "support/backend.hpp"
#include "support/dies.hpp"
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

TEST_CASE("embedding: after it the runtime runs by itself, and can be embedded again") {
    const int before = open_descriptors();
    {
        runtime rt;
        const io::reactor home(rt);
        const remote r = rt.remote();
        int steps = 0;
        for (int i = 0; i < 3; ++i) {
            {
                const io::pollable door(rt);
                rt.go([&] {
                    CHECK(sleep(within(5ms)));
                    ++steps;
                });
                while (rt.run_once()) {
                }
                std::thread([&] { CHECK(r.go([&] { ++steps; })); }).join();
            }
            const work_guard until_stopped(rt);
            std::thread late([&] {
                CHECK(r.go([&] {
                    CHECK(sleep(within(20ms)));
                    ++steps;
                    rt.stop();
                }));
            });
            CHECK(rt.run());
            late.join();
            CHECK(steps == 3 * (i + 1));
        }
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("embedding: what stands in its way is said") {
    CHECK(dies(
        [] {
            runtime rt;
            const io::pollable door(rt);
        },
        "make a wire::io::reactor for it"));
    CHECK(dies(
        [] {
            runtime rt;
            const io::reactor home(rt);
            const io::pollable one(rt), two(rt);
        },
        "one io::pollable at a time"));
    CHECK(dies(
        [] {
            runtime rt;
            const io::reactor home(rt);
            rt.go([&] { const io::pollable door(rt); });
            static_cast<void>(rt.run());
        },
        "an io::pollable is made outside run()"));
    CHECK(dies(
        [] {
            runtime rt;
            const io::reactor home(rt);
            const io::pollable door(rt);
            static_cast<void>(rt.run());
        },
        "the other loop calls run_once()"));
    CHECK(dies(
        [] {
            runtime rt;
            std::optional<io::reactor> home(rt);
            const io::pollable door(rt);
            home.reset();
        },
        "outlives the reactor"));
    CHECK(dies(
        [] {
            runtime rt;
            const io::reactor home(rt);
            const io::pollable door(rt);
            std::thread([&] { rt.run_once(); }).join();
        },
        "belongs to the thread"));
}

TEST_CASE("embedding: each kernel object that cannot be made is named") {
    std::vector<std::string> calls = {"eventfd", "epoll_create1", "epoll_ctl"};
    calls.emplace_back(on_io_uring() ? "io_uring_register" : "timerfd_create");
    for (const std::string& call : calls) {
        CAPTURE(call);
        const int before = open_descriptors();
        {
            runtime rt;
            const io::reactor home(rt);
            std::string said;
            try {
                const failing_call no(call.c_str(), EMFILE);
                const io::pollable door(rt);
            } catch (const std::system_error& e) {
                said = e.what();
            }
            CHECK(said.find(call) != std::string::npos);
            const io::pollable again(rt);
            CHECK_FALSE(rt.run_once());
        }
        CHECK(open_descriptors() == before);
    }
}

}  // namespace
}  // namespace wire::test
