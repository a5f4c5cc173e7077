// A look into a program that runs: SIGQUIT prints its wires.
#pragma once

#include <wire/runtime.hpp>

namespace wire::io {

/// While one exists, SIGQUIT (control-\ in a terminal, or `kill -QUIT`) does not end the program:
/// the runtime prints its wires on standard error, as runtime::dump() does, and goes on. Each
/// runtime needs one; wire::run makes them if run_options::dump_on_quit is set.
///
/// It is no wire and waits for nothing: run() ends and deadlocks are reported as without it. A
/// runtime that sleeps is woken; one whose wire computes prints when that gives way. Signals that
/// come faster than it can print are one.
///
/// It is a signal handler, which only wakes runtimes: their poller's notify() must bear that, as
/// the library's own do. The first of these objects installs it for the whole process and the last
/// one restores what was there, unless somebody else has changed that. Threads that block SIGQUIT
/// are left alone; if all do, as with io::signals, nothing is printed.
class WIRE_API dump_on_quit : wire::detail::immovable {
public:
    /// Throws std::system_error naming sigaction. `rt` must outlive it. Any thread.
    explicit dump_on_quit(runtime& rt);
    ~dump_on_quit();

private:
    friend struct quit_list;
    wire::detail::shared_state& state_;
    dump_on_quit* next_ = nullptr;
};

}  // namespace wire::io
