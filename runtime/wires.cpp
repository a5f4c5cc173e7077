#include <wire/wires.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include <wire/runtime.hpp>
#include "scheduler.hpp"
#include "sys.hpp"

namespace wire {
namespace detail {
namespace {

wire_state state_of(const fiber& f, const scheduler& s) noexcept {
    if (f.state == fiber_state::waiting) return wire_state::waiting;
    if (f.state == fiber_state::finished) return wire_state::finished;
    return s.running() == &f ? wire_state::running : wire_state::ready;
}

// One that has ended and belongs to nobody lies in a pool.
bool exists(const fiber& f) noexcept {
    return f.id != 0 && (f.state != fiber_state::finished || !f.detached);
}

// Lines on their way to a descriptor. It gets whole lines in each write, so that those of several
// threads do not mix; a descriptor that takes no more gets no more.
class line_writer : immovable {
public:
    explicit line_writer(int fd) noexcept : fd_(fd) {}
    ~line_writer() { flush(); }

    [[gnu::format(printf, 2, 3)]] void line(const char* format, ...) noexcept {
        std::array<char, 256> text;
        va_list args;
        va_start(args, format);
        // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is initialised just above
        const int n = std::vsnprintf(text.data(), text.size(), format, args);
        va_end(args);
        const auto length =
            std::clamp<std::size_t>(n < 0 ? 0 : static_cast<std::size_t>(n), 0, text.size() - 1);
        if (used_ + length + 1 > buffer_.size()) flush();
        // One line stays one, whatever a name contains.
        for (std::size_t i = 0; i < length; ++i)
            buffer_[used_++] = static_cast<unsigned char>(text[i]) < ' ' ? '?' : text[i];
        buffer_[used_++] = '\n';
    }

private:
    void flush() noexcept {
        for (std::size_t done = 0; done < used_ && !failed_;) {
            const auto n = sys::call(
                "write", [&] { return ::write(fd_, buffer_.data() + done, used_ - done); });
            if (n > 0) done += static_cast<std::size_t>(n);
            failed_ = n <= 0 && !(n < 0 && errno == EINTR);
        }
        used_ = 0;
    }

    const int fd_;
    bool failed_ = false;
    std::size_t used_ = 0;
    std::array<char, 2048> buffer_;
};

void describe(const wire_info& w, line_writer& out) noexcept {
    const auto id = static_cast<unsigned long long>(w.id);
    const int length = static_cast<int>(w.name.size());
    const char* const name = w.name.data();
    if (w.state != wire_state::waiting) {
        const char* const does = w.state == wire_state::ready     ? "is ready"
                                 : w.state == wire_state::running ? "runs"
                                                                  : "has ended and was not joined";
        return out.line("  wire %llu \"%.*s\" %s", id, length, name, does);
    }
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(w.waited).count();
    out.line("  wire %llu \"%.*s\" waits for %.*s for %lld.%03lld ms", id, length, name,
             static_cast<int>(w.waits_for.size()), w.waits_for.data(),
             static_cast<long long>(us / 1000), static_cast<long long>(us % 1000));
}

}  // namespace

// By one write for many lines and no allocation, so that it works when little else does.
void scheduler::dump(int fd) const noexcept {
    const int error = errno;
    {
        line_writer out(fd);
        out.line("thread %d: %zu wire%s", static_cast<int>(::gettid()), known(),
                 known() == 1 ? "" : "s");
        for (const wire_info& w : wire_range(*this)) describe(w, out);
    }
    errno = error;
}

}  // namespace detail

wire_range::iterator wire_range::begin() const noexcept {
    WIRE_ASSERT(scheduler_->on_own_thread(),
                "the wires of a runtime are looked at on its own thread");
    return {*scheduler_, scheduler_->now()};
}

void wire_range::iterator::find() noexcept {
    const detail::wire_table& table = scheduler_->shared().wires;
    for (; index_ < table.size(); ++index_) {
        const detail::fiber* const f = table.at(index_);
        if (!f || !detail::exists(*f)) continue;
        at_ = {f->id, f->shown_name(), detail::state_of(*f, *scheduler_), {}, {}};
        if (at_.state != wire_state::waiting) return;
        at_.waits_for = f->waits_for;
        at_.waited = std::chrono::nanoseconds(std::max<std::int64_t>(now_ns_ - f->since, 0));
        return;
    }
    at_ = {};
}

wire_range wires() noexcept {
    return wire_range(detail::on_wire("wire::wires() outside a wire: use runtime::wires()"));
}

void dump(int fd) noexcept {
    detail::on_wire("wire::dump() outside a wire: use runtime::dump()").dump(fd);
}

wire_range runtime::wires() const noexcept {
    return wire_range(*scheduler_);
}

void runtime::dump(int fd) const noexcept {
    scheduler_->dump(fd);
}

}  // namespace wire
