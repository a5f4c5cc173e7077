// Where a server listens: on --host, on both addresses of this machine, on --unix, or where systemd
// does.

#include <fcntl.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <type_traits>

#include "serve.hpp"

namespace serve {
namespace {

std::string why_in_use(const io::address& at) {
    const std::string path = at.path();
    if (path.empty())
        return "port " + std::to_string(at.port()) + " is already in use (" + at.to_string() +
               "): choose another with --port";
    std::error_code ignored;
    if (path.front() == '@' || std::filesystem::is_socket(path, ignored))
        return "another server listens on " + path + " already: choose another with --unix";
    return "cannot listen on " + path + ": there is a file that is no socket";
}

template <class Socket>
wire::result<Socket> open(const io::address& at, bool share) {
    if constexpr (std::is_same_v<Socket, io::listener>)
        return io::listen(at, {.reuse_port = share});
    else
        return io::bind_datagram(at, {.reuse_port = share});
}

// The socket, or the end of the program with a sentence.
template <class Socket>
Socket open_or_give_up(const io::address& at, bool share) {
    auto door = open<Socket>(at, share);
    if (door.code() == EADDRINUSE) give_up(why_in_use(at));
    if (!door) give_up("cannot listen on " + at.to_string() + ": " + door.error().message());
    return *std::move(door);
}

// Opens a socket for each thread. Returns where, in words.
template <class Socket>
std::string open_on_host(doors<Socket>& all, const std::string& host, std::uint16_t port) {
    const auto at = [&] { return io::address::ip(host, port); };
    if (!at()) give_up("--host takes a numeric IPv4 or IPv6 address, not '" + host + "'");
    const bool share = all.size() > 1;
    const auto port_of = [](const Socket& door) { return door.local_address().value().port(); };
    if (share)
        port = port_of(open_or_give_up<Socket>(*at(), false));  // first alone: fails if it is taken
    for (auto& of_thread : all) {
        of_thread.push_back(open_or_give_up<Socket>(*at(), share));
        port = port_of(of_thread.back());
    }
    return at()->to_string();
}

template <class Socket>
std::string open_on_hosts(doors<Socket>& all) {
    if (!options.host.empty()) return open_on_host(all, options.host, options.port);
    const std::string v4 = open_on_host(all, "127.0.0.1", options.port);
    const bool has_v6 = open<Socket>(*io::address::ip("::1", 0), false).has_value();
    return has_v6 ? v4 + " and " + open_on_host(all, "::1", options.port) : v4;
}

// The doors that systemd has opened, a duplicate for each thread. Returns where; "" if none.
std::string take_over(doors<io::listener>& all) {
    const auto handed = io::inherited_sockets();
    if (!handed) give_up("what LISTEN_FDS hands over makes no sense: " + handed.error().message());
    std::string where;
    for (const io::inherited_socket& socket : *handed) {
        for (auto& of_thread : all) {
            const int copy = ::fcntl(socket.fd.number(), F_DUPFD_CLOEXEC, 0);
            auto door = io::listener::adopt(copy);
            if (!door) give_up("cannot listen on " + socket.name + ": " + door.error().message());
            of_thread.push_back(*std::move(door));
        }
        const auto at = all[0].back().local_address().value();
        where += (where.empty() ? "" : " and ") + at.to_string();
    }
    return where;
}

}  // namespace

std::string open_doors(doors<io::listener>& all) {
    if (std::string where = take_over(all); !where.empty()) return where;
    const std::string& path = options.unix_path;
    if (path.empty()) return open_on_hosts(all);
    const auto at = io::address::local(path);
    if (!at) give_up("cannot listen on '" + path + "': " + at.error().message());
    all[0].push_back(open_or_give_up<io::listener>(*at, false));
    return path;
}

std::string open_doors(doors<io::datagram>& all) {
    return open_on_hosts(all);
}

}  // namespace serve
