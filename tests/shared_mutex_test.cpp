// shared_mutex: who enters with whom and in which order, what ends a wait, and misuse.
#include <doctest/doctest.h>

#include <chrono>
#include <mutex>
#include <shared_mutex>

#include <wire/runtime.hpp>
#include <wire/shared_mutex.hpp>
#include "support/diagnostics.hpp"
#include "support/environment.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// Wires that hold the lock for a millisecond and note when they enter and leave.
struct visitors {
    void reader(const std::string& name) {
        go([this, name] {
            const std::shared_lock share(m);
            visit(name);
        });
    }
    void writer(const std::string& name) {
        go([this, name] {
            const std::unique_lock hold(m);
            visit(name);
        });
    }
    void visit(const std::string& name) {
        log("+" + name);
        CHECK(sleep(within(1ms)));
        log("-" + name);
    }
    shared_mutex m;
    trace log;
};

}  // namespace

TEST_CASE("shared_mutex: readers share it, a writer has it alone" * fifo) {
    visitors v;
    on_wire([&](sim&) {
        v.reader("a");
        v.reader("b");
        v.writer("w");
        v.reader("c");
        v.reader("d");
        v.writer("x");
    });
    CHECK(v.log == trace{"+a", "+b", "-a", "-b", "+w", "-w", "+c", "+d", "-c", "-d", "+x", "-x"});
}

TEST_CASE("shared_mutex: neither readers nor writers starve: entry is in the order of asking" *
          fifo) {
    // Readers that would overlap for ever do not keep the writer out, nor the writers the reader.
    on_wire([](sim&) {
        shared_mutex m;
        trace log;
        bool written = false;
        for (int i = 0; i < 2; ++i) {
            go([&, i] {
                for (int n = 0; !written && n < 100; ++n) {
                    const std::shared_lock share(m);
                    CHECK(sleep(within(i == 0 ? 2ms : 3ms)));
                }
            });
        }
        yield();
        m.lock();
        written = true;
        auto reader = spawn([&] {
            const std::shared_lock share(m);
            log("reader");
        });
        yield();
        m.unlock();
        m.lock();
        log("writer");
        m.unlock();
        CHECK(reader.join());
        CHECK(log == trace{"reader", "writer"});
    });
}

TEST_CASE("shared_mutex: the try forms never wait, and do not pass those who do" * fifo) {
    on_wire([](sim&) {
        shared_mutex m;
        CHECK(m.try_lock_shared());
        CHECK(m.try_lock_shared());
        CHECK_FALSE(m.try_lock());
        auto writer = spawn([&] {
            CHECK(m.lock(never));
            m.unlock();
        });
        yield();
        CHECK_FALSE(m.try_lock_shared());  // a writer waits
        m.unlock_shared();
        m.unlock_shared();
        CHECK_FALSE(m.try_lock());  // it is the writer's already
        CHECK_FALSE(m.try_lock_shared());
        CHECK(writer.join());
        CHECK(m.try_lock());
        m.unlock();
    });
}

TEST_CASE("shared_mutex: a writer whose time is up lets the readers behind it in at once" * fifo) {
    on_wire([](sim& s) {
        shared_mutex m;
        trace log;
        m.lock_shared();
        auto writer = spawn([&] {
            CHECK(m.lock(within(2ms)).code() == ETIMEDOUT);
            log("writer gives up");
        });
        for (int i = 0; i < 2; ++i) {
            go([&, i] {
                const std::shared_lock share(m);
                log("reader", i);
                CHECK(s.ms() == 2);
            });
        }
        auto next = spawn([&] {
            const std::lock_guard hold(m);
            log("next writer");
            CHECK(s.ms() == 5);
        });
        CHECK(sleep(within(5ms)));
        m.unlock_shared();
        CHECK(writer.join());
        CHECK(next.join());
        CHECK(log == trace{"writer gives up", "reader0", "reader1", "next writer"});
    });
}

TEST_CASE("shared_mutex: a writer that is cancelled lets the readers behind it in") {
    on_wire([](sim&) {
        shared_mutex m;
        bool entered = false;
        m.lock_shared();
        auto writer = spawn([&] { CHECK(m.lock(never).code() == ECANCELED); });
        auto reader = spawn([&] {
            const std::shared_lock share(m);
            entered = true;
        });
        yield();
        writer.cancel();
        CHECK(reader.join());
        CHECK(entered);
        m.unlock_shared();
        CHECK(m.try_lock());
        m.unlock();
        CHECK(writer.join());
    });
}

