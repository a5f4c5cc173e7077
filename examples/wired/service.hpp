// The key-value service: a wire for each connection, and all of them stopped and gone on with at
// any moment.
//
// What a connection is about lies in its object, not in its wire: bytes that came and are no whole
// request yet, and answers that are not sent yet. As a call that is cancelled loses no byte, its
// wire can be ended anywhere; another one goes on where it was, perhaps in another process.
#pragma once

#include <list>
#include <string>
#include <vector>

#include <wire/wire.hpp>

#include "config.hpp"
#include "kv/engine.hpp"

namespace wired {

namespace io = wire::io;

struct connection {
    connection(io::stream s, kv::server& home);

    io::stream stream;
    const std::string peer;  // for people
    kv::session session;
    kv::buffer in, out;
    bool over = false;  // it has sent its last request: `out`, then the end

    [[nodiscard]] bool is_idle() const { return in.empty() && out.empty() && !over; }
    /// What it has not finished, for people.
    [[nodiscard]] std::string unfinished() const;
};

class service {
public:
    /// `settings` may change while it runs.
    service(const config& settings, io::log& log) : settings_(settings), log_(log) {}

    /// Accepts from `door` from now on, instead of from another one. `where` is what the settings
    /// call it; "" if they have no say in it.
    void open(io::listener door, std::string where);
    /// A connection that somebody else has accepted.
    connection& add(io::stream peer);

    /// Serves, in wires of its own, until freeze() or drain().
    void start();
    /// Ends those wires. What they worked on stays as it is, for start() or for a successor.
    void freeze();
    /// Accepts no more, ends idle connections, and waits for the others until `until`. Returns who
    /// had to be cut, with what each had not finished.
    std::vector<std::string> drain(wire::deadline until);
    /// Ends the waiting of drain().
    void hurry() { hurried_ = true, gone_.set(); }
    [[nodiscard]] bool hurried() const { return hurried_; }

    [[nodiscard]] const io::listener& door() const { return door_; }
    [[nodiscard]] const std::string& where() const { return where_; }
    [[nodiscard]] const std::list<connection>& connections() const { return connections_; }

    kv::server home{false};

private:
    using place = std::list<connection>::iterator;

    void serve();
    void accept();
    void admit(io::stream peer);
    void talk(place at);
    bool converse(connection& c);
    void part_from(connection& c);
    int receive(connection& c);
    void reap();
    [[nodiscard]] wire::deadline patience() const { return wire::within(settings_.idle); }

    const config& settings_;
    io::log& log_;
    io::listener door_;
    std::string where_;
    std::list<connection> connections_;
    wire::scope* inside_ = nullptr;  // of its wires, while they run
    wire::handle<void> serving_;
    bool draining_ = false, hurried_ = false;
    wire::event gone_;  // the last connection, of a drain
};

}  // namespace wired
