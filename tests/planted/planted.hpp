// Programs with one bug each, which a tool must find, although it happens on a wire. Started with
// "--without" the bug is left out: then the tool must stay silent.
#pragma once

#include <cstring>

inline bool bug_wanted(int argc, char** argv) {
    return argc < 2 || std::strcmp(argv[1], "--without") != 0;
}
