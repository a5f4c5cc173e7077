// Who is here, under which name, and in which room.
//
// All of it belongs to the wires of one runtime, so that none of it needs a lock: what stands
// between two calls that may suspend happens at once. Nothing here ever suspends.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wire/channel.hpp>
#include <wire/stream.hpp>

namespace chat {

class hall;
class room;

/// Text that ends with a newline, shared by all who get it.
using line = std::shared_ptr<const std::string>;

inline line make_line(std::string text) {
    text += '\n';
    return std::make_shared<const std::string>(std::move(text));
}

/// Somebody who is here, from construction to leave().
class member {
public:
    /// Comes in under a name that nobody has, and into no room yet. `backlog` lines may wait until
    /// `peer` reads them.
    member(hall& in, wire::io::stream& peer, std::size_t backlog);
    member(const member&) = delete;
    member& operator=(const member&) = delete;
    ~member() { leave(); }

    /// Hands over a line to be sent. Who has too many already is too slow for this place: what
    /// waits is thrown away, and the connection closed, so that nobody waits for one who does not
    /// read.
    void tell(const line& text);
    /// The same, with a newline to be added.
    void tell(std::string text) { tell(make_line(std::move(text))); }
    /// Tells all others in the room.
    void tell_others(std::string text) const;

    /// Takes another name. Says whether that was free.
    bool rename(const std::string& name);
    /// Goes from its room, if it is in one, to another, which exists from then on.
    void enter(const std::string& room_name);
    /// Goes for good, and gets nothing more. A second time has no effect.
    void leave();

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const room& where() const noexcept { return *room_; }
    [[nodiscard]] bool too_slow() const noexcept { return too_slow_; }
    /// What is to be sent to it. Closed by leave(): the lines that wait can still be taken.
    [[nodiscard]] wire::channel<line>& lines() noexcept { return lines_; }

private:
    void leave_room();

    hall& hall_;
    wire::io::stream& peer_;
    std::string name_;
    room* room_ = nullptr;
    wire::channel<line> lines_;
    bool too_slow_ = false;
};

/// Passes on what its members say. Exists while it has any.
class room {
public:
    explicit room(std::string name) : name_(std::move(name)) {}

    /// To all of them but one. They get the lines in the order of the calls.
    void tell(std::string text, const member* but) const;
    /// All of them, in the order in which they came.
    [[nodiscard]] std::string list() const;
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

private:
    friend member;
    const std::string name_;
    std::vector<member*> members_;
};

class hall {
    friend member;
    std::map<std::string, member*> members_;  // by name
    std::map<std::string, room> rooms_;
    unsigned guests_ = 0;  // that there have been
};

/// Whether a member or a room may be called so: 1 to 20 letters, digits, hyphens and underscores.
bool is_name(std::string_view text);

}  // namespace chat
