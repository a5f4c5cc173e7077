// What the wires of a runtime are doing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include <wire/config.hpp>

namespace wire {

namespace detail {
class scheduler;
}

/// Where a wire is in its life. Of the finished ones those exist that a handle still holds.
enum class wire_state : std::uint8_t { ready, running, waiting, finished };

/// A wire as it was when somebody looked.
struct wire_info {
    std::uint64_t id;
    std::string_view name;  ///< valid until the wire ends
    wire_state state;
    std::string_view waits_for;       ///< what it waits for, such as "join"; empty if it doesn't
    std::chrono::nanoseconds waited;  ///< for how long, within about 20 us; zero if it doesn't
};

/// All wires of a runtime, in no order, without a copy: each is looked at when an iterator comes to
/// it. Wires that start or end meanwhile may be met or not. On the runtime's own thread, while the
/// runtime exists.
class WIRE_API wire_range {
public:
    class WIRE_API iterator {
    public:
        using value_type = wire_info;
        using difference_type = std::ptrdiff_t;

        const wire_info& operator*() const noexcept { return at_; }
        const wire_info* operator->() const noexcept { return &at_; }
        iterator& operator++() noexcept {
            ++index_;
            find();
            return *this;
        }
        void operator++(int) noexcept { ++*this; }
        /// Whether this is the end.
        bool operator==(std::default_sentinel_t) const noexcept { return at_.id == 0; }

    private:
        friend class wire_range;
        iterator(const detail::scheduler& of, std::int64_t now_ns) noexcept
            : scheduler_(&of), now_ns_(now_ns) {
            find();
        }
        void find() noexcept;

        const detail::scheduler* scheduler_;
        std::int64_t now_ns_;
        std::size_t index_ = 0;
        wire_info at_{};
    };

    explicit wire_range(const detail::scheduler& of) noexcept : scheduler_(&of) {}
    [[nodiscard]] iterator begin() const noexcept;
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

private:
    const detail::scheduler* scheduler_;
};

/// The wires of the runtime that the caller belongs to. Call from a wire; elsewhere use
/// runtime::wires().
[[nodiscard]] WIRE_API wire_range wires() noexcept;

/// Prints them to a descriptor, as runtime::dump() does. Call from a wire.
WIRE_API void dump(int fd) noexcept;

}  // namespace wire
