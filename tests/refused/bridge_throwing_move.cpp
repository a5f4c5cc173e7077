// A bridge's values must not throw when they are moved.
#include <wire/bridge.hpp>

struct value {
#ifdef REFUSED
    value(value&&) noexcept(false) {}
#else
    value(value&&) noexcept {}
#endif
};

template class wire::bridge<value>;
