// Random programs of everything that can be done with channels, on the real runtime with a virtual
// clock, compared call by call with a model of what channels promise. One that fails is shrunk and
// printed. Then the same with channels that are spoiled on purpose: each defect must be found.
//
// WIRE_EXPLORE=long in the environment runs more programs, WIRE_MODEL_SEED=N only that of one seed.
#include <doctest/doctest.h>

#include <unistd.h>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/channel_defects.hpp"
#include "support/channel_model.hpp"
#include "support/channel_random.hpp"
#include "support/channel_run.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/fifo.hpp"

using namespace wire;
using namespace wire::test;

namespace {

constexpr std::uint64_t programs = 3'000;
constexpr std::uint64_t programs_long = 100'000;
constexpr std::uint64_t programs_instrumented = 500;

const char* variable(const char* name) {
    return std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
}

std::uint64_t how_many() {
    if (variable("WIRE_EXPLORE")) return programs_long;
    return under_tsan || under_asan || under_valgrind() ? programs_instrumented : programs;
}

// Names the program that a crash ends.
class crash_note {
public:
    crash_note() {
        struct sigaction act {};
        act.sa_handler = [](int signal) {
            static_cast<void>(::write(2, text().data(), std::strlen(text().data())));
            std::signal(signal, SIG_DFL);
            std::raise(signal);
        };
        ::sigaction(SIGABRT, &act, &before_);
    }
    ~crash_note() { ::sigaction(SIGABRT, &before_, nullptr); }
    static void name(std::uint64_t seed) {
        std::snprintf(text().data(), text().size(), "in the program of WIRE_MODEL_SEED=%llu\n",
                      static_cast<unsigned long long>(seed));
    }

private:
    static std::array<char, 80>& text() {
        static std::array<char, 80> t{};
        return t;
    }
    struct sigaction before_ {};
};

// What a program does that it must not; empty if there is nothing.
template <class Kit>
std::string failure_of(const program& p, sim& s) {
    crash_note::name(p.seed);
    const program whole = with_janitor(p);
    const history h = channel_run<Kit>::of(whole, s);
    const std::string wrong = channel_model::disagreement(whole, h);
    if (!wrong.empty()) {
        std::string t = text_of(p);
        for (const outcome& e : h.events) t += "    " + text_of(e, whole) + "\n";
        return t + "  allowed:  " + wrong;
    }
    if (h.run_code) return text_of(p) + "  run(): " + text_of_code(h.run_code);
    if (h.mistreated) return text_of(p) + "  a value is destroyed twice, or used after that";
    if (h.live) return text_of(p) + "  values that live on: " + std::to_string(h.live);
    return "";
}

// What a select chooses differs from run to run, so a program is tried several times.
template <class Kit>
std::string failure_of_some_run(const program& p, sim& s) {
    std::string failure;
    for (int i = 0; i < 20 && failure.empty(); ++i) failure = failure_of<Kit>(p, s);
    return failure;
}

// The same in another process, so that a crash or an endless loop is a failure like others.
template <class Kit>
std::string failure_apart(const program& p) {
    const death d = run_in_child([&] {
        ::alarm(2);
        sim s;
        const std::string failure = failure_of_some_run<Kit>(p, s);
        if (failure.empty()) return;
        std::fputs(failure.c_str(), stderr);
        ::_exit(3);
    });
    if (d.signal == 0) return d.code == 3 ? d.said : "";
    return text_of(p) + "  ends by signal " + std::to_string(d.signal) + ": " + d.said;
}

struct found {
    program smallest;
    std::string failure;
};

template <class Kit>
found smaller(const program& p, const std::string& failure, sim* s) {
    found f{p, failure};
    const auto fails = [&](const program& candidate) {
        std::string again =
            s ? failure_of_some_run<Kit>(candidate, *s) : failure_apart<Kit>(candidate);
        if (again.empty()) return false;
        f = {candidate, std::move(again)};
        return true;
    };
    static_cast<void>(shrinker<decltype(fails)>::shrunk(p, fails));
    return f;
}

template <class Kit>
found failure_of_seed(const char* seed) {
    const program p = random_program::of(std::strtoull(seed, nullptr, 10));
    const std::string failure = failure_apart<Kit>(p);
    return failure.empty() ? found{} : smaller<Kit>(p, failure, nullptr);
}

// The first failure of the programs of seeds from 1.
template <class Kit>
found first_failure(std::uint64_t count) {
    if (const char* const seed = variable("WIRE_MODEL_SEED")) return failure_of_seed<Kit>(seed);
    const crash_note note;
    sim s;
    for (std::uint64_t seed = 1; seed <= count; ++seed) {
        const program p = random_program::of(seed);
        const std::string failure = failure_of<Kit>(p, s);
        if (!failure.empty()) return smaller<Kit>(p, failure, &s);
    }
    return {};
}

}  // namespace

TEST_CASE("channel: random programs do what the model allows" * fifo) {
    const caught_diagnostics quiet;
    const found f = first_failure<real_kit>(how_many());
    CHECK_MESSAGE(f.failure.empty(), f.failure);
}

TEST_CASE("channel: random programs meet every outcome that there is" * fifo) {
    std::set<std::pair<op, int>> met;
    sim s;
    for (std::uint64_t seed = 1; seed <= programs_instrumented; ++seed) {
        const program p = with_janitor(random_program::of(seed));
        for (const outcome& e : channel_run<real_kit>::of(p, s).events)
            met.emplace(
                p.wires[static_cast<std::size_t>(e.wire)][static_cast<std::size_t>(e.step)].what,
                e.code);
    }
    const std::vector<std::pair<op, std::vector<int>>> all{
        {op::send, {0, EPIPE, ETIMEDOUT, ECANCELED}},
        {op::recv, {0, EPIPE, ETIMEDOUT, ECANCELED}},
        {op::try_send, {0, EPIPE, EAGAIN}},
        {op::try_recv, {0, EPIPE, EAGAIN}},
        {op::range, {0, ENODATA}},
        {op::select, {0, EPIPE, ECANCELED}},
        {op::await, {0, EINVAL, ETIMEDOUT, ECANCELED}},
        {op::take, {0, EPIPE, EAGAIN}},
        {op::trigger, {0, EAGAIN}},
        {op::sleep, {0, ECANCELED}}};
    for (const auto& [what, codes] : all)
        for (const int code : codes)
            CHECK_MESSAGE(met.contains({what, code}), name_of(what) << ": " << text_of_code(code));
}

TEST_CASE("channel: the model finds every planted defect, in a program of six steps" * fifo) {
    const caught_diagnostics quiet;
    for (int d = 1; d < static_cast<int>(channel_defect::last); ++d) {
        planted_in_channel = static_cast<channel_defect>(d);
        const found f = first_failure<spoiled_kit>(programs);
        planted_in_channel = channel_defect::none;
        const std::string name = name_of(static_cast<channel_defect>(d));
        CHECK_MESSAGE(!f.failure.empty(), name);
        CHECK_MESSAGE(f.smallest.steps() <= 6, name << ": " << f.failure);
        if (variable("WIRE_MODEL_SHOW")) MESSAGE(name << ": " << f.failure);
    }
}

TEST_CASE("channel: the model finds nothing wrong where nothing is planted" * fifo) {
    const found f = first_failure<spoiled_kit>(programs_instrumented);
    CHECK_MESSAGE(f.failure.empty(), f.failure);
}
