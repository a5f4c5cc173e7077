// A hundred thousand calls, each of which is cancelled, or runs out of time, in the same moment in
// which it completes. Whichever wins, nothing is lost or doubled: a byte that no call has delivered
// is still to be read, a connection that no accept() has delivered is still in the queue, and no
// descriptor leaks.
#include "support/io.hpp"

#include <sys/eventfd.h>

#include <optional>
#include <random>
#include <vector>

#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/backend.hpp"
#include "support/environment.hpp"

namespace wire::test {
namespace {

// ThreadSanitizer makes each many times as long.
constexpr int rounds(int wanted) {
    return under_tsan ? wanted / 8 : wanted;
}

// Lets the runtime look at its descriptors once, and run the wires that this wakes.
class looker {
public:
    looker() : always_(::eventfd(1, EFD_CLOEXEC)) {}
    ~looker() { ::close(always_); }
    looker(const looker&) = delete;
    looker& operator=(const looker&) = delete;
    void look() const { CHECK(io::wait_readable(always_, soon())); }

private:
    const int always_;
};

// When the cancel comes; each in turn. (`woken` needs all that came before to be gone.)
enum class moment { before, between, after, woken };

// Completes `call`, which waits, and cancels it.
template <class Complete>
void race(int round, const looker& kernel, handle<int>& call, Complete complete) {
    const auto when = static_cast<moment>(round % 4);
    if (when == moment::before) call.cancel();
    // This wire waits first and so runs first again: the call has been woken then, and not run.
    std::optional<handle<void>> other;
    if (when == moment::woken)
        other = spawn([&] { complete(); });
    else
        complete();
    if (when == moment::woken || when == moment::after) kernel.look();
    if (when != moment::before) call.cancel();
    if (other) other->join(soon()).value();
}

// How often each side has won.
struct score {
    int delivered = 0, failed = 0;
    void add(int outcome, int allowed) {
        CHECK((outcome == 0 || outcome == allowed));
        ++(outcome == 0 ? delivered : failed);
    }
    void expect_both() const {
        CHECK(delivered > rounds(100));
        // What io_uring has received counts, however early the cancel came.
        if (!on_io_uring() || failed > 0) CHECK(failed > rounds(100));
    }
};

// The byte at each place of a stream is known, so that one lost, doubled or out of order is found.
class numbered {
public:
    std::string next(std::size_t size) {
        std::string text(size, '\0');
        for (char& c : text) c = letter(at_++);
        return text;
    }
    [[nodiscard]] bool takes(std::string_view text) {
        return std::all_of(text.begin(), text.end(), [&](char c) { return c == letter(at_++); });
    }
    void skip(std::size_t size) { at_ += size; }
    [[nodiscard]] std::size_t at() const { return at_; }

private:
    static char letter(std::size_t at) { return static_cast<char>('a' + at % 23); }
    std::size_t at_ = 0;
};

// A connection on which one side writes and the other reads, bit by bit.
struct talk {
    explicit talk(stream& to_read) : from(to_read) {}

    int read(deadline until) {
        std::array<char, 4096> buffer;
        const auto n = from.read(std::as_writable_bytes(std::span(buffer)), until);
        if (n && !received.takes({buffer.data(), *n})) ++wrong;
        return n.code();
    }
    // Whether what was written and not delivered is still there.
    bool settle() {
        while (received.at() < sent.at() && read(within(1s)) == 0) {
        }
        CHECK(received.at() == sent.at());
        CHECK(wrong == 0);
        return received.at() == sent.at() && wrong == 0;
    }

