#include "handover.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <deque>

#include "values.hpp"

namespace wired {
namespace {

using wire::failure, wire::result;

constexpr std::chrono::seconds patience(10);  // for all of it

std::string text_of(int error) {
    return std::system_category().message(error);
}

// ---- the old side

class giver {
public:
    giver(io::stream& to, wire::deadline until) : to_(to), until_(until) {}

    /// Sends a line, and a descriptor with it.
    result<void> line(std::string text, int fd) {
        text += '\n';
        const auto sent = to_.send_descriptors({&fd, 1}, std::as_bytes(std::span(text)), until_);
        if (!sent) return failure{sent.code()};
        return bytes(std::string_view(text).substr(*sent));
    }
    result<void> bytes(std::string_view text) {
        return wire::to_result(to_.write_all(text, until_).code);
    }

private:
    io::stream& to_;
    const wire::deadline until_;
};

result<void> give_connection(giver& to, const connection& c) {
    char head[80];
    std::snprintf(head, sizeof head, "connection %zu %zu %d", c.in.size(), c.out.size(), c.over);
    if (auto sent = to.line(head, c.stream.native_handle()); !sent) return sent;
    if (auto sent = to.bytes(c.in.view()); !sent) return sent;
    return to.bytes(c.out.view());
}

result<void> give_values(giver& to, const kv::store& values) {
    constexpr std::size_t enough = 64 * 1024;
    result<void> sent;
    kv::buffer piece;
    const auto send = [&] {
        sent = to.bytes("values " + std::to_string(piece.size()) + '\n');
        if (sent) sent = to.bytes(piece.view());
        piece.clear();
        return sent.has_value();
    };
    values.each([&](const kv::store::node& key) {
        append_requests(key, values.now_ms(), piece);
        return piece.size() < enough || send();
    });
    if (sent && !piece.empty()) send();
    return sent;
}

result<void> give_all(giver& to, const service& from, const io::listener& control, bool remove) {
    if (auto sent = to.line("listen " + from.where(), from.door().native_handle()); !sent)
        return sent;
    if (auto sent = to.line(remove ? "control 1" : "control 0", control.native_handle()); !sent)
        return sent;
    for (const connection& c : from.connections())
        if (auto sent = give_connection(to, c); !sent) return sent;
    if (auto sent = give_values(to, from.home.values); !sent) return sent;
    return to.bytes("end\n");
}

// ---- the new side

// Lines, bytes and descriptors, in the order in which they were sent.
class taker {
public:
    taker(io::stream from, wire::deadline until) : from_(std::move(from)), until_(until) {}

    result<std::string> line() {
        for (std::size_t looked = 0;;) {
            const auto end = in_.view().find('\n', looked);
            if (end != std::string_view::npos) {
                std::string text(in_.view().substr(0, end));
                in_.drop(end + 1);
                return text;
            }
            looked = in_.size();
            if (const int error = receive()) return failure{error};
        }
    }
    result<kv::buffer> bytes(std::size_t n) {
        while (in_.size() < n)
            if (const int error = receive()) return failure{error};
        kv::buffer taken;
        taken.append(in_.view().substr(0, n));
        in_.drop(n);
        return taken;
    }
    /// The one that came with the last line.
    result<int> descriptor() {
        if (descriptors_.empty()) return failure{EPROTO};
        const int fd = descriptors_.front().release();
        descriptors_.pop_front();
        return fd;
    }
    void say(std::string_view text) { static_cast<void>(from_.write_all(text, until_)); }

private:
    // Returns 0 or an errno.
    int receive() {
        io::owned_descriptor brought[1];
        const auto got =
            from_.receive_descriptors(brought, std::as_writable_bytes(in_.room(4096)), until_);
        if (!got) return got.code();
        in_.add(got->bytes);
        if (got->descriptors > 0) descriptors_.push_back(std::move(brought[0]));
        return got->bytes == 0 ? ENODATA : 0;
    }

