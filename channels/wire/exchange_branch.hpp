// Branches of a select at what several threads share: bridges and pools.
#pragma once

#include <optional>
#include <utility>

#include <wire/branch.hpp>
#include <wire/bridge.hpp>
#include <wire/detail/exchange.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/pool.hpp>

namespace wire::detail {

/// A place among the sleepers of an exchange. It is only signalled: the select tries again then,
/// and if it has chosen another branch, or is over, it passes the signal on.
class WIRE_API exchange_branch : public branch {
protected:
    enum class side : bool { giving, taking };

    exchange_branch(basic_exchange<thread_sync>& at, side s) noexcept : at_(at), side_(s) {}
    exchange_branch(exchange_branch&& other) noexcept
        : branch(std::move(other)), at_(other.at_), side_(other.side_) {}

private:
    [[nodiscard]] basic_sleepers<thread_sync>& queue() const noexcept {
        return side_ == side::giving ? at_.room() : at_.messages();
    }
    bool commit() noexcept override = 0;
    bool ready(selection&) noexcept final;
    bool arm(selection&) noexcept final;
    void disarm() noexcept final;
    bool settle() noexcept final { return commit(); }

    basic_exchange<thread_sync>& at_;
    const side side_;
    waiter woken_{*this};
    std::optional<place> here_;
};

template <class T>
result<T> try_take_of(bridge<T>& from) noexcept {
    return from.try_recv();
}
template <class T>
result<T> try_take_of(pool<T>& from) noexcept {
    return from.try_take();
}
template <class T>
result<void> try_give_to(bridge<T>& to, T& value) noexcept {
    return to.try_send(std::move(value));
}
template <class T>
result<void> try_give_to(pool<T>& to, T& value) noexcept {
    return to.try_put(std::move(value));
}

/// From is bridge<T> or pool<T>.
template <class From, class T>
class take_branch : public exchange_branch {
protected:
    explicit take_branch(From& from) noexcept
        : exchange_branch(exchange_access::of(from), side::taking), from_(from) {}
    take_branch(take_branch&& other) noexcept
        : exchange_branch(std::move(other)), from_(other.from_) {}

    template <class F>
    void call(F& f) {
        f(std::exchange(got_, failure{EAGAIN}));
    }

private:
    bool commit() noexcept final {
        got_ = try_take_of(from_);
        return got_.code() != EAGAIN;
    }

    From& from_;
    result<T> got_ = failure{EAGAIN};
};

template <class To, class T>
class give_branch : public exchange_branch {
protected:
    give_branch(To& to, T& value) noexcept
        : exchange_branch(exchange_access::of(to), side::giving), to_(to), value_(value) {}
    give_branch(give_branch&& other) noexcept
        : exchange_branch(std::move(other)), to_(other.to_), value_(other.value_) {}

    template <class F>
    void call(F& f) {
        f(to_result(error_));
    }

private:
    bool commit() noexcept final {
        error_ = try_give_to(to_, value_).code();
        return error_ != EAGAIN;
    }

    To& to_;
    T& value_;
    int error_ = 0;
};

}  // namespace wire::detail
