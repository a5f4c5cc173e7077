// Marks a test that demands that ready wires run first in, first out: it does not run with a seed.
//
//     TEST_CASE("yield: two wires take turns" * fifo)
#pragma once

#include <doctest/doctest.h>

namespace wire::test {

inline const doctest::test_suite fifo("fifo");

}  // namespace wire::test
