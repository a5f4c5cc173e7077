// Wires of one stack size that have ended, kept as they are: the next wire is made of the one that
// ended last. Its control block is initialised and its stack warm, and what ThreadSanitizer knows
// of it stays valid.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include <wire/stack.hpp>
#include "fiber.hpp"
#include "seal.hpp"

namespace wire::detail {

class fiber_pool : immovable {
public:
    explicit fiber_pool(const stack_options& options, bool is_bounded = false)
        : bounded(is_bounded),
          keeps(std::min(options.warm_max, idle_max)),
          stacks(without(options, keeps)) {}

    /// The last one that came; nullptr if there is none.
    [[nodiscard]] fiber* take() noexcept {
        fiber* const f = idle_;
        if (f) [[likely]] {
            idle_ = f->next_idle;
            --count_;
            if constexpr (WIRE_SEAL_STACKS)
                if (f->sealed) check_seal(std::exchange(f->sealed, nullptr), limit_of(*f));
        }
        return f;
    }

    /// Seals the stacks of the wires that have ended last. On the scheduler's own flow.
    void seal_idle() noexcept {
        fiber* f = idle_;
        for (std::size_t n = 0; n < idle_max && f && !f->sealed; ++n, f = f->next_idle)
            f->sealed = seal(f->memory, limit_of(*f));
    }

    /// May be called by the wire itself when it ends: `f` is used again by its own thread only.
    void give_back(fiber& f) noexcept {
        put_back(f);
        if (bounded) [[unlikely]]
            give_permit_back();
    }

    /// The same for a wire that could not be started: its permit stays with whoever wanted it.
    void put_back(fiber& f) noexcept {
        f.next_idle = idle_;
        idle_ = &f;
        ++count_;
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }

    const bool bounded;       // a bounded_pool, which ends before the runtime
    const std::size_t keeps;  // idle wires, over a sleep; they count as warm stacks
    stack_cache stacks;

private:
    void give_permit_back() noexcept;

    static constexpr std::size_t idle_max = 64;

    // The control block is used on.
    static std::byte* limit_of(fiber& f) noexcept { return reinterpret_cast<std::byte*>(&f); }

    static stack_options without(stack_options options, std::size_t warm) noexcept {
        options.warm_max -= warm;
        return options;
    }

    fiber* idle_ = nullptr;
    std::size_t count_ = 0;
};

}  // namespace wire::detail
