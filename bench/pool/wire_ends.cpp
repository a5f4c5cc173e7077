// wire::pool or wire::bridge with a wire at one end or both: one on each thread, in a runtime of
// its own. meson.build says for each program which QUEUE it is, and who PRODUCER and CONSUMER are.
#include <wire/runtime.hpp>
#include <wire/spawn.hpp>

#include "run_queue.hpp"
#include "wire_bridge.hpp"
#include "wire_pool.hpp"

namespace {

enum class user { thread, wire };

template <class T>
struct queue : bench::QUEUE<T> {
    using bench::QUEUE<T>::QUEUE;

    static bool can(const bench::shape& s) {
        const bool usual = s.bytes == 8 && s.capacity == 1'000 && s.bulk == 1;
        return usual && (s.threads() == 2 || all_are_wires) && bench::QUEUE<T>::can(s);
    }

    static void host(bench::side where, auto body) {
        if ((where == bench::side::put ? user::PRODUCER : user::CONSUMER) == user::thread)
            return body();
        wire::runtime rt;
        rt.go(body);
        static_cast<void>(rt.run());
    }

private:
    static constexpr bool all_are_wires =
        user::PRODUCER == user::wire && user::CONSUMER == user::wire;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<queue>(argc, argv);
}
