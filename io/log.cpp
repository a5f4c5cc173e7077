// Lines are appended to one half of the buffer while the other half is written. Who appends has the
// turn, a mutex, also while there is no room; so lines come in the order of the calls.
//
// The wire that writes is started by the line that finds none, and ends when nothing is left. So it
// keeps neither run() from returning, nor a deadlock from being seen.
#include <wire/log.hpp>

#include <poll.h>

#include <exception>
#include <string_view>
#include <system_error>

#include <wire/cancel.hpp>
#include <wire/diagnostics.hpp>
#include <wire/mutex.hpp>
#include <wire/offload.hpp>
#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>
#include "log_line.hpp"
#include "operation.hpp"
#include "scheduler.hpp"
#include "socket.hpp"

namespace wire::io {
namespace {

using detail::invoke;
using detail::log_entry;
using wire::detail::waiter;

constexpr std::size_t buffer_min = 1024;
constexpr std::size_t line_max_outside = 8192;
// What a pipe takes in one piece; a pipe that is writable takes so much at once.
constexpr std::size_t piece_max = 4096;
constexpr std::chrono::milliseconds last_words(500);

// The lines at the beginning of `rest` that make at most one piece, or a piece of the first line.
std::string_view piece_of(std::string_view rest) noexcept {
    if (rest.size() <= piece_max) return rest;
    const auto end = rest.rfind('\n', piece_max - 1);
    return rest.substr(0, end == rest.npos ? piece_max : end + 1);
}

std::ptrdiff_t write_now(int fd, std::string_view text) noexcept {
    return detail::operation::write(std::as_bytes(std::span(text))).attempt(fd);
}

detail::descriptor make_datagram_socket() {
    auto fd = detail::make_socket(AF_UNIX, SOCK_DGRAM);
    if (!fd)
        throw std::system_error(fd.error(),
                                "socket for the system's log failed; raise the limit of open files "
                                "(ulimit -n)");
    return *std::move(fd);
}

// Where lines go.
class log_sink {
public:
    explicit log_sink(int fd) noexcept : fd_(fd) {}
    explicit log_sink(const std::string& path)
        : socket_(make_datagram_socket()), fd_(socket_.number()), to_(address::local(path)) {}

    [[nodiscard]] int fd() const noexcept { return fd_; }

    /// Writes something of `rest`: what one attempt takes. Returns how many bytes that was, or
    /// -errno. On a wire it does not block the thread.
    std::ptrdiff_t write(std::string_view rest) const noexcept {
        if (socket_.number() >= 0) return send_line(rest.substr(0, rest.find('\n') + 1));
        const std::string_view piece = piece_of(rest);
        if (!wire::detail::running_or_none()) return write_now(fd_, piece);
        const shield whatever_the_runtime_does;
        const auto n = offload([&] { return write_now(fd_, piece); });
        return n ? *n : write_now(fd_, piece);  // there is no helper, which a diagnostic has said
    }

private:
    std::ptrdiff_t send_line(std::string_view line) const noexcept {
        const auto send = [&] {
            return ::send(fd_, line.data(), line.size() - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        };
        auto n = invoke("send", send);
        if (n == -ENOTCONN || n == -ECONNREFUSED) {
            if (!to_) return -to_.code();
            n = invoke("connect", [&] { return ::connect(fd_, to_->raw(), to_->length()); });
            if (n == 0) n = invoke("send", send);
        }
        return n < 0 ? n : static_cast<std::ptrdiff_t>(line.size());
    }

    detail::descriptor socket_;
    int fd_;
    result<address> to_ = failure{ENOTCONN};
};

}  // namespace

class log::state {
public:
    state(detail::log_form form, log_sink sink, const log_options& o)
        : form_(std::move(form)), sink_(std::move(sink)) {
        std::span<char> all = o.memory;
        if (all.empty()) {
            owned_ = std::make_unique<char[]>(o.buffer);
            all = {owned_.get(), o.buffer};
        }
        WIRE_ASSERT(all.size() >= buffer_min, "a log needs a buffer of at least 1024 bytes");
        filling_ = all.first(all.size() / 2);
        leaving_ = all.subspan(all.size() / 2);
    }
    ~state() { await_writer(); }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    void put(log_entry& e) noexcept;
    [[gnu::noinline]] void put_at_once(log_entry& e) noexcept;  // its frame is too large for wires
    result<void> flush(deadline until) noexcept;
    [[nodiscard]] std::uint64_t lost() const noexcept {
        return lost_.load(std::memory_order_relaxed);
    }

private:
    bool append(log_entry& e) noexcept;
    void start_writer() noexcept;
    void write_out() noexcept;
    std::size_t write_some(std::string_view rest) noexcept;
    int await_room() noexcept;
    void lose_line(int error) noexcept;
    void await_writer() noexcept;

    const detail::log_form form_;
    const log_sink sink_;
    std::unique_ptr<char[]> owned_;
    // relaxed throughout: a number that orders nothing.
    std::atomic<std::uint64_t> lost_{0};

