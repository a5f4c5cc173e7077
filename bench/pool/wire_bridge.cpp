// wire::bridge between plain threads.
#include "wire_bridge.hpp"

#include "run_queue.hpp"

int main(int argc, char** argv) {
    return bench::run_queue<bench::bridge_queue>(argc, argv);
}
