// What a forked child has of its parent's handles: they own threads and words that only the parent
// has, so that their destructors would wait for ever, or free what is not theirs.
#pragma once

#include <atomic>
#include <memory>
#include <new>

#include <wire/shm/detail/unless_copied.hpp>

namespace wire::shm::detail {

/// Gives `*p` up, undestroyed, and keeps it reachable: no leak checker takes it for a mistake.
template <class T>
void abandon(std::unique_ptr<T>& p) noexcept {
    struct kept {
        T* what;
        kept* before;
    };
    static std::atomic<kept*> all{nullptr};
    auto* const one = new (std::nothrow) kept{p.release(), all.load(std::memory_order_relaxed)};
    // relaxed: nobody reads it.
    while (one && !all.compare_exchange_weak(one->before, one, std::memory_order_relaxed)) {
    }
}

template <class T>
void unless_copied<T>::operator()(T* state) const noexcept {
    std::unique_ptr<T> p(state);
    if (!p->is_of_this_process()) abandon(p);
}

}  // namespace wire::shm::detail
