// What runs a fuzz target where libFuzzer does not: replays a corpus, then seeded mutations of it.
// The same arguments always make the same inputs.
//
//     http_fuzz CORPUS_FOLDER [RUNS [SEED]]
//
// If the target aborts or crashes, the input is written to the file `failed-input`, and
// `http_fuzz failed-input` replays it alone.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using input = std::vector<std::uint8_t>;

const input* running = nullptr;

void keep_input(int signal) {
    const int fd = ::open("failed-input", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd >= 0 && ::write(fd, running->data(), running->size()) >= 0) ::close(fd);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void run(const input& bytes) {
    running = &bytes;
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

input content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<input> read_corpus(const std::filesystem::path& path) {
    if (!std::filesystem::is_directory(path)) return {content(path)};
    std::vector<std::filesystem::path> names;
    for (const auto& entry : std::filesystem::directory_iterator(path)) names.push_back(entry);
    std::sort(names.begin(), names.end());
    std::vector<input> corpus;
    for (const auto& name : names) corpus.push_back(content(name));
    return corpus;
}

class mutator {
public:
    mutator(const std::vector<input>& corpus, std::uint32_t seed)
        : corpus_(corpus), random_(seed) {}

    input next() {
        input bytes = any();
        for (std::size_t n = 1 + below(4); n > 0; --n) change(bytes);
        bytes.resize(std::min<std::size_t>(bytes.size(), 64 * 1024));
        return bytes;
    }

private:
    // std::uniform_int_distribution differs between libraries; the inputs shall not.
    std::size_t below(std::size_t n) { return random_() % n; }
    const input& any() { return corpus_[below(corpus_.size())]; }

    void change(input& bytes) {
        const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size() + 1));
        const auto end =
            at + static_cast<std::ptrdiff_t>(below(static_cast<std::size_t>(bytes.end() - at) + 1));
        static constexpr std::array<std::uint8_t, 12> telling{0,   '\r', '\n', ' ', ':',  '/',
                                                              '%', '0',  '9',  '-', 0x7f, 0xff};
        switch (below(6)) {
            case 0:
                bytes.erase(at, end);
                break;
            case 1: {
                const input again(at, end);
                bytes.insert(at, again.begin(), again.end());
                break;
            }
            case 2:
                bytes.insert(at, telling[below(telling.size())]);
                break;
            case 3:
                if (at != bytes.end()) *at = telling[below(telling.size())];
                break;
            case 4:
                if (at != bytes.end()) *at ^= static_cast<std::uint8_t>(1U << below(8));
                break;
            default: {
                const input& other = any();
                bytes.insert(at, other.begin(), other.end());
            }
        }
    }

    const std::vector<input>& corpus_;
    std::mt19937 random_;  // the standard fixes its numbers
};

}  // namespace

int main(int argc, char** argv) {
    const auto corpus = argc > 1 ? read_corpus(argv[1]) : std::vector<input>();
    if (corpus.empty()) {
        std::fprintf(stderr, "usage: %s CORPUS_FOLDER [RUNS [SEED]]\n", argv[0]);
        return 2;
    }
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, keep_input);
    for (const input& bytes : corpus) run(bytes);
    const unsigned long runs = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
    mutator inputs(corpus,
                   argc > 3 ? static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10)) : 1);
    for (unsigned long i = 0; i < runs; ++i) run(inputs.next());
    std::printf("%zu inputs of the corpus, %lu mutations\n", corpus.size(), runs);
}
