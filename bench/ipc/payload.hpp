// What the records hold: a number, in each word. All of it is written and read, by all systems in
// the same way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace bench {

template <std::size_t Bytes>
struct payload {
    static constexpr std::size_t words = Bytes / sizeof(std::uint64_t);
    using word [[gnu::may_alias]] = std::uint64_t;

    static void write(void* at, std::uint64_t number) {
        auto* const to = static_cast<word*>(at);
        for (std::size_t i = 0; i < words; ++i) to[i] = number;
    }

    /// Returns the number. Ends the process if a word has another.
    static std::uint64_t read(const void* at) {
        const auto* const from = static_cast<const word*>(at);
        const std::uint64_t number = from[0];
        std::uint64_t different = 0;
        for (std::size_t i = 0; i < words; ++i) different |= from[i] ^ number;
        if (different == 0) [[likely]]
            return number;
        std::fputs("a record was torn\n", stderr);
        std::exit(1);
    }
};

}  // namespace bench
