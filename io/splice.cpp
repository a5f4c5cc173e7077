#include <wire/splice.hpp>

#include <wire/pipe.hpp>
#include "operation.hpp"
#include "syscalls.hpp"

namespace wire::io {
namespace {

using detail::operation;
using detail::to_size;

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
    auto n = to_size(from.fd_.perform(operation::splice_in(in_.number(), pipe_size), until));
    if (n) pending_ = *n;
    return n;
}

// Of a pipe that holds as much, so that EAGAIN says that the stream takes no more. To ask for more
// than there is would make TCP wait for the rest before it sends.
io_progress splicer::drain(stream& to, deadline until) noexcept {
    return detail::move_all(pending_, [&](std::size_t) {
        auto n = to_size(to.fd_.perform(operation::splice_out(out_.number(), pending_), until));
        if (n) pending_ -= *n;
        return n;
    });
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
