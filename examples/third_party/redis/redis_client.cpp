// How hiredis and wires meet.
//
// hiredis never blocks: it collects commands in a buffer, and tells through hooks when it wants to
// write. One wire, drive(), makes its two calls when the time has come: redisAsyncHandleRead() when
// the socket is readable; redisAsyncHandleWrite() when a wire has asked for something, or, if the
// socket was full, when it is writable. It runs after all wires that were ready before it, so their
// commands go out together.
//
// Replies come in the order of commands, so a queue of who waits is all that is needed to deliver
// them. A place in it belongs to a frame of a waiting wire; one that gives up (deadline,
// cancellation) clears its places, and its replies are dropped.
//
// hiredis frees a connection that has failed by itself, inside those two calls. Before that it
// hands a null reply to everybody who waits, and calls cleanup().
#include "redis_client.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <strings.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>

namespace {

// In the type of a reply while hiredis still has it: a wire has it, too, so it must not be freed.
constexpr int taken = 1 << 16;

void free_unless_taken(void* object) {
    auto* const reply = static_cast<redisReply*>(object);
    if (reply && (reply->type & taken))
        reply->type &= ~taken;
    else
        freeReplyObject(reply);
}

void ignore_broken_pipes() {
    struct sigaction now {};
    if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL)
        std::signal(SIGPIPE, SIG_IGN);
}

// Whether a command in the protocol's form ("*1\r\n$7\r\nMONITOR\r\n") has other than one reply.
bool has_one_reply(std::string_view command) {
    const std::size_t begin = command.find("\r\n", command.find('$')) + 2;
    const std::string_view name = command.substr(begin, command.find("\r\n", begin) - begin);
    const auto ends_in = [name](std::string_view end) {
        return name.size() >= end.size() &&
               ::strncasecmp(name.data() + name.size() - end.size(), end.data(), end.size()) == 0;
    };
    return !ends_in("subscribe") && !ends_in("monitor");
}

void append(std::string& to, char kind, std::size_t number) {
    char digits[20];
    char* const end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    to.append(1, kind).append(digits, end).append("\r\n");
}

// A command as the protocol wants it. By hand: hiredis prints each number with sprintf(), which
// takes much of a wire's stack into the cache.
std::string encoded(std::span<const std::string_view> words) {
    WIRE_ASSERT(!words.empty(), "a Redis command has no words");
    std::size_t size = 24;
    for (const std::string_view word : words) size += word.size() + 24;
    std::string made;
    made.reserve(size);
    append(made, '*', words.size());
    for (const std::string_view word : words) {
        append(made, '$', word.size());
        made.append(word).append("\r\n");
    }
    return made;
}

std::string numeric(const wire::io::address& a) {
    char host[NI_MAXHOST] = "";
    ::getnameinfo(a.raw(), a.length(), host, sizeof host, nullptr, 0, NI_NUMERICHOST);
    return host;
}

}  // namespace

// ---- commands

void redis_pipeline::add(std::span<const std::string_view> words) {
    commands_.push_back(encoded(words));
}

wire::result<redis_reply> redis_client::command(wire::deadline until,
                                                std::span<const std::string_view> words) {
    const std::string text = encoded(words);
    redis_reply one;
    if (const auto ok = exchange({&text, 1}, {&one, 1}, until); !ok)
        return wire::failure{ok.code()};
    return one;
}

wire::result<std::vector<redis_reply>> redis_client::run(const redis_pipeline& commands,
                                                         wire::deadline until) {
    std::vector<redis_reply> all(commands.size());
    if (const auto ok = exchange(commands.commands_, all, until); !ok)
        return wire::failure{ok.code()};
    return all;
}

// ---- asking and waiting

// What a wire waits for; in its frame.
struct redis_client::waiting {
    std::span<redis_reply> room;  // for the replies that are to come
    int error = 0;
    wire::event done = {};
};

wire::result<void> redis_client::exchange(std::span<const std::string> commands,
                                          std::span<redis_reply> room, wire::deadline until) {
    if (wire::this_wire::cancelled()) return wire::failure{ECANCELED};
    if (!connected()) return wire::failure{ENOTCONN};
    if (commands.size() > unanswered_max - replies_.size()) return wire::failure{ENOBUFS};
    for (const std::string& c : commands)
        if (!has_one_reply(c)) return wire::failure{EOPNOTSUPP};
    if (commands.empty()) return {};
    waiting self{.room = room};
    const std::uint64_t number = first_ + replies_.size();
    for (const std::string& c : commands) {
        replies_.push_back(&self);
        redisAsyncFormattedCommand(context_, on_reply, nullptr, c.data(), c.size());
    }
    return wait_for(self, number, until);
}

// Once `self` is done, the client may be gone.
wire::result<void> redis_client::wait_for(waiting& self, std::uint64_t number,
                                          wire::deadline until) {
    const std::size_t count = self.room.size();
    const auto waited = self.done.await(until);
    if (self.done.is_set()) return wire::to_result(self.error);
    for (std::uint64_t n = std::max(number, first_); n < number + count; ++n)
        replies_[n - first_] = nullptr;
    return waited;
}

// hiredis has a reply to the oldest command, or, at the end of the connection, none.
void redis_client::on_reply(redisAsyncContext* context, void* object, void*) {
    redis_client& self = *static_cast<redis_client*>(context->data);
    waiting* const w = self.replies_.front();
    self.replies_.pop_front();
    ++self.first_;
    if (!w) return;
    if (auto* const reply = static_cast<redisReply*>(object)) {
        reply->type |= taken;
        w->room.front().reset(reply);
        w->room = w->room.subspan(1);
    } else {
        w->error = code_of(*context);
    }
    if (w->error || w->room.empty()) w->done.set();
}

