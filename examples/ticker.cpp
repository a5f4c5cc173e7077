// Two clocks in one wire: a select waits for whichever of them is due first, or for control-C.
//
//     ./ticker         for half a second
//     ./ticker 5000    for 5,000 milliseconds
//
// A tick is planned from the one before it, not from when that has come: so what comes late does
// not make the next one late, and after an hour the clock has not drifted.

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <wire/wire.hpp>

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

class ticker {
public:
    ticker(const char* sound, milliseconds period, clock::time_point start)
        : sound_(sound), period_(period), start_(start), next_(start + period) {}

    [[nodiscard]] clock::time_point next() const { return next_; }

    void tick() {
        late_ = std::chrono::duration<double, std::milli>(clock::now() - next_).count();
        std::printf("%4lld ms: %s\n", static_cast<long long>((next_ - start_) / 1ms), sound_);
        next_ += period_;
    }

    ~ticker() { std::printf("the last %s was %.1f ms late\n", sound_, late_); }
    ticker(const ticker&) = delete;
    ticker& operator=(const ticker&) = delete;

private:
    const char* const sound_;
    const milliseconds period_;
    const clock::time_point start_;
    clock::time_point next_;
    double late_ = 0;
};

// Lets both tick until `length` is over; every tick that is due by then comes, however late.
void run(milliseconds length) {
    wire::io::signals control_c{SIGINT};
    const auto start = clock::now();
    const auto stop = start + length;
    ticker fast("tick", 100ms, start), slow("tock", 170ms, start);
    bool interrupted = false;
    const auto due = [&](const ticker& t) {
        return t.next() <= stop ? wire::deadline(t.next()) : wire::never;
    };
    while (!interrupted && std::min(fast.next(), slow.next()) <= stop) {
        const auto chosen =
            wire::select(wire::on_deadline(due(fast), [&] { fast.tick(); }),
                         wire::on_deadline(due(slow), [&] { slow.tick(); }),
                         wire::on_signal(control_c, [&](auto) { interrupted = true; }));
        if (!chosen) return;
    }
    if (interrupted) std::printf("interrupted\n");
}

}  // namespace

int main(int argc, char** argv) {
    int length = 500;
    const char* const wanted = argc > 1 ? argv[1] : "500";
    const char* const end = wanted + std::strlen(wanted);
    const auto [rest, error] = std::from_chars(wanted, end, length);
    if (argc > 2 || rest != end || error != std::errc{} || length < 1 || length > 1'000'000'000) {
        std::fprintf(stderr, "ticker: takes a number of milliseconds, from 1 to 1000000000\n");
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const int code = wire::run([=] { run(milliseconds(length)); }, {.dump_on_quit = true});
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "ticker: cannot write to standard output\n");
        return 1;
    }
    return code;
}
