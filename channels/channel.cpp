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

// The first sender whose value is not promised, but of `owner`; the buffer has none such. Of what a
// select would send it sends one at most; its places follow one another.
channel_waiter* channel_base::sender_of_rest(const void* owner) const noexcept {
    std::size_t before = count_;
    const void* last = owner;
    for (channel_waiter* s = senders_.next(nullptr); s; s = senders_.next(s)) {
        if (s->owner == owner || s->owner == last || !still_waits(*s)) continue;
        if (before++ >= promised_) return s;
        last = s->owner;
    }
    return nullptr;
}

bool channel_base::has_value_for(const void* owner) const noexcept {
    return count_ > promised_ || sender_of_rest(owner);
}

namespace {

// For one that still waits.
channel_waiter* served(channel_waiter* w) noexcept {
    if (!w) return nullptr;
    w->unlink();
    w->done = wake(*w);
    return w;
}

}  // namespace

channel_waiter* channel_base::next_sender_of_rest() noexcept {
    return served(sender_of_rest(nullptr));
}

channel_waiter* channel_base::next_receiver_of_rest() noexcept {
    channel_waiter* r = receivers_.next(nullptr);
    while (r && !(still_waits(*r) && has_value_for(r->owner))) r = receivers_.next(r);
    return served(r);
}

bool channel_base::has_taker() const noexcept {
    if (closed_ || count_ < capacity_) return true;
    for (channel_waiter* r = receivers_.next(nullptr); r; r = receivers_.next(r))
        if (r->value && still_waits(*r)) return true;
    return false;
}

}  // namespace wire::detail
