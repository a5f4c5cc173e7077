// Every call that may block, each with something that it can wait for. A new one adds a line.
//
// A subject delivers once at a time. Whatever the outcome is, what was delivered is there exactly
// once: received by the call, or left for the next.
#pragma once

#include <fcntl.h>

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include <wire/barrier.hpp>
#include <wire/condition_variable.hpp>
#include <wire/datagram.hpp>
#include <wire/event.hpp>
#include <wire/join_wait.hpp>
#include <wire/log.hpp>
#include <wire/mutex.hpp>
#include <wire/once.hpp>
#include <wire/pipe.hpp>
#include <wire/process.hpp>
#include <wire/remote.hpp>
#include <wire/scope.hpp>
#include <wire/semaphore.hpp>
#include <wire/shared_mutex.hpp>
#include <wire/signals.hpp>
#include <wire/splice.hpp>
#include <wire/wait.hpp>
#include <wire/wait_fd.hpp>
#include <wire/wait_group.hpp>
#include <wire/wire_pool.hpp>
#include <wire/wires.hpp>
#include "blocking_channels.hpp"
#include "blocking_pools.hpp"
#include "io.hpp"
#include "raw_pipe.hpp"
#include "subject.hpp"

namespace wire::test {

inline subject of_suspend() {
    struct state {
        wire_ref sleeper;
        bool resumed = false;
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                s->sleeper = this_wire::ref();
                if (std::exchange(s->resumed, false)) resume(s->sleeper);
                const int code = suspend(until).code();
                // A resume that came too late is kept for the next suspend() of that wire.
                if (code != 0) {
                    const shield look;
                    s->resumed = suspend(within(0s)).has_value();
                }
                return code;
            },
            [s] { resume(s->sleeper); }, [s] { return std::exchange(s->resumed, false); }};
}

// Each of those that a select can wait for, too, is made with what waits: `wait(object, until)`
// returns a code.

