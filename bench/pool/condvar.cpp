// Peer: a ring under a mutex with two condition variables, as everybody writes it once.
#include <condition_variable>
#include <mutex>
#include <span>
#include <vector>

#include "run_queue.hpp"

namespace {

template <class T>
class condvar_queue {
public:
    static constexpr bool sleeps = true;

    explicit condvar_queue(const bench::shape& s) : slots_(s.capacity) {}

    void put(const T& value) { put_bulk({&value, 1}); }

    void take(T& value) { take_bulk({&value, 1}); }

    void put_bulk(std::span<const T> values) {
        for (std::size_t done = 0; done < values.size();) {
            std::unique_lock guard(mutex_);
            has_room_.wait(guard, [this] { return count_ < slots_.size(); });
            const std::size_t before = done;
            for (; done < values.size() && count_ < slots_.size(); ++done, ++count_)
                slots_[at(first_ + count_)] = values[done];
            guard.unlock();
            notify(has_some_, done - before);
        }
    }

    std::size_t take_bulk(std::span<T> values) {
        std::unique_lock guard(mutex_);
        has_some_.wait(guard, [this] { return count_ > 0; });
        std::size_t done = 0;
        for (; done < values.size() && count_ > 0; ++done, --count_) {
            values[done] = slots_[first_];
            first_ = at(first_ + 1);
        }
        guard.unlock();
        notify(has_room_, done);
        return done;
    }

private:
    [[nodiscard]] std::size_t at(std::size_t i) const {
        return i < slots_.size() ? i : i - slots_.size();
    }

    static void notify(std::condition_variable& who, std::size_t count) {
        if (count == 1)
            who.notify_one();
        else
            who.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable has_room_, has_some_;
    std::vector<T> slots_;
    std::size_t first_ = 0, count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<condvar_queue>(argc, argv);
}
