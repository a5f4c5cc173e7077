// The producer's end of a ring for wires and threads of this library.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include <wire/config.hpp>
#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/shm/producer.hpp>

namespace wire::shm {

namespace detail {
class sleeper;
}

/// A producer whose waits let the other wires of the thread run, and whose errors are results. For
/// one wire or thread at a time.
///
/// Fails as producer does; in a wire also with ECANCELED.
class WIRE_API sender : private producer {
public:
    /// Throw std::system_error for what producer::attach() returns. `fd` is taken over, also if
    /// that fails.
    static sender attach(const std::string& name);
    static sender attach_file(const std::string& path);
    static sender attach_descriptor(int fd);
    static sender attach_memory(std::span<std::byte> memory);

    sender(sender&&) noexcept;
    sender& operator=(sender&&) noexcept;
    /// Detaches. What was committed stays.
    ~sender();

    using producer::longest;

    /// Room for a record of `n` bytes, to be filled and committed; waits while the lane is full.
    /// Another claim replaces it.
    result<std::span<std::byte>> claim(std::size_t n, deadline until = never);
    result<std::span<std::byte>> try_claim(std::size_t n);
    using producer::abort;
    using producer::commit;
    using producer::prepare;
    using producer::publish;

    /// Commits a copy.
    result<void> send(std::span<const std::byte> record, deadline until = never);
    result<void> try_send(std::span<const std::byte> record);
    /// Waits until there is room for the first, then commits copies of as many as there is room
    /// for, all at once. Returns how many.
    result<std::size_t> send_some(std::span<const std::span<const std::byte>> records,
                                  deadline until = never);

private:
    explicit sender(producer&& p);
    std::unique_ptr<detail::sleeper> sleeper_;
};

}  // namespace wire::shm
