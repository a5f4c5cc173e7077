// What select() chooses from, but for the handlers: see select.hpp, which makes these.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <wire/channel.hpp>
#include <wire/event.hpp>
#include <wire/process.hpp>
#include <wire/semaphore.hpp>
#include <wire/signals.hpp>
#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

namespace wire {
namespace detail {
class selection;
}

/// One of the things that select() chooses from, and what to do then: what on_recv() and the like
/// return. It may be kept and used again, once in one select at a time (asserted when that has to
/// wait), and may be moved and destroyed while none uses it (asserted). What it was made of must
/// outlive it.
class WIRE_API branch : protected detail::wake_target {
public:
    virtual ~branch() { WIRE_ASSERT(!in_, "a branch is destroyed while a select uses it"); }
    branch& operator=(branch&&) = delete;

protected:
    branch() noexcept = default;
    branch(branch&& other) noexcept {
        WIRE_ASSERT(!other.in_, "a branch is moved while a select uses it");
    }

private:
    friend class detail::selection;

    // A select asks all whether they are ready, and one of those to commit. If none is, it arms
    // all, sleeps and disarms all. In the end the handler of one is called.

    /// Whether commit() is worth trying.
    virtual bool ready(detail::selection& in) noexcept = 0;
    /// Makes it happen, without waiting. Returns false if it cannot.
    virtual bool commit() noexcept { return true; }
    /// Takes its place in the queue of what it waits for. Returns false if there is nothing to wait
    /// for: it has happened, or cannot.
    virtual bool arm(detail::selection& in) noexcept = 0;
    virtual void disarm() noexcept {}
    /// The place was woken. Returns whether it has thereby happened; false: only perhaps.
    virtual bool settle() noexcept { return true; }
    virtual void handle() = 0;

    bool deliver(detail::waiter& place) noexcept final;
    [[nodiscard]] bool undecided() const noexcept final;

protected:
    /// While it is disarmed: whether it is the one whose place was woken.
    [[nodiscard]] bool chosen() const noexcept;

private:
    detail::selection* in_ = nullptr;  // while it is armed
};

namespace detail {

/// One whose place is in the queue of a channel; `at` is the value or the room for it.
class WIRE_API channel_branch : public branch {
protected:
    explicit channel_branch(void* at) noexcept : here_(*this, at) {}
    channel_branch(channel_branch&& other, void* at) noexcept
        : branch(std::move(other)), here_(*this, at) {}

    void queue_in(list<channel_waiter>& queue, selection& in) noexcept {
        here_.done = false;
        here_.owner = &in;
        queue.push_back(here_);
    }
    int error_ = 0;

private:
    void disarm() noexcept final { here_.leave(); }
    bool settle() noexcept final {
        error_ = here_.done ? 0 : EPIPE;
        return true;
    }
    channel_waiter here_;
};

template <class T>
class recv_branch : public channel_branch {
protected:
    explicit recv_branch(channel<T>& from) noexcept : channel_branch(&value_), from_(from) {}
    recv_branch(recv_branch&& other) noexcept
        : channel_branch(std::move(other), &value_), from_(other.from_) {}

    template <class F>
    void call(F& f) {
        f(error_ ? result<T>(failure{error_}) : result<T>(value_.take()));
    }

private:
    bool ready(selection&) noexcept final {
        return from_.count_ > from_.promised_ || from_.why_none() == EPIPE ||
               (!from_.senders_.empty() && from_.has_value());
    }
    bool commit() noexcept final {
        result<T> got = from_.try_recv();
        error_ = got.code();
        if (got) std::construct_at(&value_.value, *std::move(got));
        return error_ != EAGAIN;
    }
    bool arm(selection& in) noexcept final {
        queue_in(from_.receivers_, in);
        return true;
    }

    channel<T>& from_;
    room<T> value_;
};

template <class T>
class send_branch : public channel_branch {
protected:
    send_branch(channel<T>& to, T& value) noexcept
        : channel_branch(&value), to_(to), value_(value) {}
    send_branch(send_branch&& other) noexcept
        : channel_branch(std::move(other), &other.value_), to_(other.to_), value_(other.value_) {}

