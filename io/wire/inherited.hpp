// Sockets that the environment hands over: systemd's socket activation, and whoever does the same.
#pragma once

#include <string>
#include <vector>

#include <wire/descriptor.hpp>
#include <wire/result.hpp>

namespace wire::io {

/// One of them, with the name it was given there ("unknown" if none was).
struct inherited_socket {
    std::string name;
    owned_descriptor fd;  ///< for listener::adopt or datagram::adopt: give it fd.release()
};

/// The descriptors that LISTEN_FDS counts, from number 3 on, if LISTEN_PID names this process; made
/// close-on-exec. None if there are no such variables, or for another process. Source: the
/// convention of sd_listen_fds(3).
///
/// Removes the variables, so that children do not find them, and a second call finds none. As it
/// changes the environment, call it before other threads start. Fails with EINVAL if a variable
/// makes no sense (no number, too many names or too few) and with EBADF if a descriptor is not
/// open; all stay as they are then. Throws std::bad_alloc.
WIRE_API result<std::vector<inherited_socket>> inherited_sockets();

}  // namespace wire::io