    stream& from;
    numbered sent, received;
    int wrong = 0;
};

TEST_CASE("races: 40,000 reads against a cancel, on each kind of stream") {
    over_each([](stream& near, stream& far) {
        const looker kernel;
        talk t(far);
        score all;
        for (int i = 0; i < rounds(40'000); ++i) {
            auto reader = spawn([&] { return t.read(never); });
            yield();
            race(i, kernel, reader,
                 [&] { put(near, t.sent.next(1 + static_cast<std::size_t>(i) % 5)); });
            all.add(reader.join(soon()).value(), ECANCELED);
            if (i % 16 == 0 && !t.settle()) break;
        }
        static_cast<void>(t.settle());
        all.expect_both();
    });
}

TEST_CASE("races: 10,000 reads against a deadline, on each kind of stream") {
    over_each([](stream& near, stream& far) {
        std::minstd_rand random(1);
        talk t(far);
        score all;
        for (int i = 0; i < rounds(10'000); ++i) {
            const auto moment = std::chrono::nanoseconds(random() % 20'000);
            const deadline until = within(moment);
            auto reader = spawn([&] { return t.read(until); });
            yield();
            if (i % 2) static_cast<void>(sleep(until));
            put(near, t.sent.next(1));
            all.add(reader.join(soon()).value(), ETIMEDOUT);
            if (i % 16 == 0 && !t.settle()) break;
        }
        static_cast<void>(t.settle());
        all.expect_both();
    });
}

TEST_CASE("races: 5,000 writes against a cancel: what has left is told to the byte") {
    on_wires([] {
        auto [near, far] = unix_pair();
        shrink_buffer(near);
        const looker kernel;
        talk t(far);
        score all;
        for (int i = 0; i < rounds(5'000); ++i) {
            std::size_t done = 0;
            auto writer = spawn([&, text = numbered(t.sent).next(60'000)] {
                const auto sent = near.write_all(text);
                done = sent.done;
                return sent.code;
            });
            yield();
            // Room for the next part, or for all that is left.
            const auto make_room = [&] {
                for (int n = i % 3 == 0 ? 1'000 : 1; n > 0 && t.read(within(0s)) == 0; --n) {
                }
            };
            race(i, kernel, writer, make_room);
            all.add(writer.join(soon()).value(), ECANCELED);
            t.sent.skip(done);
            if (!t.settle()) break;
        }
        CHECK(all.failed > rounds(100));
    });
}

TEST_CASE("races: 10,000 accepts against a cancel: no connection is lost, no descriptor leaks") {
    on_wires([] {
        const looker kernel;
        auto door = io::listen_unix(own_address("races")).value();
        const auto at = door.local_address().value();
        const int before = open_descriptors();
        score all;
        for (int i = 0; i < rounds(10'000); ++i) {
            auto acceptor = spawn([&] { return door.accept().code(); });
            yield();
            race(i, kernel, acceptor, [&] { CHECK(io::connect(at, soon())); });
            const int outcome = acceptor.join(soon()).value();
            all.add(outcome, ECANCELED);
            const bool found = outcome == 0 || door.accept(within(1s)).has_value();
            CHECK(found);
            if (!found) break;
        }
        CHECK(door.accept(within(0s)).code() == ETIMEDOUT);
        CHECK(open_descriptors() == before);
        all.expect_both();
    });
}

TEST_CASE("races: 4,000 connects against a cancel: no descriptor leaks") {
    on_wires([] {
        const looker kernel;
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const auto at = door.local_address().value();
        const int before = open_descriptors();
        score all;
        for (int i = 0; i < rounds(4'000); ++i) {
            auto client = spawn([&] { return io::connect(at).code(); });
            race(i, kernel, client, [] {});
            all.add(client.join(soon()).value(), ECANCELED);
            while (auto peer = door.accept(within(0s))) {
            }
        }
        CHECK(open_descriptors() == before);
        all.expect_both();
    });
}

TEST_CASE("races: 10,000 waits for a descriptor against a cancel, on each kind of stream") {
    over_each([](stream& near, stream& far) {
        const looker kernel;
        talk t(far);
        score all;
        for (int i = 0; i < rounds(10'000); ++i) {
            auto waiting =
                spawn([&] { return io::wait_readable(far.native_handle(), never).code(); });
            yield();
            race(i, kernel, waiting, [&] { put(near, t.sent.next(1)); });
            all.add(waiting.join(soon()).value(), ECANCELED);
            if (!t.settle()) break;
        }
        all.expect_both();
    });
}

}  // namespace
}  // namespace wire::test
