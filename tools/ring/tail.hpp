// Becoming the consumer of a ring, and printing what comes.
#pragma once

#include <cstdint>
#include <string>

struct tail_options {
    bool hex = false;         // also of text
    std::uint64_t count = 0;  // end after so many records; 0: at control-C
};

/// Prints records until control-C, or until the ring is closed and empty. Returns the exit code.
/// Throws std::system_error.
int tail_ring(const std::string& ring, const tail_options& options);
