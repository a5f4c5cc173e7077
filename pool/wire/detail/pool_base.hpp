// What pools of every type of element have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <wire/assert.hpp>
#include <wire/detail/exchange.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/result.hpp>
#include <wire/waiting.hpp>

namespace wire {

struct pool_options {
    /// What those do that find no room, or no message.
    waiting wait = waiting::adaptive;
    // Hints. 1 saves the first few hundred calls of that side some time; 0 is unknown.
    std::size_t producers = 0;
    std::size_t consumers = 0;
};

/// What has happened in a pool so far, about: the numbers are of different times, and one that
/// comes while claims are dropped may count some of those.
struct pool_statistics {
    std::size_t capacity = 0;
    std::size_t inside = 0;         ///< messages, with those that are claimed to be taken
    std::uint64_t puts = 0;         ///< messages that were put
    std::uint64_t takes = 0;        ///< messages that were taken
    std::uint64_t put_sleeps = 0;   ///< how often a producer prepared to sleep, or a select
    std::uint64_t take_sleeps = 0;  ///< how often a consumer did
};

namespace detail {

class pool_base : immovable {
public:
    /// From now on puts fail with EPIPE; so do takes when what is inside has been taken. Whoever
    /// waits is woken; no message that was put is lost. What is claimed may still be put, and until
    /// its claim has ended takers wait for it. Again has no effect. Never suspends. Any thread.
    void close() noexcept { exchange_.close(); }
    /// Ends what close() has begun: puts and takes work as before. Any thread.
    void reopen() noexcept { exchange_.reopen(); }
    [[nodiscard]] bool closed() const noexcept { return exchange_.closed(); }

    /// Waits until no message is inside and no slot is claimed. Fails with ETIMEDOUT or, in a wire,
    /// ECANCELED. Any thread.
    result<void> wait_until_empty(deadline until = never) noexcept {
        return to_result(exchange_.wait_until_empty(until));
    }

    [[nodiscard]] std::size_t capacity() const noexcept { return exchange_.size(); }
    /// How many messages are inside, about: others come and go meanwhile.
    [[nodiscard]] std::size_t size() const noexcept {
        return exchange_.counts().inside(exchange_.size());
    }
    [[nodiscard]] pool_statistics statistics() noexcept {
        const exchange_counts now = exchange_.counts();
        return {.capacity = capacity(),
                .inside = now.inside(exchange_.size()),
                .puts = now.given,
                .takes = now.taken,
                .put_sleeps = exchange_.room().entered(),
                .take_sleeps = exchange_.messages().entered()};
    }

protected:
    friend struct exchange_access;
    using exchange = basic_exchange<thread_sync>;

    pool_base(std::uint32_t slots, std::uint32_t* numbers, const pool_options& options) noexcept
        : exchange_(slots, numbers, options.wait) {
        if (options.producers == 1) exchange_.expect_one_giver();
        if (options.consumers == 1) exchange_.expect_one_taker();
    }
    ~pool_base() = default;

    // A call for up to `n` messages, which counts what it has `done`.
    template <class F>
    result<std::size_t> some(std::size_t n, F call) noexcept {
        if (n == 0) return n;
        std::uint32_t done = 0;
        const int error = call(static_cast<std::uint32_t>(std::min(n, capacity())), done);
        if (error) return failure{error};
        return std::size_t{done};
    }

    exchange exchange_;
};

/// A slot in the hands of one who claimed it. Moved from, it holds none.
template <class Element>
class claim {
    using exchange = basic_exchange<thread_sync>;

public:
    claim(exchange& from, std::uint32_t slot, Element element) noexcept
        : from_(&from), slot_(slot), element_(element) {}
    claim(claim&& other) noexcept
        : from_(std::exchange(other.from_, nullptr)),
          slot_(other.slot_),
          element_(other.element_) {}
    claim& operator=(claim&&) = delete;