    // What follows belongs to the runtime.
    std::span<char> filling_, leaving_;
    std::size_t used_ = 0;  // of filling_
    detail::log_date date_;
    mutex turn_;
    wire::detail::scheduler* home_ = nullptr;
    wire::detail::list<waiter> room_;      // who has the turn, but no room
    wire::detail::list<waiter> progress_;  // who waits for done_, or for the end of the writer
    std::uint64_t accepted_ = 0;           // lines
    std::uint64_t done_ = 0;
    bool writer_ = false;        // it lives; if not, the buffer is empty
    bool unfinished_ = false;    // what was written last was no whole line
    bool torn_ = false;          // and the rest of that is lost
    deadline patience_ = never;  // of a writer that is cancelled
};

// ---- from a wire into the buffer

void log::state::put(log_entry& e) noexcept {
    wire::detail::scheduler& here = wire::detail::on_wire("a wire logs");
    WIRE_ASSERT(home_ == &here || !writer_, "a log belongs to one runtime at a time");
    home_ = &here;
    turn_.lock();
    while (!append(e)) {
        waiter me;
        room_.push_back(me);
        here.park_shielded("room in a log");
    }
    turn_.unlock();
    if (!writer_) start_writer();
}

bool log::state::append(log_entry& e) noexcept {
    const auto n = form_.format(filling_.subspan(used_), e, date_, used_ == 0);
    used_ += n;
    accepted_ += n > 0;
    return n > 0;
}

result<void> log::state::flush(deadline until) noexcept {
    if (const int error = wire::detail::check_cancelled()) return failure{error};
    const std::uint64_t wanted = accepted_;
    while (done_ < wanted) {
        waiter me;
        progress_.push_back(me);
        const int error = wire::detail::park("a log to be written", until);
        if (error && done_ < wanted) return failure{error};
    }
    return {};
}

void log::state::await_writer() noexcept {
    while (writer_) {
        wire::detail::scheduler& here = wire::detail::on_wire(
            "a log is destroyed outside a wire while there are lines to be written");
        waiter me;
        progress_.push_back(me);
        here.park_shielded("a log to be written");
    }
}

// ---- from the buffer to the sink

void log::state::start_writer() noexcept {
    writer_ = true;
    try {
        go({.name = "log"}, [this] { write_out(); });
    } catch (const std::exception&) {
        write_out();  // there is no stack: this wire does it
    }
}

void log::state::write_out() noexcept {
    while (used_ > 0) {
        std::swap(filling_, leaving_);
        std::string_view rest(leaving_.data(), std::exchange(used_, 0));
        wire::detail::wake_all(room_);
        while (!rest.empty()) {
            rest.remove_prefix(write_some(rest));
            wire::detail::wake_all(progress_);
        }
    }
    writer_ = false;
    wire::detail::wake_all(progress_);
}

// Returns how much of `rest` needs no more care.
std::size_t log::state::write_some(std::string_view rest) noexcept {
    const int error = await_room();
    const std::string_view next = torn_ ? "\n" : rest;
    const std::ptrdiff_t n = error ? -error : sink_.write(next);
    if (n == -EAGAIN) return 0;
    if (n <= 0) {
        torn_ = unfinished_;
        lose_line(n == 0 ? EIO : static_cast<int>(-n));
        ++done_;
        return rest.find('\n') + 1;
    }
    const std::string_view written = next.substr(0, static_cast<std::size_t>(n));
    unfinished_ = written.back() != '\n';
    if (std::exchange(torn_, false)) return 0;
    done_ += static_cast<std::uint64_t>(std::ranges::count(written, '\n'));
    return written.size();
}

// Returns 0 or an errno.
int log::state::await_room() noexcept {
    const int error = wait_writable(sink_.fd()).code();
    if (error != ECANCELED) {
        patience_ = never;
        return error;
    }
    if (patience_.is_never()) patience_ = within(last_words);
    const shield end_of_the_runtime;
    return wait_writable(sink_.fd(), patience_).code();
}

void log::state::lose_line(int error) noexcept {
    if (lost_.fetch_add(1, std::memory_order_relaxed) == 0)
        wire::detail::report(diagnostic::loss, "lines of a log cannot be written: %s",
                             ::strerrordesc_np(error));
}

// ---- outside of wires, in any thread

void log::state::put_at_once(log_entry& e) noexcept {
    char line[line_max_outside];
    detail::log_date date;
    std::string_view rest(line, form_.format(line, e, date, true));
    while (!rest.empty()) {
        const std::ptrdiff_t n = sink_.write(rest);
        if (n == -EAGAIN) {
            pollfd room{.fd = sink_.fd(), .events = POLLOUT, .revents = 0};
            invoke("poll", [&] { return ::poll(&room, 1, -1); });
        } else if (n <= 0) {
            return lose_line(n == 0 ? EIO : static_cast<int>(-n));
        } else {
            rest.remove_prefix(static_cast<std::size_t>(n));
        }
    }
}

// ---- the public face

log::log(int fd, const log_options& options)
    : least_(options.least),
      state_(
          std::make_unique<state>(detail::log_form(options.for_journal), log_sink(fd), options)) {}

log::log(const syslog_options& to, const log_options& options)
    : least_(options.least),
      state_(std::make_unique<state>(detail::log_form(to), log_sink(to.path), options)) {}

log::~log() = default;

void log::operator()(log_level level, const char* format, ...) noexcept {
    if (!enabled(level)) return;
    log_entry e{.level = level, .format = format, .error = errno, .when = {}, .args = {}};
    ::clock_gettime(CLOCK_REALTIME, &e.when);
    va_start(e.args, format);
    if (wire::detail::running_or_none())
        state_->put(e);
    else
        state_->put_at_once(e);
    va_end(e.args);
    errno = e.error;
}

result<void> log::flush(deadline until) noexcept {
    return state_->flush(until);
}

std::uint64_t log::lost() const noexcept {
    return state_->lost();
}

}  // namespace wire::io
