// The key-value server's engine against whatever a peer may send. However the bytes are split, the
// answers are the same, and each is well-formed.

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kv/engine.hpp"

namespace {

// Small, so that inputs of a fuzzer reach them.
constexpr kv::limits few{.request_max = 1000, .words_max = 40, .line_max = 200};

void demand(bool holds, const char* sentence) {
    if (holds) return;
    std::fprintf(stderr, "resp_fuzz: %s\n", sentence);
    std::abort();
}

struct outcome {
    std::string answers;
    std::size_t used = 0;
    bool over = false;

    bool operator==(const outcome&) const = default;
};

// Hands `in` over in parts of part() bytes, as a connection does.
template <class F>
outcome talk(std::string_view in, F part) {
    static std::int64_t now;  // passes with each look at the clock, so that keys end
    now = 0;
    kv::server home(false, few, [] { return ++now; });
    kv::session session(home);
    kv::buffer out;
    outcome o;
    for (std::size_t came = 0; came < in.size() && !o.over;) {
        came = std::min(in.size(), came + part());
        do {
            o.answers += out.view();
            out.clear();
            const std::size_t used = session.consume(in.substr(o.used, came - o.used), out);
            demand(used <= came - o.used, "it used more than it got");
            o.used += used;
        } while (!out.empty());
        o.over = session.is_over();
    }
    return o;
}

// Returns what follows the number; nothing if there is none.
const char* number(const char* p, const char* end, long long& n) {
    const auto [rest, error] = std::from_chars(p, end, n);
    demand(error == std::errc() && end - rest >= 2 && rest[0] == '\r' && rest[1] == '\n',
           "a number is broken");
    return rest + 2;
}

// Reads one answer from the front; returns what follows it.
const char* skip_answer(const char* p, const char* end) {
    demand(p != end, "an answer is missing");
    long long n = 0;
    switch (*p++) {
        case '+':
        case '-':
            while (p != end && *p != '\r' && *p != '\n') ++p;
            demand(end - p >= 2 && p[0] == '\r' && p[1] == '\n', "a line does not end");
            return p + 2;
        case ':':
            return number(p, end, n);
        case '$':
            p = number(p, end, n);
            if (n == -1) return p;
            demand(n >= 0 && end - p >= n + 2 && p[n] == '\r' && p[n + 1] == '\n',
                   "a string does not have its length");
            return p + n + 2;
        case '*':
            p = number(p, end, n);
            demand(n >= -1, "an array has a negative length");
            for (; n > 0; --n) p = skip_answer(p, end);
            return p;
        default:
            demand(false, "an answer begins with something else");
            return end;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view in(reinterpret_cast<const char*>(data), size);
    const outcome whole = talk(in, [&] { return size; });
    const char* const end = whole.answers.data() + whole.answers.size();
    for (const char* p = whole.answers.data(); p != end;) p = skip_answer(p, end);

    demand(talk(in, [] { return 1; }) == whole, "byte by byte the answers differ");
    std::size_t seed = size;
    for (const char byte : in) seed = 31 * seed + static_cast<unsigned char>(byte);
    const outcome split = talk(in, [&] {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        return 1 + (seed >> 33) % 40;
    });
    demand(split == whole, "in other parts the answers differ");
    return 0;
}
