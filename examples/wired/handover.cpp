#include "handover.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <deque>

#include "values.hpp"

namespace wired {
namespace {

constexpr std::chrono::seconds patience(10);  // for all of it

std::string text_of(int error) {
    return std::system_category().message(error);
}

// ---- the old side

// Sends, until the first error: then it does nothing any more.
class giver {
public:
    giver(io::stream& to, wire::deadline until) : to_(to), until_(until) {}

    /// A line, and a descriptor with it.
    void line(std::string text, int fd) {
        if (error_) return;
        text += '\n';
        const auto sent = to_.send_descriptors({&fd, 1}, std::as_bytes(std::span(text)), until_);
        error_ = sent.code();
        if (sent) bytes(std::string_view(text).substr(*sent));
    }
    void bytes(std::string_view text) {
        if (!error_) error_ = to_.write_all(text, until_).code;
    }
    [[nodiscard]] int error() const { return error_; }

private:
    io::stream& to_;
    const wire::deadline until_;
    int error_ = 0;
};

void give_connection(giver& to, const connection& c) {
    char head[80];
    std::snprintf(head, sizeof head, "connection %zu %zu %d", c.in.size(), c.out.size(), c.over);
    to.line(head, c.stream.native_handle());
    to.bytes(c.in.view());
    to.bytes(c.out.view());
}

void give_values(giver& to, const kv::store& values) {
    constexpr std::size_t enough = 64 * 1024;
    kv::buffer piece;
    const auto send = [&] {
        to.bytes("values " + std::to_string(piece.size()) + '\n');
        to.bytes(piece.view());
        piece.clear();
    };
    values.each([&](const kv::store::node& key) {
        append_requests(key, values.now_ms(), piece);
        if (piece.size() >= enough) send();
        return to.error() == 0;
    });
    send();
}

void give_all(giver& to, const service& from, const io::listener& control, bool remove) {
    to.line("listen " + from.where(), from.door().native_handle());
    to.line(remove ? "control 1" : "control 0", control.native_handle());
    for (const connection& c : from.connections()) give_connection(to, c);
    give_values(to, from.home.values);
    to.bytes("end\n");
}

// ---- the new side

// Receives lines, bytes and descriptors, in the order in which they were sent, until the first
// error: then there are no more.
class taker {
public:
    taker(io::stream from, wire::deadline until) : from_(std::move(from)), until_(until) {}

    std::string line() {
        std::size_t end = 0;
        while ((end = in_.view().find('\n')) == std::string_view::npos)
            if (!receive()) return {};
        std::string text(in_.view().substr(0, end));
        in_.drop(end + 1);
        return text;
    }
    kv::buffer bytes(std::size_t n) {
        kv::buffer taken;
        while (in_.size() < n)
            if (!receive()) return taken;
        taken.append(in_.view().substr(0, n));
        in_.drop(n);
        return taken;
    }
    /// The one that came with the last line, as a stream or a listener.
    template <class T>
    T descriptor() {
        if (descriptors_.empty()) return fail(EPROTO), T();
        io::owned_descriptor fd = std::move(descriptors_.front());
        descriptors_.pop_front();
        auto made = T::adopt(fd.number());
        if (!made) return fail(made.code()), T();
        static_cast<void>(fd.release());
        return *std::move(made);
    }
    void say(std::string_view text) { static_cast<void>(from_.write_all(text, until_)); }

    [[nodiscard]] int error() const { return error_; }
    void fail(int error) {
        if (!error_) error_ = error;
    }

private:
    bool receive() {
        if (error_) return false;
        io::owned_descriptor brought[1];
        const auto got =
            from_.receive_descriptors(brought, std::as_writable_bytes(in_.room(4096)), until_);
        error_ = !got ? got.code() : got->bytes == 0 ? ENODATA : 0;
        if (error_) return false;
        in_.add(got->bytes);
        if (got->descriptors > 0) descriptors_.push_back(std::move(brought[0]));
        return true;
    }

    io::stream from_;
    const wire::deadline until_;
    kv::buffer in_;
    std::deque<io::owned_descriptor> descriptors_;
    int error_ = 0;
};

void take_connection(taker& from, const std::string& line, service& into) {
    std::size_t in = 0, out = 0;
    int over = 0;
    if (std::sscanf(line.c_str(), "connection %zu %zu %d", &in, &out, &over) != 3)
        return from.fail(EPROTO);
    auto peer = from.descriptor<io::stream>();
    kv::buffer unread = from.bytes(in), unsent = from.bytes(out);
    if (from.error()) return;
    connection& c = into.add(std::move(peer));
    c.in = std::move(unread);
    c.out = std::move(unsent);
    c.over = over != 0;
}

void take_values(taker& from, const std::string& line, kv::session& session) {
    kv::buffer requests = from.bytes(std::strtoull(line.c_str() + sizeof "values", nullptr, 10));
    if (!run_requests(session, requests)) from.fail(EPROTO);
}

// Takes all lines up to "end".
void take_all(taker& from, service& into, inheritance& got) {
    kv::session session(into.home);
    while (!from.error()) {
        const std::string line = from.line();
        if (line.starts_with("error: "))
            throw start_error("the instance that runs refuses to be replaced: " + line.substr(7));
        if (line == "end") return;
        if (line.starts_with("listen ")) {
            auto door = from.descriptor<io::listener>();
            if (!from.error()) into.open(std::move(door), line.substr(sizeof "listen"));
        } else if (line.starts_with("control ")) {
            got.control = from.descriptor<io::listener>();
            got.removes_control = line.ends_with('1');
        } else if (line.starts_with("connection ")) {
            take_connection(from, line, into);
        } else if (line.starts_with("values ")) {
            take_values(from, line, session);
        } else {
            from.fail(EPROTO);
        }
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
    give_all(giver, from, control, remove);
    if (giver.error()) return "it takes nothing: " + text_of(giver.error());
    std::array<std::byte, 6> answer;
    const auto got = to.read_exactly(answer, until);
    if (!got) {
        const std::string why = "it was not ready: " + text_of(got.code);
        giver.bytes("stay " + why + '\n');
        return why;
    }
    giver.bytes("go\n");
    return giver.error() ? "it ended: " + text_of(giver.error()) : "";
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
    take_all(from, into, got);
    const int error = from.error();
    if (error && !(is_gone(error) && into.door().is_open()))
        throw start_error("--take-over: what the instance at " + path +
                          " sends is not all there: " + text_of(error));
    got.whole = error == 0;
    prepare();
    if (error) return got;
    from.say("ready\n");
    const std::string answer = from.line();
    if (!from.error() && answer != "go")
        throw start_error("--take-over: the old instance goes on: " + answer);
    if (from.error() && !is_gone(from.error()))
        throw start_error("--take-over: the old instance does not let go: " +
                          text_of(from.error()));
    return got;
}

}  // namespace wired
