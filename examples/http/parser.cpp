#include "parser.hpp"

#include <boost/beast/http/basic_parser.hpp>
#include <cstring>

namespace http {
namespace {

namespace beast = boost::beast::http;
using boost::beast::error_code;
using boost::beast::iequals;
using text = boost::beast::string_view;

method to_method(beast::verb verb) noexcept {
    switch (verb) {
        case beast::verb::get:
            return method::get;
        case beast::verb::head:
            return method::head;
        case beast::verb::unknown:
            return method::unknown;
        default:
            return method::unsupported;
    }
}

int to_status(error_code error) noexcept {
    if (error == beast::error::header_limit) return 431;
    if (error == beast::error::body_limit) return 413;
    if (error == beast::error::bad_version) return 505;
    return 400;
}

// The shortest end of a chunked body: "0", two line ends.
constexpr std::size_t last_chunk_min = 5;

// Gives the rest of `bytes` to `parser`. Says what is wrong, if something is.
template <class Parser>
error_code put(Parser& parser, std::string_view& bytes) {
    error_code error;
    // Of less of the last chunk older versions assert that there is more (boostorg/beast pull
    // request 2861); and until that is there, the message is not complete anyway.
    if (parser.is_header_done() && parser.chunked() && bytes.size() < last_chunk_min) return error;
    bytes.remove_prefix(parser.put({bytes.data(), bytes.size()}, error));
    return error == beast::error::need_more ? error_code() : error;
}

// What neither of the two parsers looks at.
template <bool IsRequest>
class quiet_parser : public beast::basic_parser<IsRequest> {
    void on_request_impl(beast::verb, text, text, int, error_code&) override {}
    void on_response_impl(int, text, int, error_code&) override {}
    void on_field_impl(beast::field, text, text, error_code&) override {}
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(text body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t, text, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, text body, error_code&) override {
        return body.size();
    }
    void on_finish_impl(error_code&) override {}
};

}  // namespace

// Keeps nothing of the fields but what a request consists of here.
class request_parser::parser final : public quiet_parser<true> {
public:
    explicit parser(std::uint64_t body_max) { body_limit(body_max); }

    request head;
    int status = 0;  // of our own errors; 0: Beast's error tells
    bool told = false;
    std::size_t head_size = 0;

private:
    void on_request_impl(beast::verb verb, text, text target, int version,
                         error_code& error) override {
        if (target.size() > target_.size()) return fail(414, error);
        std::memcpy(target_.data(), target.data(), target.size());
        head.target = {target_.data(), target.size()};
        head.what = to_method(verb);
        head.http_1_1 = version == 11;
    }

    void on_field_impl(beast::field name, text, text value, error_code& error) override {
        if (name == beast::field::host) {
            if (++hosts_ > 1) fail(400, error);
        } else if (name == beast::field::transfer_encoding) {
            // Beast takes a request with another encoding for one without a body.
            if (!head.http_1_1) return fail(400, error);
            if (!iequals(value, "chunked")) fail(501, error);
        } else if (name == beast::field::expect) {
            head.expects_continue = head.http_1_1 && iequals(value, "100-continue");
        }
    }

    void on_header_impl(error_code& error) override {
        if (head.http_1_1 && hosts_ == 0) fail(400, error);
    }

    void fail(int with, error_code& error) {
        status = with;
        error = beast::error::bad_field;
    }

    unsigned hosts_ = 0;
    std::array<char, 1024> target_;
};

struct request_parser::state {
    std::uint64_t body_max;
    std::optional<parser> current;
    int status = 0;
};

request_parser::request_parser(std::uint64_t body_max) : state_(new state{body_max, {}, 0}) {
    reset();
}

request_parser::~request_parser() = default;

progress request_parser::parse(std::string_view& bytes) {
    parser& p = *state_->current;
    // A blank line before a request is forgiven (RFC 9112, section 2.2).
    while (!p.got_some() && bytes.starts_with("\r\n")) bytes.remove_prefix(2);
    if (!p.got_some() && bytes == "\r") return progress::more;
    while (!bytes.empty()) {
        const std::size_t before = bytes.size();
        const error_code error = put(p, bytes);
        if (!p.is_header_done()) p.head_size += before - bytes.size();
        if (error || p.head_size > head_max || (bytes.size() == before && before >= head_max)) {
            state_->status = error ? (p.status ? p.status : to_status(error)) : 431;
            return progress::failed;
        }
        if (p.is_header_done()) p.head.keep_alive = p.keep_alive();
        if (p.is_done()) return progress::complete;
        if (p.is_header_done() && !std::exchange(p.told, true)) return progress::head;
        if (bytes.size() == before) break;
    }
    return progress::more;
}

const request& request_parser::head() const noexcept {
    return state_->current->head;
}

bool request_parser::started() const noexcept {
    return state_->current->got_some();
}

int request_parser::status() const noexcept {
    return state_->status;
}

void request_parser::reset() {
    state_->current.emplace(state_->body_max);
}

class response_parser::parser final : public quiet_parser<false> {
public:
    parser() { body_limit(boost::none); }

    unsigned status = 0;
    bool told = false;
    std::string_view body;
    error_code error;

private:
    void on_response_impl(int code, text, int, error_code&) override {
        status = static_cast<unsigned>(code);
    }
    std::size_t on_body_impl(text piece, error_code&) override {
        body = {piece.data(), piece.size()};
        return piece.size();
    }
    std::size_t on_chunk_body_impl(std::uint64_t, text piece, error_code& e) override {
        return on_body_impl(piece, e);
    }
};

response_parser::response_parser() : parser_(new parser) {}

response_parser::~response_parser() = default;

progress response_parser::parse(std::string_view& bytes) {
    parser& p = *parser_;
    p.body = {};
    while (!bytes.empty()) {
        const std::size_t before = bytes.size();
        p.error = put(p, bytes);
        if (p.error) return progress::failed;
        if (p.is_done()) return progress::complete;
        if (p.is_header_done() && !std::exchange(p.told, true)) return progress::head;
        if (!p.body.empty() || bytes.size() == before) break;
    }
    return progress::more;
}

progress response_parser::end_of_stream() {
    parser_->error = beast::error::partial_message;
    if (parser_->got_some()) parser_->put_eof(parser_->error);
    return parser_->error ? progress::failed : progress::complete;
}

std::string_view response_parser::body() const noexcept {
    return parser_->body;
}

unsigned response_parser::status() const noexcept {
    return parser_->status;
}

std::optional<std::uint64_t> response_parser::length() const noexcept {
    const auto length = parser_->content_length();
    return length ? std::optional(*length) : std::nullopt;
}

std::string response_parser::error() const {
    return parser_->error.message();
}

}  // namespace http
