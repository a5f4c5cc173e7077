// Whatever bytes a client sends, in whatever pieces: http_server's session neither crashes nor
// finds a file outside its folder, which is empty, and answers the same. And whatever a server
// answers: http_get's parser finds the same body.

#include <fcntl.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "http/session.hpp"

namespace {

void demand(bool condition, const char* sentence) {
    if (condition) return;
    std::fprintf(stderr, "http_fuzz: %s\n", sentence);
    std::abort();
}

int empty_folder() {
    char path[] = "/tmp/http_fuzz.XXXXXX";
    demand(::mkdtemp(path), "there is no folder for it in /tmp");
    const int fd = ::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ::rmdir(path);
    return fd;
}

// The dates in answers are those of the moment.
std::string without_dates(std::string text) {
    constexpr std::string_view field = "\r\nDate: ";
    for (std::size_t at = 0; (at = text.find(field, at)) != std::string::npos; ++at)
        text.replace(at + field.size(), std::min<std::size_t>(29, text.size()), "");
    return text;
}

// What is malformed may be refused sooner or later, or the parser may wait for its rest.
std::string without_refusal(std::string text) {
    const std::size_t last = text.rfind("HTTP/1.1 ");
    if (last == std::string::npos || text.compare(last + 9, 3, "200") == 0) return text;
    if (text.find("\r\nConnection: close", last) != std::string::npos) text.resize(last);
    return text;
}

/// A client's connection: what it sends, and what it has got.
class conversation {
public:
    // False once the connection is closed.
    bool send(std::string_view bytes) {
        in_.append(bytes);
        std::string_view rest = in_;
        http::next what{};
        do {
            const std::size_t before = rest.size();
            what = session_.consume(rest, out_);
            demand(rest.size() <= before, "input has grown");
            demand(what != http::next::send_file, "there is a file in an empty folder");
            demand(what != http::next::write || !out_.bytes().empty(), "it makes no progress");
            got_.append(out_.bytes());
            out_.clear();
        } while (what == http::next::write);
        in_ = std::string(rest);
        demand(what == http::next::close || in_.size() < http::head_max, "input piles up");
        return what == http::next::read;
    }

    [[nodiscard]] const std::string& got() const { return got_; }
    [[nodiscard]] std::uint64_t answered() const { return session_.answered(); }

private:
    static http::site& site() {
        static http::site empty(empty_folder()), none(-1);
        static const bool can_open = empty.find("/file").status == 404;  // Valgrind cannot
        return can_open ? empty : none;
    }

    http::session session_{site(), 1000};
    http::output out_;
    std::string in_, got_;
};

std::string answers_to(std::string_view bytes, std::size_t piece) {
    conversation client;
    while (!bytes.empty() && client.send(bytes.substr(0, piece)))
        bytes.remove_prefix(std::min(bytes.size(), piece));
    demand(client.got().empty() || client.got().starts_with("HTTP/1.1 "), "no answer of HTTP");
    return without_refusal(without_dates(client.got()));
}

// What http_get would make of the bytes: the body, and whether there is a whole one.
std::pair<std::string, bool> body_in(std::string_view bytes, std::size_t piece) {
    http::response_parser answer;
    std::string kept, body;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        kept.append(bytes.substr(at, piece));
        std::string_view rest = kept;
        for (std::size_t before = ~std::size_t{0}; rest.size() < before;) {
            before = rest.size();
            const http::progress p = answer.parse(rest);
            body.append(answer.body());
            if (p == http::progress::complete) return {body, true};
            if (p == http::progress::failed) return {body, false};
        }
        kept = std::string(rest);
    }
    return {body, answer.end_of_stream() == http::progress::complete};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const std::string at_once = answers_to(bytes, http::head_max);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
        const std::string in_pieces = answers_to(bytes, piece);
        const auto whole = body_in(bytes, http::head_max), parts = body_in(bytes, piece);
        if (size >= http::head_max) continue;  // what is too long depends on the pieces
        demand(in_pieces == at_once, "pieces get other answers");
        demand(whole.first.starts_with(parts.first), "pieces make another body");
        demand(whole == parts || !whole.second, "pieces make no whole body");
    }
    return 0;
}
