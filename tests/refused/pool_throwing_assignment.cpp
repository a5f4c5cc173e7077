// Nor when they are assigned.
#include <wire/pool.hpp>

struct element {
    element() = default;
    element(element&&) noexcept {}
#ifdef REFUSED
    element& operator=(element&&) noexcept(false) {
        return *this;
    }
#else
    element& operator=(element&&) noexcept {
        return *this;
    }
#endif
};

template class wire::pool<element>;
