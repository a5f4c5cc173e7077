// The handler of a branch that must not happen.
#pragma once

#include <doctest/doctest.h>

namespace wire::test {

inline constexpr auto never_called = [](auto&&...) {
    FAIL_CHECK("a branch happened that must not");
};

}  // namespace wire::test
