// Values from wire to wire. (Hoare's channels, as in Go; libwire's wire_channel, by its idea.)
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include <wire/detail/park.hpp>
#include <wire/detail/recv_iterator.hpp>
#include <wire/result.hpp>
#include <wire/wait.hpp>

namespace wire {
namespace detail {

template <class T>
class recv_branch;
template <class T>
class send_branch;

/// The place of a sender or a receiver in the queue of a channel.
struct channel_waiter : waiter {
    channel_waiter(fiber& self, void* at) noexcept : waiter(self), value(at), owner(&self) {}
    channel_waiter(wake_target& t, void* at) noexcept : waiter(t), value(at), owner(&t) {}

    void* const value;  // the sender's, or room for one; nullptr: a recv_wait, to be promised one
    const void* owner;  // the same for the places of one select: it receives nothing of itself
    bool done = false;  // it has gone over, or is promised
};

/// Room for a value that comes later.
template <class T>
union room {
    room() noexcept {}
    ~room() {}
    /// Makes the value, which must be there, the caller's.
    T take() noexcept {
        T v(std::move(value));
        std::destroy_at(&value);
        return v;
    }
    T value;
};

/// What channels of all types have in common.
///
/// A value that is promised to a recv_wait stays in the channel until that takes it: the first
/// `promised_` values are not for others.
///
/// Invariants, of those whose park is not over
///   1. A receiver waits only while no value is there that is not promised.
///   2. A sender waits only while the buffer is full.
///   3. After close() no sender waits, and a receiver only while a promised value is there.
class WIRE_API channel_base : immovable {
public:
    /// From now on send() fails with EPIPE; so does recv() when what is in the buffer has been
    /// taken. Wires that wait are woken; the senders among them keep their values. Again has no
    /// effect. Never suspends. On the runtime's own thread.
    void close() noexcept;
    [[nodiscard]] bool closed() const noexcept { return closed_; }
    /// The values in the buffer; those of senders that wait do not count.
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    /// The most that the buffer holds; 0 for a rendezvous.
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

protected:
    explicit channel_base(std::size_t capacity) noexcept : capacity_(capacity) {}
    ~channel_base();

    /// Wakes the receiver that has waited longest, for a value. `promises` says whether it may be
    /// one that is promised it.
    channel_waiter* next_receiver(bool promises) noexcept {
        if (receivers_.empty()) return nullptr;
        channel_waiter& first = receivers_.front();
        if (!first.value) [[unlikely]]
            return search_receiver(promises);
        first.unlink();
        first.done = wake(first);
        return first.done ? &first : search_receiver(promises);
    }
    /// A value of a sender that waits is promised to whoever waits for promises.
    void promise_one() noexcept;
    /// Whether there is a value that recv() may take.
    [[nodiscard]] bool has_value() const noexcept { return has_value_for(nullptr); }
    /// Wakes the sender whose value is the first that is not promised; the buffer has none such.
    channel_waiter* next_sender_of_rest() noexcept;
    /// Wakes the receiver that has waited longest of those for which there is such a value.
    channel_waiter* next_receiver_of_rest() noexcept;
    /// Whether a send() would not wait.
    [[nodiscard]] bool has_taker() const noexcept;
    /// What a receive fails with for which there is no value.
    [[nodiscard]] int why_none() const noexcept { return closed_ && count_ == 0 ? EPIPE : EAGAIN; }

    list<channel_waiter> receivers_;
    list<channel_waiter> senders_;
    std::size_t head_ = 0;  // of the buffer
    std::size_t count_ = 0;
    std::size_t capacity_;
    std::size_t promised_ = 0;
    bool closed_ = false;

private:
    channel_waiter* search_receiver(bool promises) noexcept;
    [[nodiscard]] channel_waiter* sender_of_rest(const void* owner) const noexcept;
    [[nodiscard]] bool has_value_for(const void* owner) const noexcept;
};

}  // namespace detail

/// Carries values between wires of one runtime: as a rendezvous, where send() returns when a
/// receiver has the value, or through a buffer.
///
/// Senders and receivers are served in the order in which they came. A value goes straight to the
/// wire that has waited longest: nobody who comes later gets it instead. What is woken runs later,
/// in its turn: a send() to a receiver that waits does not suspend.
///
/// T is moved, never copied but by send(const T&), and its move constructor must not throw; nor may
/// that, or its destructor, use the channel. Send pointers for references, and pointers to channels
/// for answers. Nothing allocates but the constructor with a capacity.
///
/// Not for several threads. For one runtime's wires only; on its own thread.
template <class T>
class channel : public detail::channel_base {
    static_assert(std::is_object_v<T>, "a channel carries objects: send pointers for references");
    static_assert(std::is_nothrow_move_constructible_v<T>,
                  "T's move constructor must be noexcept: when a value moves, the other side has "
                  "been woken for it already. Send a std::unique_ptr<T>");

public:
    /// Room for `capacity` values, allocated here (std::bad_alloc); 0 for a rendezvous.
    explicit channel(std::size_t capacity = 0)
        : channel_base(capacity),
          slots_(capacity ? std::allocator<T>().allocate(capacity) : nullptr),
          owned_(true) {}
    /// As many values as fit, aligned, into `storage`, which stays the caller's and must outlive
    /// the channel. Asserts that one fits.
    explicit channel(std::span<std::byte> storage) noexcept : channel_base(0) {
        void* at = storage.data();
        std::size_t space = storage.size();
        if (std::align(alignof(T), sizeof(T), at, space)) capacity_ = space / sizeof(T);
        WIRE_ASSERT(capacity_ > 0, "the storage of a channel has no room for one value");
        slots_ = static_cast<T*>(at);
    }
    /// Closes it, and destroys what is in the buffer: wires that wait get EPIPE. Asserts that no
    /// recv_wait refers to a value here.
    ~channel() {
        close();
        while (count_ > 0) static_cast<void>(pop());
        close();  // for receivers that the values, all promised, have kept waiting
        if (owned_ && capacity_) std::allocator<T>().deallocate(slots_, capacity_);
    }