int redis_client::code_of(const redisAsyncContext& context) noexcept {
    if (context.err == 0) return ENOTCONN;
    if (context.err == REDIS_ERR_PROTOCOL) return EPROTO;
    return context.err == REDIS_ERR_OOM ? ENOMEM : ECONNRESET;
}

// ---- the connection

void redis_client::disconnect() noexcept {
    driver_ = {};
    if (context_) redisAsyncFree(context_);  // there was no memory for a driver
}

wire::result<void> redis_client::fail(int code, const std::string& why) {
    error_ = "redis " + where_ + ": " + why;
    return wire::failure{code};
}

wire::result<void> redis_client::connect(const std::string& server, wire::deadline until) {
    disconnect();
    where_ = server;
    const auto done = server.starts_with('/') ? connect_unix(until) : connect_tcp(until);
    if (done.code() == ECONNREFUSED || done.code() == ENOENT)
        error_ += " (is redis-server running there?)";
    return done;
}

wire::result<void> redis_client::connect_unix(wire::deadline until) {
    if (const auto fits = wire::io::address::local(where_); !fits)
        return fail(fits.code(), fits.error().message());
    return open(redisAsyncConnectUnix(where_.c_str()), until);
}

wire::result<void> redis_client::connect_tcp(wire::deadline until) {
    const std::size_t colon = where_.rfind(':');
    std::string host = where_.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const char* const end = where_.data() + where_.size();
    std::uint16_t port = 0;
    const auto [rest, error] = std::from_chars(where_.data() + colon + 1, end, port);
    if (colon == where_.npos || host.empty() || error != std::errc() || rest != end || port == 0)
        return fail(EINVAL, "is neither HOST:PORT nor a path");
    if (wire::io::address::ip(host, port))
        return open(redisAsyncConnect(host.c_str(), port), until);
    // hiredis would look a name up itself, and block the thread.
    const auto addresses = wire::io::resolve(host, std::to_string(port), until);
    if (!addresses) return fail(addresses.code(), addresses.error().message());
    wire::result<void> tried = fail(EHOSTUNREACH, "no address");
    for (const wire::io::address& a : *addresses) {
        tried = open(redisAsyncConnect(numeric(a).c_str(), port), until);
        if (tried || tried.code() == ETIMEDOUT || tried.code() == ECANCELED) break;
    }
    return tried;
}

wire::result<void> redis_client::open(redisAsyncContext* context, wire::deadline until) {
    if (!context) return fail(ENOMEM, "no memory");
    std::unique_ptr<redisAsyncContext, void (*)(redisAsyncContext*)> owner(context, redisAsyncFree);
    if (context->err) {
        const int code = context->err == REDIS_ERR_IO && errno > 0 ? errno : EHOSTUNREACH;
        return fail(code, context->errstr);
    }
    ignore_broken_pipes();
    ::fcntl(context->c.fd, F_SETFD, FD_CLOEXEC);
    int error = wire::io::wait_writable(context->c.fd, until).code();
    socklen_t size = sizeof error;
    if (error == 0) ::getsockopt(context->c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return fail(error, std::system_category().message(error));
    attach(*owner.release());
    redisAsyncHandleWrite(context);  // it notes that it is connected
    if (!context_) return wire::failure{ECONNRESET};
    error_.clear();
    driver_ = wire::spawn({.name = "redis"}, [this] { drive(); });
    return {};
}

void redis_client::attach(redisAsyncContext& context) noexcept {
    context_ = &context;
    context.data = context.ev.data = this;
    context.ev.addWrite = [](void* data) {
        redis_client& c = *static_cast<redis_client*>(data);
        if (!c.socket_full_) c.something_to_write_.wake();
    };
    context.ev.cleanup = [](void* data) { static_cast<redis_client*>(data)->cleanup(); };
    objects_ = *context.c.reader->fn;
    objects_.freeObject = free_unless_taken;
    context.c.reader->fn = &objects_;
    something_to_write_.reset();
    socket_full_ = false;
}

// The wire of a connection, from connect() to the end of that or of the client.
void redis_client::drive() {
    readable_.emplace(context_->c.fd);
    writable_.emplace(context_->c.fd);
    writable_->stop();
    wire::wait_list any;
    any.chain(*readable_);
    any.chain(something_to_write_);
    any.chain(*writable_);
    while (context_) {
        const auto woken = any.await();
        if (!woken || !readable_->status() || !writable_->status())
            redisAsyncFree(context_);
        else if (*woken == &*readable_)
            read();
        else
            write();
    }
}

void redis_client::read() {
    redisAsyncHandleRead(context_);
    if (context_) readable_->reset();
}

void redis_client::write() {
    something_to_write_.reset();
    socket_full_ = true;  // hiredis asks for what follows here
    redisAsyncHandleWrite(context_);
    if (!context_) return;
    socket_full_ = sdslen(context_->c.obuf) != 0;
    if (socket_full_)
        writable_->reset();
    else
        writable_->stop();
}

// hiredis is about to close the socket.
void redis_client::cleanup() noexcept {
    error_ = context_->err ? "redis " + where_ + ": " + context_->errstr : "";
    context_ = nullptr;
    readable_.reset();
    writable_.reset();
}
