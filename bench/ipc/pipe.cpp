// Peer: a pipe, of the size that everybody may have. Only writes of up to PIPE_BUF bytes are not
// mixed with those of other writers.
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "descriptor_link.hpp"
#include "run_link.hpp"

namespace {

class pipe_link : public bench::descriptor_link {
public:
    static bool can(const bench::record_shape& s) {
        return s.producers == 1 || s.bytes <= PIPE_BUF;
    }

    pipe_link(const bench::record_shape& s, int) : descriptor_link(s) {
        bench::checked(::pipe2(fds_, O_CLOEXEC), "pipe2");
        bench::checked(::fcntl(fds_[1], F_SETPIPE_SZ, 1 << 20), "F_SETPIPE_SZ");
    }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<pipe_link>(argc, argv);
}
