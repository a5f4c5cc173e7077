// A network that means harm: descriptors closed below a crowd of wires, numbers that are used again
// at once, peers that reset the connection at the worst moment.
#include "support/io.hpp"

#include <signal.h>

#include <functional>
#include <optional>
#include <vector>

#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/trace.hpp"

namespace wire::test {
namespace {

constexpr int crowd = 100;

std::string outcome(const result<void>& r) {
    return error_name(r.code());
}

// A pair whose first end has the number, which must be free.
stream_pair pair_with(int number) {
    auto [near, far] = unix_pair();
    if (near.native_handle() == number) return {std::move(near), std::move(far)};
    if (far.native_handle() == number) return {std::move(far), std::move(near)};
    CHECK(::dup2(near.native_handle(), number) == number);
    return {stream::adopt(number).value(), std::move(far)};
}

// ---- Closed while many wait

// `crowd` wires in `call(i)`; what each gets, in the order in which they get it.
template <class Call>
class waiting_crowd {
public:
    explicit waiting_crowd(Call call) {
        for (int i = 0; i < crowd; ++i)
            wires_.push_back(spawn([this, call, i] { got_(call(i), i); }));
        let_others_run();
    }
    trace outcomes() {
        for (auto& w : wires_) CHECK(w.join(soon()));
        return got_;
    }

private:
    trace got_;
    std::vector<handle<void>> wires_;
};

trace all_of(const std::string& what) {
    trace t;
    for (int i = 0; i < crowd; ++i) t(what, i);
    return t;
}

TEST_CASE("hostile: closing a stream below a hundred readers ends them all, in order") {
    over_each([](stream& near, stream& far) {
        waiting_crowd readers([&](int) { return take(far); });
        far.close();
        CHECK(readers.outcomes() == all_of("!EBADF"));
        CHECK(near.is_open());
    });
}

TEST_CASE("hostile: closing a stream below a hundred writers ends them all, in order") {
    over_each([](stream& near, stream& far) {
        stuff(far, near);
        waiting_crowd writers([&](int) { return error_name(far.write_all("x").code); });
        far.close();
        CHECK(writers.outcomes() == all_of("!EBADF"));
    });
}

TEST_CASE("hostile: closing a listener below a hundred acceptors ends them all, in order") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        waiting_crowd acceptors([&](int) { return error_name(door.accept().code()); });
        door.close();
        CHECK(acceptors.outcomes() == all_of("!EBADF"));
    });
}

TEST_CASE("hostile: closing a stream below a hundred waits for its number ends them all") {
    over_each([](stream&, stream& far) {
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
        const int number = far.native_handle();
        waiting_crowd waits([&](int) { return outcome(io::wait_readable(number)); });
        far.close();
        CHECK(waits.outcomes() == all_of("!EBADF"));
    });
}

TEST_CASE("hostile: closed while a crowd waits, the number serves the next descriptor at once") {
    over_each([](stream&, stream& far) {
        const int number = far.native_handle();
        waiting_crowd readers([&](int) { return take(far); });
        far.close();
        auto [fresh_near, fresh_far] = pair_with(number);  // before any of them has run
        auto reader = spawn([&] { return take(fresh_near); });
        CHECK(readers.outcomes() == all_of("!EBADF"));
        CHECK_FALSE(reader.finished());
        put(fresh_far, "mine");
        CHECK(reader.join(soon()).value() == "mine");
    });
}

TEST_CASE("hostile: a hundred connects to a listener that never accepts can be cancelled") {
    on_wires([] {
        // A queue of one, which two fill; all others have to wait.
        const std::string name = own_address("hostile-full");
        auto door = io::listen_unix(name, {.backlog = 0}).value();
        auto first = io::connect_unix(name, soon());
        std::vector<handle<int>> clients;
        for (int i = 0; i < crowd; ++i)
            clients.push_back(spawn([&] { return io::connect_unix(name).code(); }));
        let_others_run();
        for (auto& c : clients) c.cancel();
        for (auto& c : clients) CHECK(error_name(c.join(soon()).value()) == "!ECANCELED");
    });
}

// ---- One number, two descriptors, one batch of events

// Two streams become ready in one batch. The wire of the first closes the second and opens another
// under its number, for which `use` waits: with the stale event it would be woken, and see nothing
// or what it must not see.
template <class Use>
void reuse_within_a_batch(stream& near, stream& far, Use use) {
    auto [other_near, other_far] = unix_pair();
    const int number = far.native_handle();
    std::optional<stream_pair> fresh;
    handle<std::string> newcomer;
    auto first = spawn([&] {
        CHECK(take(other_far) == "go");
        far.close();
        fresh.emplace(pair_with(number));
        newcomer = spawn([&] { return use(fresh->first); });
    });
    auto second = spawn([&] { return take(far); });
    let_others_run();
    put(other_near, "go");
    put(near, "late");
    const std::string met = second.join(soon()).value();
    CHECK((met == "!EBADF" || met == "late"));  // it may have been received before the close
    first.join(soon()).value();
    let_others_run();
    CHECK_FALSE(newcomer.finished());
    put(fresh->second, "mine");
    CHECK(newcomer.join(soon()).value() == "mine");
}

TEST_CASE("hostile: the event of a closed stream does not wake the reader of its successor") {
    over_each([](stream& near, stream& far) {
        reuse_within_a_batch(near, far, [](stream& s) { return take(s); });
    });
}

