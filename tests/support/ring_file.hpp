// A ring in a file that a test damages, and processes around it.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <system_error>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include "temporary_directory.hpp"

namespace wire::test {

/// A file, which is gone at the end of the block.
class ring_file {
public:
    /// What is documented: docs/shm-format.md.
    enum field : off_t {
        magic = 0,
        version = 8,
        lanes = 12,
        lane_bytes = 16,
        total_bytes = 24,
        pid_namespace = 32,
        time_namespace = 40,
        consumer = 128,
        first_lane = 4096,
    };

    /// With a ring that nobody consumes.
    explicit ring_file(const shm::ring_options& sizes) {
        shm::ring_options kept = sizes;
        kept.remove = false;
        shm::ring::create_file(path(), kept);
    }
    ring_file() = default;

    [[nodiscard]] std::string path() const { return folder_ / "ring"; }
    [[nodiscard]] std::string beside(const char* name) const { return folder_ / name; }
    [[nodiscard]] std::string content() const {
        std::ifstream file(path(), std::ios::binary | std::ios::ate);
        std::string all(static_cast<std::size_t>(std::max<std::streamoff>(file.tellg(), 0)), '\0');
        file.seekg(0).read(all.data(), static_cast<std::streamsize>(all.size()));
        return all;
    }
    template <class T>
    void put(off_t at, T value) const {
        const int fd = ::open(path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(::pwrite(fd, &value, sizeof value, at) == static_cast<ssize_t>(sizeof value));
        ::close(fd);
    }
    void set_size(std::size_t n) const {
        CHECK(::truncate(path().c_str(), static_cast<off_t>(n)) == 0);
    }

private:
    temporary_directory folder_;
};

/// The errno with which a producer is refused; 0: it is not.
inline int refusal_of_producer(const std::string& path) {
    shm::producer p;
    const auto no = p.attach_file(path.c_str());
    CHECK(p.attached() == (no.error == 0));
    CHECK((no.error == 0 || std::string(no.why).size() > 10));
    return no.error;
}
/// What `make` throws; 0: nothing.
template <class F>
int error_of(F make) {
    try {
        make();
        return 0;
    } catch (const std::system_error& e) {
        CHECK(std::string(e.what()).size() > 20);
        return e.code().value();
    }
}
inline int refusal_of_consumer(const std::string& path) {
    try {
        shm::ring::open_file(path);
        return 0;
    } catch (const std::system_error& e) {
        CHECK(std::string(e.what()).starts_with(path + ": "));
        return e.code().value();
    }
}
/// Both are refused, in the same way and without any change.
inline int refusal_of(const ring_file& file) {
    const std::string before = file.content();
    const int error = refusal_of_producer(file.path());
    CHECK(refusal_of_consumer(file.path()) == error);
    CHECK((error == 0 || file.content() == before));
    return error;
}

/// Runs `fn` in a child, and returns what it returns, or minus the signal that it died of.
template <class F>
int in_child(F fn) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(fn());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
/// What a child returns that may not do what the test is about.
inline constexpr int not_permitted = 77;
inline bool skipped(int code, const char* why) {
    if (code == not_permitted) MESSAGE("skipped: " << why);
    return code == not_permitted;
}

}  // namespace wire::test