    /// Sends a value: to the receiver that has waited longest, else into the buffer; if that is
    /// full, waits until it is taken.
    ///
    /// Fails with EPIPE (closed, before or meanwhile), ETIMEDOUT or ECANCELED, and has not moved
    /// from `value` then. Call from a wire.
    result<void> send(T&& value, deadline until = never) noexcept {
        detail::fiber* const self = detail::about_to_block();
        if (!self) return failure{ECANCELED};
        if (!receivers_.empty() || count_ == capacity_ || closed_)
            return send_slowly(*self, value, until);
        push(value);
        return {};
    }
    /// The same with a copy, which is made first and may throw.
    result<void> send(const T& value,
                      deadline until = never) requires std::is_copy_constructible_v<T> {
        return send(T(value), until);
    }
    /// Sends if that does not have to wait: fails with EAGAIN otherwise, or with EPIPE, and has not
    /// moved from `value` then. Never suspends.
    result<void> try_send(T&& value) noexcept { return to_result(offer(value, false)); }
    result<void> try_send(const T& value) requires std::is_copy_constructible_v<T> {
        return try_send(T(value));
    }

    /// Receives the oldest value: of the buffer, or of the sender that has waited longest; waits
    /// until there is one.
    ///
    /// Fails with EPIPE (closed, and the buffer is empty), ETIMEDOUT or ECANCELED. Call from a
    /// wire.
    result<T> recv(deadline until = never) noexcept {
        detail::fiber* const self = detail::about_to_block();
        if (!self) return failure{ECANCELED};
        // One branch for both, which are rare.
        const bool others = (promised_ | static_cast<std::size_t>(!senders_.empty())) != 0;
        if (count_ == 0 || others) return recv_slowly(*self, until);
        return pop();
    }
    /// Receives what is there: fails with EAGAIN otherwise, or with EPIPE. Never suspends.
    result<T> try_recv() noexcept { return promised_ == 0 ? pull() : pull_rest(); }

    /// Receives with every step: an input iterator. Its end is any error of recv().
    using iterator = detail::recv_iterator<channel, T>;
    /// For `for (T& value : channel)`, which ends when recv() fails: the channel is closed and
    /// empty, or the wire's scope is cancelled.
    iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

private:
    template <class>
    friend class recv_wait;
    template <class>
    friend class detail::recv_branch;
    template <class>
    friend class detail::send_branch;

    // Gives `value` away. EAGAIN: there is no place for it; then it is promised to somebody if the
    // sender will wait.
    int offer(T& value, bool will_wait) noexcept {
        if (closed_) return EPIPE;
        if (detail::channel_waiter* const r = next_receiver(will_wait || count_ < capacity_)) {
            if (r->value) {
                std::construct_at(static_cast<T*>(r->value), std::move(value));
                return 0;
            }
            ++promised_;
        }
        if (count_ == capacity_) return EAGAIN;
        push(value);
        return 0;
    }

