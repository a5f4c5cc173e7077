#include "tail.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include <wire/shm/ring.hpp>
#include <wire/wire.hpp>

#include "look.hpp"

namespace {

using wire::shm::ring;

bool is_text(std::span<const std::byte> record) {
    return std::ranges::all_of(record, [](std::byte b) {
        const auto c = std::to_integer<unsigned char>(b);
        return c == '\t' || (c >= ' ' && c != 0x7f);
    });
}

class printer {
public:
    printer(ring r, const tail_options& options) : ring_(std::move(r)), options_(options) {}

    // Until there is nothing more to wait for. Returns an errno: ECANCELED, EPIPE, or 0 after so
    // many records as are wanted.
    int run() {
        for (std::uint64_t n = 0; options_.count == 0 || n < options_.count;) {
            const auto got = ring_.peek();
            if (got) {
                print(*got);
                if (std::ferror(stdout) != 0)
                    throw std::system_error(errno, std::system_category(), "write standard output");
                ring_.release();
                // Control-C is heard also if there is always a record.
                if (++n % 100 == 0) wire::yield();
            } else if (got.code() == EOWNERDEAD) {
                std::printf("%d died\n", ring_.last_departure().pid);
            } else if (got.code() == EBADMSG) {
                std::printf("%s has damaged its lane\n", name(ring_.last_departure().pid).c_str());
            } else {
                return got.code();
            }
        }
        return 0;
    }

private:
    // Of a producer that has left the process is not known any more.
    static std::string name(pid_t pid) { return pid == 0 ? "-" : std::to_string(pid); }

    void print(const wire::shm::record& r) const {
        const std::string from = name(r.from);
        if (!options_.hex && is_text(r.bytes)) {
            std::printf("%s: %.*s\n", from.c_str(), static_cast<int>(r.bytes.size()),
                        reinterpret_cast<const char*>(r.bytes.data()));
            return;
        }
        std::printf("%s:", from.c_str());
        for (const std::byte b : r.bytes) std::printf(" %02x", std::to_integer<unsigned>(b));
        std::printf(" (%zu bytes)\n", r.bytes.size());
    }

    ring ring_;
    const tail_options options_;
};

}  // namespace

int tail_ring(const std::string& name, const tail_options& options) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    int error = 0;
    const int code = wire::run([&] {
        try {
            printer out(is_shared_name(name) ? ring::open(name) : ring::open_file(name), options);
            wire::io::signals quit{SIGINT, SIGTERM};
            wire::with_scope(wire::never, [&](wire::scope& s) {
                s.go({.name = "control-c"}, [&] {
                    if (quit.wait()) s.cancel();
                });
                error = out.run();
                s.cancel();
            }).value();
        } catch (const std::system_error& e) {
            std::fprintf(stderr, "wire-ring: %s\n", e.what());
            return 1;
        }
        return 0;
    });
    if (code != 0 || error == 0 || error == ECANCELED) return code;
    if (error == EPIPE) {
        std::fprintf(stderr, "wire-ring: %s: the ring is closed\n", name.c_str());
        return 0;
    }
    throw std::system_error(error, std::system_category(), name + ": peek");
}
