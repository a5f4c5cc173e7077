#include <wire/assert.hpp>

#include <cstdio>
#include <cstdlib>

namespace wire::detail {

void assertion_failed(const char* condition, const char* sentence, const char* file,
                      int line) noexcept {
    std::fprintf(stderr, "wire: %s (%s:%d: assertion %s failed)\n", sentence, file, line,
                 condition);
    std::abort();
}

}  // namespace wire::detail
