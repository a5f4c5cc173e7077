// The shared memory of an arena, for a test to look at, and to spoil.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io.hpp"
#include "shm/arena_blocks.hpp"
#include "shm/arena_segment.hpp"

namespace wire::test {

/// The shared memory of an arena, for the test to look at.
class arena_memory : wire::detail::immovable {
public:
    explicit arena_memory(const std::string& name) {
        const int fd = ::shm_open(name.c_str(), O_RDWR, 0);
        struct stat s {};
        ::fstat(fd, &s);
        if (memory_.map(fd, static_cast<std::size_t>(s.st_size))) std::abort();
        map_.base = memory_.bytes().data();
        map_.geometry = {map_.header().pages, map_.header().channels};
    }
    [[nodiscard]] const shm::detail::arena_map& map() const { return map_; }
    [[nodiscard]] shm::detail::arena_map::channel_type& channel(std::uint32_t id) const {
        std::uint32_t n = 0;
        while (n + 1 < map_.geometry.channels && map_.channel(n).id != id + 1) ++n;
        return map_.channel(n);
    }
    [[nodiscard]] std::uint64_t sent(std::uint32_t id) const { return channel(id).producer.at; }
    [[nodiscard]] std::uint64_t received(std::uint32_t id) const { return channel(id).consumer.at; }
    [[nodiscard]] int users() const {
        int n = 0;
        for (std::uint32_t u = 1; u <= shm::detail::users_max; ++u) n += map_.user(u) != 0;
        return n;
    }
    [[nodiscard]] std::span<std::byte> bytes() const { return memory_.bytes(); }
    /// Where in the heap these bytes are.
    [[nodiscard]] std::optional<std::uint64_t> find(std::span<const std::byte> what) const {
        for (std::uint64_t at = 0; at + what.size() <= map_.heap_bytes(); at += 16)
            if (std::memcmp(map_.heap() + at, what.data(), what.size()) == 0) return at;
        return std::nullopt;
    }
    /// Whether anything was stored since the last call.
    bool has_changed() {
        const std::span<const std::byte> now = memory_.bytes();
        const bool same = before_.size() == now.size() &&
                          std::memcmp(before_.data(), now.data(), now.size()) == 0;
        if (!same) before_.assign(now.begin(), now.end());
        return !same;
    }
    [[nodiscard]] bool is_locked() const { return map_.header().lock != 0; }
    /// Returns when the consumer sleeps, or is about to.
    [[nodiscard]] bool wait_asleep(std::uint32_t id) const {
        const auto& state =
            reinterpret_cast<const std::atomic<std::uint32_t>&>(channel(id).consumer.bell);
        const deadline until = soon();
        while ((state.load() & 1) == 0) {
            if (shm::detail::system_sync::now_ns() > until.ns()) return false;
            std::this_thread::yield();
        }
        return true;
    }

private:
    shm::detail::mapping memory_;
    shm::detail::arena_map map_;
    std::vector<std::byte> before_;
};

}  // namespace wire::test
