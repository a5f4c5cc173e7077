// A slab: one mapping cut into equal stacks, each with a guard below it.
//
//     | guard | stack 0 | guard | stack 1 | ... | guard | stack n-1 | guard |
//     ^ base                                                                ^ end
//
// Guards are installed in batches as stacks are carved, lowest first. MADV_GUARD_INSTALL marks
// pages in the page table and creates no mapping, so neighbouring slabs merge into one VMA and a
// million stacks need a handful of them.
#pragma once

#include <cstddef>
#include <span>

#include <wire/stack.hpp>

namespace wire::detail {

class slab : immovable {
public:
    static constexpr std::size_t batch_max = 512;  // guards per system call

    /// Maps room for `count` stacks. Throws std::system_error naming mmap and `already`, the number
    /// of stacks that exist.
    slab(const stack_options& options, std::size_t count, std::size_t already);
    ~slab();

    [[nodiscard]] bool exhausted() const noexcept { return carved_ == count_; }
    [[nodiscard]] std::size_t batch() const noexcept;  // stacks that the next carve() yields

    /// Guards the next batch of stacks and writes them to `out`, which has room for batch().
    /// Throws std::system_error naming the call that failed; nothing is carved then.
    void carve(std::span<stack> out, std::size_t already);

    /// The mapping outlives the slab.
    void keep() noexcept { kept_ = true; }

private:
    [[nodiscard]] std::byte* guard_of(std::size_t index) const noexcept;
    [[nodiscard]] stack stack_of(std::size_t index) const noexcept;
    void guard(std::size_t first, std::size_t last, std::size_t already);

    const stack_options options_;
    const std::size_t count_;
    const std::size_t length_;
    std::byte* base_ = nullptr;
    std::size_t carved_ = 0;
    bool kept_ = false;
};

/// Tells Valgrind that this memory is a stack.
void announce_stack(stack s) noexcept;

}  // namespace wire::detail
