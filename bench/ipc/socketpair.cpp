// Peer: a pair of Unix sockets that keep the records' bounds; for records that are too long for the
// buffers that everybody may have, a pair that doesn't.
#include <sys/socket.h>

#include "descriptor_link.hpp"
#include "run_link.hpp"

namespace {

class socket_pair : public bench::descriptor_link {
public:
    static bool can(const bench::record_shape& s) { return s.producers == 1 || !is_long(s); }

    socket_pair(const bench::record_shape& s, int) : descriptor_link(s) {
        bench::checked(::socketpair(AF_UNIX, is_long(s) ? SOCK_STREAM : SOCK_SEQPACKET, 0, fds_),
                       "socketpair");
    }

private:
    static bool is_long(const bench::record_shape& s) { return s.bytes > 64 << 10; }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<socket_pair>(argc, argv);
}
