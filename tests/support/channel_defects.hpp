// Channels with one thing spoiled at a time, for the test of the test: each of these defects must
// be found.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "channel_run.hpp"

namespace wire::test {

enum class channel_defect {
    none,
    later_receiver_first,
    later_sender_first,
    later_value_first,
    lost_on_cancel,
    lost_on_deadline,
    lost_with_recv_wait,
    promised_value_stolen,
    sent_twice,
    failed_send_takes_value,
    rendezvous_has_buffer,
    close_wakes_nobody,
    close_drops_buffer,
    close_is_forgotten,
    cancel_ignored,
    receiver_runs_at_once,
    unchosen_value_moved,
    select_tries_first_only,
    value_never_destroyed,
    value_destroyed_twice,
    last,
};

inline const char* name_of(channel_defect d) {
    constexpr const char* names[]{"none",
                                  "later receiver first",
                                  "later sender first",
                                  "later value first",
                                  "lost on cancel",
                                  "lost on deadline",
                                  "lost with recv_wait",
                                  "promised value stolen",
                                  "sent twice",
                                  "failed send takes value",
                                  "rendezvous has buffer",
                                  "close wakes nobody",
                                  "close drops buffer",
                                  "close is forgotten",
                                  "cancel ignored",
                                  "receiver runs at once",
                                  "unchosen value moved",
                                  "select tries first only",
                                  "value never destroyed",
                                  "value destroyed twice"};
    return names[static_cast<std::size_t>(d)];
}

inline channel_defect planted_in_channel = channel_defect::none;

inline bool has(channel_defect d) {
    return planted_in_channel == d;
}

auto cancel_kept_away(auto call) {
    if (!has(channel_defect::cancel_ignored)) return call();
    const shield kept_away;
    return call();
}

class spoiled_channel : public wire::channel<parcel> {
    using base = wire::channel<parcel>;
    using defect = channel_defect;

public:
    explicit spoiled_channel(std::size_t capacity)
        : base(capacity == 0 && has(defect::rendezvous_has_buffer) ? 1 : capacity) {}

    wire::result<void> send(parcel&& value, deadline until = never) {
        if (has(defect::later_receiver_first)) second_first(receivers_);
        parcel twin = value.twin();
        const bool at_once = has_taker();  // after a wait the channel may be gone
        const auto sent = cancel_kept_away([&] { return base::send(std::move(value), until); });
        if (sent && at_once) after_send(twin);
        if (sent && has(defect::receiver_runs_at_once)) yield();
        return sent;
    }

    wire::result<void> try_send(parcel&& value) {
        parcel twin = value.twin();
        const auto sent = base::try_send(std::move(value));
        if (sent) after_send(twin);
        if (!sent && has(defect::failed_send_takes_value)) parcel lost(std::move(value));
        return sent;
    }

    wire::result<parcel> recv(deadline until = never) {
        if (has(defect::later_sender_first)) second_first(senders_);
        auto r = cancel_kept_away([&] { return base::recv(until); });
        if ((has(defect::lost_on_cancel) && r.code() == ECANCELED) ||
            (has(defect::lost_on_deadline) && r.code() == ETIMEDOUT))
            static_cast<void>(base::try_recv());
        if (r && has(defect::value_never_destroyed)) {
            alignas(parcel) static std::array<std::byte, sizeof(parcel)> somewhere;
            ::new (somewhere.data()) parcel(0);
        }
        if (r && has(defect::value_destroyed_twice)) std::destroy_at(&*r);
        return r;
    }

    wire::result<parcel> try_recv() {
        if (!has(defect::promised_value_stolen)) return base::try_recv();
        const auto promised = std::exchange(promised_, 0);
        auto stolen = base::try_recv();
        promised_ = promised;
        return stolen;
    }

    void close() {
        if (has(defect::close_is_forgotten)) return;
        while (has(defect::close_drops_buffer) && count_ > 0) static_cast<void>(base::try_recv());
        if (has(defect::close_wakes_nobody))
            closed_ = true;
        else
            base::close();
    }

private:
    static void second_first(auto& queue) {
        if (queue.empty()) return;
        auto& first = queue.front();
        first.unlink();
        queue.push_back(first);
    }
    void after_send(parcel& twin) {
        if (has(defect::sent_twice)) static_cast<void>(base::try_send(std::move(twin)));
        if (has(defect::later_value_first) && count_ > 1 && senders_.empty())
            static_cast<void>(base::try_send(*base::try_recv()));
    }
};

class spoiled_wait : public wire::recv_wait<parcel> {
public:
    using recv_wait::recv_wait;
    ~spoiled_wait() override {
        if (has(channel_defect::lost_with_recv_wait)) static_cast<void>(take());
    }
};

struct spoiled_kit : real_kit {
    using channel = spoiled_channel;
    using recv_wait = spoiled_wait;

    template <class F>
    static auto on_send(channel& c, parcel& value, F f) {
        to_send().push_back(&value);
        return wire::on_send(c, value, std::move(f));
    }
    static wire::result<std::size_t> select(std::span<branch* const> all) {
        const auto values = std::exchange(to_send(), {});
        const bool fewer = has(channel_defect::select_tries_first_only) && !all.empty();
        const auto r = wire::select(fewer ? all.first(1) : all);
        if (r && has(channel_defect::unchosen_value_moved))
            for (parcel* const v : values) parcel lost(std::move(*v));
        return r;
    }

private:
    // Of the select that is being made.
    static std::vector<parcel*>& to_send() {
        static std::vector<parcel*> values;
        return values;
    }
};

}  // namespace wire::test
