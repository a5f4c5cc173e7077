// The calls of channels, bridges and select that may block: see blocking_calls.hpp.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <utility>

#include <wire/bridge.hpp>
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

// ---- Bridges

inline subject of_bridge_recv(waiting how) {
    auto b = std::make_shared<bridge<int>>(1, how);
    return {[b](deadline until) { return b->recv(until).code(); }, [b] { CHECK(b->try_send(1)); },
            [b] { return b->try_recv().has_value(); }};
}

// What is delivered is room for a value.
inline subject of_bridge_send(waiting how) {
    auto b = std::make_shared<bridge<int>>(1, how);
    CHECK(b->try_send(0));
    return {[b](deadline until) { return b->send(1, until).code(); }, [b] { CHECK(b->try_recv()); },
            [b] { return b->try_send(0).has_value(); }};
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

}  // namespace wire::test
