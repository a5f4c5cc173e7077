#include "canary.hpp"

#include <cstdint>

#include "valgrind.hpp"

namespace wire {
namespace {

// Bases are aligned to cache lines. Whatever the memory was declared as, it is read in words.
using word [[gnu::may_alias]] = std::uint64_t;
constexpr std::uint64_t pattern = 0x9e37'79b9'7f4a'7c15;  // without a zero byte

// The first word in [at, end) that is not `expected`; `end` if there is none. These are frames that
// have ended, which AddressSanitizer takes for a mistake of the reader.
[[gnu::no_sanitize_address, gnu::noinline]] const std::byte* first_other(
    const std::byte* at, const std::byte* end, std::uint64_t expected) noexcept {
    while (at < end && *reinterpret_cast<const word*>(at) == expected) at += sizeof(word);
    return at;
}

// So does Valgrind.
class quiet_valgrind : detail::immovable {
public:
    quiet_valgrind() noexcept { VALGRIND_DISABLE_ERROR_REPORTING; }
    ~quiet_valgrind() { VALGRIND_ENABLE_ERROR_REPORTING; }
};

}  // namespace

namespace detail {

void write_canary(const stack& s) noexcept {
    for (std::byte* at = s.base; at < s.base + canary_size; at += sizeof(word))
        *reinterpret_cast<word*>(at) = pattern;
}

bool canary_intact(const stack& s) noexcept {
    const quiet_valgrind while_we_look;
    const std::byte* const end = s.base + canary_size;
    return first_other(s.base, end, pattern) == end;
}

}  // namespace detail

std::size_t high_water(const stack& s) noexcept {
    const std::byte* const lowest = s.base + (detail::canary_intact(s) ? detail::canary_size : 0);
    const quiet_valgrind while_we_look;
    return static_cast<std::size_t>(s.top - first_other(lowest, s.top, 0));
}

}  // namespace wire
