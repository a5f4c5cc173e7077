// Assertions: a broken contract ends the program with one sentence, in every build type.
#pragma once

#include <wire/config.hpp>

/// Ends the program with `sentence` if `condition` does not hold. For bugs, ours or the caller's;
/// an expected outcome is a wire::result instead.
#define WIRE_ASSERT(condition, sentence)                                                \
    do {                                                                                \
        if (!(condition)) [[unlikely]]                                                  \
            ::wire::detail::assertion_failed(#condition, sentence, __FILE__, __LINE__); \
    } while (false)

namespace wire::detail {

/// Prints one line with the sentence, the condition and the place, and calls abort().
[[noreturn, gnu::cold]] WIRE_API void assertion_failed(const char* condition, const char* sentence,
                                                       const char* file, int line) noexcept;

}  // namespace wire::detail
