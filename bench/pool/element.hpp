// What goes through the queues: a number, repeated until the element has the size that is wanted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace bench {

template <std::size_t Bytes>
class element {
public:
    using word =
        std::conditional_t<Bytes % sizeof(std::uint64_t) == 0, std::uint64_t, std::uint32_t>;

    element() = default;
    explicit element(std::uint64_t number) { words_.fill(static_cast<word>(number)); }

    [[nodiscard]] std::uint64_t number() const { return words_.front(); }

    /// Of the first and the last word: both must have arrived.
    [[nodiscard]] std::uint64_t sum() const { return number() + words_.back(); }

private:
    std::array<word, Bytes / sizeof(word)> words_;
};

}  // namespace bench
