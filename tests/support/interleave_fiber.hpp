// The explorer's own fibers: Boost.Context and nothing of the product, which must not be a part of
// its own checker. No exception may be alive across a switch; AddressSanitizer is told of each.
#pragma once

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <new>

#include "environment.hpp"

#if WIRE_TEST_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace interleave::detail {

/// A stack with an inaccessible page below it.
class fiber_stack {
public:
    fiber_stack() : low_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0)) {
        if (low_ == MAP_FAILED) throw std::bad_alloc();
        ::mprotect(low_, guard, PROT_NONE);
    }
    ~fiber_stack() {
#if WIRE_TEST_ASAN
        __asan_unpoison_memory_region(usable(), usable_size);  // nobody unwound what lies there
#endif
        ::munmap(low_, size);
    }
    fiber_stack(const fiber_stack&) = delete;
    fiber_stack& operator=(const fiber_stack&) = delete;

    [[nodiscard]] std::byte* usable() const noexcept {
        return static_cast<std::byte*>(low_) + guard;
    }

    static constexpr std::size_t size = 0x40000;
    static constexpr std::size_t guard = 4096;
    static constexpr std::size_t usable_size = size - guard;

private:
    static constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* low_;
};

/// A flow of control that waits to be continued; one that was not started is the OS thread's own.
class fiber {
public:
    /// The first switch here calls `entry` on `stack`; it must not return.
    void start(const fiber_stack& stack, void (*entry)(boost::context::detail::transfer_t)) {
#if WIRE_TEST_ASAN
        // Of a flow that was given up.
        __asan_unpoison_memory_region(stack.usable(), fiber_stack::usable_size);
#endif
        low_ = stack.usable();
        size_ = fiber_stack::usable_size;
        at_ = boost::context::detail::make_fcontext(stack.usable() + size_, size_, entry);
    }

    /// Continues `to`; returns when somebody continues this one.
    void switch_to(fiber& to) {
        to_ = &to;
#if WIRE_TEST_ASAN
        __sanitizer_start_switch_fiber(&shadow_, to.low_, to.size_);
#endif
        boost::context::detail::ontop_fcontext(to.at_, this, &arrive);
    }

private:
    using transfer = boost::context::detail::transfer_t;

    // The first thing that runs on the stack of the fiber switched to.
    static transfer arrive(transfer t) noexcept {
        fiber* const from = static_cast<fiber*>(t.data);
        from->at_ = t.fctx;
#if WIRE_TEST_ASAN
        __sanitizer_finish_switch_fiber(from->to_->shadow_, &from->low_, &from->size_);
#endif
        return t;
    }

    boost::context::detail::fcontext_t at_ = nullptr;
    fiber* to_ = nullptr;  // whom it has continued
    const void* low_ = nullptr;
    std::size_t size_ = 0;
    [[maybe_unused]] void* shadow_ = nullptr;  // AddressSanitizer's
};

}  // namespace interleave::detail
