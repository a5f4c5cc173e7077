// When to stop a user of an arena, or to kill it, so that nothing else could come of another
// moment.
//
// All that others see of a process is what it has stored in shared memory, and what the kernel did
// for it. So a first child is watched: to stop the others after the steps that have changed that
// memory, and after each system call, is to stop one after every instruction. In the long run that
// is done, too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "arena_memory.hpp"
#include "interleave_bounds.hpp"
#include "single_step.hpp"

namespace wire::test {

/// After how many steps.
class moments {
public:
    explicit moments(arena_memory& memory) : memory_(memory) {}
    void learn(stepped_child& child) {
        static_cast<void>(memory_.has_changed());
        std::uint64_t n = 0;
        course_ = child.learn_course([&] {
            ++n;
            if (memory_.has_changed()) stores_.push_back(n);
        });
    }
    [[nodiscard]] const course& of_child() const { return course_; }
    [[nodiscard]] std::size_t stores() const { return stores_.size(); }
    [[nodiscard]] std::vector<std::uint64_t> all() const {
        if (interleave::explores_long()) return course_.ends();
        std::vector<std::uint64_t> all = stores_;
        all.insert(all.end(), course_.calls.begin(), course_.calls.end());
        all.insert(all.end(), {0, course_.steps});
        std::ranges::sort(all);
        all.erase(std::ranges::unique(all).begin(), all.end());
        return all;
    }

private:
    arena_memory& memory_;
    course course_;
    std::vector<std::uint64_t> stores_;
};

}  // namespace wire::test
