// Lines, out of what comes over a connection.
#pragma once

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/stream.hpp>

namespace chat {

inline constexpr std::size_t line_max = 1000;  ///< bytes of a line, without its end

class line_reader {
public:
    explicit line_reader(wire::io::stream& from) noexcept : from_(from) {}

    /// The next line, without its end, "\n" or "\r\n"; valid until the next call. Fails with
    /// EMSGSIZE if it is too long, with ENODATA if nothing more comes, or as read().
    wire::result<std::string_view> next(wire::deadline until) noexcept {
        for (;;) {
            const std::string_view rest = begun();
            const std::size_t end = rest.find('\n');
            std::string_view text = rest.substr(0, end);
            if (text.ends_with('\r')) text.remove_suffix(1);
            if (text.size() > line_max) return wire::failure{EMSGSIZE};
            if (end != rest.npos) {
                begin_ += end + 1;
                return text;
            }
            if (const int problem = read_more(until); problem != 0) return wire::failure{problem};
        }
    }

private:
    [[nodiscard]] std::string_view begun() const noexcept {
        return {buffer_.data() + begin_, end_ - begin_};
    }

    // Returns 0, or the errno.
    int read_more(wire::deadline until) noexcept {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= std::exchange(begin_, 0);
        const auto n = from_.read(std::as_writable_bytes(std::span(buffer_).subspan(end_)), until);
        if (!n || *n == 0) return n ? ENODATA : n.code();
        end_ += *n;
        return 0;
    }

    wire::io::stream& from_;
    std::array<char, 4 * line_max> buffer_;
    std::size_t begin_ = 0, end_ = 0;  // what of the buffer is read, and not a line yet
};

}  // namespace chat
