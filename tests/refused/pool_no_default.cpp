// The slots of a pool begin with T().
#include <wire/pool.hpp>

struct element {
#ifdef REFUSED
    explicit element(int) {}
#endif
};

template class wire::pool<element>;
