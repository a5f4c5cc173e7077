// A branch of a select at a ring.
#pragma once

#include <optional>
#include <utility>

#include <wire/branch.hpp>
#include <wire/shm/ring.hpp>

namespace wire::shm {

/// Its place is signalled when the ring's bell has rung: a hint. One of a ring in a select.
class WIRE_API record_branch : public branch {
protected:
    explicit record_branch(ring& from) noexcept : from_(from) {}
    record_branch(record_branch&& other) noexcept : branch(std::move(other)), from_(other.from_) {}

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

    ring& from_;
    wire::detail::waiter woken_{*this};
    std::optional<wire::detail::place> here_;  // while it waits
    int error_ = 0;                            // why it cannot
    result<record> got_ = failure{EAGAIN};
};

}  // namespace wire::shm
