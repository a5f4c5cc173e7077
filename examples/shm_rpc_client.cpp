// Asks a shm_rpc_server, through an arena in shared memory:
//
//     ./shm_rpc_client /calc sum 1 2 39
//     ./shm_rpc_client /calc upper 'not so loud'
//     ./shm_rpc_client /calc repeat 3 'ha '
//     ./shm_rpc_client /calc wait 1000 hello     an answer that takes a second
//     ./shm_rpc_client /calc echo 1048576 100    a mebibyte, a hundred times
//
// The question is written where the server reads it, and the answer is in the same place: of the
// mebibyte no byte is copied. Up to 16 clients may ask at the same time. If the server ends or is
// killed, its clients are told at once.
//
// This is a plain program: it calls from its one thread, and has no wires.

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <wire/deadline.hpp>

#include "shm_rpc.hpp"

namespace {

using namespace std::chrono_literals;
using wire::result;
using wire::shm::arena;
using wire::shm::arena_record;
using wire::shm::role;

/// A conversation with the server.
class client {
public:
    explicit client(const std::string& name) : arena_(arena::open(name)) {}

    /// Returns an errno: ECONNREFUSED (no server), EUSERS (too many clients), ETIMEDOUT, EPIPE (the
    /// server is gone).
    int connect() {
        if (!arena_.has_producers(rpc::the_door)) return ECONNREFUSED;
        for (number_ = 0; number_ < rpc::clients_max; ++number_) {
            if (!take_number()) continue;
            return arena_.recv(rpc::answers_of(number_), wire::within(5s)).code();
        }
        return EUSERS;
    }
    /// Room for a question of so many bytes.
    result<arena_record> allocate(std::size_t bytes) {
        return arena_.allocate(sizeof(rpc::head) + bytes, rpc::questions_of(number_));
    }
    /// The answer. Fails with EPIPE (the server is gone), and what it answers with.
    result<arena_record> ask(arena_record question, const rpc::head& h) {
        rpc::write_head(question, h);
        if (const auto sent = arena_.send(rpc::questions_of(number_), question); !sent)
            return wire::failure{sent.code()};
        result<arena_record> r = arena_.recv(rpc::answers_of(number_));
        rpc::head answer;
        if (!r) return r;
        if (!rpc::read_head(*r, answer)) return wire::failure{EBADMSG};
        if (answer.error != 0) return wire::failure{answer.error};
        return r;
    }

private:
    // The questions of one who has died are there until the server has noticed.
    bool take_number() {
        const std::uint32_t questions = rpc::questions_of(number_);
        const std::uint32_t answers = rpc::answers_of(number_);
        if (arena_.has_channel(questions) || !arena_.add_channel(answers, role::consumer))
            return false;
        if (!arena_.has_channel(questions) && arena_.add_channel(questions, role::producer))
            return true;
        static_cast<void>(arena_.leave_channel(answers));
        return false;
    }

    arena arena_;
    std::uint32_t number_ = 0;
};

std::span<const std::byte> payload_of(const arena_record& r) {
    rpc::head h;
    return rpc::read_head(r, h) ? rpc::room_of(r).first(h.bytes) : std::span<std::byte>{};
}

template <class T>
bool read_number(std::string_view text, T& number) {
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return rest == text.data() + text.size() && error == std::errc{};
}

/// What the arguments say: a question, and how often it is asked.
struct order {
    rpc::head head;
    std::vector<std::byte> payload;
    std::uint64_t times = 1;

