// Hashes files on several threads: they take paths from one pool and put hashes into another, from
// which a wire takes them, while other wires look for more files, show how far it has come, and
// wait for control-C.
//
//     ./work_pool --threads 4 /usr/include notes.txt
//
// prints `hash  path` for each file, sorted by path; of a folder, all regular files below it. The
// hash is FNV-1a with 64 bits. What cannot be read is named on standard error with the reason, and
// the exit code is 1 then. At SIGINT and SIGTERM it ends with what has been done.
//
// Neither side knows the other: a pool takes wires and plain threads alike. Who has nothing to do
// sleeps or parks. No files are counted to know when it is over: the wire that finds them closes
// the first pool, each thread ends once that is empty, and the last of them closes the second.

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <wire/pool.hpp>
#include <wire/wire.hpp>

#include "command_line.hpp"

namespace {

using namespace std::chrono_literals;
namespace io = wire::io;

std::vector<std::string> paths;
int threads = 4;

struct outcome {
    std::string path;
    std::uint64_t hash = 0;
    std::uint64_t bytes = 0;
    std::string failure = {};  // why there is no hash
    bool given_up = false;     // at control-C

    outcome&& fail(const char* call, int code) {
        failure = std::string(call) + ' ' + path + ": " + std::generic_category().message(code);
        return std::move(*this);
    }
};

using path_pool = wire::pool<std::string>;
using outcome_pool = wire::pool<outcome>;

// ---- a worker, on a thread of its own

struct fnv_1a {
    std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
    void add(const unsigned char* bytes, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) hash = (hash ^ bytes[i]) * 0x100'0000'01b3;
    }
};

