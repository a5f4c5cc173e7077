// The cases in which threads put and take as fast as they can, and their names: `4p4c-8b-1000` is
// four producers, four consumers, eight bytes an element, room for a thousand.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

inline constexpr std::size_t bulk_max = 16;

enum class side { put, take };

struct shape {
    std::size_t producers = 1;
    std::size_t consumers = 1;
    std::size_t bytes = 8;
    std::size_t capacity = 1000;
    std::size_t bulk = 1;  // so many messages a call at most
    bool fifo = false;     // the order is part of the contract, and checked

    [[nodiscard]] std::size_t threads() const { return producers + consumers; }

    [[nodiscard]] std::string slug() const {
        if (fifo) return "bridge-1p1c-busy";
        std::string text = std::to_string(producers) + "p" + std::to_string(consumers) + "c-" +
                           std::to_string(bytes) + "b-" + std::to_string(capacity);
        return bulk == 1 ? text : text + "-bulk" + std::to_string(bulk);
    }
};

inline std::vector<shape> shapes() {
    constexpr std::size_t threads[][2] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 4}, {5, 5}};
    std::vector<shape> all;
    for (const auto& [producers, consumers] : threads)
        for (const std::size_t capacity : {1u, 64u, 1'000u, 65'536u})
            all.push_back({producers, consumers, 8, capacity});
    for (const std::size_t count : {1u, 2u})
        for (const std::size_t bytes : {4u, 64u, 256u}) all.push_back({count, count, bytes});
    for (const std::size_t count : {1u, 2u}) all.push_back({count, count, 8, 1'000, bulk_max});
    all.push_back({.fifo = true});
    return all;
}

}  // namespace bench
