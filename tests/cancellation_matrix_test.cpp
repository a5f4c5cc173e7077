// Every call that may block, in every way in which its wait can end: by delivery, cancellation,
// deadline, and two of them in one turn. The calls are in support/blocking_calls.hpp.
#include "support/blocking_calls.hpp"
#include "support/environment.hpp"

namespace wire::test {
namespace {

// The wire under test, and what becomes of it.
struct blocked {
    blocked(subject& s, deadline until)
        : wire(spawn([this, &s, until] {
              struct witness {
                  int& count;
                  ~witness() { ++count; }
              } const w{destroyed};
              outcome = s.block(until);
          })) {}
    // Lets the wire get to its wait.
    void settle() const { let_settle(wire.ref()); }
    int end() {
        CHECK(wire.join(soon()));
        CHECK(destroyed == 1);
        return outcome;
    }
    int outcome = -1;
    int destroyed = 0;
    handle<void> wire;
};

// Computes until `until` has passed, so that no timer is served meanwhile.
void pass(deadline until) {
    while (wire::detail::now_ns() <= until.ns()) {
    }
}

void expect_failure(subject& s, int outcome, int expected) {
    CHECK(outcome == expected);
    CHECK_FALSE(s.left());
}

// What was delivered is there once.
void expect_once(subject& s, int outcome) {
    CHECK((outcome == 0) != s.left());
}

void expect_usable(subject& s) {
    blocked b(s, soon());
    b.settle();
    s.deliver();
    CHECK(b.end() == 0);
}

bool needs_child(const blocking_call& c) {
    return c.name == std::string_view("process::wait") ||
           c.name == std::string_view("select, exit");
}

template <class Way>
void for_each_call(Way way) {
    for (const blocking_call& c : blocking_calls()) {
        CAPTURE(std::string(c.name));
        if (under_valgrind() && needs_child(c)) continue;  // it knows no pidfd_open()
        on_wires([&] {
            subject s = c.make();
            way(c, s);
            expect_usable(s);
            expect_usable(s);
        });
    }
}

}  // namespace

TEST_CASE("matrix: delivered") {
    for_each_call([](const blocking_call&, subject& s) {
        blocked b(s, never);
        b.settle();
        s.deliver();
        CHECK(b.end() == 0);
    });
}

TEST_CASE("matrix: cancelled while it waits") {
    for_each_call([](const blocking_call&, subject& s) {
        blocked b(s, never);
        b.settle();
        b.wire.cancel();
        expect_failure(s, b.end(), ECANCELED);
    });
}

TEST_CASE("matrix: timed out") {
    for_each_call([](const blocking_call&, subject& s) {
        blocked b(s, within(1ms));
        expect_failure(s, b.end(), ETIMEDOUT);
    });
}

TEST_CASE("matrix: a deadline that has passed already") {
    for_each_call([](const blocking_call&, subject& s) {
        blocked b(s, within(0s));
        expect_failure(s, b.end(), ETIMEDOUT);
    });
}

TEST_CASE("matrix: cancelled before it blocks") {
    for_each_call([](const blocking_call&, subject& s) {
        blocked b(s, never);
        b.wire.cancel();
        expect_failure(s, b.end(), ECANCELED);
    });
}

TEST_CASE("matrix: cancelled and timed out in one turn") {
    for_each_call([](const blocking_call&, subject& s) {
        const deadline until = within(1ms);
        blocked b(s, until);
        b.settle();
        pass(until);
        b.wire.cancel();
        const int outcome = b.end();
        CHECK((outcome == ECANCELED || outcome == ETIMEDOUT));
        expect_failure(s, outcome, outcome);
    });
}

TEST_CASE("matrix: delivered and then cancelled in one turn") {
    for_each_call([](const blocking_call& c, subject& s) {
        blocked b(s, never);
        b.settle();
        s.deliver();
        b.wire.cancel();
        const int outcome = b.end();
        CHECK((outcome == 0 || outcome == ECANCELED));
        if (c.wakes) CHECK(outcome == 0);
        expect_once(s, outcome);
    });
}

TEST_CASE("matrix: delivered and then timed out in one turn") {
    for_each_call([](const blocking_call& c, subject& s) {
        const deadline until = within(2ms);
        blocked b(s, until);
        b.settle();
        s.deliver();
        const bool in_time = wire::detail::now_ns() < until.ns();
        pass(until);
        const int outcome = b.end();
        CHECK((outcome == 0 || outcome == ETIMEDOUT));
        if (c.wakes && in_time) CHECK(outcome == 0);
        expect_once(s, outcome);
    });
}

TEST_CASE("matrix: cancelled and then delivered in one turn") {
    for_each_call([](const blocking_call&, subject& s) {
        blocked b(s, never);
        b.settle();
        b.wire.cancel();
        s.deliver();
        const int outcome = b.end();
        CHECK((outcome == 0 || outcome == ECANCELED));
        expect_once(s, outcome);
    });
}

TEST_CASE("matrix: a shield keeps the cancellation away") {
    for_each_call([](const blocking_call&, subject& s) {
        subject shielded = s;
        shielded.block = [&s](deadline until) {
            const shield protection;
            return s.block(until);
        };
        blocked b(shielded, soon());
        b.settle();
        b.wire.cancel();
        b.settle();
        CHECK_FALSE(b.wire.finished());
        s.deliver();
        CHECK(b.end() == 0);
    });
}

}  // namespace wire::test
