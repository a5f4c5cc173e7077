// A pipeline over three threads: one reads lines, one turns them into capitals on eight wires, one
// numbers and prints them. Bridges join the stages.
//
//     ./pipeline < text
//
// The first and the last stage are plain threads, as they block in read(2) and write(2); the one in
// the middle is a runtime, whose wires wait for something all at once (here a sleep stands for the
// question to a server). Line i goes through lane i mod 8 and is awaited there, so the lines come
// out in order without numbers on them, and however slow a stage is, no more than what the bridges
// hold is in memory.
//
// It ends from the front: at the end of the input the first stage closes the bridges behind it,
// each wire finds its bridge closed once that is empty, and closes the next one. And from the back:
// if nothing can be written, the last stage closes the bridges before it.

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <wire/bridge.hpp>
#include <wire/wire.hpp>

namespace {

using namespace std::chrono_literals;

struct lane {
    wire::bridge<std::string> in{16}, out{16};

    void close() {
        in.close();
        out.close();
    }
};
using lanes = std::array<lane, 8>;

constexpr std::size_t line_max = 1 << 20;

void close(lanes& all) {
    for (lane& l : all) l.close();
}
struct closing {
    lanes& all;
    ~closing() { close(all); }
};

// Says that a call on one of the standard streams has failed. Returns false.
bool failed(const char* what) {
    std::fprintf(stderr, "pipeline: %s: %s\n", what,
                 std::generic_category().message(errno).c_str());
    return false;
}

// ---- the stages

// The next line of the input, without its end. Returns false if there is none.
bool read_line(std::string& line) {
    line.clear();
    for (int c; (c = std::getc(stdin)) != EOF; line += static_cast<char>(c)) {
        if (c == '\n') return true;
        if (line.size() == line_max) return errno = EMSGSIZE, false;
    }
    return !line.empty() && !std::ferror(stdin);
}

// The first: a plain thread. Returns whether it has read all that was wanted.
bool read_lines(lanes& all) {
    std::string line;
    for (std::size_t at = 0; read_line(line); ++at)
        if (!all[at % all.size()].in.send(std::move(line))) return true;  // nobody wants more
    return (std::feof(stdin) && !std::ferror(stdin)) || failed("read standard input");
}

// The second: a wire for each lane, on a thread of their own.
void capitalize(lane& mine) {
    while (auto text = mine.in.recv()) {
        wire::sleep(wire::within(100us)).value();
        for (char& c : *text)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        if (!mine.out.send(*std::move(text))) break;
    }
    mine.close();
}

// The last: a plain thread. Returns whether all was written.
bool print_lines(lanes& all) {
    for (std::size_t at = 0;; ++at) {
        const auto text = all[at % all.size()].out.recv();
        if (!text) break;  // the line that would be next is not there, so none is
        const std::string& line = *text;
        std::printf("%zu ", at + 1);
        std::fwrite(line.data(), 1, line.size(), stdout);
        std::putchar('\n');
        if (std::ferror(stdout)) break;
    }
    const bool written = !std::ferror(stdout) && std::fflush(stdout) == 0;
    if (!written) failed("write standard output");
    close(all);
    return written;
}

bool run_pipeline() {
    lanes all;
    bool written = false;
    int code = 0;
    std::jthread second, last;
    const closing at_the_end{all};  // before those threads are joined, whatever happens
    second = std::jthread([&] {
        code = wire::run([&] {
            for (lane& l : all) wire::go({.name = "capitalize"}, capitalize, std::ref(l));
        });
        close(all);  // also if there was no runtime
    });
    last = std::jthread([&] { written = print_lines(all); });
    const bool read = read_lines(all);
    for (lane& l : all) l.in.close();
    last.join();
    second.join();
    return read && written && code == 0;
}

}  // namespace

int main(int argc, char**) {
    if (argc > 1) {
        std::fprintf(stderr, "pipeline: takes no arguments, and reads its standard input\n");
        return 1;
    }
    // Else what is opened first would get the number.
    if (::fcntl(STDIN_FILENO, F_GETFD) < 0) return failed("read standard input"), 1;
    if (::fcntl(STDOUT_FILENO, F_GETFD) < 0) return failed("write standard output"), 1;
    try {
        return run_pipeline() ? 0 : 1;
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "pipeline: start a thread: %s\n", e.what());
        return 1;
    }
}
