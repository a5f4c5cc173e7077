#include <wire/splice.hpp>

#include <wire/pipe.hpp>
#include "operation.hpp"
#include "socket.hpp"

namespace wire::io {
namespace {

constexpr std::size_t pipe_size = 64 * 1024;  // see pipe(7)

}  // namespace

result<splicer> splicer::make() noexcept {
    auto ends = make_pipe();
    if (!ends) return failure{ends.code()};
    return splicer(ends->first.release(), ends->second.release());
}

// Into an empty pipe, so that EAGAIN says that the stream has nothing, not that the pipe is full.
result<std::size_t> splicer::fill(stream& from, deadline until) noexcept {
    WIRE_ASSERT(pending_ == 0, "splicer::fill() before the pipe was drained");
    auto op = detail::operation::splice_in(in_.number(), pipe_size);
    auto n = detail::to_size(from.fd_.perform(op, until));
    if (n) pending_ = *n;
    return n;
}

// Of a pipe that holds as much, so that EAGAIN says that the stream takes no more. To ask for more
// than there is would make TCP wait for the rest before it sends.
io_progress splicer::drain(stream& to, deadline until) noexcept {
    io_progress progress;
    while (pending_ > 0) {
        auto op = detail::operation::splice_out(out_.number(), pending_);
        const std::ptrdiff_t n = to.fd_.perform(op, until);
        if (n < 0) {
            progress.code = static_cast<int>(-n);
            break;
        }
        pending_ -= static_cast<std::size_t>(n);
        progress.done += static_cast<std::size_t>(n);
    }
    return progress;
}

io_progress splicer::move_all(stream& from, stream& to, deadline until) noexcept {
    io_progress progress = drain(to, until);
    while (progress) {
        const auto n = fill(from, until);
        progress.code = n.code();
        if (!n || *n == 0) break;
        const io_progress sent = drain(to, until);
        progress.done += sent.done;
        progress.code = sent.code;
    }
    return progress;
}

}  // namespace wire::io
