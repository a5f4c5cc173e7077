// Copies a file: four wires read and write at once, and none of them blocks the thread.
//
//     ./file_copy --progress big.iso /mnt/stick/big.iso
//
// The copy gets the target's name when it is complete and on the disk. Until then it has a name of
// its own in the same folder, which is removed if anything fails, or at SIGINT and SIGTERM; what
// was at the target stays as it was. A target that is no regular file (/dev/null) is written to as
// it is. The first failure is told with its call and file, and the exit code is 1 then.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <wire/wire.hpp>

#include "command_line.hpp"

namespace {

using namespace std::chrono_literals;
namespace io = wire::io;

constexpr std::size_t part_size = 256 * 1024;
constexpr int parts_at_once = 4;

std::string source, target;
bool show_progress = false;

// Says what has failed, if it is the first; what is cancelled has not failed by itself.
bool failed(const char* call, const std::string& path, const std::error_code& error) {
    static bool told = false;
    if (error && error.value() != ECANCELED && !std::exchange(told, true))
        std::fprintf(stderr, "file_copy: %s %s: %s\n", call, path.c_str(), error.message().c_str());
    return static_cast<bool>(error);
}

struct copy {
    io::file from, to;
    std::string to_path;     // what it is called meanwhile
    std::uint64_t next = 0;  // where the next part begins
    std::uint64_t done = 0;
    bool ended = false;  // the end of the source was seen

    wire::result<void> move_parts() {
        std::vector<std::byte> buffer(part_size);
        while (!ended) {
            const std::uint64_t at = std::exchange(next, next + part_size);
            const auto got = from.pread_exactly(buffer, at);
            ended = ended || got.code == ENODATA;
            if (!got && got.code != ENODATA) {
                failed("read", source, got.error());
                return wire::failure{got.code};
            }
            const auto put = to.pwrite_all(std::span(buffer).first(got.done), at);
            done += put.done;
            if (failed("write", to_path, put.error())) return wire::failure{put.code};
        }
        return {};
    }
};

void print_progress(const copy& c, std::uint64_t size) {
    for (bool more = true; more;) {
        more = wire::sleep(wire::within(100ms)).has_value();
        std::fprintf(stderr, "\r%llu of %llu bytes", static_cast<unsigned long long>(c.done),
                     static_cast<unsigned long long>(size));
    }
    std::fputc('\n', stderr);
}

// Copies until all is there, something fails, or a signal comes. Returns whether all is there.
bool move_all(copy& c, std::uint64_t size) {
    io::signals quit{SIGINT, SIGTERM};
    bool complete = false;
    const auto outcome = wire::with_scope(wire::never, [&](wire::scope& around) {
        around.go([&] {
            if (quit.wait()) around.cancel();
        });
        if (show_progress) around.go([&] { print_progress(c, size); });
        const auto copied = wire::with_scope(wire::never, [&](wire::scope& parts) {
            for (int i = 0; i < parts_at_once; ++i) parts.go([&] { return c.move_parts(); });
        });
        complete = copied.has_value();
        around.cancel();
    });
    return complete && outcome.has_value();
}

// The copy is complete: gives it the target's name.
bool finish(copy& c, unsigned mode) {
    const auto changed = io::call(::fchmod, c.to.native_handle(), mode);
    return !failed("fchmod", c.to_path, changed.error()) &&
           !failed("fsync", c.to_path, c.to.fsync().error()) &&
           !failed("close", c.to_path, c.to.close().error()) &&
           !failed("rename", target, io::rename(c.to_path.c_str(), target.c_str()).error());
}

bool copy_to_new_file(copy& c, const struct statx& what) {
    const std::string folder = std::filesystem::path(target).parent_path();
    auto made = io::make_named_temporary_file(folder.empty() ? "." : folder.c_str());
    if (failed("create a file in the folder of", target, made.error())) return false;
    std::tie(c.to, c.to_path) = *std::move(made);
    const bool ok = move_all(c, what.stx_size) && finish(c, what.stx_mode & 07777);
    if (!ok) failed("unlink", c.to_path, io::unlink(c.to_path.c_str()).error());
    return ok;
}

bool copy_to_device(copy& c, const struct statx& what) {
    auto opened = io::open(target.c_str(), O_WRONLY);
    if (failed("open", target, opened.error())) return false;
    c.to = *std::move(opened);
    c.to_path = target;
    return move_all(c, what.stx_size) && !failed("close", target, c.to.close().error());
}

int copy_file() {
    copy c;
    auto opened = io::open(source.c_str(), O_RDONLY);
    if (failed("open", source, opened.error())) return 1;
    c.from = *std::move(opened);
    const auto what = c.from.statx();
    if (failed("statx", source, what.error())) return 1;
    const auto there = io::statx(target.c_str());
    const bool regular = !there || S_ISREG(there->stx_mode);
    if (!(regular ? copy_to_new_file(c, *what) : copy_to_device(c, *what))) return 1;
    std::printf("copied %llu bytes\n", static_cast<unsigned long long>(c.done));
    return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("file_copy", "Copies a file.");
    line.add("source", source).required();
    line.add("target", target, "Replaced if it exists").required();
    line.add("--progress", show_progress, "Say on standard error how far it has come");
    line.parse(argc, argv);
    return wire::run(copy_file);
}
