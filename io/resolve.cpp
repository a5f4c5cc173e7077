#include <wire/resolve.hpp>

#include <netdb.h>

#include "helpers.hpp"
#include "syscalls.hpp"

namespace wire::io {
namespace {

class names final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "name"; }
    [[nodiscard]] std::string message(int code) const override { return ::gai_strerror(code); }
};

// A look-up, on the heap: it may go on when nobody waits any more.
struct lookup : detail::job, wire::detail::immovable {
    lookup(std::string_view h, std::string_view s)
        : job(&run, this, [](job& j) { delete static_cast<lookup*>(&j); }), host(h), service(s) {}
    ~lookup() {
        if (found) ::freeaddrinfo(found);
    }

    static void run(void* self) noexcept {
        auto& l = *static_cast<lookup*>(self);
        addrinfo wanted{};
        wanted.ai_socktype = SOCK_STREAM;
        int gai = 0;
        const auto n = detail::invoke("getaddrinfo", [&] {
            gai = ::getaddrinfo(l.host.c_str(), l.service.c_str(), &wanted, &l.found);
            return gai == EAI_SYSTEM ? -1 : 0;
        });
        if (n < 0 || gai == EAI_SYSTEM)
            l.why = {0, n < 0 ? static_cast<int>(-n) : EIO};
        else if (gai != 0)
            l.why = {gai, EHOSTUNREACH};
    }

    const std::string host, service;
    addrinfo* found = nullptr;
    name_failure why{0, 0};
};

}  // namespace

const std::error_category& name_category() noexcept {
    static const names category;
    return category;
}

resolved<std::vector<address>> resolve(std::string_view host, std::string_view service,
                                       deadline until) {
    auto* const asked = new lookup(host, service);
    if (const int error = detail::run_job(*asked, until)) return failure{error};
    const std::unique_ptr<const lookup> answer(asked);
    if (answer->why.code != 0) return answer->why;
    std::vector<address> all;
    for (const addrinfo* a = answer->found; a; a = a->ai_next)
        all.push_back(address::from(a->ai_addr, a->ai_addrlen));
    return all;
}

resolved<stream> connect(std::string_view host, std::string_view service, deadline until) {
    const auto found = resolve(host, service, until);
    if (!found) return found.why();
    auto peer = connect_any(*found, until);
    if (!peer) return failure{peer.code()};
    return *std::move(peer);
}

}  // namespace wire::io
