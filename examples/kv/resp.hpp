// RESP2, the protocol of redis: requests are cut out of a stream of bytes, answers appended to one.
//
// A request is an array of byte strings, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", or a line with words,
// "GET k\r\n", for people with netcat. See https://redis.io/docs/reference/protocol-spec/
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "buffer.hpp"

namespace kv {

/// What a peer may make us keep.
struct limits {
    std::size_t request_max = 64 << 20;  ///< bytes of a request, and of an answer but for its frame
    std::size_t words_max = 1 << 20;     ///< of a request
    std::size_t line_max = 64 << 10;     ///< bytes of a request that is a line
};

struct slice {
    std::uint32_t at, size;
};

/// The words of a request, the name of the command first.
class words {
public:
    words(const char* base, std::span<const slice> slices) : base_(base), slices_(slices) {}
    [[nodiscard]] std::size_t size() const { return slices_.size(); }
    std::string_view operator[](std::size_t i) const {
        return {base_ + slices_[i].at, slices_[i].size};
    }

private:
    const char* base_;
    std::span<const slice> slices_;
};

/// Cuts requests out of a stream. It remembers how far it came, so a request that trickles in is
/// not read again and again.
class parser {
public:
    enum class outcome { incomplete, request, broken };

    explicit parser(const limits& most) : most_(most) {}

    /// Continues with `in`: all that came since the end of the last request.
    outcome parse(std::string_view in) {
        base_ = in.data();
        if (in.empty()) return outcome::incomplete;
        return in.front() == '*' ? parse_array(in) : parse_line(in);
    }

    /// After outcome::request: its words, perhaps none; they lie in `in` or here.
    [[nodiscard]] words request() const { return {base_, slices_}; }
    /// After outcome::request: its size in bytes.
    [[nodiscard]] std::size_t size() const { return at_; }
    /// After outcome::broken: why.
    [[nodiscard]] const std::string& error() const { return error_; }

    /// Forgets the request: the next one begins.
    void next() {
        slices_.clear();
        if (slices_.capacity() > slices_kept) slices_.shrink_to_fit();
        at_ = count_ = 0;
        length_ = -1;
    }

private:
    static constexpr std::size_t slices_kept = 1024;
    static constexpr std::ptrdiff_t digits_max = 18;

    [[gnu::cold, gnu::noinline]] outcome broken(const char* reason) {
        error_ = std::string("ERR Protocol error: ") + reason;
        return outcome::broken;
    }
    [[gnu::cold, gnu::noinline]] outcome unexpected(char c) {
        const char quoted[] = {'\'', c, '\''};
        error_ = "ERR Protocol error: expected '$', got " + std::string(quoted, 3);
        return outcome::broken;
    }

    outcome parse_array(std::string_view in) {
        if (at_ == 0) {
            std::int64_t count = 0;
            const outcome got = parse_number(in, count);
            if (got == outcome::broken || count > static_cast<std::int64_t>(most_.words_max))
                return broken("invalid multibulk length");
            if (got == outcome::incomplete) return got;
            count_ = count < 0 ? 0 : static_cast<std::size_t>(count);
        }
        while (slices_.size() < count_) {
            const outcome got = parse_word(in);
            if (got != outcome::request) return got;
        }
        return outcome::request;
    }

    outcome parse_word(std::string_view in) {
        if (length_ < 0) {
            const outcome got = parse_length(in);
            if (got != outcome::request) return got;
        }
        const auto length = static_cast<std::size_t>(length_);
        if (in.size() - at_ < length + 2) return outcome::incomplete;
        if (in[at_ + length] != '\r' || in[at_ + length + 1] != '\n')
            return broken("expected CRLF behind a bulk string");
        slices_.push_back({static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(length)});
        at_ += length + 2;
        length_ = -1;
        return outcome::request;
    }

    outcome parse_length(std::string_view in) {
        if (in.size() == at_) return outcome::incomplete;
        if (in[at_] != '$') return unexpected(in[at_]);
        const auto request_max = static_cast<std::int64_t>(most_.request_max);
        std::int64_t length = 0;
        const outcome got = parse_number(in, length);
        if (got == outcome::broken || length < 0 || length > request_max)
            return broken("invalid bulk length");
        if (got == outcome::incomplete) return got;
        if (static_cast<std::int64_t>(at_) + length > request_max) return broken("too big request");
        length_ = length;
        return got;
    }

    static bool is_digit(char c) { return c >= '0' && c <= '9'; }

    // A mark, a number and the end of the line, at at_, which goes behind them.
    outcome parse_number(std::string_view in, std::int64_t& number) {
        const char* const end = in.data() + in.size();
        const char* p = in.data() + at_ + 1;
        if (end - p >= 3 && is_digit(*p) && p[1] == '\r' && p[2] == '\n') {  // nearly always
            number = *p - '0';
            at_ += 4;
            return outcome::request;
        }
        const bool negative = p != end && *p == '-';
        const char* const first = p += negative;
        std::int64_t n = 0;
        for (; p != end && is_digit(*p); ++p) {
            if (p - first == digits_max) return outcome::broken;
            n = 10 * n + (*p - '0');
        }
        if (p == end) return outcome::incomplete;
        if (p == first || *p != '\r') return outcome::broken;
        if (p + 1 == end) return outcome::incomplete;
        if (p[1] != '\n') return outcome::broken;
        number = negative ? -n : n;
        at_ = static_cast<std::size_t>(p + 2 - in.data());
        return outcome::request;
    }

