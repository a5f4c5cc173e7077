// Diagnostics and assertions: what is said, and where.
#include <doctest/doctest.h>

#include <string>

#include <wire/assert.hpp>
#include <wire/diagnostics.hpp>
#include "support/diagnostics.hpp"
#include "support/dies.hpp"

using namespace wire;
using namespace wire::test;

TEST_CASE("diagnostics: without a handler a line goes to standard error") {
    const death d =
        run_in_child([] { wire::detail::report(diagnostic::fallback, "%s %d", "text", 7); });
    CHECK(d.said == "wire: text 7\n");
}

TEST_CASE("diagnostics: a handler receives kind and text instead") {
    const caught_diagnostics said;
    wire::detail::report(diagnostic::back_off, "one");
    wire::detail::report(diagnostic::failure, "two");
    CHECK(said.size() == 2);
    CHECK(said.of(diagnostic::back_off) == std::vector<std::string>{"one"});
    CHECK(said.of(diagnostic::failure) == std::vector<std::string>{"two"});
}

TEST_CASE("diagnostics: setting a handler returns the one before, and null restores the default") {
    const death d = run_in_child([] {
        constexpr diagnostics_handler mute = [](diagnostic, std::string_view) noexcept {};
        const diagnostics_handler standard = set_diagnostics_handler(mute);
        wire::detail::report(diagnostic::trace, "unheard");
        must(set_diagnostics_handler(nullptr) == mute, "the handler before is returned");
        must(set_diagnostics_handler(nullptr) == standard, "null stands for the default");
        wire::detail::report(diagnostic::trace, "heard");
    });
    CHECK(d.code == 0);
    CHECK(d.said == "wire: heard\n");
}

TEST_CASE("diagnostics: a line is cut at 511 characters") {
    const caught_diagnostics said;
    wire::detail::report(diagnostic::trace, "%s", std::string(2000, 'x').c_str());
    CHECK(said.of(diagnostic::trace).front() == std::string(511, 'x'));
}

TEST_CASE("diagnostics: a broken assertion ends the program with one line") {
    const death d = run_in_child([] { WIRE_ASSERT(1 + 1 == 3, "arithmetic holds"); });
    CHECK(d.signal == SIGABRT);
    CHECK(d.says("wire: arithmetic holds ("));
    CHECK(d.says("diagnostics_test.cpp:"));
    CHECK(d.says("assertion 1 + 1 == 3 failed)\n"));
    CHECK(d.times("\n") == 1);
}

TEST_CASE("diagnostics: an assertion that holds does nothing and evaluates its condition once") {
    int n = 0;
    WIRE_ASSERT(++n == 1, "once");
    CHECK(n == 1);
}
