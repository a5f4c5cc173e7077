// How those wait that find a pool or a bridge full or empty.
#pragma once

namespace wire {

/// What a thread or a wire does until there is something for it.
enum class waiting : unsigned char {
    /// Looks again for at most 20 microseconds, meanwhile letting others of its core run, then
    /// sleeps.
    adaptive,
    /// Looks again and again, and never sleeps: for threads with a core of their own. Not on a
    /// virtual clock, which stands still meanwhile.
    spin,
    /// Sleeps at once: where others need the time more.
    park,
};

}  // namespace wire