    // Takes the oldest value that is not promised.
    [[gnu::noinline]] result<T> pull_rest() noexcept {
        if (count_ > promised_) {
            move_to_head(promised_);
            return pull_buffered();
        }
        detail::channel_waiter* const s = next_sender_of_rest();
        if (!s) return failure{why_none()};
        return std::move(*static_cast<T*>(s->value));
    }
    // Moves the n-th value of the buffer to its head, before all that are older.
    void move_to_head(std::size_t n) noexcept {
        T value(std::move(slot(n)));
        for (; n > 0; --n) {
            std::destroy_at(&slot(n));
            std::construct_at(&slot(n), std::move(slot(n - 1)));
        }
        std::destroy_at(&slot(0));
        std::construct_at(&slot(0), std::move(value));
    }
    // Takes the oldest value, promised or not.
    result<T> pull() noexcept {
        if (count_ > 0) return pull_buffered();
        if (T* const value = pull_waiting()) return std::move(*value);
        return failure{why_none()};
    }
    T pull_buffered() noexcept {
        T oldest = pop();
        if (T* const next = pull_waiting()) push(*next);
        return oldest;
    }
    // Wakes the sender that has waited longest; its value has to be moved from at once.
    T* pull_waiting() noexcept {
        detail::channel_waiter* const s = detail::wake_first(senders_);
        if (!s) return nullptr;
        s->done = true;
        return static_cast<T*>(s->value);
    }

    // Out of line, and called last, so that the fast paths need no frame.
    [[gnu::noinline]] result<void> send_slowly(detail::fiber& self, T& value,
                                               deadline until) noexcept {
        if (const int error = offer(value, true); error != EAGAIN) return to_result(error);
        detail::channel_waiter me(self, &value);
        senders_.push_back(me);
        const int error = detail::park(self, "send to a channel", until);
        return to_result(me.done ? 0 : error ? error : EPIPE);
    }
    [[gnu::noinline]] result<T> recv_slowly(detail::fiber& self, deadline until) noexcept {
        if (promised_ > 0) {
            if (result<T> got = pull_rest(); got.code() != EAGAIN) return got;
        } else {
            if (count_ > 0) return pull_buffered();
            if (T* const value = pull_waiting()) return std::move(*value);
        }
        if (why_none() == EPIPE) return failure{EPIPE};
        detail::room<T> here;
        detail::channel_waiter me(self, &here.value);
        receivers_.push_back(me);
        const int error = detail::park(self, "receive from a channel", until);
        if (!me.done) return failure{error ? error : EPIPE};
        return here.take();
    }

    // Somebody has taken what was promised, or given it up.
    void settle_promise() noexcept {
        --promised_;
        while (detail::channel_waiter* const r = next_receiver_of_rest()) {
            if (r->value)
                std::construct_at(static_cast<T*>(r->value), *pull());
            else
                ++promised_;
        }
        if (closed_ && count_ == 0) detail::wake_all(receivers_);
    }

    T& slot(std::size_t n) noexcept {
        const std::size_t at = head_ + n;
        return slots_[at >= capacity_ ? at - capacity_ : at];
    }
    // Not by slot(), which measures slower here.
    void push(T& value) noexcept {
        std::size_t at = head_ + count_++;
        if (at >= capacity_) at -= capacity_;
        std::construct_at(slots_ + at, std::move(value));
    }
    T pop() noexcept {
        T& oldest = slots_[head_];
        if (++head_ == capacity_) head_ = 0;
        --count_;
        T value(std::move(oldest));
        std::destroy_at(&oldest);
        return value;
    }

    T* slots_;
    bool owned_ = false;
};

/// Waits for a value of a channel, in a list with others. It is triggered when a value is promised
/// to it, the oldest that nobody else has, or when the channel is closed. Whoever wants the value
/// calls take(), and reset() for the next; until then nobody else receives it. reset(), stop() and
/// the destructor give up a promise that was not used. A sender that waits goes on when its value
/// is taken; try_send() does not wait, and so it promises nothing unless there is room in the
/// buffer. Must be gone before the channel is.
template <class T>
class recv_wait : public detail::queued_wait {
public:
    explicit recv_wait(channel<T>& from) noexcept : from_(from) { attach(); }
    ~recv_wait() override { recv_wait::leave(); }

    /// Takes the value. Fails with EPIPE if the channel is closed and empty; with EAGAIN if there
    /// is none: not triggered, triggered by wake() alone, taken already, or its sender has given up
    /// meanwhile. Never suspends.
    result<T> take() noexcept {
        if (!here_.done) return failure{from_.why_none()};
        here_.done = false;
        result<T> value = from_.pull();
        from_.settle_promise();
        return value;
    }

private:
    bool enter() noexcept override {
        here_.done = from_.has_value();
        if (here_.done)
            ++from_.promised_;
        else if (from_.why_none() != EPIPE)
            from_.receivers_.push_back(here_);
        return here_.done || from_.why_none() == EPIPE;
    }
    void leave() noexcept override {
        here_.leave();
        if (std::exchange(here_.done, false)) from_.settle_promise();
    }

    channel<T>& from_;
    detail::channel_waiter here_{*this, nullptr};
};

}  // namespace wire
