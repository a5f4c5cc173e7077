// Branches of a select at what several threads share: bridges and pools.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <wire/branch.hpp>
#include <wire/bridge.hpp>
#include <wire/detail/exchange.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/pool.hpp>
#include <wire/raw_pool.hpp>

namespace wire::detail {

enum class exchange_side : bool { giving, taking };

/// A place among the sleepers of an exchange. It is only signalled: the select tries again then,
/// and if it has chosen another branch, or is over, it passes the signal on.
class WIRE_API exchange_branch : public branch {
protected:
    exchange_branch(basic_exchange<thread_sync>& at, exchange_side side) noexcept
        : at_(at), side_(side) {}
    exchange_branch(exchange_branch&& other) noexcept
        : branch(std::move(other)), at_(other.at_), side_(other.side_) {}

private:
    [[nodiscard]] basic_sleepers<thread_sync>& queue() const noexcept {
        return side_ == exchange_side::giving ? at_.room() : at_.messages();
    }
    bool commit() noexcept override = 0;
    bool ready(selection&) noexcept final;
    bool arm(selection&) noexcept final;
    void disarm() noexcept final;
    bool settle() noexcept final { return commit(); }

    basic_exchange<thread_sync>& at_;
    const exchange_side side_;
    waiter woken_{*this};
    std::optional<place> here_;
};

// What a branch tries: one of the try_ calls. Made for each T, not for each handler.

template <class T>
auto recv_of(bridge<T>& from) noexcept {
    return [&from] { return from.try_recv(); };
}
template <class T>
auto send_of(bridge<T>& to, T& value) noexcept {
    return [&to, &value] { return to.try_send(std::move(value)); };
}
template <class T>
auto take_of(pool<T>& from) noexcept {
    return [&from] { return from.try_take(); };
}
template <class T>
auto put_of(pool<T>& to, T& value) noexcept {
    return [&to, &value] { return to.try_put(std::move(value)); };
}
inline auto take_of(raw_pool& from, std::span<std::byte> into) noexcept {
    return [&from, into] { return from.try_take(into); };
}
inline auto put_of(raw_pool& to, std::span<const std::byte> element) noexcept {
    return [&to, element] { return to.try_put(element); };
}

template <exchange_side Side, class Attempt>
class attempt_branch : public exchange_branch {
protected:
    template <class Of>
    attempt_branch(Of& at, Attempt attempt) noexcept
        : exchange_branch(exchange_access::of(at), Side), attempt_(attempt) {}
    attempt_branch(attempt_branch&& other) noexcept
        : exchange_branch(std::move(other)), attempt_(other.attempt_) {}

    template <class F>
    void call(F& f) {
        f(std::exchange(got_, failure{EAGAIN}));
    }

private:
    bool commit() noexcept final {
        got_ = attempt_();
        return got_.code() != EAGAIN;
    }

    const Attempt attempt_;
    std::invoke_result_t<const Attempt&> got_ = failure{EAGAIN};
};

template <class Of, class Attempt, class F>
auto on_take_by(Of& from, Attempt attempt, F f) {
    using kind = attempt_branch<exchange_side::taking, Attempt>;
    return branch_to<kind, F>(std::move(f), from, attempt);
}
template <class Of, class Attempt, class F>
auto on_give_by(Of& to, Attempt attempt, F f) {
    using kind = attempt_branch<exchange_side::giving, Attempt>;
    return branch_to<kind, F>(std::move(f), to, attempt);
}

}  // namespace wire::detail
