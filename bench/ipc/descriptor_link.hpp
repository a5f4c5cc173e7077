// Records of one size that are written to a descriptor and read from another.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "link.hpp"
#include "shared.hpp"

namespace bench {

class descriptor_end {
public:
    descriptor_end(int fd, std::size_t bytes) : fd_(fd), record_(bytes) {}

    void put(std::size_t n, auto fill) {
        fill(record_.data());
        for (std::size_t done = 0; done < n;)
            done += transferred(::write(fd_, record_.data() + done, n - done), "write");
    }
    void take(auto use) {
        for (std::size_t done = 0; done < record_.size();)
            done += transferred(::read(fd_, record_.data() + done, record_.size() - done), "read");
        use(record_.data());
    }

private:
    static std::size_t transferred(ssize_t n, const char* call) {
        return n == -1 && errno == EINTR ? 0 : static_cast<std::size_t>(checked(n, call));
    }

    int fd_;
    std::vector<std::byte> record_;
};

/// The two ends are there before the fork.
class descriptor_link {
public:
    descriptor_link(const descriptor_link&) = delete;
    descriptor_link& operator=(const descriptor_link&) = delete;
    ~descriptor_link() {
        ::close(fds_[0]);
        ::close(fds_[1]);
    }

    auto receiver() { return descriptor_end(fds_[0], bytes_); }
    auto sender() { return descriptor_end(fds_[1], bytes_); }

protected:
    explicit descriptor_link(const record_shape& s) : bytes_(s.bytes) {}

    int fds_[2] = {-1, -1};

private:
    std::size_t bytes_;
};

}  // namespace bench