    template <class F>
    void call(F& f) {
        f(to_result(error_));
    }

private:
    bool ready(selection&) noexcept final { return to_.has_taker(); }
    bool commit() noexcept final {
        error_ = to_.offer(value_, false);
        return error_ != EAGAIN;
    }
    bool arm(selection& in) noexcept final {
        queue_in(to_.senders_, in);
        if (!to_.receivers_.empty()) to_.promise_one();
        return true;
    }

    channel<T>& to_;
    T& value_;
};

/// One whose place is a plain waiter, and whose handler takes nothing.
class WIRE_API plain_branch : public branch {
protected:
    plain_branch() noexcept = default;
    plain_branch(plain_branch&& other) noexcept : branch(std::move(other)) {}

    template <class F>
    void call(F& f) {
        f();
    }
    void disarm() noexcept final { here_.leave(); }
    waiter here_{*this};
};

class WIRE_API event_branch : public plain_branch {
protected:
    explicit event_branch(event& e) noexcept : event_(e) {}

private:
    bool ready(selection&) noexcept final { return event_.is_set(); }
    bool arm(selection&) noexcept final;
    event& event_;
};

class WIRE_API acquire_branch : public plain_branch {
protected:
    explicit acquire_branch(semaphore& s) noexcept : semaphore_(s) {}

private:
    bool ready(selection&) noexcept final { return semaphore_.available() > 0; }
    bool commit() noexcept final { return semaphore_.try_acquire(); }
    bool arm(selection&) noexcept final;
    semaphore& semaphore_;
};

class WIRE_API join_branch : public plain_branch {
protected:
    explicit join_branch(const wire_ref& wire) noexcept : wire_(wire) {}

private:
    bool ready(selection&) noexcept final;
    bool arm(selection&) noexcept final;
    wire_ref wire_;
};

class WIRE_API deadline_branch : public plain_branch {
protected:
    explicit deadline_branch(deadline until) noexcept : until_(until) {}

private:
    bool ready(selection&) noexcept final;
    bool arm(selection& in) noexcept final;
    deadline until_;
};

class WIRE_API otherwise_branch : public plain_branch {
private:
    bool ready(selection& in) noexcept final;
    bool arm(selection&) noexcept final { return false; }
};

/// A direction of a descriptor. The handler may want to know whether it can be waited for at all.
class WIRE_API fd_branch : public branch {
protected:
    fd_branch(int fd, bool for_writing) noexcept : fd_(fd), for_writing_(for_writing) {}
    fd_branch(fd_branch&& other) noexcept
        : branch(std::move(other)), fd_(other.fd_), for_writing_(other.for_writing_) {}

    template <class F>
    void call(F& f) {
        if constexpr (std::is_invocable_v<F&, result<void>>)
            f(to_result(error_));
        else
            f();
    }
    [[nodiscard]] int error() const noexcept { return error_; }
    bool settle() noexcept override;

private:
    bool ready(selection&) noexcept final;
    bool arm(selection&) noexcept final;
    void disarm() noexcept final;

    int fd_;
    bool for_writing_;
    int error_ = 0;
    io::detail::backend* home_ = nullptr;
    io::detail::fd_waiter here_{*this};
};

class WIRE_API signal_branch : public fd_branch {
protected:
    explicit signal_branch(io::signals& set) noexcept;

    template <class F>
    void call(F& f) {
        f(got_);
    }

private:
    bool commit() noexcept final;
    bool settle() noexcept final;
    io::signals& set_;
    result<int> got_ = failure{EAGAIN};
};

class WIRE_API exit_branch : public fd_branch {
protected:
    explicit exit_branch(io::process& child) noexcept
        : fd_branch(child.native_handle(), false), child_(child) {}

    template <class F>
    void call(F& f) {
        const auto reap = [this] {
            const shield it_has_ended;
            return child_.wait();
        };
        f(reap());
    }

private:
    io::process& child_;
};

/// A branch of the kind `Kind`, whose handler is F.
template <class Kind, class F>
class branch_to final : public Kind {
public:
    template <class... A>
    explicit branch_to(F f, A&&... a) : Kind(std::forward<A>(a)...), f_(std::move(f)) {}

private:
    void handle() override { this->call(f_); }
    [[no_unique_address]] F f_;
};

struct nothing {
    void operator()() const noexcept {}
};

}  // namespace detail
}  // namespace wire
