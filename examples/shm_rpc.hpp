// What shm_rpc_client and shm_rpc_server say to each other, in the records of an arena.
//
// Client number n has two channels: it asks in one, and is answered in the other. It has its
// number from the moment at which it has the consumer's role in its channel for answers, for no
// two can have that. The server comes when it finds the channel for questions, and says so with an
// empty record: then the client knows that somebody is there, and hears of it if that one dies.
//
// An answer is the record of the question, with something else in it: it has crossed both ways
// without being copied. Only if it is longer than that is it a record of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <wire/shm/arena.hpp>

namespace rpc {

/// Who produces in it is the server. Nobody receives.
inline constexpr std::uint32_t the_server = 0;
/// The server produces in it as soon as clients may come.
inline constexpr std::uint32_t the_door = 1;
inline constexpr std::uint32_t clients_max = 16;

constexpr std::uint32_t questions_of(std::uint32_t client) {
    return 2 + 2 * client;
}
constexpr std::uint32_t answers_of(std::uint32_t client) {
    return 3 + 2 * client;
}

enum class operation : std::uint32_t {
    echo,    // the payload as it is
    upper,   // its letters in upper case
    sum,     // of signed numbers of 64 bits, as one such number
    repeat,  // the payload, `argument` times
    wait,    // the payload, after so many milliseconds
};

/// In front of the payload. The other side may write anything: it is copied, then checked.
struct head {
    operation what = operation::echo;
    std::int32_t error = 0;      // an answer's; errno
    std::uint64_t argument = 0;  // a question's
    std::uint64_t bytes = 0;     // of the payload
};

inline void write_head(const wire::shm::arena_record& r, const head& h) {
    std::memcpy(r.bytes().data(), &h, sizeof h);
}
/// Returns false if the record is no message.
inline bool read_head(const wire::shm::arena_record& r, head& h) {
    if (r.bytes().size() < sizeof h) return false;
    std::memcpy(&h, r.bytes().data(), sizeof h);
    return h.bytes <= r.bytes().size() - sizeof h;
}
/// The room for a payload.
inline std::span<std::byte> room_of(const wire::shm::arena_record& r) {
    return r.bytes().subspan(sizeof(head));
}

}  // namespace rpc
