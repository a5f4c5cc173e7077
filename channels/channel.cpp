#include <wire/channel.hpp>

namespace wire::detail {

channel_base::~channel_base() {
    WIRE_ASSERT(promised_ == 0, "a channel is destroyed before the recv_wait that has its value");
}

void channel_base::close() noexcept {
    closed_ = true;
    wake_all(senders_);
    if (count_ == 0) wake_all(receivers_);
}

channel_waiter* channel_base::search_receiver(bool promises) noexcept {
    for (channel_waiter* r = receivers_.next(nullptr); r;) {
        channel_waiter* const next = receivers_.next(r);
        if (r->value || promises) {
            r->unlink();
            r->done = wake(*r);
            if (r->done) return r;
        }
        r = next;
    }
    return nullptr;
}

void channel_base::promise_one() noexcept {
    for (channel_waiter* r = receivers_.next(nullptr); r; r = receivers_.next(r)) {
        if (r->value || !wake(*r)) continue;
        r->unlink();
        r->done = true;
        ++promised_;
        return;
    }
}

// Of what a select would send it sends one at most; its places follow one another.
bool channel_base::has_value_for(const void* owner) const noexcept {
    std::size_t there = count_;
    const void* last = owner;
    auto& senders = const_cast<list<channel_waiter>&>(senders_);
    for (channel_waiter* s = senders.next(nullptr); s && there <= promised_; s = senders.next(s)) {
        if (s->owner == owner || s->owner == last || !still_waits(*s)) continue;
        last = s->owner;
        ++there;
    }
    return there > promised_;
}

channel_waiter* channel_base::next_sender_of_rest() noexcept {
    std::size_t there = count_;
    const void* last = nullptr;
    for (channel_waiter* s = senders_.next(nullptr); s; s = senders_.next(s)) {
        if (s->owner == last || !still_waits(*s)) continue;
        last = s->owner;
        if (there++ < promised_) continue;
        s->unlink();
        s->done = wake(*s);
        return s;
    }
    return nullptr;
}

channel_waiter* channel_base::next_receiver_of_rest() noexcept {
    for (channel_waiter* r = receivers_.next(nullptr); r; r = receivers_.next(r)) {
        if (!still_waits(*r) || !has_value_for(r->owner)) continue;
        r->unlink();
        r->done = wake(*r);
        return r;
    }
    return nullptr;
}

bool channel_base::has_taker() const noexcept {
    if (closed_ || count_ < capacity_) return true;
    auto& receivers = const_cast<list<channel_waiter>&>(receivers_);
    for (channel_waiter* r = receivers.next(nullptr); r; r = receivers.next(r))
        if (r->value && still_waits(*r)) return true;
    return false;
}

}  // namespace wire::detail
