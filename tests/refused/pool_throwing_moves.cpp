// A pool's elements must not throw when they are moved.
#include <wire/pool.hpp>

struct element {
    element() = default;
#ifdef REFUSED
    element(element&&) noexcept(false) {}
#else
    element(element&&) noexcept {}
#endif
    element& operator=(element&&) noexcept {
        return *this;
    }
};

template class wire::pool<element>;