TEST_CASE("hostile: nor does it end a wait for the number") {
    over_each([](stream& near, stream& far) {
        reuse_within_a_batch(near, far, [](stream& s) {
            const std::string waited = outcome(io::wait_readable(s.native_handle(), soon()));
            return waited + take(s);
        });
    });
}

TEST_CASE("hostile: nor one in a list, in which a deadline would be lost") {
    over_each([](stream& near, stream& far) {
        reuse_within_a_batch(near, far, [](stream& s) {
            io::readable_wait data(s.native_handle());
            wait_list only;
            only.chain(data);
            const auto woken = only.await(soon());
            return error_name(woken.code()) + take(s);
        });
    });
}

TEST_CASE("hostile: a number that passes through many hands wakes each only for its own") {
    on_wires([] {
        int number = -1;
        for (int i = 0; i < 50; ++i) {
            auto [near, far] = unix_pair();
            CHECK((number < 0 || far.native_handle() == number));
            number = far.native_handle();
            waiting_crowd readers([&far = far](int) { return take(far, 1); });
            put(near, "x");  // for the first of them, if the kernel has not told us too late
            far.close();
            const trace got = readers.outcomes();
            CHECK((got[0] == "x0" || got[0] == "!EBADF0"));
            CHECK(got.back() == all_of("!EBADF").back());
        }
    });
}

// ---- Resets

// The next close of `s` sends a reset instead of an end.
void reset(stream& s) {
    const linger at_once{1, 0};
    CHECK(::setsockopt(s.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    s.close();
}

// What a server does when its client resets the connection; how far both are is told by the name.
struct step {
    const char* when;
    std::function<void(stream& client)> client;       // then it resets
    std::function<std::string(stream& peer)> server;  // what it meets
    std::vector<std::string> expected;                // one of these
    bool meanwhile = false;                           // the server waits when the reset comes
};

std::string read_exactly(stream& s, std::size_t size) {
    std::string buffer(size, '\0');
    const auto got = s.read_exactly(std::as_writable_bytes(std::span(buffer)), soon());
    return buffer.substr(0, got.done) + error_name(got.code);
}

std::string write_much(stream& s) {
    const std::string much(64 << 20, 'x');
    return error_name(s.write_all(much, soon()).code);
}

std::vector<step> steps() {
    const auto nothing = [](stream&) {};
    const auto half = [](stream& s) { put(s, "half"); };
    const auto whole = [](stream& s) { put(s, "request."); };
    const std::vector<std::string> gone{"!ECONNRESET", "!EPIPE"};
    const auto answer = [](stream& s) {
        CHECK(take(s) == "request.");
        return write_much(s);
    };
    const auto end = [](stream& s) {
        CHECK(s.shutdown(io::direction::write));
        return take(s);
    };
    const auto wait = [](stream& s) {
        CHECK(outcome(io::wait_readable(s.native_handle(), soon())) == "");
        CHECK(outcome(io::wait_writable(s.native_handle(), soon())) == "");
        return take(s);
    };
    const auto request = [](stream& s) { return read_exactly(s, 8); };
    return {
        {"before we read", nothing, [](stream& s) { return take(s); }, {"!ECONNRESET"}},
        {"before we write", nothing, write_much, gone},
        {"with a request that nobody has read", whole, request, {"!ECONNRESET", "request."}},
        {"while we read", nothing, [](stream& s) { return take(s); }, {"!ECONNRESET"}, true},
        {"in the middle of a request", half, request, {"half!ECONNRESET"}, true},
        {"while we answer", whole, answer, gone, true},
        {"while we wait for its end", nothing, end, {"!ECONNRESET"}, true},
        {"while we wait for the descriptor", nothing, wait, {"!ECONNRESET"}, true},
    };
}

std::string meet(const step& s, listener& door) {
    auto client = io::connect(door.local_address().value(), soon()).value();
    auto peer = door.accept(soon()).value();
    handle<std::string> server;
    const auto serve = [&] { server = spawn([&] { return s.server(peer); }); };
    if (s.meanwhile) serve();
    s.client(client);
    let_others_run();
    reset(client);
    if (!s.meanwhile) {
        let_others_run();
        serve();
    }
    return server.join(soon()).value();
}

TEST_CASE("hostile: a reset at any step is an error of that connection, and never a signal") {
    ::signal(SIGPIPE, SIG_DFL);  // it would end this program
    for (const step& s : steps()) {
        CAPTURE(std::string(s.when));
        on_wires([&] {
            auto door = io::listen_tcp("127.0.0.1", 0).value();
            const std::string met = meet(s, door);
            CAPTURE(met);
            CHECK(std::count(s.expected.begin(), s.expected.end(), met) == 1);
            auto client = io::connect(door.local_address().value(), soon()).value();
            auto peer = door.accept(soon()).value();
            put(client, "next");
            CHECK(take(peer) == "next");
        });
    }
}

TEST_CASE("hostile: connections that were reset in the queue are accepted and found dead") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const auto at = door.local_address().value();
        for (int i = 0; i < crowd; ++i) {
            auto client = io::connect(at, soon()).value();
            reset(client);
        }
        auto honest = io::connect(at, soon()).value();
        put(honest, "alive");
        int dead = 0;
        for (std::string met; met != "alive" && dead <= crowd; ++dead) {
            auto peer = door.accept(soon()).value();
            met = take(peer);
            CHECK((met == "alive" || met == "!ECONNRESET"));
        }
        CHECK(dead <= crowd + 1);
    });
}

}  // namespace
}  // namespace wire::test