TEST_CASE("shared_mutex: who has given up but not run yet gets nothing, the next does" * fifo) {
    on_wire([](sim&) {
        shared_mutex m;
        m.lock();
        auto reader = spawn([&] { CHECK(m.lock_shared(never).code() == ECANCELED); });
        auto writer = spawn([&] { CHECK(m.lock(never).code() == ECANCELED); });
        auto last = spawn([&] {
            CHECK(m.lock(never));
            m.unlock();
        });
        yield();
        reader.cancel();
        writer.cancel();
        m.unlock();
        CHECK_FALSE(m.try_lock_shared());  // it is the last one's
        CHECK(last.join());
        CHECK(m.try_lock());
        m.unlock();
        CHECK(reader.join());
        CHECK(writer.join());
    });
}

TEST_CASE("shared_mutex: a hand-over wins over a cancel that comes later in the same turn" * fifo) {
    on_wire([](sim&) {
        shared_mutex m;
        m.lock();
        auto a = spawn([&] {
            CHECK(m.lock_shared(never));
            m.unlock_shared();
        });
        auto b = spawn([&] {
            CHECK(m.lock_shared(within(1h)));
            m.unlock_shared();
        });
        yield();
        m.unlock();
        a.cancel();
        b.cancel();
        CHECK(a.join());
        CHECK(b.join());
        CHECK(m.try_lock());
        m.unlock();
    });
}

TEST_CASE(
    "shared_mutex: calls with a deadline fail in a cancelled scope, the others are shielded") {
    on_wire([](sim&) {
        shared_mutex m;
        {
            cancel_scope scope;
            scope.cancel();
            CHECK(m.lock(never).code() == ECANCELED);
            CHECK(m.lock_shared(never).code() == ECANCELED);
        }
        m.lock();
        int entered = 0;
        auto writer = spawn([&] {
            const std::lock_guard hold(m);
            entered += 1;
        });
        auto reader = spawn([&] {
            const std::shared_lock share(m);
            entered += 10;
        });
        yield();
        writer.cancel();
        reader.cancel();
        yield();
        CHECK(entered == 0);
        m.unlock();
        CHECK(writer.join());
        CHECK(reader.join());
        CHECK(entered == 11);
    });
}

TEST_CASE("shared_mutex: readers have deadlines, too") {
    on_wire([](sim& s) {
        shared_mutex m;
        m.lock();
        auto reader = spawn([&] { CHECK(m.lock_shared(within(3ms)).code() == ETIMEDOUT); });
        CHECK(reader.join());
        CHECK(s.ms() == 3);
        m.unlock();
        CHECK(m.lock_shared(within(3ms)));
        m.unlock_shared();
    });
}

TEST_CASE("shared_mutex: a deadlock report says what for wires wait" * fifo) {
    const caught_diagnostics said;
    runtime rt;
    shared_mutex m;
    rt.go([&] {
        m.lock();
        static_cast<void>(suspend());
        m.unlock();
    });
    rt.go({.name = "w"}, [&] { static_cast<void>(m.lock(never)); });
    rt.go({.name = "r"}, [&] { static_cast<void>(m.lock_shared(never)); });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "\"w\" waits for shared_mutex"));
    CHECK(said.has(diagnostic::deadlock, "\"r\" waits for a share of shared_mutex"));
    rt.cancel_all();
    CHECK(rt.run());
}

TEST_CASE("shared_mutex: misuse is told in a sentence") {
    shared_mutex m;
    const char* const alone = "unlock of a shared_mutex that no wire holds alone";
    CHECK(wire_dies([&] { m.unlock(); }, alone));
    CHECK(wire_dies([&] { m.lock_shared(), m.unlock(); }, alone));
    const char* const shared = "unlock_shared of a shared_mutex that nobody shares";
    CHECK(wire_dies([&] { m.unlock_shared(); }, shared));
    CHECK(wire_dies([&] { m.lock(), m.unlock_shared(); }, shared));
    CHECK(wire_dies(
        [&] {
            m.lock();
            go([&] { m.unlock(); });
            yield();
        },
        "unlock of a shared_mutex that another wire holds"));
    const char* const twice = "a wire locks a shared_mutex that it holds";
    CHECK(wire_dies([&] { m.lock(), m.lock(); }, twice));
    CHECK(wire_dies([&] { m.lock(), m.lock_shared(); }, twice));
    CHECK(wire_dies([&] { m.lock(), static_cast<void>(m.lock(within(1ms))); }, twice));
    CHECK(wire_dies([] { shared_mutex().lock_shared(); }, "destroyed while a wire holds it"));
    CHECK(dies([&] { m.lock(); }, "a shared_mutex is locked outside a wire"));
}

TEST_CASE("shared_mutex: contention allocates nothing") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "a sanitizer or valgrind has the heap");
    const auto contend = [] {
        shared_mutex m;
        auto reader = spawn([&] {
            for (int i = 0; i < 100; ++i) {
                const std::shared_lock share(m);
                yield();
            }
        });
        for (int i = 0; i < 100; ++i) {
            CHECK(m.lock(within(1s)));
            yield();
            m.unlock();
        }
        CHECK(reader.join());
    };
    CHECK(allocations_of(contend) == 0);
}
