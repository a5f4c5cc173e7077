// A channel of an arena for values of one type.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include <wire/shm/arena.hpp>

namespace wire::shm {

namespace detail {

template <class T>
constexpr std::string_view name_of_type() noexcept {
    // "... T = NAME]", in GCC's text perhaps with a semicolon behind the name.
    constexpr std::string_view text = __PRETTY_FUNCTION__;
    constexpr std::size_t begin = text.find("T = ") + 4;
    return text.substr(begin, text.find_first_of(";]", begin) - begin);
}

/// The same in each program that has a type of that name, size and alignment. (FNV-1a)
template <class T>
constexpr std::uint64_t number_of_type() noexcept {
    constexpr std::uint64_t prime = 0x100000001B3;
    std::uint64_t n = 0xCBF29CE484222325;
    for (const char c : name_of_type<T>()) n = (n ^ static_cast<unsigned char>(c)) * prime;
    n = (n ^ sizeof(T)) * prime;
    n = (n ^ alignof(T)) * prime;
    return n == 0 ? 1 : n;
}

}  // namespace detail

/// A T in an arena's memory, this user's. Empty if it was moved from or sent.
template <class T>
class datum {
public:
    datum() noexcept = default;

    [[nodiscard]] T& operator*() const noexcept { return *value_; }
    [[nodiscard]] T* operator->() const noexcept { return value_; }
    explicit operator bool() const noexcept { return static_cast<bool>(record_); }

private:
    template <class>
    friend class data_channel;
    datum(arena_record&& r, T* value) noexcept : record_(std::move(r)), value_(value) {}

    arena_record record_;
    T* value_ = nullptr;
};

/// This user's end of a channel that carries T, and refuses users who mean another type. It must
/// not outlive the arena's handle. It does not leave the channel: leave() does, and the handle's
/// end.
///
/// T is copied as bytes, and must mean the same to all: no pointers. A hostile process may send a T
/// of any bytes.
template <class T>
class data_channel {
    static_assert(std::is_trivially_copyable_v<T>, "other processes get its bytes");
    static_assert(alignof(T) <= 16, "records are aligned to 16 bytes");

public:
    /// Fails as arena::add_channel(); with EMEDIUMTYPE if the channel carries something else.
    static result<data_channel> add(arena& of, std::uint32_t id, role as) {
        const result<void> added = of.add_channel(id, as, detail::number_of_type<T>());
        if (!added) return failure{added.code()};
        return data_channel(of, id);
    }

    /// A T in the arena, to be filled in place. Fails with ENOMEM, ENOENT (not the producer).
    template <class... Args>
    result<datum<T>> make(Args&&... args) {
        result<arena_record> r = of_->allocate(sizeof(T), id_);
        if (!r) return failure{r.code()};
        T* const value =
            ::new (static_cast<void*>(r->bytes().data())) T{std::forward<Args>(args)...};
        return datum<T>(*std::move(r), value);
    }
    /// `value` is empty if it works. Fails as arena::send().
    result<void> send(datum<T>& value, deadline until = never) {
        return of_->send(id_, value.record_, until);
    }
    /// Sends a copy. Fails as make() and send().
    result<void> send(const T& value, deadline until = never) {
        result<datum<T>> made = make(value);
        if (!made) return failure{made.code()};
        return send(*made, until);
    }
    /// Fails as arena::recv(), and with EBADMSG: what was sent has another size.
    result<datum<T>> recv(deadline until = never) { return datum_of(of_->recv(id_, until)); }
    result<datum<T>> try_recv() { return datum_of(of_->try_recv(id_)); }

    /// Fails with ENOENT: this user takes part no longer.
    result<void> leave() { return of_->leave_channel(id_); }
    [[nodiscard]] std::uint32_t id() const noexcept { return id_; }

private:
    data_channel(arena& of, std::uint32_t id) noexcept : of_(&of), id_(id) {}

    static result<datum<T>> datum_of(result<arena_record>&& r) noexcept {
        if (!r) return failure{r.code()};
        if (r->bytes().size() != sizeof(T)) return failure{EBADMSG};
        // The bytes are those of a T in another process.
        T* const value = std::launder(reinterpret_cast<T*>(r->bytes().data()));
        return datum<T>(*std::move(r), value);
    }

    arena* of_;
    std::uint32_t id_;
};

}  // namespace wire::shm