template <class Wait>
subject of_join_by(Wait wait) {
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
    return {[s, wait](deadline until) {
                const int code = wait(s->worker, until);
                if (code == 0) s->again();
                return code;
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

inline subject of_join() {
    return of_join_by([](handle<void>& h, deadline until) { return h.join(until).code(); });
}
inline subject of_select_join() {
    return of_join_by([](handle<void>& h, deadline until) {
        return in_select(until, [&](int&) { return on_join(h, [] {}); });
    });
}

template <class Wait>
subject of_event_by(Wait wait) {
    auto e = std::make_shared<event>();
    const auto take = [e] {
        const bool set = e->is_set();
        e->reset();
        return set;
    };
    return {[e, take, wait](deadline until) {
                const int code = wait(*e, until);
                if (code == 0) CHECK(take());
                return code;
            },
            [e] { e->set(); }, take};
}

inline subject of_event() {
    return of_event_by([](event& e, deadline until) { return e.await(until).code(); });
}
inline subject of_select_event() {
    return of_event_by([](event& e, deadline until) {
        return in_select(until, [&](int&) { return on_event(e, [] {}); });
    });
}

template <class Wait>
subject of_semaphore_by(Wait wait) {
    auto s = std::make_shared<semaphore>(0);
    return {[s, wait](deadline until) { return wait(*s, until); }, [s] { s->release(); },
            [s] { return s->try_acquire(); }};
}

inline subject of_semaphore() {
    return of_semaphore_by([](semaphore& s, deadline until) { return s.acquire(until).code(); });
}
inline subject of_select_acquire() {
    return of_semaphore_by([](semaphore& s, deadline until) {
        return in_select(until, [&](int&) { return on_acquire(s, [] {}); });
    });
}

inline subject of_event_wait() {
    struct state {
        event e;
        event_wait w{e};
        bool take() {
            const bool was = w.triggered();
            e.reset();
            w.reset();
            return was;
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                const int code = s->w.await(until).code();
                if (code == 0) CHECK(s->take());
                return code;
            },
            [s] { s->e.set(); }, [s] { return s->take(); }};
}

inline subject of_join_wait() {
    struct state {
        event gate;
        handle<void> worker = spawn([this] { CHECK(gate.await()); });
        std::unique_ptr<join_wait> w = std::make_unique<join_wait>(worker);
        bool take() {
            const bool was = w->triggered();
            end();
            gate.reset();
            worker = spawn([this] { CHECK(gate.await()); });
            w = std::make_unique<join_wait>(worker);
            return was;
        }
        void end() {
            const shield farewell;
            gate.set();
            CHECK(worker.join());
        }
        ~state() { end(); }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                const int code = s->w->await(until).code();
                if (code == 0) CHECK(s->take());
                return code;
            },
            [s] {
                const wire_ref worker = s->worker.ref();
                s->gate.set();
                let_settle(worker);
            },
            [s] { return s->take(); }};
}

inline subject of_timer() {
    auto t = std::make_shared<wire::timer>();
    const auto take = [t] {
        const bool was = t->triggered() || t->armed();
        t->reset();
        return was;
    };
    return {[t, take](deadline until) {
                const int code = t->await(until).code();
                if (code == 0) CHECK(take());
                return code;
            },
            [t] { t->arm(within(0s)); }, take};
}

// Held by a helper wire, which lets go to deliver.
template <class Mutex, class Lock>
inline subject of_lock(Lock lock, void (*unlock)(Mutex&)) {
    struct state {
        Mutex m;
        event let_go, held;
        handle<void> holder;
        void hold() {
            const shield whatever_happens;
            let_go.reset();
            held.reset();
            holder = spawn([this] {
                m.lock();
                held.set();
                CHECK(let_go.await());
                m.unlock();
            });
            CHECK(held.await());
        }
        void end() {
            const shield whatever_happens;
            let_go.set();
            CHECK(holder.join());
        }
        state() { hold(); }
        ~state() { end(); }
    };
    auto s = std::make_shared<state>();
    const auto again = [s] {
        s->end();
        s->hold();
    };
    return {[s, lock, unlock, again](deadline until) {
                const int code = lock(s->m, until);
                if (code == 0) {
                    unlock(s->m);
                    again();
                }
                return code;
            },
            [s] {
                const wire_ref holder = s->holder.ref();
                s->let_go.set();
                let_settle(holder);
            },
            [s, again] {
                if (!s->holder.finished()) return false;
                const bool is_free = s->m.try_lock();
                if (is_free) s->m.unlock();
                again();
                return is_free;
            }};
}

inline subject of_mutex() {
    return of_lock<mutex>([](mutex& m, deadline d) { return m.lock(d).code(); },
                          [](mutex& m) { m.unlock(); });
}
inline subject of_shared_mutex() {
    return of_lock<shared_mutex>([](shared_mutex& m, deadline d) { return m.lock(d).code(); },
                                 [](shared_mutex& m) { m.unlock(); });
}
inline subject of_shared_lock() {
    return of_lock<shared_mutex>(
        [](shared_mutex& m, deadline d) { return m.lock_shared(d).code(); },
        [](shared_mutex& m) { m.unlock_shared(); });
}

// A notification is for those who wait: nothing is left if nobody does.
inline subject of_condition_variable() {
    struct state {
        mutex m;
        condition_variable changed;
        bool notified = false;
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                std::unique_lock lock(s->m);
                const int code = s->changed.wait(lock, until).code();
                CHECK(lock.owns_lock());
                if (code == 0) s->notified = false;
                return code;
            },
            [s] {
                s->notified = true;
                s->changed.notify_one();
            },
            [s] { return std::exchange(s->notified, false); }};
}

inline subject of_wait_group() {
    auto g = std::make_shared<wait_group>(1);
    const auto wait = [g](deadline until) {
        const int code = g->wait(until).code();
        if (code == 0) g->add(1);
        return code;
    };
    return {wait, [g] { g->done(); }, [wait] { return wait(within(0s)) == 0; }};
}

inline subject of_once() {
    struct state {
        std::unique_ptr<once> first = std::make_unique<once>();
        event gate;
        handle<void> runner;
        void start() {
            first = std::make_unique<once>();
            gate.reset();
            runner = spawn([this] { CHECK(first->call([&] { CHECK(gate.await()); })); });
            let_settle(runner.ref());
        }
        void end() {
            const shield farewell;
            gate.set();
            CHECK(runner.join());
        }
        ~state() { end(); }
    };
    auto s = std::make_shared<state>();
    s->start();
    const auto again = [s] {
        s->end();
        s->start();
    };
    return {[s, again](deadline until) {
                const auto twice = [] { CHECK_MESSAGE(false, "run twice"); };
                const int code = s->first->call(until, twice).code();
                if (code == 0) again();
                return code;
            },
            [s] {
                const wire_ref runner = s->runner.ref();
                s->gate.set();
                let_settle(runner);
            },
            [s, again] {
                const bool done = s->runner.finished();
                again();
                return done;
            }};
}

// The other side arrives to deliver; if this side has given up the other is alone, and goes too.
inline subject of_barrier() {
    struct state {
        barrier both{2};
        handle<int> other;
    };
    auto s = std::make_shared<state>();
    const auto other_is_alone = [s] {
        s->other.cancel();
        const shield farewell;
        return s->other.join().value() == ECANCELED;
    };
    return {[s, other_is_alone](deadline until) {
                const int code = s->both.arrive_and_wait(until).code();
                if (code == 0) CHECK_FALSE(other_is_alone());
                return code;
            },
            [s] {
                s->other = spawn([s] { return s->both.arrive_and_wait().code(); });
                let_settle(s->other.ref());
            },
            [s, other_is_alone] { return s->other.joinable() && other_is_alone(); }};
}

inline subject of_wait() {
    auto w = std::make_shared<wire::wait>();
    const auto take = [w] {
        const bool was = w->triggered();
        w->reset();
        return was;
    };
    return {[w, take](deadline until) {
                const int code = w->await(until).code();
                if (code == 0) CHECK(take());
                return code;
            },
            [w] { w->wake(); }, take};
}

inline subject of_wait_list() {
    struct state {
        wire::wait idle;
        semaphore permits{0};
        semaphore_wait permit{permits};
        wait_list either;
    };
    auto s = std::make_shared<state>();
    s->either.chain(s->idle);
    s->either.chain(s->permit);
    const auto take = [s] {
        const bool was = s->permit.take();
        s->permit.reset();
        return was;
    };
    return {[s, take](deadline until) {
                const auto first = s->either.await(until);
                if (first) CHECK((*first == &s->permit && take()));
                return first.code();
            },
            [s] { s->permits.release(); }, take};
}

inline subject of_bytes(bool foreign) {
    struct state {
        std::pair<stream, stream> ends = io::make_stream_pair().value();
        bool take() {
            char c;
            return ::recv(ends.first.native_handle(), &c, 1, MSG_DONTWAIT) == 1;
        }
    };
    auto s = std::make_shared<state>();
    const auto read = [s](deadline until) {
        std::array<std::byte, 1> to;
        return s->ends.first.read(to, until).code();
    };
    const auto look = [s](deadline until) {
        const int code = io::wait_readable(s->ends.first.native_handle(), until).code();
        if (code == 0) CHECK(s->take());
        return code;
    };
    return {foreign ? std::function<int(deadline)>(look) : read,
            [s] { CHECK(::send(s->ends.second.native_handle(), "x", 1, 0) == 1); },
            [s] { return s->take(); }};
}

// A pool of one, whose place a helper has until it delivers.
inline subject of_wire_pool() {
    struct state {
        wire_pool pool{1};
        event gate;
        wire_ref holder;
        state() { hold(); }
        ~state() { gate.set(); }
        void hold() {
            gate.reset();
            CHECK(pool.try_go([this] {
                holder = this_wire::ref();
                CHECK(gate.await());
            }));
            while (holder.id() == 0) yield();
            let_settle(holder);
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                auto started = s->pool.spawn(until, [] {});
                if (!started) return started.code();
                const shield farewell;
                CHECK(started->join());
                s->holder = {};
                s->hold();
                return 0;
            },
            [s] {
                const wire_ref holder = s->holder;
                s->gate.set();
                let_settle(holder);
            },
            [s] {
                if (s->pool.available() == 0) return false;
                s->holder = {};
                s->hold();
                return true;
            }};
}

// The callee waits for an event, and a caller that gives up cancels it.
inline subject of_remote_call() {
    struct state {
        remote here = this_wire::remote();
        event gate;
        bool take() {
            const bool was = gate.is_set();
            gate.reset();
            return was;
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                const auto called =
                    s->here.call(until, [s] { static_cast<void>(s->gate.await()); });
                if (called) CHECK(s->take());
                return called.code();
            },
            [s] { s->gate.set(); }, [s] { return s->take(); }};
}

inline subject of_select_readable() {
    auto s = std::make_shared<raw_pipe>();
    return {[s](deadline until) {
                return in_select(
                    until, [&](int&) { return on_readable(s->fds[0], [s] { CHECK(s->take()); }); });
            },
            [s] { s->put(); }, [s] { return s->take(); }};
}

inline subject of_readable_wait() {
    struct state : raw_pipe {
        io::readable_wait data{fds[0]};
        bool take() {
            const bool there = raw_pipe::take();
            data.reset();
            return there;
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                const int code = s->data.await(until).code();
                if (code == 0) CHECK(s->take());
                return code;
            },
            [s] { s->put(); }, [s] { return s->take(); }};
}

inline subject of_write() {
    struct state {
        std::pair<stream, stream> ends = io::make_stream_pair().value();
        std::vector<std::byte> block = std::vector<std::byte>(64 * 1024);
        void fill() {
            while (::send(ends.first.native_handle(), block.data(), block.size(), MSG_DONTWAIT) >
                   0) {
            }
            while (::send(ends.first.native_handle(), block.data(), 1, MSG_DONTWAIT) > 0) {
            }
        }
        void drain() {
            while (::recv(ends.second.native_handle(), block.data(), block.size(), MSG_DONTWAIT) >
                   0) {
            }
        }
        bool room() {
            return ::send(ends.first.native_handle(), block.data(), 1, MSG_DONTWAIT) == 1;
        }
    };
    auto s = std::make_shared<state>();
    s->fill();
    return {[s](deadline until) {
                const int code = s->ends.first.write(std::span(s->block).first(1), until).code();
                if (code == 0) s->fill();
                return code;
            },
            [s] { s->drain(); },
            [s] {
                const bool there = s->room();
                s->fill();
                return there;
            }};
}

inline subject of_accept() {
    struct state {
        listener door = io::listen_tcp("127.0.0.1", 0).value();
        std::vector<stream> clients;
    };
    auto s = std::make_shared<state>();
    return {
        [s](deadline until) { return s->door.accept(until).code(); },
        [s] { s->clients.push_back(io::connect_tcp("127.0.0.1", s->door.port(), soon()).value()); },
        [s] { return s->door.accept(within(0s)).has_value(); }};
}

inline subject of_datagram() {
    struct state {
        io::datagram near = io::bind_udp("127.0.0.1", 0).value();
        io::address at = near.local_address().value();
        std::array<std::byte, 1> one;
        io::datagram far = io::bind_udp("127.0.0.1", 0).value();
    };
    auto s = std::make_shared<state>();
    const auto receive = [s](deadline until) { return s->near.receive(s->one, until).code(); };
    return {receive, [s] { CHECK(s->far.send_to(s->one, s->at)); },
            [receive] { return receive(within(0s)) == 0; }};
}

inline subject of_splicer() {
    struct state {
        std::pair<stream, stream> ends = io::make_stream_pair().value();
        std::pair<stream, stream> sink = io::make_stream_pair().value();
        io::splicer pipe = io::splicer::make().value();
    };
    auto s = std::make_shared<state>();
    const auto fill = [s](deadline until) {
        const int code = s->pipe.fill(s->ends.first, until).code();
        if (code == 0) CHECK(s->pipe.drain(s->sink.first));
        return code;
    };
    return {fill, [s] { CHECK(::send(s->ends.second.native_handle(), "x", 1, 0) == 1); },
            [s] {
                char c;
                return ::recv(s->ends.first.native_handle(), &c, 1, MSG_DONTWAIT) == 1;
            }};
}

template <class Wait>
subject of_signals_by(Wait wait) {
    auto usr1 = std::make_shared<io::signals>(std::initializer_list<int>{SIGUSR1});
    return {[usr1, wait](deadline until) { return wait(*usr1, until); }, [] { ::raise(SIGUSR1); },
            [usr1] { return usr1->wait(within(0s)).has_value(); }};
}

inline subject of_signals() {
    return of_signals_by([](io::signals& s, deadline until) { return s.wait(until).code(); });
}
inline subject of_select_signal() {
    return of_signals_by([](io::signals& s, deadline until) {
        return in_select(until, [&](int& code) {
            return on_signal(s, [&](result<int> n) { code = n.code(); });
        });
    });
}

inline subject of_signal_wait() {
    struct state {
        io::signals usr2{SIGUSR2};
        io::signal_wait arrival{usr2};
        bool take() {
            const bool there = usr2.try_wait().has_value();
            arrival.reset();
            return there;
        }
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                const int code = s->arrival.await(until).code();
                if (code == 0) CHECK(s->take());
                return code;
            },
            [] { ::raise(SIGUSR2); }, [s] { return s->take(); }};
}

