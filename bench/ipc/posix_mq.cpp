// Peer: POSIX message queues, as long as the system allows everybody (fs.mqueue.msg_max, mostly 10;
// records of up to fs.mqueue.msgsize_max, mostly 8 KiB).
#include <fcntl.h>
#include <mqueue.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <vector>

#include "run_link.hpp"

namespace {

long most(const char* what) {
    long value = 0;
    std::ifstream(std::string("/proc/sys/fs/mqueue/") + what) >> value;
    return value;
}

class end {
public:
    end(mqd_t queue, std::size_t bytes) : queue_(queue), record_(bytes) {
        bench::checked(queue, "mq_open");
    }
    end(const end&) = delete;
    end& operator=(const end&) = delete;
    ~end() { ::mq_close(queue_); }

    void put(std::size_t n, auto fill) {
        fill(record_.data());
        bench::checked(::mq_send(queue_, record_.data(), n, 0), "mq_send");
    }
    void take(auto use) {
        while (::mq_receive(queue_, record_.data(), record_.size(), nullptr) == -1)
            bench::checked(errno == EINTR ? 0 : -1, "mq_receive");
        use(record_.data());
    }

private:
    mqd_t queue_;
    std::vector<char> record_;
};

class posix_mq {
public:
    static bool can(const bench::record_shape& s) {
        return s.bytes <= static_cast<std::size_t>(most("msgsize_max"));
    }

    posix_mq(const bench::record_shape& s, int nth)
        : bytes_(s.bytes), name_("/" + bench::unique_name(nth)) {
        mq_attr sizes{};
        sizes.mq_maxmsg = std::min(most("msg_max"), static_cast<long>(s.room()));
        sizes.mq_msgsize = static_cast<long>(bytes_);
        bench::checked(made_ = ::mq_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &sizes),
                       "mq_open");
    }
    posix_mq(const posix_mq&) = delete;
    posix_mq& operator=(const posix_mq&) = delete;
    ~posix_mq() {
        ::mq_close(made_);
        ::mq_unlink(name_.c_str());
    }

    auto sender() { return end(::mq_open(name_.c_str(), O_WRONLY), bytes_); }
    auto receiver() { return end(::mq_open(name_.c_str(), O_RDONLY), bytes_); }

private:
    std::size_t bytes_;
    std::string name_;
    mqd_t made_ = -1;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<posix_mq>(argc, argv);
}
