#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdio>

#include <wire/diagnostics.hpp>

namespace wire {
namespace {

void write_to_stderr(diagnostic, std::string_view text) noexcept {
    char line[544];
    const int n = std::snprintf(line, sizeof line, "wire: %.*s\n", static_cast<int>(text.size()),
                                text.data());
    // One write, so that lines of several threads do not mix. There is nobody to tell of a failure.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, static_cast<std::size_t>(n));
}

// relaxed throughout: the handler is a plain function, it publishes nothing else.
constinit std::atomic<diagnostics_handler> current_handler{&write_to_stderr};

}  // namespace

diagnostics_handler set_diagnostics_handler(diagnostics_handler handler) noexcept {
    return current_handler.exchange(handler ? handler : &write_to_stderr,
                                    std::memory_order_relaxed);
}

namespace detail {

void report(diagnostic kind, const char* format, ...) noexcept {
    char text[512];
    va_list args;
    va_start(args, format);
    const int n = std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const auto length = std::clamp<std::size_t>(static_cast<std::size_t>(n < 0 ? 0 : n), 0, 511);
    current_handler.load(std::memory_order_relaxed)(kind, std::string_view(text, length));
}

}  // namespace detail
}  // namespace wire