// A pipe with two ends, whose capacity is a page.
struct page_pipe {
    page_pipe() { CHECK(::fcntl(in.native_handle(), F_SETPIPE_SZ, 4096) == 4096); }
    // A whole page is not appended to a part of one, less may be.
    void fill() {
        for (const std::size_t size : {4096UL, 4095UL, 1UL})
            while (::write(in.native_handle(), page.data(), size) > 0) {
            }
    }
    void drain() {
        while (::read(out.native_handle(), page.data(), page.size()) > 0) {
        }
    }
    std::array<char, 4096> page{};
    std::pair<io::pipe_end, io::pipe_end> ends = io::make_pipe().value();
    io::pipe_end& out = ends.first;
    io::pipe_end& in = ends.second;
};

inline subject of_pipe_read() {
    auto s = std::make_shared<page_pipe>();
    const auto read = [s](deadline until) {
        std::array<std::byte, 1> to;
        return s->out.read(to, until).code();
    };
    return {read, [s] { CHECK(::write(s->in.native_handle(), "x", 1) == 1); },
            [read] { return read(within(0s)) == 0; }};
}

inline subject of_pipe_write() {
    auto s = std::make_shared<page_pipe>();
    s->fill();
    const auto write = [s](deadline until) {
        const std::byte one{};
        const int code = s->in.write({&one, 1}, until).code();
        if (code == 0) s->fill();
        return code;
    };
    return {write, [s] { s->drain(); }, [write] { return write(within(0s)) == 0; }};
}

