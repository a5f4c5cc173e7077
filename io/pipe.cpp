#include <wire/pipe.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "operation.hpp"
#include "socket.hpp"

namespace wire::io {

using detail::invoke;
using detail::operation;
using detail::to_size;

result<pipe_end> pipe_end::adopt(int fd) noexcept {
    struct stat about {};
    auto n = invoke("fstat", [&] { return ::fstat(fd, &about); });
    if (n == 0 && !S_ISFIFO(about.st_mode)) n = -EINVAL;
    if (n == 0) n = detail::make_non_blocking(fd);
    if (n < 0) return detail::failed(n);
    return pipe_end(detail::descriptor(fd));
}

result<std::size_t> pipe_end::read(std::span<std::byte> buffer, deadline until) noexcept {
    return to_size(fd_.perform(operation::read(buffer), until));
}

result<std::size_t> pipe_end::write(std::span<const std::byte> data, deadline until) noexcept {
    return to_size(fd_.perform(operation::write(data), until));
}

io_progress pipe_end::write_all(std::span<const std::byte> data, deadline until) noexcept {
    return detail::move_all(data.size(),
                            [&](std::size_t done) { return write(data.subspan(done), until); });
}

result<std::pair<pipe_end, pipe_end>> make_pipe() noexcept {
    int fds[2] = {-1, -1};
    const auto n = invoke("pipe2", [&] { return ::pipe2(fds, O_NONBLOCK | O_CLOEXEC); });
    if (n < 0) return detail::failed(n);
    return std::pair(pipe_end(detail::descriptor(fds[0])), pipe_end(detail::descriptor(fds[1])));
}

}  // namespace wire::io
