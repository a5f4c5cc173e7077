// Cases of our own runtime that have files of their own.
#pragma once

#include <vector>

#include "measure.hpp"

namespace bench {

void add_wire_channels(std::vector<bench_case>& cases);  // channels and select
void add_wire_many(std::vector<bench_case>& cases);      // many wires
void add_wire_threads(std::vector<bench_case>& cases);   // several threads

}  // namespace bench
