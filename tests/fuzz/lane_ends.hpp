// Both ends of a ring without a system call: the parts that read what others can write, put
// together as wire::shm::ring and wire::shm::producer do it.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>

#include <wire/shm/detail/attach.hpp>
#include <wire/shm/detail/lane.hpp>
#include "shm/sweep.hpp"

namespace wire::test {

template <class Sync>
struct lane_ends {
    using map = shm::detail::basic_ring_map<Sync>;
    static constexpr bool checks_bounds = shm::detail::checks_bounds<Sync>;
    static constexpr std::uint64_t me = 1;

    /// Returns 0 or why not.
    static int attach(std::span<std::byte> memory, map& to) {
        const shm::detail::ring_map seen{memory.data(), {}};
        to.base = memory.data();
        return shm::detail::read_geometry(seen.header(), memory.size(), to.geometry).error;
    }

    class consumer {
    public:
        int open(std::span<std::byte> memory) {
            if (const int error = attach(memory, map_)) return error;
            sweep_.emplace(map_);
            sweep_->rescan();
            return 0;
        }
        int peek(std::span<const std::byte>& bytes) {
            typename sweep::entry* at = nullptr;
            const int error = sweep_->next(bytes, at);
            if (error != EAGAIN) static_cast<void>(at->from.writer());
            if (error == EOWNERDEAD) sweep_->bury(*at);
            return error;
        }
        // All others have died.
        int look_for_the_dead(std::span<const std::byte>& bytes) {
            sweep_->rescan();
            for (auto& e : sweep_->in_use()) {
                e.owner = e.from.shared().owner.load(std::memory_order_relaxed);
                e.dead = e.owner != 0 && e.owner != me;
            }
            return peek(bytes);
        }
        void release() { sweep_->release(); }
        void close() { map_.header().closed.store(1, std::memory_order_relaxed); }

    private:
        using sweep = shm::detail::basic_sweep<Sync>;
        map map_;
        std::optional<sweep> sweep_;
    };

    class producer {
    public:
        ~producer() { detach(); }

        int attach(std::span<std::byte> memory) {
            detach();
            if (const int error = lane_ends::attach(memory, map_)) return error;
            for (number_ = 0; number_ < map_.geometry.lanes; ++number_) {
                if (!lane().take(me)) continue;
                writer_.emplace(lane(), shm::detail::basic_lane_bytes<Sync>(
                                            map_.records(number_), map_.geometry.lane_bytes));
                map_.header().count_attachment();
                lane().begin(me);
                return 0;
            }
            return EUSERS;
        }
        void detach() {
            if (!writer_) return;
            writer_.reset();
            lane().leave();
        }
        [[nodiscard]] bool attached() const { return writer_.has_value(); }
        int claim(std::size_t n, std::span<std::byte>& bytes) { return writer_->claim(n, bytes); }
        void prepare(std::size_t n) { writer_->prepare(n); }
        void publish() { writer_->publish(); }
        void abort() { writer_->abort(); }

    private:
        auto& lane() { return map_.lane(number_); }

        map map_;
        std::optional<shm::detail::basic_lane_writer<Sync>> writer_;
        std::uint32_t number_ = 0;
    };
};

}  // namespace wire::test
