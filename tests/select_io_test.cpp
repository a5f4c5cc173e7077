// select() over descriptors, signals and children, beside channels.
#include "support/io.hpp"

#include <signal.h>
#include <sys/eventfd.h>

#include <wire/process.hpp>
#include <wire/select.hpp>
#include <wire/signals.hpp>
#include <wire/spawn.hpp>
#include "support/diagnostics.hpp"
#include "support/environment.hpp"
#include "support/never_called.hpp"

namespace wire::test {
namespace {

class counter {
public:
    counter() : fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    ~counter() { ::close(fd); }
    void add() const { CHECK(::eventfd_write(fd, 1) == 0); }
    void clear() const {
        eventfd_t n;
        CHECK(::eventfd_read(fd, &n) == 0);
    }
    const int fd;
};

}  // namespace

TEST_CASE("select_io: a descriptor that becomes readable, and one that is") {
    on_wires([] {
        const counter c;
        channel<int> ch;
        const auto chosen = [&] {
            return select(on_recv(ch, never_called), on_readable(c.fd, [&] { c.clear(); }),
                          on_deadline(soon(), never_called))
                .value();
        };
        auto h = spawn(chosen);
        let_others_run();
        CHECK_FALSE(h.finished());
        c.add();
        CHECK(h.join(soon()).value() == 1);
        c.add();
        CHECK(chosen() == 1);
        CHECK(select(on_readable(c.fd, never_called), otherwise()).value() == 1);
        CHECK(select(on_readable(c.fd, never_called), on_writable(c.fd, [] {})).value() == 1);
    });
}

TEST_CASE("select_io: a channel wins, and the descriptor can be waited for again") {
    on_wires([] {
        const counter c;
        channel<int> ch;
        for (int i = 0; i < 3; ++i) {
            auto h = spawn([&] {
                CHECK(select(on_readable(c.fd, never_called),
                             on_recv(ch, [&](result<int> v) { CHECK(*v == i); }))
                          .value() == 1);
            });
            let_others_run();
            CHECK(ch.send(i));
            CHECK(h.join(soon()));
        }
        auto h = spawn([&] { CHECK(io::wait_readable(c.fd, soon())); });
        let_others_run();
        c.add();
        CHECK(h.join(soon()));
    });
}

TEST_CASE("select_io: a descriptor that is always readable starves no wire, and no channel") {
    on_wires([] {
        const counter c;
        c.add();
        channel<int> ch;
        auto sender = spawn([&] {
            for (int i = 0; i < 100; ++i) CHECK(ch.send(i, soon()));
            ch.close();
        });
        bool open = true;
        int next = 0;
        int readable = 0;
        while (open && readable < 1'000'000)
            CHECK_FALSE(!select(on_readable(c.fd, [&] { ++readable; }), on_recv(ch, [&](auto v) {
                                    open = v.has_value();
                                    if (open) CHECK(*v == next++);
                                })));
        CHECK(next == 100);
        CHECK(sender.join());
    });
}

TEST_CASE("select_io: many descriptors, one after the other") {
    on_wires([] {
        const std::array<counter, 16> counters;
        std::size_t at = 0;
        const auto clear = [&] { counters[at].clear(); };
        std::vector<decltype(on_readable(0, clear))> branches;
        for (const counter& c : counters) branches.push_back(on_readable(c.fd, clear));
        auto h = spawn([&] {
            for (at = 0; at < counters.size(); ++at)
                CHECK(select(std::span(branches)).value() == at);
        });
        for (const counter& c : counters) {
            let_others_run();
            c.add();
        }
        CHECK(h.join(soon()));
    });
}

TEST_CASE("select_io: a descriptor that cannot be waited for happens, with its error") {
    on_wires([] {
        int code = 0;
        CHECK(select(on_readable(-1, [&](result<void> r) { code = r.code(); })));
        CHECK(code == EBADF);
        auto [near, far] = unix_pair();
        auto h = spawn([&, fd = near.native_handle()] {
            CHECK(select(on_readable(fd, [&](result<void> r) { code = -r.code(); })));
        });
        let_others_run();
        near.close();
        CHECK(h.join(soon()));
        CHECK(code == -EBADF);
        int times = 0;
        std::FILE* const file = ::tmpfile();
        CHECK(select(on_readable(::fileno(file), [&] { ++times; })));
        CHECK(std::fclose(file) == 0);
        CHECK(times == 1);
    });
}

TEST_CASE("select_io: another wire's use of the descriptor makes nothing happen") {
    on_wires([] {
        auto [near, far] = unix_pair();
        shrink_buffer(near);
        auto chooser = spawn([&, fd = near.native_handle()] {
            return select(on_readable(fd, never_called), on_deadline(within(50ms))).value();
        });
        let_others_run();
        auto writer = spawn([&] {
            const std::string much(1 << 20, 'x');
            return near.write_all(much, within(20ms)).code;
        });
        CHECK(writer.join().value() == ETIMEDOUT);
        CHECK(chooser.join().value() == 1);
    });
}

TEST_CASE("select_io: places that are not chosen do not count as waiting") {
    const caught_diagnostics said;
    for (const bool closed : {false, true}) {
        CAPTURE(closed);
        ::alarm(30);
        channel<int> ch;
        runtime rt({.stack = {.size = 256 * 1024}});
        const io::reactor reactor(rt);
        rt.go([&] {
            auto [near, far] = unix_pair();
            auto h = spawn([&, fd = near.native_handle()] {
                CHECK(select(on_readable(fd, [] {}), on_readable(fd, [] {}),
                             on_recv(ch, [](result<int>) {})));
            });
            let_others_run();
            if (closed) {
                CHECK(ch.send(1));
                near.close();
            } else {
                put(far, "x");
            }
            CHECK(h.join(soon()));
            CHECK(ch.recv().code() == ECANCELED);  // when the runtime ends
        });
        CHECK(rt.run().code() == EDEADLK);
        ::alarm(0);
    }
    CHECK(said.has(diagnostic::deadlock, "channel"));
}

TEST_CASE("select_io: a signal is one wire's") {
    on_wires([] {
        io::signals set{SIGUSR1};
        channel<int> over, never_over;
        const auto chosen = [&](channel<int>& until) {
            int number = 0;
            CHECK(select(on_signal(set, [&](result<int> n) { number = n.value(); }),
                         on_recv(until, [](result<int> v) { CHECK(v.code() == EPIPE); }),
                         on_deadline(soon(), [] {})));
            return number;
        };
        auto first = spawn([&] { return chosen(over); });
        auto second = spawn([&] { return chosen(over); });
        let_others_run();
        CHECK(::kill(::getpid(), SIGUSR1) == 0);
        while (!first.finished() && !second.finished()) let_others_run();
        let_others_run();  // the other has time to be wrong
        over.close();
        CHECK(first.join().value() + second.join().value() == SIGUSR1);
        CHECK(::kill(::getpid(), SIGUSR1) == 0);
        CHECK(chosen(never_over) == SIGUSR1);
    });
}

TEST_CASE("select_io: the end of a child that wins over a cancel is told") {
    if (under_valgrind()) return;  // it knows no pidfd_open()
    on_wires([] {
        auto child = io::process::start({"sleep", "60"}).value();
        io::exit_wait ended(child);
        int code = -1;
        auto h = spawn([&] {
            return select(on_exit(child, [&](result<io::exit_status> s) { code = s.code(); }))
                .code();
        });
        let_others_run();
        CHECK(child.kill(SIGKILL));
        while (!ended.triggered()) yield();
        h.cancel();
        const int outcome = h.join().value();
        CHECK((outcome == ECANCELED || (outcome == 0 && code == 0)));
    });
}

TEST_CASE("select_io: the end of a child") {
    if (under_valgrind()) return;  // it knows no pidfd_open()
    on_wires([] {
        auto child = io::process::start({"sleep", "0.05"}).value();
        channel<int> ch;
        for (int round = 0; round < 2; ++round) {
            bool ended = false;
            CHECK(select(on_recv(ch, never_called),
                         on_exit(child, [&](result<io::exit_status> s) { ended = s.has_value(); }),
                         on_deadline(soon(), never_called))
                      .value() == 1);
            CHECK(ended);
        }
    });
}

}  // namespace wire::test
