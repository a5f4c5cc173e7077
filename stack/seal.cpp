#include "seal.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include <wire/assert.hpp>
#include "canary.hpp"
#include "valgrind.hpp"

namespace wire::detail {
namespace {

using word [[gnu::may_alias]] = std::uint64_t;
constexpr word pattern = 0x5ea1'ed57'ac4b'9b3d;  // without a zero byte
constexpr std::size_t page = 4096;
constexpr std::size_t pages_max = 16;

word* words(const std::byte* at) noexcept {
    return reinterpret_cast<word*>(const_cast<std::byte*>(at));
}

// Where memory begins that was ever touched. Pages that were not are asked for, and not looked at:
// that would cost more, and take memory for tables.
std::byte* first_touched(std::byte* from, std::byte* limit) noexcept {
    std::byte* const first = from - reinterpret_cast<std::uintptr_t>(from) % page;
    std::array<unsigned char, pages_max + 1> there{};
    if (::mincore(first, static_cast<std::size_t>(limit - first), there.data()) != 0) return limit;
    std::byte* at = first;
    for (const unsigned char* p = there.data(); at < limit && !(*p & 1); ++p) at += page;
    return std::clamp(at, from, limit);
}

}  // namespace

std::byte* seal(const stack& s, std::byte* limit) noexcept {
    if constexpr (!WIRE_SEAL_STACKS) return nullptr;
    if (RUNNING_ON_VALGRIND) return nullptr;
    std::byte* lowest = limit - std::min<std::ptrdiff_t>(limit - s.base, page * pages_max);
    lowest = first_touched(lowest, limit);
    if (lowest == s.base && canary_intact(s)) lowest += canary_size;
    word* const end = words(limit);
    word* const from = std::find_if(words(lowest), end, [](word w) { return w != 0; });
    std::fill(from, end, pattern);
    return reinterpret_cast<std::byte*>(from);
}

void check_seal(const std::byte* from, const std::byte* limit) noexcept {
    WIRE_ASSERT(std::all_of(words(from), words(limit), [](word w) { return w == pattern; }),
                "the stack of a wire that has ended was written to: a system call or another "
                "thread still had a buffer on it");
}

}  // namespace wire::detail
