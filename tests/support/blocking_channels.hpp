// The calls of channels and select that may block: see blocking_calls.hpp.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include <wire/select.hpp>
#include "io.hpp"
#include "subject.hpp"

namespace wire::test {

// ---- Channels

// What is delivered is a value, by a sender that may have to wait.
struct recv_state {
    explicit recv_state(std::size_t capacity) : ch(capacity) {}
    void deliver() {
        sender = spawn([this] { CHECK(ch.send(1)); });
        let_settle(sender.ref());
    }
    bool take() { return ch.try_recv().has_value(); }
    channel<int> ch;
    handle<void> sender;
};

inline subject of_recv(std::size_t capacity) {
    auto s = std::make_shared<recv_state>(capacity);
    return {[s](deadline until) { return s->ch.recv(until).code(); }, [s] { s->deliver(); },
            [s] { return s->take(); }};
}

// What is delivered is that somebody receives: from a full buffer, or as one who waits.
struct send_state {
    explicit send_state(std::size_t capacity) : ch(capacity) { fill(); }
    void deliver() {
        receiver = spawn([this] { static_cast<void>(ch.recv()); });
        let_settle(receiver.ref());
    }
    bool take() {
        const bool was = receiver.joinable() && (!receiver.finished() || ch.size() < ch.capacity());
        receiver = {};
        fill();
        return was;
    }
    void fill() {
        while (ch.size() < ch.capacity()) CHECK(ch.try_send(0));
    }
    channel<int> ch;
    handle<void> receiver;
};

inline subject of_send(std::size_t capacity) {
    auto s = std::make_shared<send_state>(capacity);
    return {[s](deadline until) { return s->ch.send(1, until).code(); }, [s] { s->deliver(); },
            [s] { return s->take(); }};
}

inline subject of_recv_wait() {
    struct state : recv_state {
        state() : recv_state(0) { list.chain(incoming); }
        bool take() {
            const bool was = incoming.take().has_value();
            incoming.reset();
            return was;
        }
        recv_wait<int> incoming{ch};
        wait_list list;
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                const int code = s->list.await(until).code();
                if (code == 0) CHECK(s->take());
                return code;
            },
            [s] { s->deliver(); }, [s] { return s->take(); }};
}

// ---- Branches of a select

// Waits for what `branch_of(code)` makes, whose handler may set the code, and for what never comes.
template <class F>
int in_select(deadline until, F branch_of) {
    int code = 0;
    channel<int> silent;
    const auto chosen = select(on_recv(silent, [](result<int>) { CHECK(false); }), branch_of(code),
                               on_deadline(until, [&] { code = ETIMEDOUT; }));
    return chosen ? code : chosen.code();
}

inline subject of_select_recv() {
    auto s = std::make_shared<recv_state>(0);
    return {[s](deadline until) {
                return in_select(until, [&](int& code) {
                    return on_recv(s->ch, [&](result<int> v) { code = v.code(); });
                });
            },
            [s] { s->deliver(); }, [s] { return s->take(); }};
}

inline subject of_select_send() {
    auto s = std::make_shared<send_state>(0);
    return {[s](deadline until) {
                int value = 1;
                return in_select(until, [&](int& code) {
                    return on_send(s->ch, value, [&](result<void> r) { code = r.code(); });
                });
            },
            [s] { s->deliver(); }, [s] { return s->take(); }};
}

inline subject of_select_event() {
    auto e = std::make_shared<event>();
    const auto take = [e] {
        const bool set = e->is_set();
        e->reset();
        return set;
    };
    return {[e](deadline until) {
                return in_select(until, [&](int&) { return on_event(*e, [e] { e->reset(); }); });
            },
            [e] { e->set(); }, take};
}

inline subject of_select_acquire() {
    auto s = std::make_shared<semaphore>(0);
    return {[s](deadline until) {
                return in_select(until, [&](int&) { return on_acquire(*s, [] {}); });
            },
            [s] { s->release(); }, [s] { return s->try_acquire(); }};
}

inline subject of_select_join() {
    struct state {
        event gate;
        handle<void> worker;
        state() { start(); }
        ~state() { end(); }
        void start() {
            gate.reset();
            worker = spawn([this] { CHECK(gate.await()); });
        }
        void end() {
            const shield farewell;
            gate.set();
            if (worker.joinable()) CHECK(worker.join());
        }
        void again() {
            end();
            start();
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                return in_select(until,
                                 [&](int&) { return on_join(s->worker, [s] { s->again(); }); });
            },
            [s] {
                const wire_ref worker = s->worker.ref();
                s->gate.set();
                let_settle(worker);
            },
            [s] {
                const bool there = s->worker.finished();
                s->again();
                return there;
            }};
}

inline subject of_select_readable() {
    struct state {
        int fds[2];
        state() { CHECK(::pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0); }
        ~state() {
            ::close(fds[0]);
            ::close(fds[1]);
        }
        bool take() {
            char c;
            return ::read(fds[0], &c, 1) == 1;
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                return in_select(
                    until, [&](int&) { return on_readable(s->fds[0], [s] { CHECK(s->take()); }); });
            },
            [s] { CHECK(::write(s->fds[1], "x", 1) == 1); }, [s] { return s->take(); }};
}

inline subject of_select_signal() {
    auto set = std::make_shared<io::signals>(std::initializer_list<int>{SIGUSR1});
    return {[set](deadline until) {
                return in_select(until, [&](int& code) {
                    return on_signal(*set, [&](result<int> n) { code = n.code(); });
                });
            },
            [] { ::raise(SIGUSR1); }, [set] { return set->try_wait().has_value(); }};
}

// A child that runs until it is killed, and the next one.
inline subject of_select_exit() {
    struct state {
        static io::process begin() {
            return io::process::start({"cat"}, {.in = io::child_stream::pipe}).value();
        }
        io::process child = begin();
        int next_after(int code) {
            if (code == 0) child = begin();
            return code;
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                return s->next_after(in_select(until, [&](int& code) {
                    return on_exit(s->child, [&](result<io::exit_status> e) { code = e.code(); });
                }));
            },
            [s] {
                CHECK(s->child.kill(SIGKILL));
                const shield whatever_the_test_does;
                CHECK(io::exit_wait(s->child).await(soon()));
            },
            [s] { return s->next_after(s->child.wait(within(0s)).code()) == 0; }};
}

}  // namespace wire::test
