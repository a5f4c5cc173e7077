#include "redis_link.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>

namespace {

using namespace std::chrono_literals;

bool is_past(wire::deadline until) {
    return until <= wire::within(0s);
}

// What Redis says of itself, not of the command: it may be asked again later.
bool passes(std::string_view error) {
    constexpr std::array<std::string_view, 9> words{"OOM",      "LOADING",     "BUSY ",
                                                    "MISCONF",  "READONLY",    "MASTERDOWN",
                                                    "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS"};
    return std::any_of(words.begin(), words.end(),
                       [error](std::string_view w) { return error.starts_with(w); });
}

int code_of(std::string_view error) {
    if (passes(error)) return EAGAIN;
    if (error.starts_with("NOGROUP") || error.starts_with("UNBLOCKED")) return ESRCH;
    const bool refused = error.starts_with("NOAUTH") || error.starts_with("WRONGPASS") ||
                         error.starts_with("NOPERM");
    return refused ? EACCES : EINVAL;
}

std::string hint_of(std::string_view error) {
    if (error.starts_with("WRONGTYPE")) return " (that key is used for something else)";
    if (error.starts_with("OOM")) return " (more maxmemory is needed, or faster receivers)";
    return code_of(error) == EACCES ? " (is that the right password?)" : "";
}

// What has failed now may work later.
bool is_worth_a_try(int code) {
    return code != EACCES && code != ESRCH && code != EINVAL && code != ECANCELED &&
           code != ENAMETOOLONG;
}

}  // namespace

wire::result<std::vector<redis_reply>> redis_link::run(const redis_pipeline& commands,
                                                       wire::deadline until) {
    for (auto pause = 10ms;; pause = std::min(2 * pause, 1000ms)) {
        const std::string reason = error_;
        auto replies = run_once(commands, until);
        if (replies) {
            told_.clear();
            error_.clear();
        }
        if (replies || !is_worth_a_try(replies.code())) return replies;
        if (is_past(until)) {
            if (!reason.empty())
                error_ = reason;  // that there was no time for the last try is none
            return wire::failure{ETIMEDOUT};
        }
        if (server_.on_trouble && told_ != error_) server_.on_trouble(told_ = error_);
        const auto slept = wire::sleep(std::min(until, wire::within(pause)));
        if (!slept) return wire::failure{slept.code()};
    }
}

wire::result<std::vector<redis_reply>> redis_link::run_once(const redis_pipeline& commands,
                                                            wire::deadline until) {
    const wire::deadline patience = std::min(until, wire::within(server_.silence_max));
    if (const auto ok = connect(patience); !ok) return wire::failure{ok.code()};
    const unsigned connection = connection_;
    auto replies = db_.run(commands, patience);
    if (!replies) {
        if (replies.code() == ECANCELED) return replies;
        if (replies.code() == ETIMEDOUT) fail(0, "no answer");
        if (replies.code() == ETIMEDOUT && !is_past(until)) drop(connection);
        if (replies.code() != ETIMEDOUT && !db_.error().empty()) error_ = db_.error();
        return wire::failure{EAGAIN};
    }
    for (const redis_reply& reply : *replies)
        if (const int code = judge(*reply)) return wire::failure{code};
    return replies;
}

// The code of the first error in it; 0: there is none. BUSYGROUP: a group is there already.
int redis_link::judge(const redisReply& reply) {
    for (std::size_t i = 0; reply.type == REDIS_REPLY_ARRAY && i < reply.elements; ++i)
        if (const int code = judge(*reply.element[i])) return code;
    if (reply.type != REDIS_REPLY_ERROR) return 0;
    const std::string_view error(reply.str, reply.len);
    return error.starts_with("BUSYGROUP") ? 0 : fail(code_of(error), reply.str + hint_of(error));
}

// ---- the connection

wire::result<void> redis_link::connect(wire::deadline until) {
    if (ready_ && db_.connected()) return {};
    if (const auto mine = connecting_.lock(until); !mine) return mine;
    const std::lock_guard lock(connecting_, std::adopt_lock);
    if (ready_ && db_.connected()) return {};
    ready_ = false;
    ++connection_;
    if (const auto ok = open(until); !ok) return ok;
    if (const auto ok = log_in(until); !ok) return ok;
    ready_ = true;
    return {};
}

wire::result<void> redis_link::open(wire::deadline until) {
    const auto done = db_.connect(server_.address, until);
    if (!done) error_ = db_.error();
    return done;
}

wire::result<void> redis_link::log_in(wire::deadline until) {
    if (server_.password.empty()) return {};
    const auto reply = db_.command(until, {"AUTH", server_.password});
    const int code = reply ? judge(**reply) : fail(EAGAIN, "no answer to AUTH");
    if (code == 0) return {};
    db_.disconnect();
    return wire::failure{code == EINVAL ? EACCES : code};
}

int redis_link::fail(int code, std::string why) {
    error_ = "redis " + server_.address + ": " + std::move(why);
    return code;
}

// Ends that connection, unless somebody else has.
void redis_link::drop(unsigned connection) {
    const std::lock_guard lock(connecting_);
    if (connection == connection_) db_.disconnect();
}