// A child that runs until it is killed, and the next one.
template <class Wait>
subject of_process_by(Wait wait) {
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
    return {[s, wait](deadline until) { return s->next_after(wait(s->child, until)); },
            [s] {
                CHECK(s->child.kill(SIGKILL));
                const shield whatever_the_test_does;
                CHECK(io::exit_wait(s->child).await(soon()));
            },
            [s] { return s->next_after(s->child.wait(within(0s)).code()) == 0; }};
}

inline subject of_process() {
    return of_process_by([](io::process& p, deadline until) { return p.wait(until).code(); });
}
inline subject of_select_exit() {
    return of_process_by([](io::process& p, deadline until) {
        return in_select(until, [&](int& code) {
            return on_exit(p, [&](result<io::exit_status> e) { code = e.code(); });
        });
    });
}

// Always with a line for which its pipe has no room.
inline subject of_log_flush() {
    struct state {
        state() { begin(); }
        ~state() { pipe.drain(); }
        void begin() {
            delivered = false;
            pipe.fill();
            log(io::log_level::info, "x");
        }
        page_pipe pipe;
        bool delivered = false;
        io::log log{pipe.in.native_handle()};
    };
    auto s = std::make_shared<state>();
    return {[s](deadline until) {
                const int code = s->log.flush(until).code();
                if (code == 0) s->begin();
                return code;
            },
            [s] {
                s->delivered = true;
                s->pipe.drain();
            },
            [s] {
                const bool was = s->delivered;
                if (was) {
                    const shield whatever_the_test_does;
                    CHECK(s->log.flush(soon()));
                    s->begin();
                }
                return was;
            }};
}

