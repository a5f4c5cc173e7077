// How a running instance gives everything to its successor, over the control socket: the listening
// socket, the control socket, each connection with the bytes under way, all keys and values.
//
//     successor                         instance that runs
//     take-over                 ──►
//                               ◄──     listen WHERE              + the descriptor
//                               ◄──     control REMOVE            + the descriptor
//                               ◄──     connection IN OUT OVER    + the descriptor, the bytes
//                               ◄──     values N                  + the bytes: requests
//                               ◄──     end
//     ready                     ──►
//                               ◄──     go, or: stay REASON
//
// From the first line on the old instance does nothing with them; the successor does nothing before
// "go". If the successor ends or is too slow, the old instance goes on as if nothing had happened.
// If the old one is killed, the successor goes on with what it has: the listening socket comes
// first, so clients that connect meanwhile wait in its queue. (If the successor is killed between
// "ready" and its first answer, all is lost, as if any instance is killed.)
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "service.hpp"

namespace wired {

/// Why a daemon cannot start.
struct start_error : std::runtime_error {
    using runtime_error::runtime_error;
};

/// The old side; `from` is frozen. `remove`: whether the control socket's path goes with the last
/// instance. Returns "" if the successor has it all, else why not.
std::string hand_over(const service& from, const io::listener& control, bool remove,
                      io::stream& to);

/// What the new side has got, besides what is in its service.
struct inheritance {
    io::listener control;  ///< perhaps closed, if not whole
    bool removes_control = true;
    bool whole = false;  ///< false: the old instance ended before it had sent everything
};

/// The new side: asks whoever answers at `path`. Throws start_error, as `prepare` may: it is called
/// when all is there, and as long as the old instance could still go on.
inheritance take_over(service& into, const std::string& path, const std::function<void()>& prepare);

}  // namespace wired
