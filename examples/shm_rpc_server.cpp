// Answers what the processes of shm_rpc_client ask, through an arena in shared memory:
//
//     ./shm_rpc_server /calc          with a heap of 16 MiB
//     ./shm_rpc_server /calc 100      of 100 MiB
//
// Each client has a wire here, which answers one question after the other, in the record that it
// came in where that is possible. Kill a client with `kill -9`, in the middle of a question: its
// wire hears of it, what the client held is free again, and nobody else notices. Kill the server:
// its clients are told. Start it again while they are still there: it goes on in the same arena.
// There is one server at a time. At control-C it ends, and so do its clients.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include <wire/wire.hpp>

#include "shm_rpc.hpp"

namespace {

using wire::shm::arena;
using wire::shm::arena_record;
using wire::shm::role;

std::int64_t sum_of(std::span<const std::byte> payload) {
    std::uint64_t sum = 0;  // which may wrap
    for (; payload.size() >= sizeof sum; payload = payload.subspan(sizeof sum)) {
        std::uint64_t n = 0;
        std::memcpy(&n, payload.data(), sizeof n);
        sum += n;
    }
    return static_cast<std::int64_t>(sum);
}

std::byte upper(std::byte b) {
    const auto c = static_cast<char>(b);
    return c >= 'a' && c <= 'z' ? static_cast<std::byte>(c - 'a' + 'A') : b;
}

class server {
public:
    explicit server(arena& memory) : arena_(memory) {}

    /// Only one that lives. Whoever asks an earlier one is told that it is gone.
    wire::result<void> open() {
        const wire::result<void> alone = arena_.add_channel(rpc::the_server, role::producer);
        if (!alone) return alone;
        for (const std::uint32_t id : arena_.channels())
            if (id != rpc::the_server) static_cast<void>(arena_.remove_channel(id));
        return arena_.add_channel(rpc::the_door, role::producer);
    }
    /// There is one wire more than there have been clients at the same time.
    void attend(wire::scope& all, std::uint32_t client) {
        for (bool is_first = true; arena_.wait_for_channel(rpc::questions_of(client));
             is_first = false) {
            if (is_first && client + 1 < rpc::clients_max)
                all.go({.name = "client"}, [this, &all, client] { attend(all, client + 1); });
            talk(client);
        }
    }

private:
    void talk(std::uint32_t client) {
        const std::uint32_t questions = rpc::questions_of(client);
        const std::uint32_t answers = rpc::answers_of(client);
        const bool is_here = arena_.add_channel(questions, role::consumer) &&
                             arena_.add_channel(answers, role::producer) && greet(answers);
        if (is_here) {
            std::printf("client %" PRIu32 " has come\n", client);
            const std::uint64_t answered = answer_all(questions, answers);
            std::printf("client %" PRIu32 " is gone, after %" PRIu64 " answers\n", client,
                        answered);
        }
        // In this order: the next client of this number looks for the questions of the last one.
        static_cast<void>(arena_.remove_channel(answers));
        static_cast<void>(arena_.leave_channel(answers));
        static_cast<void>(arena_.remove_channel(questions));
        static_cast<void>(arena_.leave_channel(questions));
    }
    bool greet(std::uint32_t answers) {
        wire::result<arena_record> r = arena_.allocate(sizeof(rpc::head));
        if (!r) return false;
        rpc::write_head(*r, {});
        return arena_.send(answers, *r).has_value();
    }
    std::uint64_t answer_all(std::uint32_t questions, std::uint32_t answers) {
        for (std::uint64_t n = 0;; ++n) {
            wire::result<arena_record> r = arena_.recv(questions);
            if (!r) return n;  // it has left or died, or the server ends
            if (!answer(*r) || !arena_.send(answers, *r)) return n;
            // The others of this thread get their turn also if there is always a question.
            if (n % 16 == 15) wire::yield();
        }
    }
    // Returns false if it cannot be answered: the client does not know how to ask, or the server
    // ends.
    bool answer(arena_record& r) {
        rpc::head h;
        if (!rpc::read_head(r, h)) return false;
        h.error = perform(r, h);
        if (h.error == ECANCELED) return false;
        if (h.error != 0) h.bytes = 0;
        rpc::write_head(r, h);
        return true;
    }
    // Leaves the answer where the question was. Returns an errno.
    int perform(arena_record& r, rpc::head& h) {
        const std::span<std::byte> payload = rpc::room_of(r).first(h.bytes);
        switch (h.what) {
            case rpc::operation::echo:
                return 0;
            case rpc::operation::upper:
                std::ranges::transform(payload, payload.begin(), upper);
                return 0;
            case rpc::operation::sum: {
                const std::int64_t sum = sum_of(payload);
                const int error = make_room(r, sizeof sum);
                if (error) return error;
                std::memcpy(rpc::room_of(r).data(), &sum, sizeof sum);
                h.bytes = sizeof sum;
                return 0;
            }
            case rpc::operation::repeat:
                return repeat(r, h);
            case rpc::operation::wait: {
                const auto ms = std::min<std::uint64_t>(h.argument, 3'600'000);
                return wire::sleep(wire::within(std::chrono::milliseconds(ms))).code();
            }
        }
        return EOPNOTSUPP;
    }
    int repeat(arena_record& r, rpc::head& h) {
        const std::uint64_t length = h.bytes;
        if (length != 0 && h.argument > arena_max / length) return ENOMEM;
        const std::uint64_t total = length * h.argument;
        if (const int error = make_room(r, total)) return error;
        const std::span<std::byte> room = rpc::room_of(r);
        for (std::uint64_t at = length; at < total; at += length)
            std::ranges::copy(room.first(length), room.subspan(at).begin());
        h.bytes = total;
        return 0;
    }
    // Room for a payload of `bytes`: in another record, with the same payload, if in this one there
    // is not enough.
    int make_room(arena_record& r, std::uint64_t bytes) {
        const std::span<const std::byte> old = r.bytes();
        if (bytes <= rpc::room_of(r).size()) return 0;
        wire::result<arena_record> larger = arena_.allocate(sizeof(rpc::head) + bytes);
        if (!larger) return larger.code();
        std::ranges::copy(old, larger->bytes().begin());
        r = *std::move(larger);
        return 0;
    }

