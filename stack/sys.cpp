#include "sys.hpp"

namespace wire::detail::sys {

constinit std::atomic<fault_hook> hook{nullptr};

}  // namespace wire::detail::sys
