// Numbers that have been seen, as ranges: a sender's consecutive numbers take one range. And
// those of many senders.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <utility>

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

/// Of more than `senders_max` senders the one that has been silent for longest is forgotten.
class numbers_by_sender {
public:
    static constexpr std::size_t senders_max = 10'000;

    /// Returns whether `n` of that sender is new.
    bool insert(const std::string& sender, std::uint64_t n) {
        entry& of = of_[sender];
        of.heard_last = ++clock_;
        const bool is_new = of.numbers.insert(n);
        if (of_.size() > senders_max) of_.erase(std::ranges::min_element(of_, {}, &heard_last));
        return is_new;
    }

    void erase(const std::string& sender, std::uint64_t n) {
        if (const auto of = of_.find(sender); of != of_.end()) of->second.numbers.erase(n);
    }

    [[nodiscard]] std::size_t senders() const noexcept { return of_.size(); }

private:
    struct entry {
        number_set numbers;
        std::uint64_t heard_last = 0;
    };
    static std::uint64_t heard_last(const std::pair<const std::string, entry>& of) noexcept {
        return of.second.heard_last;
    }

    std::map<std::string, entry> of_;
    std::uint64_t clock_ = 0;
};
