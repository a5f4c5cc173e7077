// wire::pool between plain threads.
#include "wire_pool.hpp"

#include "run_queue.hpp"

int main(int argc, char** argv) {
    return bench::run_queue<bench::pool_queue>(argc, argv);
}
