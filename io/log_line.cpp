#include "log_line.hpp"

#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <wire/assert.hpp>

namespace wire::io::detail {
namespace {

constexpr std::size_t ident_max = 64;
constexpr const char* names[] = {"DEBUG", "INFO", "NOTICE", "WARNING", "ERR", "CRITICAL", "FATAL"};
constexpr int severities[] = {LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING,
                              LOG_ERR,   LOG_CRIT, LOG_ALERT};

// Says in the end of `to`, which is full, that the line is not all there.
std::size_t cut(std::span<char> to, std::size_t length) noexcept {
    char mark[48];
    const auto n = static_cast<std::size_t>(
        std::snprintf(mark, sizeof mark, "[cut: line of %zu bytes]\n", length));
    std::memcpy(to.data() + to.size() - n, mark, n);
    return to.size();
}

std::size_t print_text(std::span<char> to, log_entry& e) noexcept {
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

}  // namespace

log_form::log_form(const syslog_options& o)
    : ident_(o.ident + (o.option & LOG_PID ? '[' + std::to_string(::getpid()) + "]: " : ": ")),
      facility_(o.facility) {
    WIRE_ASSERT(o.ident.size() <= ident_max, "an ident of the system's log is too long");
}

void log_form::update(log_date& date, std::time_t now) const noexcept {
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

std::size_t log_form::head(std::span<char> to, const log_entry& e, log_date& date) const noexcept {
    update(date, e.when.tv_sec);
    const auto level = static_cast<std::size_t>(e.level);
    const int n = is_system_log()
                      ? std::snprintf(to.data(), to.size(), "<%d>%s %s",
                                      facility_ | severities[level], date.text, ident_.c_str())
                      : std::snprintf(to.data(), to.size(), "%s.%09ld <%s> ", date.text,
                                      e.when.tv_nsec, names[level]);
    return static_cast<std::size_t>(n);
}

std::size_t log_form::format(std::span<char> to, log_entry& e, log_date& date,
                             bool may_cut) const noexcept {
    const std::size_t begin = head(to, e, date);
    if (begin >= to.size()) return 0;
    const std::size_t end = begin + print_text(to.subspan(begin), e);
    if (end >= to.size() && !may_cut) return 0;
    std::ranges::replace(to.subspan(begin, std::min(end, to.size()) - begin), '\n', ' ');
    if (end >= to.size()) return cut(to, end + 1);
    to[end] = '\n';
    return end + 1;
}

}  // namespace wire::io::detail