    void append(const void* bytes, std::size_t n) {
        const auto* const begin = static_cast<const std::byte*>(bytes);
        payload.insert(payload.end(), begin, begin + n);
    }
};

bool read_sum(std::span<char* const> args, order& o) {
    for (const char* const text : args) {
        std::int64_t n = 0;
        if (!read_number(text, n)) return false;
        o.append(&n, sizeof n);
    }
    return true;
}
bool read_echo(std::span<char* const> args, order& o) {
    std::uint64_t bytes = 0;
    if (args.empty() || args.size() > 2 || !read_number(args[0], bytes) || bytes > 1 << 30 ||
        (args.size() == 2 && (!read_number(args[1], o.times) || o.times == 0)))
        return false;
    o.payload.resize(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        o.payload[i] = static_cast<std::byte>(i * 2654435761U >> 24);
    return true;
}
bool read_text(std::span<char* const> args, bool has_number, order& o) {
    if (has_number && (args.empty() || !read_number(args[0], o.head.argument))) return false;
    args = args.subspan(has_number ? 1 : 0);
    if (args.size() != 1) return false;
    o.append(args[0], std::strlen(args[0]));
    return true;
}
bool read_order(std::string_view what, std::span<char* const> args, order& o) {
    using enum rpc::operation;
    constexpr std::pair<std::string_view, rpc::operation> all[] = {
        {"echo", echo}, {"upper", upper}, {"sum", sum}, {"repeat", repeat}, {"wait", wait}};
    const auto* const found = std::ranges::find(all, what, [](const auto& a) { return a.first; });
    if (found == std::end(all)) return false;
    o.head.what = found->second;
    if (o.head.what == sum) return read_sum(args, o);
    if (o.head.what == echo) return read_echo(args, o);
    return read_text(args, o.head.what == repeat || o.head.what == wait, o);
}

int print(const order& o, const arena_record& answer, bool is_same_place) {
    const auto payload = payload_of(answer);
    if (o.head.what == rpc::operation::echo) {
        const bool is_whole = std::ranges::equal(payload, o.payload);
        std::printf("%zu bytes came back%s%s\n", payload.size(),
                    is_whole ? "" : ", but not as sent",
                    is_same_place ? ", in the same place" : "");
        return is_whole ? 0 : 1;
    }
    std::int64_t sum = 0;
    if (o.head.what == rpc::operation::sum && payload.size() == sizeof sum) {
        std::memcpy(&sum, payload.data(), sizeof sum);
        std::printf("%" PRId64 "\n", sum);
    } else {
        std::fwrite(payload.data(), 1, payload.size(), stdout);
        std::puts("");
    }
    return 0;
}

int complain(const char* of, int error) {
    const char* const hint =
        error == ECONNREFUSED ? "there is no server: start shm_rpc_server"
        : error == EUSERS     ? "the server has as many clients as it can have: try again"
        : error == ETIMEDOUT  ? "the server does not answer: is it stopped?"
        : error == EPIPE      ? "the server has ended or died: start it again, and ask again"
        : error == ENOMEM     ? "the arena has no room for that: give shm_rpc_server more MiB"
                              : nullptr;
    std::fprintf(stderr, "shm_rpc_client: %s: %s\n", of,
                 hint ? hint : std::generic_category().message(error).c_str());
    return 1;
}

int ask(const char* name, order& o) {
    client server(name);
    if (const int error = server.connect()) return complain(name, error);
    o.head.bytes = o.payload.size();
    for (std::uint64_t n = 0; n < o.times; ++n) {
        result<arena_record> question = server.allocate(o.payload.size());
        if (!question) return complain(name, question.code());
        const std::span<std::byte> room = rpc::room_of(*question);
        std::ranges::copy(o.payload, room.begin());
        const result<arena_record> answer = server.ask(*std::move(question), o.head);
        if (!answer) return complain(name, answer.code());
        if (const int bad = print(o, *answer, payload_of(*answer).data() == room.data()))
            return bad;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    order o;
    const std::span<char* const> args(argv, static_cast<std::size_t>(argc));
    if (argc < 3 || !read_order(args[2], args.subspan(3), o)) {
        std::fprintf(stderr,
                     "shm_rpc_client: takes an arena's name and one of: echo BYTES [TIMES], "
                     "upper TEXT, sum [NUMBER...], repeat TIMES TEXT, wait MILLISECONDS TEXT\n");
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    try {
        return ask(args[1], o);
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "shm_rpc_client: %s\n", e.what());
        return 1;
    }
}