    static constexpr std::uint64_t arena_max = std::uint64_t{1} << 40;
    arena& arena_;
};

int serve(const std::string& name, std::size_t mebibytes) {
    try {
        arena memory = arena::open_or_create(name, {.size = mebibytes << 20});
        server answers(memory);
        if (const auto opened = answers.open(); !opened) {
            const bool is_second = opened.code() == EBUSY;
            std::fprintf(stderr, "shm_rpc_server: %s: %s\n", name.c_str(),
                         is_second ? "there is a server, which lives: end it first"
                                   : opened.error().message().c_str());
            return 1;
        }
        wire::io::signals quit{SIGINT, SIGTERM};
        std::printf("serving at %s\n", name.c_str());
        wire::with_scope(wire::never, [&](wire::scope& all) {
            all.go({.name = "client"}, [&] { answers.attend(all, 0); });
            static_cast<void>(quit.wait());
            all.cancel();
        }).value();
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "shm_rpc_server: %s\n", e.what());
        return 1;
    }
    return 0;
}

bool read_size(const char* text, std::size_t& mebibytes) {
    const char* const end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, mebibytes);
    return rest == end && error == std::errc{} && mebibytes >= 1 && mebibytes <= 1 << 20;
}

}  // namespace

int main(int argc, char** argv) {
    std::size_t mebibytes = 16;
    if (argc < 2 || argc > 3 || (argc > 2 && !read_size(argv[2], mebibytes))) {
        std::fprintf(stderr,
                     "shm_rpc_server: takes the name of an arena, for instance /calc, and "
                     "a number of MiB\n");
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return wire::run([&] { return serve(argv[1], mebibytes); }, {.dump_on_quit = true});
}
