// Making an arena's memory, finding it, and removing it.
//
// An arena is made without a name. It gets that when it is whole and its first user is in it, by
// link(2): so of those who come first at the same time one makes it, the others find it, and of who
// dies meanwhile nothing is left. Whoever comes later, or leaves, holds a lock on the file
// meanwhile, which the kernel takes back if that process dies: so nobody comes to an arena that its
// last user is about to remove.
#pragma once

#include <functional>
#include <string>

#include <wire/shm/arena.hpp>
#include <wire/shm/detail/mapping.hpp>
#include "arena_layout.hpp"
#include "arena_sync.hpp"

namespace wire::shm::detail {

using arena_map = basic_arena_map<arena_sync>;

/// An arena's memory in this process.
struct arena_segment {
    mapping memory;
    arena_map map;
    std::string name;
    bool is_new = false;
};

/// The lock on an arena's file. Taken by a description of its own, if there is a descriptor for
/// that: a forked child shares all others, and would keep the lock of a process that has died.
class file_lock : wire::detail::immovable {
public:
    explicit file_lock(int fd) noexcept;
    ~file_lock();

private:
    const int own_;
    const int fd_;
};

enum class find : unsigned char { existing, missing, either };
/// A user has come to an arena, or found that all in it have died.
enum class entry : unsigned char { done, is_over };

/// Throws std::system_error, as does `enter`, which is called before anybody else can remove it.
arena_segment open_arena(const std::string& name, find what, const arena_options& options,
                         const std::function<entry(arena_segment&)>& enter);
/// Takes the name away, if it is that of this file still. With the file's lock.
void remove_name(int fd, const std::string& name) noexcept;

}  // namespace wire::shm::detail
