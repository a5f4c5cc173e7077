// Errors as values: a result or the errno that explains why there is none.
#pragma once

#include <cerrno>
#include <memory>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include <wire/assert.hpp>

namespace wire {

/// The errno of a failed call: `return failure{ETIMEDOUT};`
struct failure {
    int code;
};

namespace detail {
/// Throws std::system_error with `code` in the system category.
[[noreturn, gnu::cold]] WIRE_API void throw_error(int code);
}  // namespace detail

/// A value, or the errno of a failed call. The numbers are those of the system call's man page; the
/// library itself adds
///
///     ETIMEDOUT   the call's deadline has passed
///     ECANCELED   the wire's scope is cancelled, perhaps because the scope's deadline has passed
///     EBADF       the stream, listener or descriptor is closed, or was closed meanwhile
///     ENODATA     the peer sent no more although read_exactly() or read_at_least() wanted more
///     EDEADLK     run(): wires wait that nothing can wake
///     EPIPE       a channel is closed; remote::call(): the runtime is gone
///     EAGAIN      try_send(), try_recv() and the like: it would have to wait
///     EINVAL, ENAMETOOLONG   an address that is none
///
/// A peer that is gone is EPIPE or ECONNRESET, as the system says. EINTR never comes, nor does
/// EAGAIN from calls that may block.
///
/// The interface is the part of std::expected that is needed here; that type does not exist in
/// C++20. `T` needs no default constructor. It may itself be a result: see handle::join().
template <class T>
class [[nodiscard]] result {
    static_assert(!std::is_reference_v<T>, "return a pointer: a result holds a value");

public:
    using value_type = T;

    result(T&& value) noexcept(std::is_nothrow_move_constructible_v<T>) : code_(0) {
        ::new (static_cast<void*>(std::addressof(value_))) T(std::move(value));
    }
    result(const T& value) requires std::is_copy_constructible_v<T> : code_(0) {
        ::new (static_cast<void*>(std::addressof(value_))) T(value);
    }
    result(failure f) noexcept : code_(f.code) {
        WIRE_ASSERT(f.code > 0, "a failure needs a positive errno");
    }

    result(const result& other) requires std::is_copy_constructible_v<T> : code_(other.code_) {
        if (code_ == 0) ::new (static_cast<void*>(std::addressof(value_))) T(other.value_);
    }
    result(result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) : code_(other.code_) {
        if (code_ == 0)
            ::new (static_cast<void*>(std::addressof(value_))) T(std::move(other.value_));
    }
    result& operator=(result other) noexcept(std::is_nothrow_move_constructible_v<T>) {
        if (code_ == 0) std::destroy_at(std::addressof(value_));
        code_ = EINVAL;  // holds nothing, if T's move constructor throws below
        if (other.code_ == 0)
            ::new (static_cast<void*>(std::addressof(value_))) T(std::move(other.value_));
        code_ = other.code_;
        return *this;
    }
    ~result() {
        if (code_ == 0) std::destroy_at(std::addressof(value_));
    }

    [[nodiscard]] bool has_value() const noexcept { return code_ == 0; }
    explicit operator bool() const noexcept { return code_ == 0; }

    /// The value; asserts that there is one.
    T& operator*() & { return checked(); }
    const T& operator*() const& { return const_cast<result*>(this)->checked(); }
    T&& operator*() && { return std::move(checked()); }
    T* operator->() { return std::addressof(checked()); }
    const T* operator->() const { return std::addressof(const_cast<result*>(this)->checked()); }

    /// The value; throws std::system_error with error() if there is none. (An exception that leaves
    /// a detached wire ends the program.)
    T& value() & { return code_ == 0 ? value_ : (detail::throw_error(code_), value_); }
    T&& value() && { return std::move(value()); }

    /// The value, moved out, or `otherwise`.
    const T& value() const& { return const_cast<result*>(this)->value(); }

    template <class U>
    T value_or(U&& otherwise) const& {
        return code_ == 0 ? value_ : static_cast<T>(std::forward<U>(otherwise));
    }
    template <class U>
    T value_or(U&& otherwise) && {
        return code_ == 0 ? std::move(value_) : static_cast<T>(std::forward<U>(otherwise));
    }

    /// The error in the system category; a default std::error_code if there is a value.
    [[nodiscard]] std::error_code error() const noexcept { return {code_, std::system_category()}; }
    /// The same as a bare errno; 0 if there is a value.
    [[nodiscard]] int code() const noexcept { return code_; }

private:
    T& checked() {
        WIRE_ASSERT(code_ == 0, "read of a failed result");
        return value_;
    }

    union {
        T value_;
    };
    int code_;
};

/// Success, or the errno of a failed call.
template <>
class [[nodiscard]] result<void> {
public:
    using value_type = void;

    result() noexcept = default;
    result(failure f) noexcept : code_(f.code) {
        WIRE_ASSERT(f.code > 0, "a failure needs a positive errno");
    }

    [[nodiscard]] bool has_value() const noexcept { return code_ == 0; }
    explicit operator bool() const noexcept { return code_ == 0; }
    void operator*() const noexcept { WIRE_ASSERT(code_ == 0, "read of a failed result"); }
    /// Throws std::system_error with error() if this is a failure.
    void value() const {
        if (code_ != 0) detail::throw_error(code_);
    }
    [[nodiscard]] std::error_code error() const noexcept { return {code_, std::system_category()}; }
    [[nodiscard]] int code() const noexcept { return code_; }

private:
    int code_ = 0;
};

/// Success for errno 0, else the failure.
inline result<void> to_result(int code) noexcept {
    if (code == 0) return {};
    return failure{code};
}

}  // namespace wire
