// A branch of a select at a ring, or at a channel of an arena.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <wire/branch.hpp>
#include <wire/shm/arena.hpp>
#include <wire/shm/ring.hpp>

namespace wire::shm {
namespace detail {

// Where the records of a branch come from. One of a ring in a select.
struct from_ring {
    using value = record;
    ring& from;

    [[nodiscard]] bool ready() const noexcept { return from.ready(); }
    int begin_wait(wire::detail::place& here) const noexcept { return from.begin_wait(here); }
    bool end_wait() const noexcept { return from.end_wait(); }
    result<value> take() const noexcept { return from.try_peek(); }
};
struct from_arena {
    using value = arena_record;
    arena& from;
    std::uint32_t id;

    [[nodiscard]] bool ready() const noexcept { return from.ready(id); }
    int begin_wait(wire::detail::place& here) const noexcept { return from.begin_wait(id, here); }
    bool end_wait() const noexcept { return from.end_wait(id); }
    result<value> take() const noexcept { return from.try_recv(id); }
};

}  // namespace detail

/// Its place is signalled when the bell of whom it waits at has rung: a hint.
template <class From>
class record_branch : public branch {
protected:
    explicit record_branch(From from) noexcept : from_(from) {}
    record_branch(record_branch&& other) noexcept : branch(std::move(other)), from_(other.from_) {}

    template <class F>
    void call(F& f) {
        f(std::exchange(got_, failure{EAGAIN}));
    }

private:
    using selection = wire::detail::selection;

    bool ready(selection&) noexcept final { return from_.ready(); }
    bool commit() noexcept final {
        const int error = std::exchange(error_, 0);
        got_ = error ? result<typename From::value>(failure{error}) : from_.take();
        return got_.code() != EAGAIN;
    }
    bool arm(selection&) noexcept final {
        const int error = from_.begin_wait(here_.emplace(woken_));
        if (error == 0) return true;
        here_.reset();
        error_ = error == EAGAIN ? 0 : error;
        return false;
    }
    void disarm() noexcept final {
        if (!here_) return;
        if (!from_.end_wait()) here_->settle();
        here_.reset();
    }
    bool settle() noexcept final { return commit(); }

    const From from_;
    wire::detail::waiter woken_{*this};
    std::optional<wire::detail::place> here_;  // while it waits
    int error_ = 0;                            // why it cannot
    result<typename From::value> got_ = failure{EAGAIN};
};

}  // namespace wire::shm
