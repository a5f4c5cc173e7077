// A conversation in HTTP/1.x without its socket: bytes of requests in, bytes of answers out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "parser.hpp"
#include "site.hpp"

namespace http {

/// A bounded place for what is to be sent.
class output {
public:
    static constexpr std::size_t capacity = 8192;

    /// At most room() bytes.
    void append(std::string_view bytes) noexcept;
    void clear() noexcept { size_ = 0; }
    [[nodiscard]] std::size_t room() const noexcept { return capacity - size_; }
    [[nodiscard]] std::string_view bytes() const noexcept { return {bytes_.data(), size_}; }

private:
    std::size_t size_ = 0;
    std::array<char, capacity> bytes_;
};

/// What the connection has to do after sending the output.
enum class next {
    read,       ///< receive more
    write,      ///< call again: the output was full
    send_file,  ///< send attachment(), call again
    close
};

/// Answers the requests of one connection in their order.
class session {
public:
    session(site& what, std::uint64_t body_max) : site_(what), parser_(body_max) {}

    /// Answers what is complete in `in`, and takes it away. What is left must be there again next
    /// time, with more behind it; it is always shorter than head_max. `out` must be empty.
    next consume(std::string_view& in, output& out);
    /// Answers with an error and is finished; for a request that does not come to its end.
    next refuse(int status, output& out);

    /// Whether something of a request has come that was not answered.
    [[nodiscard]] bool busy() const noexcept { return parser_.started(); }
    /// How many requests it has answered.
    [[nodiscard]] std::uint64_t answered() const noexcept { return answered_; }
    /// What is to be sent after next::send_file.
    [[nodiscard]] const resource& attachment() const noexcept { return attached_; }

private:
    void begin(output& out);
    void look_up();
    void answer(output& out);
    void write(output& out, const request& r) const;

    site& site_;
    request_parser parser_;
    resource found_;        // for the current request
    resource attached_;     // of the last one, while it is sent
    bool begun_ = false;    // the current request was looked up
    bool closing_ = false;  // nothing comes after what was answered
    std::uint64_t answered_ = 0;
};

}  // namespace http
