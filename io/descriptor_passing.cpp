// Descriptors that travel with the bytes of a Unix stream; see unix(7), SCM_RIGHTS.

#include <array>
#include <cstring>

#include <wire/stream.hpp>
#include "operation.hpp"
#include "syscalls.hpp"

namespace wire::io {
namespace {

using detail::operation;

constexpr std::size_t descriptors_max = 253;  // SCM_MAX_FD

// Memory for the control message of so many descriptors.
struct control_memory {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * descriptors_max)> bytes;
};

mmsghdr describe(iovec& part, control_memory& control, std::size_t descriptors) noexcept {
    mmsghdr m{};
    m.msg_hdr.msg_iov = &part;
    m.msg_hdr.msg_iovlen = 1;
    if (descriptors == 0) return m;
    m.msg_hdr.msg_control = control.bytes.data();
    // Exactly: with the padding of CMSG_SPACE the system would find room for one more.
    m.msg_hdr.msg_controllen = CMSG_LEN(sizeof(int) * descriptors);
    return m;
}

// Owns what came, so that nothing leaks. Returns how many; more than `into` holds cannot come.
std::size_t take(msghdr& m, std::span<owned_descriptor> into) noexcept {
    std::size_t count = 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < n; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            into[count++] = owned_descriptor(fd);
        }
    }
    return count;
}

}  // namespace

result<std::size_t> stream::send_descriptors(std::span<const int> descriptors,
                                             std::span<const std::byte> data,
                                             deadline until) noexcept {
    WIRE_ASSERT(!data.empty(), "descriptors travel with bytes: send_descriptors() needs one");
    if (descriptors.size() > descriptors_max) return failure{EINVAL};
    iovec part{const_cast<std::byte*>(data.data()), data.size()};
    control_memory control{};
    mmsghdr m = describe(part, control, descriptors.size());
    if (cmsghdr* const c = CMSG_FIRSTHDR(&m.msg_hdr)) {
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = m.msg_hdr.msg_controllen;
        std::memcpy(CMSG_DATA(c), descriptors.data(), descriptors.size_bytes());
    }
    const std::ptrdiff_t n = fd_.perform(operation::send(std::span(&m, 1)), until);
    if (n < 0) return detail::failed(n);
    return std::size_t{m.msg_len};
}

result<received_descriptors> stream::receive_descriptors(std::span<owned_descriptor> descriptors,
                                                         std::span<std::byte> buffer,
                                                         deadline until) noexcept {
    WIRE_ASSERT(!buffer.empty(), "descriptors come with bytes: receive_descriptors() needs room");
    iovec part{buffer.data(), buffer.size()};
    control_memory control;
    const auto room = descriptors.first(std::min(descriptors.size(), descriptors_max));
    mmsghdr m = describe(part, control, room.size());
    const std::ptrdiff_t n = fd_.perform(operation::receive(std::span(&m, 1)), until);
    if (n < 0) return detail::failed(n);
    const std::size_t count = take(m.msg_hdr, room);
    if (m.msg_hdr.msg_flags & MSG_CTRUNC) {
        for (owned_descriptor& d : room.first(count)) d.close();
        return failure{count < room.size() ? EMFILE : EMSGSIZE};
    }
    return received_descriptors{m.msg_len, count};
}

}  // namespace wire::io
