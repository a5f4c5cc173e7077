// Numbers that have been seen, as ranges: a sender's consecutive numbers take one range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>

/// Of more than `ranges_max` ranges the lowest is forgotten.
class number_set {
public:
    static constexpr std::size_t ranges_max = 10'000;

    /// Returns whether `n` is new.
    bool insert(std::uint64_t n) {
        auto after = ranges_.upper_bound(n);
        const auto before = after == ranges_.begin() ? ranges_.end() : std::prev(after);
        if (before != ranges_.end() && n <= before->second) return false;
        const bool joins_before = before != ranges_.end() && before->second + 1 == n;
        const bool joins_after = after != ranges_.end() && n + 1 == after->first;
        const std::uint64_t first = joins_before ? before->first : n;
        const std::uint64_t last = joins_after ? after->second : n;
        if (joins_after) ranges_.erase(after);
        ranges_[first] = last;
        if (ranges_.size() > ranges_max) ranges_.erase(ranges_.begin());
        return true;
    }

    void erase(std::uint64_t n) {
        auto range = ranges_.upper_bound(n);
        if (range == ranges_.begin() || (--range)->second < n) return;
        const auto [first, last] = *range;
        ranges_.erase(range);
        if (first < n) ranges_[first] = n - 1;
        if (n < last) ranges_[n + 1] = last;
    }

    [[nodiscard]] std::size_t ranges() const noexcept { return ranges_.size(); }

private:
    std::map<std::uint64_t, std::uint64_t> ranges_;  // first -> last
};
