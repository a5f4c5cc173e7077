// wire::bridge between wires: one on each thread, in a runtime of its own.
#include <wire/runtime.hpp>
#include <wire/spawn.hpp>

#include "run_queue.hpp"
#include "wire_bridge.hpp"

namespace {

template <class T>
struct wires_queue : bench::bridge_queue<T> {
    using bench::bridge_queue<T>::bridge_queue;

    static void host(auto body) {
        wire::runtime rt;
        rt.go(body);
        static_cast<void>(rt.run());
    }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<wires_queue>(argc, argv);
}
