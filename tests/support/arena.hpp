// What tests of arenas share: children, and what is in a record.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>

#include <wire/shm/arena.hpp>

#include "dies.hpp"
#include "io.hpp"

namespace wire::test {

using shm::arena;
using shm::arena_record;
using shm::role;

/// Runs `fn()` in a child, whose exit code it returns.
template <class F>
pid_t in_child(F fn) {
    const pid_t child = ::fork();
    if (child == 0) {
        detail::become_plain_program();
        ::_exit(fn());
    }
    return child;
}
/// Of a signal: negative.
inline int exit_code(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

inline void fill(arena_record& r, std::string_view text) {
    std::memcpy(r.bytes().data(), text.data(), text.size());
}
inline std::string text_of(const arena_record& r) {
    return {reinterpret_cast<const char*>(r.bytes().data()), r.bytes().size()};
}
inline arena_record made(arena& a, std::string_view text) {
    auto r = a.allocate(text.size());
    CHECK(r);
    if (!r) return {};
    fill(*r, text);
    return *std::move(r);
}
/// What was received: text, or the error's name.
inline std::string received(arena& a, std::uint32_t id, deadline until = soon()) {
    const auto r = a.recv(id, until);
    return r ? text_of(*r) : error_name(r.code());
}
/// The error's name; "" if it worked.
inline std::string sent(arena& a, std::uint32_t id, std::string_view text,
                        deadline until = soon()) {
    arena_record r = made(a, text);
    return error_name(a.send(id, r, until).code());
}
template <class T>
std::string error_of(const result<T>& r) {
    return error_name(r.code());
}

inline constexpr std::size_t record_overhead = 16;

/// The longest record that can be allocated now: all of an arena that nobody has a record of, but
/// the word.
inline std::size_t longest_free(arena& a, std::size_t heap) {
    std::size_t least = 0;
    for (std::size_t most = heap; least < most;) {
        const std::size_t n = (least + most + 1) / 2;
        if (a.allocate(n))
            least = n;
        else
            most = n - 1;
    }
    return least;
}
/// The error's name that opening or creating it throws; "" if it does not.
template <class F>
std::string refusal_of(F make) {
    try {
        make();
        return "";
    } catch (const std::system_error& e) {
        return error_name(e.code().value());
    }
}

}  // namespace wire::test