    io::stream from_;
    const wire::deadline until_;
    kv::buffer in_;
    std::deque<io::owned_descriptor> descriptors_;
};

int take_connection(taker& from, const std::string& line, service& into) {
    std::size_t in = 0, out = 0;
    int over = 0;
    if (std::sscanf(line.c_str(), "connection %zu %zu %d", &in, &out, &over) != 3) return EPROTO;
    auto fd = from.descriptor();
    if (!fd) return fd.code();
    auto peer = io::stream::adopt(*fd);
    if (!peer) return ::close(*fd), peer.code();
    auto unread = from.bytes(in);
    if (!unread) return unread.code();
    auto unsent = from.bytes(out);
    if (!unsent) return unsent.code();
    connection& c = into.add(*std::move(peer));
    c.in = *std::move(unread);
    c.out = *std::move(unsent);
    c.over = over != 0;
    return 0;
}

int take_values(taker& from, const std::string& line, kv::session& session) {
    auto requests = from.bytes(std::strtoull(line.c_str() + sizeof "values", nullptr, 10));
    if (!requests) return requests.code();
    return run_requests(session, *requests) ? 0 : EPROTO;
}

int take_listener(taker& from, io::listener& to) {
    auto fd = from.descriptor();
    if (!fd) return fd.code();
    auto door = io::listener::adopt(*fd);
    if (!door) return ::close(*fd), door.code();
    to = *std::move(door);
    return 0;
}

// Takes all lines up to "end". Returns 0 or an errno.
int take_all(taker& from, service& into, inheritance& got) {
    kv::session session(into.home);
    for (;;) {
        const auto line = from.line();
        if (!line) return line.code();
        int error = 0;
        if (line->starts_with("error: "))
            throw start_error("the instance that runs refuses to be replaced: " + line->substr(7));
        if (*line == "end") return 0;
        if (line->starts_with("listen")) {
            io::listener door;
            error = take_listener(from, door);
            if (!error) into.open(std::move(door), line->substr(sizeof "listen"));
        } else if (line->starts_with("control")) {
            error = take_listener(from, got.control);
            got.removes_control = line->ends_with('1');
        } else if (line->starts_with("connection ")) {
            error = take_connection(from, *line, into);
        } else if (line->starts_with("values ")) {
            error = take_values(from, *line, session);
        } else {
            error = EPROTO;
        }
        if (error) return error;
    }
}

// Whether an error means that the old instance is not there any more.
bool is_gone(int error) {
    return error == ENODATA || error == ECONNRESET || error == EPIPE;
}

}  // namespace

std::string hand_over(const service& from, const io::listener& control, bool remove,
                      io::stream& to) {
    const wire::deadline until = wire::within(patience);
    giver giver(to, until);
    if (auto sent = give_all(giver, from, control, remove); !sent)
        return "it takes nothing: " + text_of(sent.code());
    std::array<std::byte, 6> answer;
    const auto got = to.read_exactly(answer, until);
    if (!got) {
        const std::string why = "it was not ready: " + text_of(got.code);
        static_cast<void>(giver.bytes("stay " + why + '\n'));
        return why;
    }
    if (const auto sent = giver.bytes("go\n"); !sent) return "it ended: " + text_of(sent.code());
    return {};
}

inheritance take_over(service& into, const std::string& path,
                      const std::function<void()>& prepare) {
    const wire::deadline until = wire::within(2 * patience);
    auto to = io::connect_unix(path, until);
    if (!to)
        throw start_error("--take-over: no instance answers at " + path + ": " +
                          text_of(to.code()) + "; start without --take-over");
    taker from(*std::move(to), until);
    from.say("take-over\n");
    inheritance got;
    const int error = take_all(from, into, got);
    if (error && !(is_gone(error) && into.door().is_open()))
        throw start_error("--take-over: what the instance at " + path +
                          " sends is not all there: " + text_of(error));
    got.whole = error == 0;
    prepare();
    if (error) return got;
    from.say("ready\n");
    const auto answer = from.line();
    if (answer && *answer != "go")
        throw start_error("--take-over: the old instance goes on: " + *answer);
    if (!answer && !is_gone(answer.code()))
        throw start_error("--take-over: the old instance does not let go: " +
                          text_of(answer.code()));
    return got;
}

}  // namespace wired
