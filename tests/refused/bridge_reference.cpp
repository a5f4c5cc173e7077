// A bridge carries objects, no references.
#include <wire/bridge.hpp>

#ifdef REFUSED
using value = int&;
#else
using value = int*;
#endif

// Not instantiated as a whole: of a reference hardly a member makes sense.
constexpr auto size = sizeof(wire::bridge<value>);
