// Histories of a bounded queue, and whether it explains them: whether the calls could have happened
// one after the other, each at a moment between its begin and its end, with the same outcomes.
//
// Source: J. Wing and C. Gong, "Testing and Verifying Concurrent Objects", 1993.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace interleave {

struct queue_call {
    enum kind { give, take, close } what;
    int value;  // given or taken
    int error;
    int begun;  // at which time
    int ended;
};

class bounded_fifo {
public:
    explicit bounded_fifo(std::size_t capacity) : capacity_(capacity) {}

    [[nodiscard]] bool explains(const std::vector<queue_call>& history) {
        return explains(history, 0);
    }

private:
    // `done`: a bit for each call that has happened.
    bool explains(const std::vector<queue_call>& history, unsigned done) {
        if (done + 1 == 1U << history.size()) return true;
        for (std::size_t i = 0; i < history.size(); ++i) {
            if ((done >> i & 1) != 0 || !may_be_next(history, done, history[i])) continue;
            const bounded_fifo before = *this;
            if (happen(history[i]) && explains(history, done | 1U << i)) return true;
            *this = before;
        }
        return false;
    }

    static bool may_be_next(const std::vector<queue_call>& history, unsigned done,
                            const queue_call& next) {
        for (std::size_t i = 0; i < history.size(); ++i)
            if ((done >> i & 1) == 0 && history[i].ended < next.begun) return false;
        return true;
    }

    bool happen(const queue_call& c) {
        if (c.what == queue_call::give) return happen_give(c);
        if (c.what == queue_call::take) return happen_take(c);
        closed_ = true;
        return true;
    }
    bool happen_give(const queue_call& c) {
        if (c.error == EPIPE) return closed_;
        if (closed_) return false;
        const bool full = values_.size() == capacity_;
        if (c.error) return full;
        values_.push_back(c.value);
        return !full;
    }
    bool happen_take(const queue_call& c) {
        if (c.error) return values_.empty() && closed_ == (c.error == EPIPE);
        if (values_.empty() || values_.front() != c.value) return false;
        values_.erase(values_.begin());
        return true;
    }

    std::size_t capacity_;
    std::vector<int> values_;
    bool closed_ = false;
};

}  // namespace interleave
