// Keys and their values, strings or lists, some with a time at which they end.
//
// One thread needs no lock. For more, the keys are spread over shards with a mutex each. A command
// holds those of all its keys while it runs, so it happens as a whole; it never waits for a peer
// meanwhile, so the thread of another wire waits microseconds, or as long as the copy of a value
// takes.
#pragma once

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace kv {

/// Milliseconds since some time in the past.
inline std::int64_t steady_ms() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

using list = std::deque<std::string>;

struct entry {
    std::variant<std::string, list> value;
    std::int64_t ends_ms = 0;  ///< 0: never
};

class store {
public:
    using node = std::pair<const std::string, entry>;  ///< its address is the key's for life
    using clock = std::int64_t (*)();

    explicit store(bool shared, clock now = steady_ms)
        : shards_(shared ? shards_if_shared : 1), now_(now) {}

    /// Bits that say which shards are needed; 0: no lock is.
    using shard_set = std::uint64_t;
    [[nodiscard]] bool shared() const { return shards_.size() > 1; }
    [[nodiscard]] shard_set all() const { return shared() ? ~shard_set{0} : 0; }
    [[nodiscard]] shard_set shard_of(std::string_view key) const {
        return shared() ? shard_set{1} << index(key) : 0;
    }

    /// Holds the locks of `needed`, taken in one order everywhere, while it lives.
    class guard {
    public:
        guard(store& whole, shard_set needed) : store_(whole), held_(needed) {
            each([](shard& s) { s.lock.lock(); });
        }
        ~guard() {
            each([](shard& s) { s.lock.unlock(); });
        }
        guard(const guard&) = delete;
        guard& operator=(const guard&) = delete;

    private:
        template <class F>
        void each(F f) {
            for (shard_set left = held_; left; left &= left - 1)
                f(store_.shards_[static_cast<std::size_t>(std::countr_zero(left))]);
        }
        store& store_;
        const shard_set held_;
    };

    // What follows needs a guard of the key's shard.

    /// nullptr if there is none, or if its time is over.
    node* find(std::string_view key) {
        auto& values = shard_with(key).values;
        const auto at = values.find(key);
        if (at == values.end()) return nullptr;
        if (!is_over(at->second)) return &*at;
        erase(*at);
        return nullptr;
    }

    /// `key` must not be there.
    node& insert(std::string_view key, std::variant<std::string, list> value) {
        auto& values = shard_with(key).values;
        return *values.emplace(std::string(key), entry{std::move(value)}).first;
    }

    void erase(node& n) {
        end_at(n, 0);
        auto& values = shard_with(n.first).values;
        values.erase(values.find(n.first));
    }

    /// 0: never.
    void end_at(node& n, std::int64_t ms) {
        if (n.second.ends_ms == ms) return;
        auto& ending = shard_with(n.first).ending;
        if (n.second.ends_ms) ending.erase({n.second.ends_ms, &n.first}), --ending_;
        n.second.ends_ms = ms;
        if (ms) ending.emplace(ms, &n.first), ++ending_;
    }

    // What follows needs a guard of all().

    [[nodiscard]] std::size_t size() const {
        std::size_t n = 0;
        for (const shard& s : shards_) n += s.values.size();
        return n;
    }

    void clear() {
        for (shard& s : shards_) {
            ending_ -= s.ending.size();
            s.ending.clear();
            s.values.clear();
        }
    }

    /// Calls f(node) for each key whose time is not over, in no order, until it returns false.
    /// Nothing must change meanwhile.
    template <class F>
    void each(F f) const {
        for (const shard& s : shards_)
            for (const node& n : s.values)
                if (!is_over(n.second) && !f(n)) return;
    }

    // What follows needs no guard.

    [[nodiscard]] std::int64_t now_ms() const { return now_(); }
    /// How many keys will end some time.
    [[nodiscard]] std::size_t ending() const { return ending_; }

    /// Erases keys of shard `i` whose time is over, a few; says whether there are more.
    bool erase_over(std::size_t i) {
        const guard held(*this, shared() ? shard_set{1} << i : 0);
        auto& ending = shards_[i].ending;
        for (int n = 0; n < 100; ++n) {
            if (ending.empty() || ending.begin()->first > now_ms()) return false;
            erase(*find_node(*ending.begin()->second));
        }
        return true;
    }
    [[nodiscard]] std::size_t shards() const { return shards_.size(); }

private:
    static constexpr std::size_t shards_if_shared = 64;  // a bit of shard_set each

    struct hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    struct shard {
        std::mutex lock;
        std::unordered_map<std::string, entry, hash, std::equal_to<>> values;
        std::set<std::pair<std::int64_t, const std::string*>> ending;  // when, and the key
    };

    static std::size_t index(std::string_view key) { return hash{}(key) >> 58; }
    shard& shard_with(std::string_view key) { return shards_[shared() ? index(key) : 0]; }
    node* find_node(std::string_view key) { return &*shard_with(key).values.find(key); }
    [[nodiscard]] bool is_over(const entry& e) const { return e.ends_ms && e.ends_ms <= now_(); }

    std::vector<shard> shards_;
    const clock now_;
    std::atomic<std::size_t> ending_ = 0;
};

}  // namespace kv
