// Stacks: guarded memory for wires, carved from large mappings and handed out last in, first out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <wire/config.hpp>

namespace wire {

/// How guards are made.
enum class guard_kind : std::uint8_t {
    automatic,  ///< MADV_GUARD_INSTALL, or mprotect where the kernel refuses (one diagnostic line)
    install,    ///< MADV_GUARD_INSTALL (Linux 6.13): no mapping of its own per guard
    protect,  ///< mprotect: two mappings a stack, so about 32,000 stacks at vm.max_map_count 65530
};

/// The sizes that a stack may have. A signal frame with AVX-512 state alone takes 3.4 KiB.
inline constexpr std::size_t stack_size_min = 16 * 1024;
inline constexpr std::size_t stack_size_max = std::size_t{1} << 30;

/// What a stack looks like. Sizes are bytes and are rounded up to whole pages.
struct stack_options {
    std::size_t size = 64 * 1024;  ///< usable bytes; 16 KiB at least and 1 GiB at most
    std::size_t guard =
        16 * 1024;                ///< inaccessible bytes below; a frame larger than it can jump it
    std::size_t warm_max = 1024;  ///< free stacks that keep their pages; the rest give them back
    guard_kind guards = guard_kind::automatic;
    /// Not empty: stacks are cut from this memory and nothing is mapped; `guard`, `guards` and
    /// `warm_max` mean nothing then. It must outlive the cache. Any alignment will do: n * size
    /// bytes hold n stacks if they are aligned to 64, and 63 more if they are not, `size` being
    /// rounded up to a multiple of 64.
    ///
    /// There is no guard. The lowest 64 bytes of each stack are a canary instead: a wire that has
    /// written there is found out late, when it ends or sooner, and the program ends with a
    /// sentence that names it. A frame that jumps over the canary is not found out.
    std::span<std::byte> memory = {};
};

/// One stack: usable memory [base, top). It grows down from `top`; the guard lies below `base`. In
/// the caller's memory the canary lies at `base`, and is part of it.
struct stack {
    std::byte* base = nullptr;
    std::byte* top = nullptr;
};

/// How many bytes of `s`, counted from its top, have ever been used: down to the lowest eight that
/// are not all zero. For choosing stack sizes; not for hot paths, it reads all that is unused.
///
/// Everybody who has used the stack counts, and not only the wire that has it now, since its pages
/// were fresh or trim() gave them back. A frame counts as far as it was written to, with something
/// else than zeros. In the caller's memory what lay there before counts, too: zero it first, as
/// static memory is.
[[nodiscard]] WIRE_API std::size_t high_water(const stack& s) noexcept;

namespace detail {
class slab;
}

/// A LIFO of free stacks of one shape: the next wire gets the stack that was used last, whose pages
/// and cache lines are warm.
///
/// Memory is mapped in slabs, on demand, and kept until the cache is destroyed; only the page
/// contents of cold stacks are returned to the system, by trim(). Or it is the caller's: then it
/// is cut up on demand, and never returned.
///
/// Not thread-safe: a cache belongs to one runtime.
class WIRE_API stack_cache : detail::immovable {
public:
    /// Maps nothing yet. Asserts that a stack of 16 KiB to 1 GiB is asked for.
    explicit stack_cache(const stack_options& options);
    /// Unmaps everything; every stack must have come back, be abandoned or be kept.
    ~stack_cache();

    /// A stack whose guard is in place. Allocates only when a new slab or batch of guards is
    /// needed. Throws std::system_error that names the call, the number of stacks reached and the
    /// limit to raise; with ENOMEM and the number of stacks that fit if the caller's memory is used
    /// up.
    stack acquire() {
        if (free_.empty()) [[unlikely]]
            grow();
        const stack s = free_.back();
        free_.pop_back();
        if (cold_ > free_.size()) cold_ = free_.size();
        return s;
    }

    /// Takes a stack back. Never fails and makes no system call.
    void release(stack s) noexcept { free_.push_back(s); }

    /// What is mapped now stays mapped for ever: others may refer to the frames of a wire that has
    /// been abandoned.
    void keep() noexcept;

    /// Returns the pages of at most `budget` cold stacks to the system; keeps `warm_max` warm ones.
    /// Returns how many it trimmed. Meant for idle moments: 1 to 2 us each.
    std::size_t trim(std::size_t budget) noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return options_.size; }
    /// 0 in the caller's memory.
    [[nodiscard]] std::size_t guard() const noexcept { return options_.guard; }
    /// Whether stacks lie in the caller's memory, with a canary each.
    [[nodiscard]] bool has_canaries() const noexcept { return !options_.memory.empty(); }
    /// Whether the canary of `s` is undamaged; true if it has none.
    [[nodiscard]] bool intact(const stack& s) const noexcept;
    [[nodiscard]] std::size_t total() const noexcept { return total_; }  ///< stacks carved so far
    [[nodiscard]] std::size_t free() const noexcept { return free_.size(); }
    [[nodiscard]] std::size_t warm() const noexcept { return free_.size() - cold_; }

private:
    void grow();
    void map_more();
    void cut_one();

    stack_options options_;
    std::vector<std::unique_ptr<detail::slab>> slabs_;
    std::vector<stack> free_;  // capacity >= total_, so release() never allocates; coldest first
    std::size_t cold_ = 0;     // free_[0, cold_) have given their pages back
    std::size_t total_ = 0;
};

}  // namespace wire
