// A pool holds objects that can be changed.
#include <wire/pool.hpp>

#ifdef REFUSED
using element = const int;
#else
using element = int;
#endif

template class wire::pool<element>;
