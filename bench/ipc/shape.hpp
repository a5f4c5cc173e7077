// The cases in which records go from one process to another as fast as they can, and their names:
// `ring-64b-4p` is 64 bytes a record, four producers.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

inline constexpr std::size_t batch_max = 16;

struct record_shape {
    std::string family = "ring";
    std::size_t bytes = 64;
    std::size_t producers = 1;
    std::size_t batch = 1;  // so many records a call at most

    [[nodiscard]] std::string slug() const {
        if (family == "arena") return "arena-64b";
        const std::string text = family + "-" + size() + "-" + std::to_string(producers) + "p";
        return batch == 1 ? text : text + "-batch" + std::to_string(batch);
    }

    /// What a link has room for: bytes, or records.
    [[nodiscard]] std::size_t room_bytes() const {
        return bytes <= 1 << 10 ? 64 << 10 : bytes < 1 << 20 ? 1 << 20 : 4 << 20;
    }
    [[nodiscard]] std::size_t room() const { return room_bytes() / (bytes + 8); }

private:
    [[nodiscard]] std::string size() const {
        return bytes < 1 << 10   ? std::to_string(bytes) + "b"
               : bytes < 1 << 20 ? std::to_string(bytes >> 10) + "k"
                                 : std::to_string(bytes >> 20) + "m";
    }
};

inline std::vector<record_shape> ring_shapes() {
    std::vector<record_shape> all;
    for (const std::size_t bytes : {8u, 64u, 1u << 10, 64u << 10, 1u << 20})
        for (const std::size_t producers : {1u, 4u, 8u})
            all.push_back({.bytes = bytes, .producers = producers});
    all.push_back({.batch = batch_max});
    return all;
}

}  // namespace bench
