// Exceptions and errno belong to a wire, as if it were a thread.
#include <doctest/doctest.h>

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>

#include <wire/runtime.hpp>
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;

namespace {

// Calls f() when it goes.
template <class F>
struct at_end {
    explicit at_end(F g) : f(g) {}
    ~at_end() { f(); }
    F f;
};

constexpr int rounds = 400;

struct numbered {
    int wire;
    int round;
};

// Throws, catches, yields in the handler, rethrows: what comes out must be its own.
int own_exceptions(int self, int times) {
    int own = 0;
    for (int i = 0; i < times; ++i) {
        try {
            try {
                throw numbered{self, i};
            } catch (const numbered&) {
                yield();
                throw;
            }
        } catch (const numbered& e) {
            yield();
            if (e.wire == self && e.round == i) ++own;
        }
    }
    return own;
}

}  // namespace

TEST_CASE("exceptions: wires that yield inside catch and rethrow get their own exception") {
    // With raw Boost.Context before 1.88 each rethrows the other's, in 400 of 400 rounds.
    runtime rt;
    for (int self = 0; self < 3; ++self)
        rt.go([self] { CHECK(own_exceptions(self, rounds) == rounds); });
    CHECK(rt.run());
}

TEST_CASE("exceptions: handlers that nest stay in order across switches") {
    runtime rt;
    for (int self = 0; self < 2; ++self) {
        rt.go([self] {
            for (int i = 0; i < 100; ++i) {
                try {
                    throw numbered{self, 1};
                } catch (const numbered& outer) {
                    yield();
                    try {
                        throw numbered{self, 2};
                    } catch (const numbered& inner) {
                        yield();
                        CHECK(inner.wire == self);
                        CHECK(inner.round == 2);
                    }
                    yield();
                    CHECK(outer.wire == self);
                    try {
                        throw;
                    } catch (const numbered& again) {
                        CHECK(again.wire == self);
                        CHECK(again.round == 1);
                    }
                }
            }
        });
    }
    CHECK(rt.run());
}

TEST_CASE("exceptions: current_exception is the wire's own") {
    runtime rt;
    rt.go([] {
        try {
            throw std::runtime_error("mine");
        } catch (...) {
            yield();
            CHECK(std::current_exception() != nullptr);
        }
        CHECK(std::current_exception() == nullptr);
    });
    rt.go([] {
        CHECK(std::current_exception() == nullptr);
        yield();
        CHECK(std::current_exception() == nullptr);
    });
    CHECK(rt.run());
    CHECK(std::current_exception() == nullptr);
}

TEST_CASE("exceptions: uncaught_exceptions counts the wire's own") {
    runtime rt;
    trace log;
    rt.go([&] {
        CHECK(std::uncaught_exceptions() == 0);
        try {
            const at_end guard([&] {
                CHECK(std::uncaught_exceptions() == 1);
                yield();  // in the middle of unwinding
                CHECK(std::uncaught_exceptions() == 1);
                log("unwinding");
            });
            throw 1;
        } catch (int) {
            CHECK(std::uncaught_exceptions() == 0);
        }
    });
    rt.go([&] {
        CHECK(std::uncaught_exceptions() == 0);
        log("beside");
        yield();
        CHECK(std::uncaught_exceptions() == 0);
    });
    CHECK(rt.run());
    CHECK(log == trace{"beside", "unwinding"});
}

TEST_CASE("exceptions: destructors that yield while two wires unwind do not mix them up") {
    runtime rt;
    for (int self = 0; self < 2; ++self) {
        rt.go([self] {
            for (int i = 0; i < 200; ++i) {
                try {
                    const at_end outer([] { yield(); });
                    const at_end inner([] {
                        yield();
                        try {
                            throw 1;  // an exception that lives and dies during unwinding
                        } catch (int) {
                            yield();
                        }
                    });
                    throw numbered{self, i};
                } catch (const numbered& e) {
                    CHECK(e.wire == self);
                    CHECK(e.round == i);
                }
            }
        });
    }
    CHECK(rt.run());
}

TEST_CASE("exceptions: a wire that starts inside another's handler starts without exception") {
    runtime rt;
    rt.go([] {
        try {
            throw 1;
        } catch (int) {
            auto h = spawn([] {
                CHECK(std::current_exception() == nullptr);
                CHECK(std::uncaught_exceptions() == 0);
            });
            CHECK(h.join());
            CHECK(std::current_exception() != nullptr);
        }
    });
    CHECK(rt.run());
}

TEST_CASE("exceptions: one is handed from wire to wire by join, and lives on") {
    runtime rt;
    rt.go([] {
        for (int i = 0; i < 100; ++i) {
            auto h = spawn([i] {
                try {
                    throw std::runtime_error(std::to_string(i));
                } catch (...) {
                    yield();
                    throw;
                }
            });
            try {
                static_cast<void>(h.join());
                CHECK(false);
            } catch (const std::runtime_error& e) {
                yield();
                CHECK(e.what() == std::to_string(i));
            }
        }
    });
    CHECK(rt.run());
}

TEST_CASE("exceptions: the thread's own exception survives a run in its handler") {
    runtime rt;
    rt.go([] { CHECK(own_exceptions(1, 10) == 10); });
    rt.go([] { CHECK(own_exceptions(2, 10) == 10); });
    try {
        throw std::string("outside");
    } catch (const std::string&) {
        CHECK(rt.run());
        CHECK_THROWS_AS(throw, std::string);
    }
}

TEST_CASE("errno: each wire keeps its own across switches") {
    runtime rt;
    for (const int mine : {EPERM, ENOENT, EINTR}) {
        rt.go([mine] {
            CHECK(errno == 0);
            for (int i = 0; i < 100; ++i) {
                errno = mine;
                yield();
                CHECK(errno == mine);
            }
        });
    }
    errno = EXDEV;
    CHECK(rt.run());
}
