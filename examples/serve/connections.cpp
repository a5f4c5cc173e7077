// A wire for each connection: accepted or refused, and at the end drained or cut.

#include <array>
#include <cstdio>
#include <exception>
#include <iterator>
#include <list>
#include <utility>

#include "serve.hpp"

namespace serve {
namespace {

// What one thread serves. Only its own wires touch it, so it needs no lock.
class acceptor {
public:
    acceptor(std::vector<io::listener>& doors, const protocol& talk) : doors_(doors), talk_(talk) {}

    void run() {
        main_ = wire::this_wire::ref();
        for (io::listener& door : doors_) wire::go({.name = "accept"}, [&] { accept_from(door); });
        wait_for_stop();
        for (io::listener& door : doors_) door.close();  // ends accept_from()
        drain();
    }

private:
    void accept_from(io::listener& door) {
        while (auto peer = door.accept()) {
            const std::size_t before = peers_.size();
            const bool fits = ++open_connections <= options.max_connections;
            try {
                if (fits) {
                    admit(*std::move(peer));
                    continue;
                }
                wire::go({.name = "refuse"}, refuse, *std::move(peer));
            } catch (const std::exception& e) {  // no memory, or no stack for its wire
                if (peers_.size() > before) peers_.pop_back();
                say_lost(e.what());
            }
            --open_connections;
        }
    }

    void admit(io::stream peer) {
        static_cast<void>(peer.set_no_delay(true));  // no harm if a Unix socket refuses
        peers_.emplace_back(std::move(peer));
        wire::go({.name = "connection"}, [this, at = std::prev(peers_.end())] {
            talk_(*at);
            peers_.erase(at);
            --open_connections;
            wire::resume(main_);  // drain() may be waiting for the last one
        });
    }

    // Once: there may be as many as anybody likes to send.
    void say_lost(const char* why) {
        if (std::exchange(lost_some_, true)) return;
        std::fprintf(stderr, "connections are closed as long as this lasts: %s\n", why);
    }

    static void refuse(io::stream peer) {
        const wire::deadline until = wire::within(seconds(1));
        if (!peer.write_all(options.refusal, until)) return;
        if (!peer.shutdown(io::direction::write)) return;
        // To close with unread bytes would reset the connection, and the line might be lost.
        std::array<std::byte, 1024> rest;
        while (auto n = peer.read(rest, until))
            if (*n == 0) return;
    }

    void drain() {
        const wire::deadline until = wire::within(seconds(options.drain));
        for (connection& peer : peers_)
            if (peer.idle) static_cast<void>(peer.shutdown(io::direction::read));  // it reads 0
        while (!peers_.empty() && wire::suspend(until)) {
        }
        cut_connections += static_cast<unsigned>(peers_.size());
        for (connection& peer : peers_) peer.close();  // its wire gets EBADF, and ends
    }

    std::vector<io::listener>& doors_;
    const protocol& talk_;
    std::list<connection> peers_;
    wire::wire_ref main_;
    bool lost_some_ = false;
};

}  // namespace

std::atomic<unsigned> open_connections, cut_connections;

int connections(const protocol& talk) {
    doors<io::listener> all(options.threads);
    const std::string where = open_doors(all);
    std::vector<acceptor> acceptors;  // outlive the wires of connections that were cut
    for (auto& of_thread : all) acceptors.emplace_back(of_thread, talk);
    return run(where, [&](unsigned thread) { acceptors[thread].run(); });
}

}  // namespace serve
