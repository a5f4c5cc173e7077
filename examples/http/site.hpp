// What the server has to offer: a text, and the files below a folder.
#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

namespace http {

/// An open file.
class file {
public:
    file() noexcept = default;
    explicit file(int fd) noexcept : fd_(fd) {}
    file(file&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    file& operator=(file&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~file() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int number() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

/// What a request asks for.
struct resource {
    int status = 404;        ///< 200, or why it is not to be had
    file content;            ///< if it is 200 and there is none, it is the text
    std::uint64_t size = 0;  ///< of the file
    std::string_view type;   ///< of the file
};

/// For the sessions of one thread.
class site {
public:
    /// `root` is an open directory, whose files are served, or -1.
    explicit site(int root) : root_(root) { look_at_clock(); }

    /// Looks up what `target`, the second word of a request, means.
    [[nodiscard]] resource find(std::string_view target) const;

    /// To be called now and then: it is what changes the date. A few nanoseconds.
    void look_at_clock();
    /// The current time, as in the field Date.
    [[nodiscard]] const char* date() const noexcept { return date_.data(); }
    /// The answer to a GET of the text: head and body.
    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    static std::string_view text_body() noexcept { return "Hello, world\n"; }

    /// Sessions are to end as soon as they have answered what has come.
    bool closing = false;

private:
    const int root_;
    std::time_t second_ = 0;
    std::array<char, 32> date_{};
    std::string text_;
};

}  // namespace http
