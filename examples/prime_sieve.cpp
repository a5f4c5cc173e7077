// A sieve of Eratosthenes as a chain of 10,000 wires: the first number that comes to a wire is its
// prime, and of those that follow it passes on what that does not divide.
//
//     ./prime_sieve               10,000 wires, numbers up to 10,000: 780,000 hand-overs
//     ./prime_sieve 500 4000      500 wires, numbers up to 4,000
//     ./prime_sieve 10000 104729  all 10,000 find a prime: 50 million hand-overs, some 15 seconds
//
// The channels between them have no buffer: a wire that sends waits until the next one has taken
// the number, so the whole chain works at the pace of its slowest link. (This is no fast way to
// find primes. It was C. A. R. Hoare's example, after D. McIlroy, in "Communicating Sequential
// Processes", 1978.)

#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#include <wire/wire.hpp>

namespace {

using link = wire::channel<int>;

struct sieve {
    std::vector<int> primes;
    std::size_t hand_overs = 0;

    // One wire of the chain. When nothing more comes it says so to the next, and ends.
    void filter(link& from, link& to) {
        const auto prime = from.recv();
        if (prime) {
            ++hand_overs;
            primes.push_back(*prime);  // no lock: all wires share one thread
            for (const int n : from) {
                ++hand_overs;
                if (n % *prime != 0 && !to.send(n)) break;
            }
        }
        to.close();
    }
};

void find_primes(int wires, int limit) {
    sieve all;
    std::vector<link> links(static_cast<std::size_t>(wires) + 1);
    int left_over = 0;
    static_cast<void>(wire::with_scope(wire::never, [&](wire::scope& chain) {
        for (auto at = links.begin(); at + 1 != links.end(); ++at)
            chain.go({.name = "filter"}, [&all, at] { all.filter(at[0], at[1]); });
        chain.go({.name = "source"}, [&] {
            for (int n = 2; n <= limit; ++n)
                if (!links.front().send(n)) return;
            links.front().close();
        });
        while (links.back().recv()) ++left_over;
    }));
    std::printf("%d wires, numbers up to %d, %zu hand-overs\n", wires, limit, all.hand_overs);
    std::printf("%zu of them found a prime, the last is %d\n", all.primes.size(),
                all.primes.back());
    std::printf("%d numbers went through all the wires\n", left_over);
}

// The number in `text`, or `otherwise` if there is none; nothing if it makes no sense.
std::optional<int> number(const char* text, int otherwise, int least, int most) {
    if (!text) return otherwise;
    int n = 0;
    const char* const end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, n);
    if (rest != end || error != std::errc{} || n < least || n > most) return {};
    return n;
}

}  // namespace

int main(int argc, char** argv) {
    const auto wires = number(argc > 1 ? argv[1] : nullptr, 10'000, 1, 1'000'000);
    const auto limit = number(argc > 2 ? argv[2] : nullptr, 10'000, 2, 10'000'000);
    if (argc > 3 || !wires || !limit) {
        std::fprintf(stderr,
                     "prime_sieve: takes the number of wires, from 1 to 1000000, and the "
                     "largest number, from 2 to 10000000\n");
        return 1;
    }
    const int code = wire::run([&] { find_primes(*wires, *limit); }, {.dump_on_quit = true});
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "prime_sieve: cannot write to standard output\n");
        return 1;
    }
    return code;
}
