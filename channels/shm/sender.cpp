#include <wire/shm/sender.hpp>

#include <cstring>
#include <system_error>
#include <utility>

#include "abandon.hpp"
#include "sleep_on.hpp"

namespace wire::shm {
namespace {

template <class F>
producer attached_by(const std::string& what, F attach) {
    producer p;
    if (const producer::refusal no = attach(p))
        throw std::system_error(no.error, std::system_category(), what + ": " + no.why);
    return p;
}

}  // namespace

sender::sender(producer&& p)
    : producer(std::move(p)), sleeper_(std::make_unique<detail::sleeper>()) {}
sender::sender(sender&&) noexcept = default;
sender& sender::operator=(sender&& other) noexcept {
    if (this == &other) return *this;
    // The sleeper rings a word of its ring at its end: it goes before that memory does.
    const sender before(std::move(*this));
    sleeper_ = std::move(other.sleeper_);
    producer::operator=(std::move(other));
    return *this;
}
sender::~sender() {
    if (is_copy()) detail::abandon(sleeper_);
}

sender sender::attach(const std::string& name) {
    return sender(attached_by(name, [&](producer& p) { return p.attach(name.c_str()); }));
}
sender sender::attach_file(const std::string& path) {
    return sender(attached_by(path, [&](producer& p) { return p.attach_file(path.c_str()); }));
}
sender sender::attach_descriptor(int fd) {
    return sender(attached_by("a descriptor", [&](producer& p) { return p.attach_fd(fd); }));
}
sender sender::attach_memory(std::span<std::byte> memory) {
    return sender(attached_by("memory", [&](producer& p) { return p.attach_memory(memory); }));
}

result<std::span<std::byte>> sender::claim(std::size_t n, deadline until) {
    std::span<std::byte> bytes;
    int error = detail::begin_call();
    if (error == 0)
        error = wait_for_room(n, bytes, until, [&](auto& bell, std::uint32_t rung, deadline at) {
            return sleeper_->sleep(bell, rung, at);
        });
    if (error) return failure{error};
    return bytes;
}
result<std::span<std::byte>> sender::try_claim(std::size_t n) {
    std::span<std::byte> bytes;
    if (const int error = producer::try_claim(n, bytes)) return failure{error};
    return bytes;
}

result<void> sender::send(std::span<const std::byte> record, deadline until) {
    const result<std::span<std::byte>> room = claim(record.size(), until);
    if (!room) return failure{room.code()};
    std::memcpy(room->data(), record.data(), record.size());
    commit(record.size());
    return {};
}
result<void> sender::try_send(std::span<const std::byte> record) {
    return to_result(producer::try_send(record));
}
result<std::size_t> sender::send_some(std::span<const std::span<const std::byte>> records,
                                      deadline until) {
    if (records.empty()) return std::size_t{0};
    const result<std::span<std::byte>> room = claim(records.front().size(), until);
    if (!room) return failure{room.code()};
    producer::abort();
    std::size_t done = 0;
    if (const int error = try_send_some(records, done)) return failure{error};
    return done;
}

}  // namespace wire::shm
