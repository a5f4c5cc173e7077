// Happy Eyeballs: several addresses of one host, and the first that answers.
#include <algorithm>
#include <cerrno>
#include <chrono>

#include <wire/resolve.hpp>
#include <wire/scope.hpp>
#include <wire/wait.hpp>

namespace wire::io {
namespace {

constexpr std::chrono::milliseconds attempt_delay(250);  // RFC 8305, section 8

// The families take turns, beginning with that of the first; each keeps its order.
std::vector<const address*> in_turns(std::span<const address> all) {
    std::vector<const address*> preferred, others, mixed;
    for (const address& a : all)
        (a.family() == all.front().family() ? preferred : others).push_back(&a);
    for (std::size_t i = 0; i < std::max(preferred.size(), others.size()); ++i) {
        if (i < preferred.size()) mixed.push_back(preferred[i]);
        if (i < others.size()) mixed.push_back(others[i]);
    }
    return mixed;
}

// The tries under way, and the first of them that came to something.
struct race {
    wait next;  // one has failed: the next may begin
    stream winner;
    int first_error = 0;

    void run(const address& to, bool preferred, scope& all) noexcept {
        auto peer = connect(to);
        if (peer && !winner.is_open()) {
            winner = *std::move(peer);
            return all.cancel();
        }
        if (preferred) first_error = peer.code();
        next.wake();
    }
};

}  // namespace

result<stream> connect_any(std::span<const address> to, deadline until) {
    if (to.empty()) return failure{EINVAL};
    race tries;
    const auto ended = with_scope(until, [&](scope& all) {
        const auto addresses = in_turns(to);
        for (const address* a : addresses) {
            all.go({.name = "connect"}, [&tries, &all, a, first = addresses.front()] {
                tries.run(*a, a == first, all);
            });
            if (tries.next.await(within(attempt_delay)).code() == ECANCELED) return;
            tries.next.reset();
        }
    });
    if (tries.winner.is_open()) return std::move(tries.winner);
    return failure{ended ? tries.first_error : ended.code()};
}

}  // namespace wire::io
