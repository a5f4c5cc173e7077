#include "session.hpp"

#include <cstdio>
#include <cstring>
#include <string>

namespace http {
namespace {

// The longest answer, without a file.
constexpr std::size_t answer_max = 512;

const char* reason(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 400:
            return "Bad Request";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 503:
            return "Service Unavailable";
        default:
            return "HTTP Version Not Supported";
    }
}

}  // namespace

void output::append(std::string_view bytes) noexcept {
    std::memcpy(bytes_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
}

next session::consume(std::string_view& in, output& out) {
    site_.look_at_clock();
    attached_ = {};
    while (out.room() >= answer_max) {
        if (closing_) return next::close;
        switch (parser_.parse(in)) {
            case progress::more:
                return next::read;
            case progress::head:
                begin(out);
                break;
            case progress::complete:
                answer(out);
                if (attached_.size > 0) return next::send_file;
                break;
            case progress::failed:
                return refuse(parser_.status(), out);
        }
    }
    return next::write;
}

// The head has come, the body has not.
void session::begin(output& out) {
    look_up();
    begun_ = true;
    if (!parser_.head().expects_continue) return;
    if (found_.status == 200)
        out.append("HTTP/1.1 100 Continue\r\n\r\n");
    else
        refuse(found_.status, out);  // and spare the client the body
}

void session::look_up() {
    const request& r = parser_.head();
    if (r.what == method::get || r.what == method::head)
        found_ = site_.find(r.target);
    else
        found_.status = r.what == method::unknown ? 501 : 405;
}

void session::answer(output& out) {
    if (!begun_) look_up();
    const request& r = parser_.head();
    const bool is_text = found_.status == 200 && found_.content.number() < 0;
    closing_ = !r.keep_alive || site_.closing;
    if (is_text && r.what == method::get && r.http_1_1 && !closing_)
        out.append(site_.text());
    else
        write(out, r);
    if (found_.status == 200 && r.what == method::get) attached_ = std::move(found_);
    found_ = {};
    begun_ = false;
    ++answered_;
    parser_.reset();
}

next session::refuse(int status, output& out) {
    found_ = {};
    found_.status = status;
    closing_ = true;
    write(out, {});
    return next::close;
}

// The answer, without a file that is to follow.
void session::write(output& out, const request& r) const {
    const bool found = found_.status == 200, is_file = found_.content.number() >= 0;
    const std::string error = std::to_string(found_.status) + " " + reason(found_.status) + "\n";
    const std::string_view body = is_file ? "" : found ? site::text_body() : error;
    const std::string_view type = is_file ? found_.type : "text/plain; charset=utf-8";
    const char* const connection = closing_      ? "Connection: close\r\n"
                                   : !r.http_1_1 ? "Connection: keep-alive\r\n"
                                                 : "";
    std::array<char, answer_max> head;
    const int size = std::snprintf(
        head.data(), head.size(),
        "HTTP/1.1 %d %s\r\nServer: wire\r\nDate: %s\r\nContent-Type: %.*s\r\n"
        "Content-Length: %ju\r\n%s%s\r\n",
        found_.status, reason(found_.status), site_.date(), static_cast<int>(type.size()),
        type.data(), is_file ? std::uintmax_t{found_.size} : body.size(),
        found_.status == 405 ? "Allow: GET, HEAD\r\n" : "", connection);
    out.append({head.data(), static_cast<std::size_t>(size)});
    if (r.what != method::head) out.append(body);
}

}  // namespace http
