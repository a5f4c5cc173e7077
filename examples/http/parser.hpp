// Messages of HTTP/1.x, parsed by Boost.Beast. Beast's headers stay in parser.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace http {

/// The longest head of a message, and what a buffer for it must hold.
inline constexpr std::size_t head_max = 8192;

enum class method : std::uint8_t { get, head, unsupported, unknown };

/// What a server needs to know of a request.
struct request {
    method what = method::unknown;
    bool http_1_1 = false;
    bool keep_alive = false;
    bool expects_continue = false;
    std::string_view target;  ///< valid until the parser is reset
};

/// Where a parser stands.
enum class progress {
    more,      ///< it needs bytes that it has not got
    head,      ///< the head is complete, the body is not; told once
    complete,  ///< the message is
    failed     ///< it is none
};

/// Parses one request after the other; bodies are dropped. Allocates once.
class request_parser {
public:
    explicit request_parser(std::uint64_t body_max);
    ~request_parser();

    /// Goes on with `bytes`, and takes from it what it has done with; what is left must be there
    /// again next time, with more behind it.
    progress parse(std::string_view& bytes);
    /// Of the current request, once its head is complete.
    [[nodiscard]] const request& head() const noexcept;
    /// Whether something of a request has come.
    [[nodiscard]] bool started() const noexcept;
    /// With which status to refuse what has failed.
    [[nodiscard]] int status() const noexcept;
    /// The next byte begins a request.
    void reset();

private:
    class parser;
    struct state;
    const std::unique_ptr<state> state_;
};

/// Parses a response. Its body is handed out as it comes.
class response_parser {
public:
    response_parser();
    ~response_parser();

    /// As request_parser's; stops after each piece of the body (progress::more, although not all of
    /// `bytes` may have been taken).
    progress parse(std::string_view& bytes);
    /// The connection has ended, which completes some responses.
    progress end_of_stream();
    /// The piece of the body that the last call of parse() has found; part of its bytes.
    [[nodiscard]] std::string_view body() const noexcept;
    [[nodiscard]] unsigned status() const noexcept;
    /// The length of the body, if it was announced.
    [[nodiscard]] std::optional<std::uint64_t> length() const noexcept;
    /// Why it has failed.
    [[nodiscard]] std::string error() const;

private:
    class parser;
    const std::unique_ptr<parser> parser_;
};

}  // namespace http
