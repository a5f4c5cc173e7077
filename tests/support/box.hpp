// A value that can only be moved, for tests of channels.
#pragma once

#include <memory>

namespace wire::test {

using box = std::unique_ptr<int>;

inline box boxed(int n) {
    return std::make_unique<int>(n);
}

}  // namespace wire::test