    [[nodiscard]] Element operator*() const noexcept {
        assert_held();
        return element_;
    }
    [[nodiscard]] auto* operator->() const noexcept requires std::is_reference_v<Element> {
        assert_held();
        return &element_;
    }

protected:
    ~claim() = default;

    [[nodiscard]] bool held() const noexcept { return from_ != nullptr; }
    [[nodiscard]] std::uint32_t slot() const noexcept { return slot_; }
    /// The exchange to which it is given back, now.
    exchange& end() noexcept {
        assert_held();
        return *std::exchange(from_, nullptr);
    }

private:
    void assert_held() const noexcept {
        WIRE_ASSERT(held(), "the claim of a slot is used after its end");
    }

    exchange* from_;
    std::uint32_t slot_;
    Element element_;
};

}  // namespace detail

/// A free slot to be filled in place. Element is T& of pool<T>, or the bytes of a raw_pool's.
template <class Element>
class put_claim : public detail::claim<Element> {
public:
    using detail::claim<Element>::claim;
    put_claim(put_claim&&) noexcept = default;
    /// Gives the slot back if it was not put: also when its thread throws. What was done to the
    /// element stays.
    ~put_claim() {
        if (this->held()) drop();
    }

    /// Gives the slot back now. Once.
    void drop() noexcept { this->end().give_up_free(this->slot()); }
    /// The message is there for takers, also if the pool has been closed meanwhile. Once.
    void put() noexcept { this->end().give(this->slot()); }
};

/// A full slot to be read in place.
template <class Element>
class take_claim : public detail::claim<Element> {
public:
    using detail::claim<Element>::claim;
    take_claim(take_claim&&) noexcept = default;
    /// Gives the message back if it was not taken, behind all others: also when its thread throws.
    ~take_claim() {
        if (this->held()) drop();
    }

    /// Gives the message back now. Once.
    void drop() noexcept { this->end().give_up_full(this->slot()); }
    /// The message has been taken; its slot is free. Once.
    void take() noexcept { this->end().release(this->slot()); }
};

namespace detail {

/// The calls of Pool, which has `Element element_at(slot)`, that lend out its elements.
template <class Pool, class Element>
class lending_pool : public pool_base {
public:
    using claim_to_put = put_claim<Element>;
    using claim_to_take = take_claim<Element>;

    /// A free slot, to be filled in place and then put.
    result<claim_to_put> claim_put(deadline until = never) noexcept {
        return claimed<claim_to_put>([&](auto& slot) { return exchange_.claim_free(slot, until); });
    }
    result<claim_to_put> try_claim_put() noexcept {
        return claimed<claim_to_put>([&](auto& slot) { return exchange_.try_claim_free(slot); });
    }
    /// A full slot, to be read in place and then taken.
    result<claim_to_take> claim_take(deadline until = never) noexcept {
        return claimed<claim_to_take>(
            [&](auto& slot) { return exchange_.claim_full(slot, until); });
    }
    result<claim_to_take> try_claim_take() noexcept {
        return claimed<claim_to_take>([&](auto& slot) { return exchange_.try_claim_full(slot); });
    }

    /// Calls `f(element, index)` for every slot: to give each its buffer, before the pool is used
    /// or after. Asserts that nothing is inside or claimed; nobody else may use it meanwhile.
    template <class F>
    void for_each(F f) {
        WIRE_ASSERT(exchange_.all_free(), "for_each() of a pool with messages or claims inside");
        for (std::uint32_t i = 0; i < exchange_.size(); ++i) f(element_at(i), std::size_t{i});
    }

protected:
    using pool_base::pool_base;
    ~lending_pool() = default;

private:
    Element element_at(std::uint32_t slot) noexcept {
        return static_cast<Pool&>(*this).element_at(slot);
    }
    template <class Claim, class F>
    result<Claim> claimed(F call) noexcept {
        std::uint32_t slot = 0;
        if (const int error = call(slot)) return failure{error};
        return Claim(exchange_, slot, element_at(slot));
    }
};

}  // namespace detail
}  // namespace wire
