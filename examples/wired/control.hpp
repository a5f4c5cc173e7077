// The control socket: a line with a command comes, lines with the answer go back, and the end.
#pragma once

#include <wire/stream.hpp>

namespace wired {

class daemon;

/// Answers one command: status, wires, reload, drain, upgrade, hold SECONDS, or take-over.
void answer(daemon& d, wire::io::stream& peer);

}  // namespace wired