inline const std::vector<blocking_call>& blocking_calls() {
    static const std::vector<blocking_call> all = {
        {"suspend", of_suspend},
        {"join", of_join},
        {"event", of_event},
        {"semaphore", of_semaphore},
        {"mutex", of_mutex},
        {"shared_mutex", of_shared_mutex},
        {"shared_mutex, shared", of_shared_lock},
        {"condition_variable", of_condition_variable},
        {"wait_group", of_wait_group},
        {"once", of_once},
        {"barrier", of_barrier},
        {"wait", of_wait},
        {"wait_list", of_wait_list},
        {"wire_pool::spawn", of_wire_pool},
        {"event_wait", of_event_wait},
        {"join_wait", of_join_wait},
        {"timer", of_timer, false},
        {"channel::recv", [] { return of_recv(0); }},
        {"channel::recv, buffered", [] { return of_recv(1); }},
        {"channel::send", [] { return of_send(0); }},
        {"channel::send, buffered", [] { return of_send(1); }},
        {"bridge::recv", [] { return of_bridge_recv(waiting::adaptive); }, false},
        {"bridge::recv, park", [] { return of_bridge_recv(waiting::park); }, false},
        {"bridge::send", [] { return of_bridge_send(waiting::adaptive); }, false},
        {"bridge::send, park", [] { return of_bridge_send(waiting::park); }, false},
        {"recv_wait", of_recv_wait},
        {"pool::put", of_pool_put},
        {"pool::put_swap", of_pool_put_swap},
        {"pool::put_some", of_pool_put_some},
        {"pool::claim_put", of_pool_claim_put},
        {"pool::take", of_pool_take},
        {"pool::take_swap", of_pool_take_swap},
        {"pool::take_some", of_pool_take_some},
        {"pool::claim_take", of_pool_claim_take},
        {"pool::wait_until_empty", of_pool_wait_until_empty},
        {"select, recv", of_select_recv},
        {"select, send", of_select_send},
        {"select, event", of_select_event},
        {"select, acquire", of_select_acquire},
        {"select, join", of_select_join},
        {"select, readable", of_select_readable, false},
        {"select, signal", of_select_signal, false},
        {"select, exit", of_select_exit, false},
        {"remote::call", of_remote_call, false},
        {"stream::read", [] { return of_bytes(false); }, false},
        {"wait_readable", [] { return of_bytes(true); }, false},
        {"readable_wait", of_readable_wait, false},
        {"stream::write", of_write, false},
        {"listener::accept", of_accept, false},
        {"datagram::receive", of_datagram, false},
        {"splicer::fill", of_splicer, false},
        {"signals::wait", of_signals, false},
        {"signal_wait", of_signal_wait, false},
        {"pipe_end::read", of_pipe_read, false},
        {"pipe_end::write", of_pipe_write, false},
        {"process::wait", of_process, false},
        {"log::flush", of_log_flush, false},
    };
    return all;
}

}  // namespace wire::test
