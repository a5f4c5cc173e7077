// A runtime as other threads see it.
#pragma once

#include <memory>
#include <utility>

#include <wire/spawn.hpp>
#include <wire/this_wire.hpp>

namespace wire {

namespace detail {

struct shared_state;

/// A callable on its way to another thread: the one allocation of a foreign spawn.
struct parcel {
    virtual ~parcel() = default;
    virtual void run() = 0;  // on the new wire
};

WIRE_API bool send_parcel(shared_state& to, std::unique_ptr<parcel> p);

}  // namespace detail

/// A counted reference to a runtime, for other threads. Copyable; every member may be called from
/// any thread. While one exists, wires that wait are no deadlock: they may be resumed through it.
/// It does not keep the runtime alive: once that is gone, the calls return false.
class WIRE_API remote {
public:
    remote() noexcept = default;
    remote(const remote& other) noexcept;
    remote(remote&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    remote& operator=(remote other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~remote();

    /// Starts a wire that runs `fn(args...)` there. Returns false, and runs nothing, if the runtime
    /// is gone. Allocates one node for the callable.
    template <class F, class... Args>
    bool go(F&& fn, Args&&... args) const {
        auto bound = detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...);
        struct call final : detail::parcel {
            explicit call(decltype(bound) b) : fn(std::move(b)) {}
            void run() override { static_cast<void>(fn()); }
            decltype(bound) fn;
        };
        return detail::send_parcel(checked(), std::make_unique<call>(std::move(bound)));
    }

    /// As wire::resume(), later and on the wire's own thread; what the caller wrote before is
    /// visible to the wire. Returns false if the runtime is gone. Allocates nothing.
    bool resume(const wire_ref& wire) const noexcept;

    /// As runtime::stop(). Returns false if the runtime is gone.
    bool stop() const noexcept;

    explicit operator bool() const noexcept { return state_ != nullptr; }

private:
    friend class runtime;
    explicit remote(detail::shared_state& state) noexcept;
    [[nodiscard]] detail::shared_state& checked() const noexcept {
        WIRE_ASSERT(state_, "this remote refers to no runtime: get one from runtime::remote()");
        return *state_;
    }
    detail::shared_state* state_ = nullptr;
};

}  // namespace wire
