// How rings and arenas end: not in a forked child.
#pragma once

namespace wire::shm::detail {

/// For std::unique_ptr: ends what a handle consists of, or gives it up if this is a forked child's
/// copy. T::is_of_this_process() tells. Defined in the library (abandon.hpp).
template <class T>
struct unless_copied {
    void operator()(T* state) const noexcept;
};

}  // namespace wire::shm::detail
