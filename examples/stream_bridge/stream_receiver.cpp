// The fetching wire asks for new entries and, from time to time, for those that somebody else has
// not acknowledged; it puts messages into a channel, and fetches no more while that is full.
//
// Redis remembers of each entry that it has given out to whom and when, until it is acknowledged.
// So an entry whose answer got lost with a connection is not lost: it is idle, and taken over after
// idle_max, by its own receiver as by any other.
#include "stream_receiver.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

using namespace std::chrono_literals;

namespace {

std::string_view text_of(const redisReply& r) {
    return r.str ? std::string_view(r.str, r.len) : std::string_view();
}

bool is_list(const redisReply& r, std::size_t least) {
    return r.type == REDIS_REPLY_ARRAY && r.elements >= least;
}

}  // namespace

stream_receiver::stream_receiver(stream_receiver_options options)
    : options_(std::move(options)),
      source_(options_.server),
      answers_(options_.server),
      fetched_(options_.ahead),
      fetcher_(wire::spawn({.name = "stream_receiver"}, [this] { fetch(); })) {}

wire::result<stream_message> stream_receiver::recv(wire::deadline until) {
    for (;;) {
        auto m = fetched_.recv(until);
        if (!m) return wire::failure{m.code() == EPIPE ? refused_ : m.code()};
        if (m->sender.empty() || given_.insert(m->sender, m->number)) return m;
        ++repeats_;
        const std::string id = m->id;
        m->home_ = nullptr;  // the first one stays given
        held_.erase(id);
        static_cast<void>(acknowledge(id, until));  // or it is thrown away the next time
    }
}

// ---- fetching

void stream_receiver::fetch() {
    auto done = make_group();
    while (done || done.code() == ESRCH) {
        if (!done)
            done = make_group();
        else if (std::chrono::steady_clock::now() >= next_take_over_)
            done = take_over();
        else
            done = read();
    }
    refused_ = done.code();
    fetched_.close();
}

wire::result<void> stream_receiver::make_group() {
    redis_pipeline p;
    p.add({"XGROUP", "CREATE", options_.stream, options_.group, "0", "MKSTREAM"});
    return wire::to_result(source_.run(p).code());
}

// Blocks in Redis for a second at most, so that there is time for other things, and so that silence
// means that something is wrong.
wire::result<void> stream_receiver::read() {
    const auto shortest = std::min(options_.idle_max / 4, options_.server.silence_max / 2);
    const auto block = std::clamp<std::chrono::milliseconds>(shortest, 1ms, 1000ms);
    redis_pipeline p;
    p.add({"XREADGROUP", "GROUP", options_.group, options_.consumer, "COUNT",
           std::to_string(options_.ahead), "BLOCK", std::to_string(block.count()), "STREAMS",
           options_.stream, ">"});
    const auto replies = source_.run(p);
    if (!replies) return wire::failure{replies.code()};
    const redisReply& streams = *replies->front();  // nil if nothing has come
    if (!is_list(streams, 1) || !is_list(*streams.element[0], 2)) return {};
    return take(*streams.element[0]->element[1], nullptr);
}

wire::result<void> stream_receiver::take_over() {
    std::string cursor = "0-0";
    do {
        redis_pipeline p;
        p.add({"XAUTOCLAIM", options_.stream, options_.group, options_.consumer,
               std::to_string(options_.idle_max.count()), cursor, "COUNT",
               std::to_string(options_.ahead)});
        const auto replies = source_.run(p);
        if (!replies) return wire::failure{replies.code()};
        const redisReply& claimed = *replies->front();
        if (!is_list(claimed, 2)) break;
        cursor = text_of(*claimed.element[0]);
        if (auto ok = take(*claimed.element[1], &taken_over_); !ok) return ok;
    } while (cursor != "0-0");
    next_take_over_ = std::chrono::steady_clock::now() + options_.idle_max / 2;
    return {};
}

// Makes messages of entries, [[id, [field, value...]]...]. One that is deleted has no fields.
wire::result<void> stream_receiver::take(const redisReply& entries, std::uint64_t* counted) {
    for (std::size_t i = 0; i < entries.elements; ++i) {
        const redisReply& entry = *entries.element[i];
        if (!is_list(entry, 2) || !is_list(*entry.element[1], 2)) continue;
        stream_message m(*this);
        m.id = text_of(*entry.element[0]);
        const redisReply& fields = *entry.element[1];
        for (std::size_t f = 0; f + 1 < fields.elements; f += 2) {
            const auto name = text_of(*fields.element[f]), value = text_of(*fields.element[f + 1]);
            if (name == "from") m.sender = value;
            if (name == "message") m.text = value;
            if (name == "number")
                std::from_chars(value.data(), value.data() + value.size(), m.number);
        }
        if (!held_.insert(m.id).second) {
            m.home_ = nullptr;  // claimed from ourselves
            continue;
        }
        if (counted) ++*counted;
        if (const auto sent = fetched_.send(std::move(m)); !sent) return sent;
    }
    return {};
}

// ---- acknowledging

// Both or none: an entry that is acknowledged and still there would count as unacknowledged.
wire::result<void> stream_receiver::acknowledge(const std::string& id, wire::deadline until) {
    redis_pipeline p;
    p.add({"MULTI"});
    p.add({"XACK", options_.stream, options_.group, id});
    p.add({"XDEL", options_.stream, id});
    p.add({"EXEC"});
    return wire::to_result(answers_.run(p, until).code());
}

wire::result<void> stream_message::ack(wire::deadline until) {
    if (!home_) return {};
    const auto done = home_->acknowledge(id, until);
    if (done) std::exchange(home_, nullptr)->held_.erase(id);
    return done;
}

void stream_receiver::give_up(const stream_message& m) {
    held_.erase(m.id);
    given_.erase(m.sender, m.number);
}

stream_message::~stream_message() {
    if (home_) home_->give_up(*this);
}