    outcome parse_line(std::string_view in) {
        const std::size_t end = in.find('\n', at_);
        const bool whole = end != std::string_view::npos;
        at_ = whole ? end + 1 : in.size();
        if (at_ > most_.line_max) return broken("too big inline request");
        if (!whole) return outcome::incomplete;
        const std::string_view line = in.substr(0, end);  // a '\r' at its end is a blank
        if (line.find_first_of("\"'") == line.npos)
            split(line);
        else if (!split_quoted(line))
            return broken("unbalanced quotes in request");
        return outcome::request;
    }

    static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

    static std::size_t skip_blanks(std::string_view line, std::size_t i) {
        while (i < line.size() && is_blank(line[i])) ++i;
        return i;
    }

    void add_word(std::size_t begin, std::size_t end) {
        slices_.push_back(
            {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end - begin)});
    }

    void split(std::string_view line) {
        for (std::size_t i = skip_blanks(line, 0); i < line.size(); i = skip_blanks(line, i)) {
            const std::size_t begin = i;
            while (i < line.size() && !is_blank(line[i])) ++i;
            add_word(begin, i);
        }
    }

    // The same with words such as "a\x00b\n" and 'it\'s'.
    bool split_quoted(std::string_view line) {
        unquoted_.clear();
        for (std::size_t i = skip_blanks(line, 0); i < line.size(); i = skip_blanks(line, i)) {
            const std::size_t begin = unquoted_.size();
            while (i < line.size() && !is_blank(line[i])) {
                if (line[i] != '"' && line[i] != '\'')
                    unquoted_ += line[i++];
                else if (!unquote(line, i))
                    return false;
            }
            add_word(begin, unquoted_.size());
        }
        base_ = unquoted_.data();
        return true;
    }

    // From the quote at `i`, which goes behind its end; that must be the end of the word, too.
    bool unquote(std::string_view line, std::size_t& i) {
        const char quote = line[i++];
        while (i < line.size() && line[i] != quote) unquoted_ += character(line, i, quote);
        if (i == line.size()) return false;
        ++i;
        return i == line.size() || is_blank(line[i]);
    }

    static char character(std::string_view line, std::size_t& i, char quote) {
        const char c = line[i++];
        if (c != '\\' || i == line.size()) return c;
        if (quote == '\'') return line[i] == quote ? line[i++] : c;
        const char escape = line[i++];
        if (unsigned char byte = 0; escape == 'x' && i + 2 <= line.size()) {
            const char* const end = line.data() + i + 2;
            if (std::from_chars(end - 2, end, byte, 16).ptr == end) return i += 2, char(byte);
        }
        static constexpr std::string_view escapes = "nrtba", meanings = "\n\r\t\b\a";
        const auto known = escapes.find(escape);
        return known == escapes.npos ? escape : meanings[known];
    }

    const limits& most_;
    const char* base_ = nullptr;  // what the slices count from
    std::vector<slice> slices_;
    std::size_t at_ = 0;        // bytes read
    std::size_t count_ = 0;     // words that the array has
    std::int64_t length_ = -1;  // of the word at at_; -1: not read
    std::string unquoted_, error_;
};

/// The answer to one request, appended to a buffer.
class reply {
public:
    reply(buffer& out, std::size_t size_max) : out_(out), begin_(out.size()), size_max_(size_max) {}

    void line(std::string_view text) { out_.append(text), out_.append("\r\n"); }
    void ok() { out_.append("+OK\r\n"); }
    void nil() { out_.append("$-1\r\n"); }
    void nil_array() { out_.append("*-1\r\n"); }
    void integer(std::int64_t n) { mark(':', n); }
    void array(std::size_t n) { mark('*', static_cast<std::int64_t>(n)); }

    void bulk(std::string_view text) {
        too_big_ |= size() + text.size() > size_max_;
        if (too_big_) return;
        out_.room(text.size() + mark_max + 2);
        mark('$', static_cast<std::int64_t>(text.size()));
        line(text);
    }

    /// "ERR why", or another word in capitals; what would break the line becomes a blank.
    void error(std::string_view text) {
        out_.append("-");
        const auto room = out_.room(text.size() + 2);
        std::replace_copy_if(
            text.begin(), text.end(), room.begin(), [](char c) { return c == '\r' || c == '\n'; },
            ' ');
        out_.add(text.size());
        out_.append("\r\n");
    }

    [[nodiscard]] bool too_big() const { return too_big_; }
    /// An answer that got too big becomes an error.
    void finish() {
        if (!too_big_) return;
        out_.cut(begin_);
        error("ERR the answer would have more than " + std::to_string(size_max_) + " bytes");
    }

private:
    static constexpr std::size_t mark_max = 24;

    [[nodiscard]] std::size_t size() const { return out_.size() - begin_; }

    void mark(char what, std::int64_t n) {
        const auto room = out_.room(mark_max);
        char* p = room.data();
        *p++ = what;
        p = std::to_chars(p, p + 20, n).ptr;
        *p++ = '\r';
        *p++ = '\n';
        out_.add(static_cast<std::size_t>(p - room.data()));
    }

    buffer& out_;
    const std::size_t begin_, size_max_;
    bool too_big_ = false;
};

}  // namespace kv
