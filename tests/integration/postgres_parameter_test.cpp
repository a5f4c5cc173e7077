// What the PostgreSQL adapter sends for a value. The rest of it is tested with a real server, by
// postgres.py.
#include "postgres.hpp"

#include <doctest/doctest.h>

#include <limits>

namespace {

using postgres::to_parameter;

TEST_CASE("postgres parameter: numbers lose nothing on their way") {
    CHECK(to_parameter(-7) == "-7");
    CHECK(to_parameter(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
    CHECK(to_parameter(0.1) == "0.1");
    CHECK(to_parameter(2.5e-7) == "2.5e-07");
    CHECK(to_parameter(1.0 / 3) == "0.3333333333333333");
    CHECK(to_parameter(0.1F) == "0.1");
}

TEST_CASE("postgres parameter: texts and truth values are themselves, nullopt is null") {
    CHECK(to_parameter(true) == "true");
    CHECK(to_parameter("it's") == "it's");
    CHECK(to_parameter(std::string_view("x")) == "x");
    CHECK_FALSE(to_parameter(std::nullopt));
}

}  // namespace
