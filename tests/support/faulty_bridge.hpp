// A bridge with a mistake, for tests that must notice it.
#pragma once

#include <cerrno>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <wire/bridge.hpp>

namespace wire::test {

enum class mistake {
    none,
    newest_first,
    swaps_two,
    seems_empty,
    seems_full,
    has_room_for_one_more,
    loses_one,
    doubles_one,
    sends_after_close,
    forgets_at_close,
    ends_while_full,
};

/// A bridge of numbers, one call at a time, that makes its mistake at every third call which could.
class faulty_bridge {
public:
    faulty_bridge(std::size_t capacity, mistake m)
        : mistake_(m), bridge_(capacity + (m == mistake::has_room_for_one_more)) {}

    result<void> try_send(int value) {
        const std::lock_guard one_at_a_time(mutex_);
        if (errs(mistake::seems_full)) return failure{EAGAIN};
        if (bridge_.closed() && errs(mistake::sends_after_close)) return {};
        if (errs(mistake::loses_one)) return {};
        return bridge_.try_send(value);
    }
    result<int> try_recv() {
        const std::lock_guard one_at_a_time(mutex_);
        if (errs(mistake::seems_empty)) return failure{EAGAIN};
        if (bridge_.closed() && errs(mistake::ends_while_full)) return failure{EPIPE};
        if (last_ && errs(mistake::doubles_one)) return *last_;
        const auto got = is(mistake::newest_first) ? recv_newest() : recv_perhaps_second();
        if (got) last_ = *got;
        return got;
    }
    result<void> send(int value, deadline until) {
        return insist(until, [&] { return try_send(value); });
    }
    result<int> recv(deadline until) {
        return insist(until, [&] { return try_recv(); });
    }
    void close() {
        const std::lock_guard one_at_a_time(mutex_);
        while (is(mistake::forgets_at_close) && bridge_.try_recv()) {
        }
        bridge_.close();
    }

private:
    [[nodiscard]] bool is(mistake m) const { return mistake_ == m; }
    bool errs(mistake m) { return is(m) && ++chances_ % 3 == 0; }

    // Sorting what is inside takes a bridge that is open: once closed it is right.
    result<int> recv_newest() {
        std::vector<int> all;
        while (!bridge_.closed())
            if (const auto got = bridge_.try_recv())
                all.push_back(*got);
            else
                break;
        if (all.empty()) return bridge_.try_recv();
        for (std::size_t i = 0; i + 1 < all.size(); ++i)
            static_cast<void>(bridge_.try_send(all[i]));
        return all.back();
    }
    // The second before the first.
    result<int> recv_perhaps_second() {
        if (held_back_) {
            const int first = *held_back_;
            held_back_.reset();
            return first;
        }
        const auto first = bridge_.try_recv();
        if (!first || !is(mistake::swaps_two)) return first;
        const auto second = bridge_.try_recv();
        if (!second) return first;
        held_back_ = *first;
        return second;
    }

    template <class Call>
    auto insist(deadline until, Call call) -> decltype(call()) {
        for (;;) {
            const auto done = call();
            if (done.code() != EAGAIN) return done;
            if (!(within(std::chrono::seconds(0)) < until)) return failure{ETIMEDOUT};
            std::this_thread::yield();
        }
    }

    const mistake mistake_;
    std::mutex mutex_;
    bridge<int> bridge_;
    int chances_ = 0;
    std::optional<int> last_, held_back_;
};

}  // namespace wire::test
