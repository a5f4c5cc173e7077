#include <wire/inherited.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "syscalls.hpp"

namespace wire::io {
namespace {

constexpr int first_number = 3;  // SD_LISTEN_FDS_START
constexpr int count_max = 1 << 16;

std::optional<std::string> take_variable(const char* name) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): as safe as any getenv
    const char* const value = std::getenv(name);
    if (!value) return {};
    std::string copy = value;
    ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe): the caller is told
    return copy;
}

// A number from 0 on that is all of the text; -1 for anything else.
int number_in(std::string_view text) noexcept {
    int n = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    return error == std::errc() && end == text.data() + text.size() && n >= 0 ? n : -1;
}

std::vector<std::string> split(std::string_view names) {
    std::vector<std::string> all;
    for (;;) {
        const auto colon = names.find(':');
        all.emplace_back(names.substr(0, colon));
        if (colon == names.npos) return all;
        names.remove_prefix(colon + 1);
    }
}

}  // namespace

result<std::vector<inherited_socket>> inherited_sockets() {
    const auto pid = take_variable("LISTEN_PID");
    const auto count = take_variable("LISTEN_FDS");
    const auto listed = take_variable("LISTEN_FDNAMES");
    std::vector<inherited_socket> sockets;
    if (!pid || !count) return sockets;
    const int n = number_in(*count);
    if (number_in(*pid) < 1 || n < 0 || n > count_max) return failure{EINVAL};
    if (number_in(*pid) != ::getpid() || n == 0) return sockets;
    const auto wanted = static_cast<std::size_t>(n);
    const auto names = listed ? split(*listed) : std::vector<std::string>(wanted, "unknown");
    if (names.size() != wanted) return failure{EINVAL};
    for (int fd = first_number; fd < first_number + n; ++fd)
        if (detail::invoke("fcntl", [&] { return ::fcntl(fd, F_SETFD, FD_CLOEXEC); }) < 0)
            return failure{EBADF};
    for (std::size_t i = 0; i < wanted; ++i)
        sockets.push_back({names[i], owned_descriptor(first_number + static_cast<int>(i))});
    return sockets;
}

}  // namespace wire::io