outcome hash_file(outcome of, int file, const std::stop_token& stop) {
    struct stat what {};
    if (::fstat(file, &what) != 0) return of.fail("fstat", errno);
    if (!S_ISREG(what.st_mode)) {
        of.failure = of.path + ": is no regular file";
        return of;
    }
    std::array<unsigned char, 64 * 1024> buffer;
    fnv_1a sum;
    while (!stop.stop_requested()) {
        const ssize_t n = ::read(file, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return of.fail("read", errno);
        if (n == 0) {
            of.hash = sum.hash;
            return of;
        }
        sum.add(buffer.data(), static_cast<std::size_t>(n));
        of.bytes += static_cast<std::uint64_t>(n);
    }
    of.given_up = true;
    return of;
}

outcome hash_path(std::string path, const std::stop_token& stop) {
    outcome of{.path = std::move(path)};
    // What has become a FIFO meanwhile is not waited for.
    const int file = ::open(of.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return of.fail("open", errno);
    of = hash_file(std::move(of), file, stop);
    ::close(file);
    return of;
}

void work(const std::stop_token& stop, path_pool& jobs, outcome_pool& done) {
    while (auto path = jobs.take())
        if (!done.put(hash_path(*std::move(path), stop))) return;
}

class team {
public:
    team(path_pool& jobs, outcome_pool& done) : jobs_(jobs), done_(done) {}
    // Ends also those that wait.
    ~team() {
        stop();
        done_.close();
    }
    team(const team&) = delete;
    team& operator=(const team&) = delete;

    // Throws std::system_error if a thread cannot be started.
    void start() {
        for (int i = 0; i < threads; ++i)
            threads_.emplace_back([this](const std::stop_token& stop) {
                work(stop, jobs_, done_);
                if (--left_ == 0) done_.close();
            });
    }
    void stop() {
        jobs_.close();
        for (std::jthread& t : threads_) t.request_stop();
    }

private:
    path_pool& jobs_;
    outcome_pool& done_;
    std::atomic<int> left_ = threads;
    std::vector<std::jthread> threads_;
};

// ---- the wires

// What an entry of a folder is, also on file systems whose folders do not say. `path` is its own.
wire::result<unsigned> type_of(const io::directory_entry& entry, const std::string& path) {
    if (entry.type != DT_UNKNOWN) return entry.type;
    const auto what = io::statx(path.c_str(), AT_SYMLINK_NOFOLLOW);
    if (!what) return wire::failure{what.code()};
    return IFTODT(what->stx_mode);
}

// Puts the regular files below a folder into `jobs`; into `done` what cannot be looked into.
// Returns false once it is to end.
bool find_below(const std::string& folder, path_pool& jobs, outcome_pool& done) {
    std::vector<std::string> folders{folder};
    while (!folders.empty()) {
        const std::string at = std::move(folders.back());
        folders.pop_back();
        const auto entries = io::list_directory(at.c_str());
        if (!entries) {
            if (!done.put(outcome{.path = at}.fail("opendir", entries.code()))) return false;
            continue;
        }
        for (const io::directory_entry& e : *entries) {
            std::string path = at + (at.back() == '/' ? "" : "/") + e.name;
            const auto type = type_of(e, path);
            if (!type) {
                if (!done.put(outcome{.path = path}.fail("statx", type.code()))) return false;
            } else if (*type == DT_DIR) {
                folders.push_back(std::move(path));
            } else if (*type == DT_REG && !jobs.put(std::move(path))) {
                return false;
            }
        }
    }
    return true;
}

void find_all(path_pool& jobs, outcome_pool& done) {
    for (const std::string& path : paths) {
        const auto what = io::statx(path.c_str());
        const bool folder = what && S_ISDIR(what->stx_mode);
        if (folder ? !find_below(path, jobs, done) : !jobs.put(path)) return;
    }
    jobs.close();
}

int cannot_write() {
    std::fprintf(stderr, "work_pool: write standard output: %s\n",
                 std::generic_category().message(errno).c_str());
    return 1;
}

struct report {
    std::vector<outcome> outcomes;
    std::uint64_t bytes = 0;
    bool interrupted = false;

    void gather(outcome_pool& done) {
        std::array<outcome, 64> row;
        while (const auto n = done.take_some(row))
            for (outcome& o : std::span(row).first(*n)) {
                bytes += o.bytes;
                outcomes.push_back(std::move(o));
            }
    }
    void show_progress() const {
        for (bool more = true; more;) {
            more = wire::sleep(wire::within(100ms)).has_value();
            std::fprintf(stderr, "\r%zu files, %.1f MB", outcomes.size(),
                         static_cast<double>(bytes) / 1e6);
        }
        std::fputc('\n', stderr);
    }
    // Returns the exit code.
    int print();
};

int report::print() {
    std::ranges::sort(outcomes, {}, &outcome::path);
    bool all = !interrupted;
    for (const outcome& o : outcomes) {
        if (!o.failure.empty()) {
            all = false;
            std::fprintf(stderr, "work_pool: %s\n", o.failure.c_str());
        } else if (!o.given_up) {
            std::printf("%016" PRIx64 "  %s\n", o.hash, o.path.c_str());
        }
    }
    if (interrupted) std::fprintf(stderr, "work_pool: interrupted\n");
    if (!std::ferror(stdout) && std::fflush(stdout) == 0) return all ? 0 : 1;
    return cannot_write();
}

int hash_all() {
    io::signals quit{SIGINT, SIGTERM};  // before the threads, which must not get them
    path_pool jobs(256);
    outcome_pool done(256);
    team workers(jobs, done);
    try {
        workers.start();
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "work_pool: start a thread: %s\n", e.what());
        return 1;
    }
    report all;
    wire::with_scope(wire::never, [&](wire::scope& s) {
        s.go({.name = "find"}, [&] { find_all(jobs, done); });
        s.go({.name = "control-c"}, [&] {
            all.interrupted = quit.wait().has_value();
            if (all.interrupted) workers.stop();
        });
        if (::isatty(STDERR_FILENO)) s.go({.name = "progress"}, [&] { all.show_progress(); });
        all.gather(done);
        s.cancel();
    }).value();
    return all.print();
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("work_pool", "Hashes files, those of folders too, on several threads.");
    line.add("path", paths, "Files and folders").required();
    line.add("--threads", threads, "How many threads hash").number(1, 1000);
    line.parse(argc, argv);
    // Else what is opened first would get the number.
    if (::fcntl(STDOUT_FILENO, F_GETFD) < 0) return cannot_write();
    return wire::run(hash_all);
}
