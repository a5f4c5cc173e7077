// Which process this is, counted in forks: a forked child has its parent's memory, and must not use
// the runtimes in it. It shares their kernel objects with the parent, and has not their threads.
//
// Nothing is asked of the kernel. A handler counts in each forked child (pthread_atfork(3)), a
// runtime notes the count when it is bound to its thread, and compares at the entrances that are
// not hot: run(), the poller, the inbox, the look that a switch takes every 64 times. A child that
// was forked in a wire takes that look at its first switch, since the handler sees to it; so no
// other wire runs there.
#pragma once

#include <cstdint>

namespace wire::detail {

/// 0: not of any process yet.
using generation = std::uint32_t;

/// Written in a child by its only thread, before it goes on.
inline constinit generation this_generation = 1;

/// Makes forks count. Before the first runtime.
void count_forks() noexcept;

/// What a forked child is told.
inline constexpr char of_the_parent[] =
    "a forked child uses a runtime of its parent, in which it may only call exec or _exit";

}  // namespace wire::detail
