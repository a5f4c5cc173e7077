// A branch of a select at a channel of an arena.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <wire/branch.hpp>
#include <wire/shm/arena.hpp>

namespace wire::shm {

/// Its place is signalled when the bell of the channel's consumer has rung: a hint.
class WIRE_API arena_branch : public branch {
protected:
    arena_branch(arena& from, std::uint32_t id) noexcept : from_(from), id_(id) {}
    arena_branch(arena_branch&& other) noexcept
        : branch(std::move(other)), from_(other.from_), id_(other.id_) {}

    template <class F>
    void call(F& f) {
        f(std::exchange(got_, failure{EAGAIN}));
    }

private:
    bool ready(wire::detail::selection& in) noexcept final;
    bool commit() noexcept final;
    bool arm(wire::detail::selection& in) noexcept final;
    void disarm() noexcept final;
    bool settle() noexcept final { return commit(); }

    arena& from_;
    const std::uint32_t id_;
    wire::detail::waiter woken_{*this};
    std::optional<wire::detail::place> here_;  // while it waits
    int error_ = 0;                            // why it cannot
    result<arena_record> got_ = failure{EAGAIN};
};

}  // namespace wire::shm
