// Stacks: guarded memory for wires, carved from large mappings and handed out last in, first out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <wire/config.hpp>

namespace wire {

/// How guards are made.
enum class guard_kind : std::uint8_t {
    automatic,  ///< MADV_GUARD_INSTALL, or mprotect where the kernel refuses (one diagnostic line)
    install,    ///< MADV_GUARD_INSTALL (Linux 6.13): no mapping of its own per guard
    protect,  ///< mprotect: two mappings a stack, so about 32,000 stacks at vm.max_map_count 65530
};

/// What a stack looks like. Sizes are bytes and are rounded up to whole pages.
struct stack_options {
    std::size_t size = 64 * 1024;  ///< usable bytes; 16 KiB at least
    std::size_t guard =
        16 * 1024;                ///< inaccessible bytes below; a frame larger than it can jump it
    std::size_t warm_max = 1024;  ///< free stacks that keep their pages; the rest give them back
    guard_kind guards = guard_kind::automatic;
};

/// One stack: usable memory [base, top). It grows down from `top`; the guard lies below `base`.
struct stack {
    std::byte* base = nullptr;
    std::byte* top = nullptr;
};

namespace detail {
class slab;
}

/// A LIFO of free stacks of one shape: the next wire gets the stack that was used last, whose pages
/// and cache lines are warm.
///
/// Memory is mapped in slabs, on demand, and kept until the cache is destroyed; only the page
/// contents of cold stacks are returned to the system, by trim().
///
/// Not thread-safe: a cache belongs to one runtime.
class WIRE_API stack_cache {
public:
    /// Maps nothing yet. Asserts that a stack of 16 KiB to 1 GiB is asked for.
    explicit stack_cache(const stack_options& options);
    ~stack_cache();  ///< Unmaps everything; every stack must have come back or be abandoned.

    stack_cache(const stack_cache&) = delete;
    stack_cache& operator=(const stack_cache&) = delete;

    /// A stack whose guard is in place. Allocates only when a new slab or batch of guards is
    /// needed. Throws std::system_error that names the call, the number of stacks reached and the
    /// limit to raise.
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

    /// Returns the pages of at most `budget` cold stacks to the system; keeps `warm_max` warm ones.
    /// Returns how many it trimmed. Meant for idle moments: 1 to 2 us each.
    std::size_t trim(std::size_t budget) noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return options_.size; }
    [[nodiscard]] std::size_t guard() const noexcept { return options_.guard; }
    [[nodiscard]] std::size_t total() const noexcept { return total_; }  ///< stacks carved so far
    [[nodiscard]] std::size_t free() const noexcept { return free_.size(); }
    [[nodiscard]] std::size_t warm() const noexcept { return free_.size() - cold_; }

private:
    void grow();

    stack_options options_;
    std::vector<std::unique_ptr<detail::slab>> slabs_;
    std::vector<stack> free_;  // capacity >= total_, so release() never allocates; coldest first
    std::size_t cold_ = 0;     // free_[0, cold_) have given their pages back
    std::size_t total_ = 0;
};

}  // namespace wire
