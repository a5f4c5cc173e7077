// Where a thread is that is held by a wire: asked of the thread itself, by a signal.
//
//     none ──ask()──► asked ──the handler──► given ──ask()──► asked ...
//
// The handler runs on the held thread, so what it reads of the running wire stands still. It
// answers only if the turn is still the one that it is asked of: a signal that comes late, when
// other wires run, finds nothing to say. It looks the question up by its thread's runtime, not by a
// pointer that was sent: a watch ends on that same thread, and is never gone under the handler.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include <wire/config.hpp>

namespace wire::io::detail {

class stall_sample : wire::detail::immovable {
public:
    /// Who holds the thread, and where.
    struct wire_at {
        std::uint64_t id = 0;
        std::array<char, 32> name{};
        std::array<void*, 40> frames{};
        int count = 0;
    };

    /// Has the thread look what it does in the turn `beats`. Returns false if no signal can be
    /// sent.
    bool ask(pid_t thread, std::uint64_t beats) noexcept;
    /// The answer to the last question; nullptr: there is none yet.
    [[nodiscard]] const wire_at* answer() const noexcept {
        // [V'] acquire: what the handler has written. Pairs with [V].
        return state_.load(std::memory_order_acquire) == state::given ? &at_ : nullptr;
    }

    /// The handler, on the asked thread, whose turn is `beats`. `pc`: where it was interrupted.
    /// Returns whether there was a question.
    bool take(std::uint64_t beats, const void* pc) noexcept;

private:
    enum class state : std::uint8_t { none, asked, given };

    std::atomic<state> state_{state::none};
    std::atomic<std::uint64_t> of_{0};
    wire_at at_;  // the asked thread's until it is given, then the asker's
};

/// Installs the handler for the process. Throws std::system_error.
void install_stall_handler();
/// Puts back what was there before.
void remove_stall_handler() noexcept;

/// Says the frames as diagnostics, a line for each.
void report_frames(std::span<void* const> frames) noexcept;

}  // namespace wire::io::detail
