// The text of a line of a log.
#pragma once

#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>

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

/// Says in the end of `to`, which is full, that the line is not all there.
inline std::size_t cut_line(std::span<char> to, std::size_t length) noexcept {
    char mark[48];
    const auto n = static_cast<std::size_t>(
        std::snprintf(mark, sizeof mark, "[cut: line of %zu bytes]\n", length));
    std::memcpy(to.data() + to.size() - n, mark, n);
    return to.size();
}

inline std::size_t print_text(std::span<char> to, log_entry& e) noexcept {
    va_list args;
    va_copy(args, e.args);  // NOLINT(clang-analyzer-valist.Uninitialized): by the caller
    errno = e.error;
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is initialised just above
    const int n = std::vsnprintf(to.data(), to.size(), e.format, args);
    va_end(args);
    if (n >= 0) return static_cast<std::size_t>(n);
    return static_cast<std::size_t>(
        std::snprintf(to.data(), to.size(), "(not printable: \"%s\")", e.format));
}

/// How lines look.
class log_form {
public:
    /// For a descriptor.
    explicit log_form(bool for_journal = false) noexcept : for_journal_(for_journal) {}
    /// For the system's log. Throws std::bad_alloc.
    explicit log_form(const syslog_options& o)
        : ident_(o.ident + (o.option & LOG_PID ? '[' + std::to_string(::getpid()) + "]: " : ": ")),
          facility_(o.facility) {
        WIRE_ASSERT(o.ident.size() <= 64, "an ident of the system's log is too long");
    }

    /// Formats a line, with its newline. Returns its length. If it does not fit: 0, or, if it may
    /// be cut, what fits, with a remark at its end; for that `to` must have some hundred bytes.
    std::size_t format(std::span<char> to, log_entry& e, log_date& date,
                       bool may_cut) const noexcept {
        const std::size_t begin = head(to, e, date);
        if (begin >= to.size()) return 0;
        const std::size_t end = begin + print_text(to.subspan(begin), e);
        if (end >= to.size() && !may_cut) return 0;
        std::ranges::replace(to.subspan(begin, std::min(end, to.size()) - begin), '\n', ' ');
        if (end >= to.size()) return cut_line(to, end + 1);
        to[end] = '\n';
        return end + 1;
    }

private:
    [[nodiscard]] bool is_system_log() const noexcept { return !ident_.empty(); }

    void update(log_date& date, std::time_t now) const noexcept {
        if (date.second == now) return;
        date.second = now;
        std::tm t{};
        ::localtime_r(&now, &t);
        if (!is_system_log()) {
            std::strftime(date.text, sizeof date.text, "%F %T", &t);
            return;
        }
        constexpr const char* months = "JanFebMarAprMayJunJulAugSepOctNovDec";  // in any locale
        std::snprintf(date.text, sizeof date.text, "%.3s %2d %02d:%02d:%02d", months + 3 * t.tm_mon,
                      t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
    }

    std::size_t head(std::span<char> to, const log_entry& e, log_date& date) const noexcept {
        constexpr const char* names[] = {"DEBUG", "INFO",     "NOTICE", "WARNING",
                                         "ERR",   "CRITICAL", "FATAL"};
        constexpr int severities[] = {LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING,
                                      LOG_ERR,   LOG_CRIT, LOG_ALERT};
        const auto level = static_cast<std::size_t>(e.level);
        if (for_journal_)
            return static_cast<std::size_t>(
                std::snprintf(to.data(), to.size(), "<%d>", severities[level]));
        update(date, e.when.tv_sec);
        const int n = is_system_log()
                          ? std::snprintf(to.data(), to.size(), "<%d>%s %s",
                                          facility_ | severities[level], date.text, ident_.c_str())
                          : std::snprintf(to.data(), to.size(), "%s.%09ld <%s> ", date.text,
                                          e.when.tv_nsec, names[level]);
        return static_cast<std::size_t>(n);
    }

    std::string ident_;  // what follows the date in the system's log
    int facility_ = 0;
    bool for_journal_ = false;
};

}  // namespace wire::io::detail
