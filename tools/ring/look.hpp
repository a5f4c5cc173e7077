// Looking at a ring in shared memory without disturbing it: the memory is mapped to be read only,
// and who looks is neither consumer nor producer.
#pragma once

#include <string>

/// "/name" is a ring of that name, anything else the path of a file.
bool is_shared_name(const std::string& ring);

/// Prints what is in a ring, and who uses it. Throws std::system_error.
void print_ring(const std::string& ring);

/// Removes a ring's name, or its file. Throws std::system_error: also if it is no ring, or if its
/// consumer lives and `force` is not set.
void remove_ring(const std::string& ring, bool force);
