// A chat server: what one says in a room all others there can read. Each connection has a wire that
// reads, a wire that writes, and between the room and the latter a channel.
//
//     ./chat_server                    on 127.0.0.1 and ::1, port 7002
//     nc 127.0.0.1 7002                then: /help
//     ./chat_server --help
//
// A room gives a line to its members with try_send(), which never waits, so who reads slowly holds
// up nobody. Whose channel is full, with --backlog lines, is dropped, and the log on standard error
// says so. After each line a reader lets everybody else run, so between two turns of a writer each
// other member says one line at most: who reads is not dropped for the others being many and quick,
// as long as a room has fewer members than --backlog.
//
// A channel is for the wires of one runtime, so there is one thread, and names and rooms need no
// lock; see chat/hall.hpp. How the server starts and ends is in serve.hpp, which the other servers
// use too. There are no passwords, and nobody's talk is limited.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "chat/hall.hpp"
#include "chat/line_reader.hpp"
#include "serve.hpp"

namespace {

using namespace std::chrono_literals;

// ---- what members can do; each says whether they stay

void enter(chat::member& me, const std::string& room) {
    me.enter(room);
    me.tell("* you are in " + room + ": " + me.where().list());
    me.tell_others("* " + me.name() + " has joined");
}

void explain_names(chat::member& me) {
    me.tell("* names have 1 to 20 letters, digits, hyphens and underscores");
}

bool nick(chat::member& me, const std::string& name) {
    const std::string before = me.name();
    if (!chat::is_name(name)) return explain_names(me), true;
    if (!me.rename(name)) return me.tell("* the name " + name + " is taken"), true;
    me.tell("* you are " + name);
    me.tell_others("* " + before + " is now " + name);
    return true;
}

bool join(chat::member& me, const std::string& room) {
    if (!chat::is_name(room)) return explain_names(me), true;
    if (me.where().name() != room) me.tell_others("* " + me.name() + " has left");
    if (me.where().name() != room) enter(me, room);
    return true;
}

bool who(chat::member& me, const std::string&) {
    me.tell("* in " + me.where().name() + ": " + me.where().list());
    return true;
}

bool quit(chat::member&, const std::string&) {
    return false;
}

bool help(chat::member& me, const std::string&);

struct command {
    std::string_view name;
    const char* help;
    bool (*run)(chat::member& me, const std::string& argument);
};
constexpr std::array<command, 5> commands{{{"/nick", " NAME: be called so", nick},
                                           {"/join", " ROOM: go there", join},
                                           {"/who", ": who is in this room", who},
                                           {"/quit", ": go", quit},
                                           {"/help", ": this", help}}};

bool help(chat::member& me, const std::string&) {
    for (const command& c : commands) me.tell("* " + std::string(c.name) + c.help);
    return true;
}

bool obey(chat::member& me, std::string text) {
    // What controls a terminal is not for the terminals of others.
    std::ranges::replace_if(
        text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
    if (!text.starts_with('/')) {
        if (!text.empty()) me.tell_others(me.name() + ": " + text);
        return true;
    }
    const std::size_t blank = std::min(text.find(' '), text.size());
    const std::string word = text.substr(0, blank);
    const auto c = std::ranges::find(commands, word, &command::name);
    if (c == commands.end()) return me.tell("* " + word + " is nothing; try /help"), true;
    const std::size_t argument = text.find_first_not_of(' ', blank);
    return c->run(me, argument == text.npos ? "" : text.substr(argument));
}

// ---- a connection

// Sends what comes, all that there is with one write, until nothing more will.
void write_lines(chat::member& me, serve::connection& peer) {
    constexpr std::size_t enough = 16 * 1024;
    std::string text;
    for (const chat::line& first : me.lines()) {
        text = *first;
        while (text.size() < enough) {
            const auto next = me.lines().try_recv();
            if (!next) break;
            text += **next;
        }
        if (!peer.write_all(text, serve::patience())) return peer.close();  // the reader gets EBADF
    }
}

// Returns when the peer goes or has to go, with what to say to it then.
const char* read_lines(chat::member& me, serve::connection& peer) {
    chat::line_reader in(peer);
    peer.idle = true;  // so read() finds an end when the server stops
    while (!serve::stopping() && !me.too_slow()) {
        const auto text = in.next(serve::patience());
        if (text.code() == EMSGSIZE) return "* that line is too long: goodbye\n";
        if (text.code() == ETIMEDOUT) return "* you have said nothing for long: goodbye\n";
        if (!serve::stopping() && (!text || !obey(me, std::string(*text)))) return "* goodbye\n";
        wire::yield();
    }
    return "* the server stops: goodbye\n";
}

// To close with unread bytes would reset the connection, and the last line might be lost.
void part_from(serve::connection& peer, const char* farewell) {
    const wire::deadline until = wire::within(1s);
    if (!peer.write_all(farewell, until) || !peer.shutdown(wire::io::direction::write)) return;
    std::array<std::byte, 1024> rest;
    while (auto n = peer.read(rest, until))
        if (*n == 0) return;
}

void talk(serve::connection& peer, chat::hall& home, unsigned backlog, wire::io::log& log) {
    chat::member me(home, peer, backlog);
    auto writer = wire::spawn({.name = "writer"}, write_lines, std::ref(me), std::ref(peer));
    me.tell("* welcome, " + me.name() + "; try /help");
    enter(me, "lobby");
    const char* const farewell = read_lines(me, peer);

    const std::string name = me.name();
    if (!serve::stopping())
        me.tell_others("* " + name + (me.too_slow() ? " was dropped: too slow" : " has left"));
    me.leave();
    const bool all_is_sent = writer.join(wire::within(5s)).has_value();
    if (me.too_slow())
        log(wire::io::log_level::warning, "dropped %s, who reads too slowly", name.c_str());
    else if (all_is_sent)
        part_from(peer, farewell);
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("chat_server", "Lets people talk in rooms.");
    unsigned backlog = 1024;
    line.add("--backlog", backlog, "Lines that may wait for a member").number(1, 1'000'000);
    serve::begin(line, argc, argv,
                 {.port = 7002,
                  .idle_timeout = 600,
                  .refusal = "* there is no room for more: try again later\n",
                  .has_threads = false});
    chat::hall home;
    wire::io::log log(STDERR_FILENO);
    return serve::connections([&](serve::connection& peer) { talk(peer, home, backlog, log); });
}
