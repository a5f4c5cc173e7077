#include "engine.hpp"

#include "commands.hpp"

namespace kv {
namespace {

constexpr std::size_t answers_enough = 16 * 1024;  // bytes; rather send these first
constexpr std::size_t quoted_max = 128;            // bytes of a request in an error

std::string unknown(const words& request) {
    std::string text = "ERR unknown command '" + std::string(request[0].substr(0, quoted_max)) +
                       "', with args beginning with: ";
    const std::size_t before = text.size();
    for (std::size_t i = 1; i < request.size() && text.size() < before + quoted_max; ++i) {
        const std::size_t room = before + quoted_max - text.size();
        text += "'" + std::string(request[i].substr(0, room)) + "' ";
    }
    return text;
}

// `known` was not given enough words, or too many; nullptr: there is no such command.
[[gnu::cold, gnu::noinline]] void refuse(const command* known, const words& request,
                                         reply& answer) {
    if (!known) return answer.error(unknown(request));
    answer.error("ERR wrong number of arguments for '" + std::string(known->name) + "' command");
}

}  // namespace

std::size_t session::consume(std::string_view in, buffer& out) {
    std::size_t used = 0;
    while (!over_ && out.size() < answers_enough) {
        const parser::outcome got = parser_.parse(in.substr(used));
        if (got == parser::outcome::incomplete) break;
        if (got == parser::outcome::broken) {
            reply(out, server_.most.request_max).error(parser_.error());
            over_ = true;
            break;
        }
        if (const words request = parser_.request(); request.size() > 0) run(request, out);
        used += parser_.size();
        parser_.next();
    }
    if (commands_ > 0) server_.commands += std::exchange(commands_, 0);
    return used;
}

void session::run(const words& request, buffer& out) {
    reply answer(out, server_.most.request_max);
    const command* const known = find_command(request[0]);
    if (!known || !known->takes(request.size())) return refuse(known, request, answer);
    ++commands_;
    store& values = server_.values;
    const store::guard held(values, values.shared() ? known->shards(values, request) : 0);
    call c{server_, values, request, answer, id_, commands_, over_};
    known->run(c);
    answer.finish();
}

}  // namespace kv
