// The text of a line of a log.
#pragma once

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <ctime>
#include <span>
#include <string>

#include <wire/log.hpp>

namespace wire::io::detail {

/// What one call wants to have logged.
struct log_entry {
    log_level level;
    const char* format;
    int error;  // what "%m" says
    timespec when;
    va_list args;
};

/// The date of a line, which is the same for a second.
struct log_date {
    std::time_t second = -1;
    char text[32];
};

/// How lines look.
class log_form {
public:
    /// For a descriptor.
    log_form() = default;
    /// For the system's log. Throws std::bad_alloc.
    explicit log_form(const syslog_options& o);

    [[nodiscard]] bool is_system_log() const noexcept { return !ident_.empty(); }

    /// Formats a line, with its newline. Returns its length. If it does not fit: 0, or, if it may
    /// be cut, what fits, with a remark at its end; for that `to` must have some hundred bytes.
    std::size_t format(std::span<char> to, log_entry& e, log_date& date,
                       bool may_cut) const noexcept;

private:
    void update(log_date& date, std::time_t now) const noexcept;
    std::size_t head(std::span<char> to, const log_entry& e, log_date& date) const noexcept;

    std::string ident_;  // what follows the date in the system's log
    int facility_ = 0;
};

}  // namespace wire::io::detail
