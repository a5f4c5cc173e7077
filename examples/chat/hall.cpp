#include "hall.hpp"

#include <cerrno>
#include <utility>

namespace chat {

// ---- member

member::member(hall& in, wire::io::stream& peer, std::size_t backlog)
    : hall_(in), peer_(peer), lines_(backlog) {
    do {
        name_ = "guest" + std::to_string(++hall_.guests_);
    } while (!hall_.members_.emplace(name_, this).second);
}

void member::tell(const line& text) {
    if (lines_.try_send(text).code() != EAGAIN) return;  // there was room, or it has left
    too_slow_ = true;
    lines_.close();
    while (lines_.try_recv()) {
    }
    peer_.close();  // its wires get EBADF, and see to the rest
}

void member::tell_others(std::string text) const {
    if (room_) room_->tell(std::move(text), this);
}

bool member::rename(const std::string& name) {
    if (!hall_.members_.emplace(name, this).second) return false;
    hall_.members_.erase(std::exchange(name_, name));
    return true;
}

void member::enter(const std::string& room_name) {
    leave_room();
    room_ = &hall_.rooms_.try_emplace(room_name, room_name).first->second;
    room_->members_.push_back(this);
}

void member::leave() {
    leave_room();
    hall_.members_.erase(name_);
    name_.clear();  // nobody's
    lines_.close();
}

void member::leave_room() {
    if (!room_) return;
    std::erase(room_->members_, this);
    if (room_->members_.empty()) hall_.rooms_.erase(room_->name());
    room_ = nullptr;
}

// ---- room

void room::tell(std::string text, const member* but) const {
    const line shared = make_line(std::move(text));
    for (member* m : members_)
        if (m != but) m->tell(shared);
}

std::string room::list() const {
    std::string names;
    for (const member* m : members_) names += (names.empty() ? "" : ", ") + m->name();
    return names;
}

// ---- names

bool is_name(std::string_view text) {
    constexpr std::string_view allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    return !text.empty() && text.size() <= 20 && text.find_first_not_of(allowed) == text.npos;
}

}  // namespace chat
