// A million wires at once, each with a guarded stack of its own: starts them, wakes each once, ends
// them, and says what each took.
//
//     ./million               a million; needs 4.4 GB of memory and Linux 6.13
//     ./million 30000
//     ./million protect 40000   with the guards of older kernels: two mappings a stack, of which a
//                               process may have 65,530 (vm.max_map_count). So this one fails.

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include <wire/wire.hpp>

namespace {

constexpr std::size_t count_max = 100'000'000;

// Processor time that this thread has used, in microseconds: other programs do not disturb it.
double processor_us() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

// Memory in use by this process, page tables included; see proc_pid_status(5).
double memory_in_use() {
    double kilobytes = 0;
    std::FILE* const status = std::fopen("/proc/self/status", "r");
    if (!status) return 0;
    for (char line[256]; std::fgets(line, sizeof line, status);) {
        unsigned long n = 0;
        if (std::sscanf(line, "VmRSS: %lu", &n) == 1 || std::sscanf(line, "VmPTE: %lu", &n) == 1)
            kilobytes += static_cast<double>(n);
    }
    std::fclose(status);
    return kilobytes * 1024;
}

// On a terminal, one line that is written again and again.
class progress {
public:
    progress(const char* doing, std::size_t of) : doing_(doing), of_(of) { show(0); }
    ~progress() {
        if (visible_) std::fprintf(stderr, "\r\033[K");
    }
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;
    void show(std::size_t done) const {
        if (visible_ && done % 8192 == 0)
            std::fprintf(stderr, "\r%s: %zu of %zu ", doing_, done, of_);
    }

private:
    const char* const doing_;
    const std::size_t of_;
    const bool visible_ = ::isatty(STDERR_FILENO) == 1;
};

// Microseconds that it takes to touch one page of each stack: what no program can do without.
// Plain memory without guards, laid out as the stacks are.
double touch_stacks(std::size_t count, const wire::stack_options& stack) {
    const progress line("touching pages", count);
    const std::size_t length = count * (stack.size + stack.guard);
    void* const memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::system_category(), "mmap");
    ::madvise(memory, length, MADV_NOHUGEPAGE);
    auto* const bytes = static_cast<std::byte*>(memory);
    const double start = processor_us();
    for (std::size_t at = stack.guard + stack.size; at <= length; at += stack.guard + stack.size)
        bytes[at - 1] = std::byte{1};
    const double all = processor_us() - start;
    ::munmap(memory, length);
    return all / static_cast<double>(count);
}

class crowd {
public:
    explicit crowd(std::size_t count) : count_(count) { wires_.reserve(count); }

    // Starts all and lets each run until it waits.
    void start() {
        const progress line("starting wires", count_);
        for (std::size_t i = 0; i < count_; ++i) {
            wires_.push_back(wire::spawn([this] {
                ++waiting_;
                if (wire::suspend()) ++woken_;
            }));
            if (i % 1024 == 0) wire::yield();
            line.show(i);
        }
        while (waiting_ < count_) wire::yield();
    }

    // Wakes all; each runs once more, and ends.
    void wake() {
        const progress line("waking wires", count_);
        for (std::size_t i = 0; i < count_; ++i) {
            wire::resume(wires_[i].ref());
            if (i % 1024 == 0) wire::yield();
            line.show(i);
        }
        while (woken_ < count_) wire::yield();
    }

private:
    const std::size_t count_;
    std::vector<wire::handle<void>> wires_;
    std::size_t waiting_ = 0, woken_ = 0;
};

void measure(std::size_t count, const wire::stack_options& stack) {
    static_cast<void>(touch_stacks(count, stack));  // so that the system has the memory at hand
    const double floor = touch_stacks(count, stack);
    const auto n = static_cast<double>(count);

    crowd all(count);
    const double memory_before = memory_in_use(), start = processor_us();
    all.start();
    const double each = (processor_us() - start) / n;
    std::printf("%zu wires wait, %.0f bytes each\n", count, (memory_in_use() - memory_before) / n);
    std::printf("started in %.2f us each, %.2f times what touching a page of each stack takes\n",
                each, each / floor);
    const double before_wake = processor_us();
    all.wake();
    std::printf("woken once, in %.2f us each\n", (processor_us() - before_wake) / n);
}

struct arguments {
    std::size_t count = 1'000'000;
    bool protect = false;
};

std::optional<arguments> parse(int argc, char** argv) {
    arguments wanted;
    int at = 1;
    if (at < argc && std::string_view(argv[at]) == "protect") wanted.protect = ++at > 0;
    if (at < argc) {
        const char* const end = argv[at] + std::strlen(argv[at]);
        const auto [rest, error] = std::from_chars(argv[at], end, wanted.count);
        if (rest != end || error != std::errc{}) return {};
        ++at;
    }
    if (at < argc || wanted.count < 1 || wanted.count > count_max) return {};
    return wanted;
}

// Runs as a wire. Says what the machine lacks, if it does.
int main_wire(std::size_t count, const wire::stack_options& stack) {
    try {
        measure(count, stack);
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "million: %s\n", e.what());
        return 1;
    }
    std::printf("all have ended\n");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const auto wanted = parse(argc, argv);
    if (!wanted) {
        std::fprintf(stderr, "million: takes \"protect\", if wanted, and a number from 1 to %zu\n",
                     count_max);
        return 1;
    }
    wire::run_options options{.dump_on_quit = true};
    wire::stack_options& stack = options.runtime.stack;
    if (wanted->protect) stack.guards = wire::guard_kind::protect;
    const int code = wire::run([&] { return main_wire(wanted->count, stack); }, options);
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "million: cannot write to standard output\n");
        return 1;
    }
    return code;
}
