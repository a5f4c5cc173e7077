#include <wire/shm/arena.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "abandon.hpp"
#include "arena_state.hpp"

namespace wire::shm {

using detail::arena_state;
using detail::find;

std::span<std::byte> arena_record::release() noexcept {
    if (of_) std::exchange(of_, nullptr)->let_go();
    return std::exchange(bytes_, {});
}
void arena_record::free() noexcept {
    arena_state& of = *std::exchange(of_, nullptr);
    const std::span<std::byte> bytes = std::exchange(bytes_, {});
    // A forked child has the object, but not the memory.
    if (!of.is_forked()) static_cast<void>(of.free(bytes));
}

arena::arena(std::unique_ptr<arena_state> s) noexcept : state_(s.release()) {}
arena::arena(arena&&) noexcept = default;
arena& arena::operator=(arena&&) noexcept = default;
arena::~arena() = default;

arena arena::create(const std::string& name, const arena_options& options) {
    return arena(std::make_unique<arena_state>(name, find::missing, options));
}
arena arena::open(const std::string& name) {
    return arena(std::make_unique<arena_state>(name, find::existing, arena_options{}));
}
arena arena::open_or_create(const std::string& name, const arena_options& options) {
    return arena(std::make_unique<arena_state>(name, find::either, options));
}
std::string arena::unique_name() {
    std::random_device random;
    const std::uint64_t n = std::uint64_t{random()} << 32 | random();
    return "/wire-" + std::to_string(::getpid()) + "-" + std::to_string(n);
}
result<void> arena::remove(const std::string& name) {
    return to_result(::shm_unlink(name.c_str()) == 0 ? 0 : errno);
}

result<void> arena::add_channel(std::uint32_t id, role as, std::uint64_t type) {
    return state_->add_channel(id, as, type);
}
result<void> arena::leave_channel(std::uint32_t id) {
    return state_->leave_channel(id);
}
result<void> arena::remove_channel(std::uint32_t id) {
    return state_->remove_channel(id);
}
bool arena::has_channel(std::uint32_t id) {
    return state_->has_channel(id);
}
bool arena::has_data(std::uint32_t id) {
    return state_->has_data(id);
}
bool arena::has_producers(std::uint32_t id) {
    return state_->has_producers(id);
}
bool arena::has_active_channels() {
    return state_->has_active_channels();
}
std::vector<std::uint32_t> arena::channels() {
    return state_->channels();
}
result<void> arena::wait_for_channel(std::uint32_t id, deadline until) {
    return state_->wait_for_channel(id, until);
}

result<arena_record> arena::record_of(result<std::span<std::byte>>&& bytes) noexcept {
    if (!bytes) return failure{bytes.code()};
    return arena_record(*state_, *bytes);
}
result<arena_record> arena::allocate(std::size_t n) {
    return record_of(state_->allocate(n));
}
result<arena_record> arena::allocate(std::size_t n, std::uint32_t id) {
    if (!state_->produces(id)) return failure{ENOENT};
    return record_of(state_->allocate(n));
}
result<void> arena::free(arena_record&& record) noexcept {
    if (!holds(record)) return failure{EINVAL};
    record.of_ = nullptr;
    return to_result(state_->free(std::exchange(record.bytes_, {})) ? 0 : EINVAL);
}
result<arena_record> arena::adopt(std::span<std::byte> bytes) noexcept {
    if (!state_->adopt(bytes)) return failure{EINVAL};
    return arena_record(*state_, bytes);
}

result<void> arena::emptied_if(result<void> sent, arena_record& record) noexcept {
    if (sent) {
        record.of_ = nullptr;
        record.bytes_ = {};
    }
    return sent;
}
result<void> arena::send(std::uint32_t id, arena_record& record, deadline until) {
    if (!holds(record)) return failure{EINVAL};
    return emptied_if(state_->send(id, record.bytes_, until), record);
}
result<void> arena::try_send(std::uint32_t id, arena_record& record) {
    if (!holds(record)) return failure{EINVAL};
    return emptied_if(state_->try_send(id, record.bytes_), record);
}
result<arena_record> arena::recv(std::uint32_t id, deadline until) {
    return record_of(state_->recv(id, until));
}
result<arena_record> arena::try_recv(std::uint32_t id) {
    return record_of(state_->try_recv(id));
}

result<std::span<std::byte>> arena::add_segment(std::uint32_t id, std::size_t bytes,
                                                const initialiser& initialise, deadline until) {
    return state_->add_segment(id, bytes, initialise, until);
}
result<std::span<std::byte>> arena::segment(std::uint32_t id) {
    return state_->segment(id);
}

bool arena::ready(std::uint32_t id) noexcept {
    return state_->ready(id);
}
int arena::begin_wait(std::uint32_t id, wire::detail::place& here) noexcept {
    return state_->begin_wait(id, here);
}
bool arena::end_wait(std::uint32_t id) noexcept {
    return state_->end_wait(id);
}

}  // namespace wire::shm
