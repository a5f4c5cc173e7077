#include "service.hpp"

#include <array>
#include <exception>
#include <iterator>
#include <new>

namespace wired {

using namespace std::chrono_literals;

connection::connection(io::stream s, kv::server& home)
    : stream(std::move(s)),
      peer(stream.peer_address().value_or(io::address()).to_string()),
      session(home) {}

std::string connection::unfinished() const {
    if (!out.empty()) return "has not read " + std::to_string(out.size()) + " bytes of answers";
    if (!in.empty()) return "has sent " + std::to_string(in.size()) + " bytes of a request";
    return "has not closed its end";
}

// ---- start, freeze, drain

void service::open(io::listener door, std::string where) {
    door_.close();  // ends accept()
    door_ = std::move(door);
    where_ = std::move(where);
    if (inside_) inside_->go({.name = "accept"}, [this] { accept(); });
}

void service::start() {
    serving_ = wire::spawn({.name = "service"}, [this] { serve(); });
}

void service::serve() {
    const auto body = [this](wire::scope& all) {
        inside_ = &all;
        all.go({.name = "accept"}, [this] { accept(); });
        all.go({.name = "reaper"}, [this] { reap(); });
        for (place at = connections_.begin(); at != connections_.end(); ++at)
            all.go({.name = "connection"}, [this, at] { talk(at); });
    };
    static_cast<void>(wire::with_scope(wire::never, body));
    inside_ = nullptr;
}

void service::freeze() {
    const wire::shield whole;
    while (!inside_) wire::yield();  // it has just been started
    inside_->cancel();
    static_cast<void>(serving_.join());
    // What the system has accepted ahead is in no queue any more that a successor could look at.
    while (auto peer = door_.accept(wire::within(0s))) add(*std::move(peer));
}

std::vector<std::string> service::drain(wire::deadline until) {
    draining_ = true;
    door_.close();
    for (connection& c : connections_)  // such a one reads the end
        if (c.is_idle()) static_cast<void>(c.stream.shutdown(io::direction::read));
    if (!connections_.empty()) static_cast<void>(gone_.await(until));
    std::vector<std::string> cut;
    for (const connection& c : connections_) cut.push_back(c.peer + " " + c.unfinished());
    freeze();
    connections_.clear();
    return cut;
}

// ---- connections

void service::accept() {
    while (auto peer = door_.accept()) {
        const std::size_t before = connections_.size();
        try {
            admit(*std::move(peer));
        } catch (const std::exception& e) {  // no memory, or no stack for its wire
            if (connections_.size() > before) connections_.pop_back();
            log_(io::log_level::err, "a connection is refused: %s", e.what());
        }
    }
}

connection& service::add(io::stream peer) {
    static_cast<void>(peer.set_no_delay(true));  // no harm if a Unix socket refuses
    connection& c = connections_.emplace_back(std::move(peer), home);
    if (connections_.size() > settings_.connections_max) {
        c.out.append("-ERR max number of clients reached\r\n");
        c.over = true;
    }
    return c;
}

void service::admit(io::stream peer) {
    add(std::move(peer));
    inside_->go({.name = "connection"}, [this, at = std::prev(connections_.end())] { talk(at); });
}

void service::talk(place at) {
    bool ended = true;
    try {
        ended = converse(*at);
    } catch (const std::bad_alloc&) {  // there is no memory for its request
    }
    if (!ended) return;
    connections_.erase(at);
    if (draining_ && connections_.empty()) gone_.set();
}

// Returns whether it has ended; if not, it is to be gone on with.
bool service::converse(connection& c) {
    for (;;) {
        const auto sent = c.stream.write_all(c.out.view(), patience());
        c.out.drop(sent.done);
        if (!sent) return sent.code != ECANCELED;
        if (c.over) return part_from(c), true;
        c.in.drop(c.session.consume(c.in.view(), c.out));
        c.over = c.session.is_over();
        if (!c.out.empty() || c.over) continue;
        if (draining_ && c.in.empty()) return true;
        if (const int why = receive(c)) return why != ECANCELED;
    }
}

// Returns 0 or an errno.
int service::receive(connection& c) {
    constexpr std::size_t least = 16 * 1024;
    const auto n = c.stream.read(std::as_writable_bytes(c.in.room(least)), patience());
    if (!n) return n.code();
    c.in.add(*n);
    return *n == 0 ? ENODATA : 0;
}

// To close with unread bytes would reset the connection, and the last answer might be lost.
void service::part_from(connection& c) {
    const wire::deadline until = wire::within(1s);
    if (!c.stream.shutdown(io::direction::write)) return;
    std::array<std::byte, 1024> rest;
    while (auto n = c.stream.read(rest, until))
        if (*n == 0) return;
}

// Keys whose time is over are not found any more; this wire frees their memory.
void service::reap() {
    while (wire::sleep(wire::within(1s)))
        while (home.values.erase_over(0)) wire::yield();
}

}  // namespace wired
