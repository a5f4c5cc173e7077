// An inbox with its owner and its producers, as remote.cpp and loop.cpp use it, for the explorer of
// interleavings.
#pragma once

#include <inbox.hpp>

#include "interleave.hpp"

namespace interleave {

using wire::detail::inbox_node;

/// Where an owner sleeps: a poller with an eventfd. After destroy() nobody may be inside notify().
class sleeping_place {
public:
    void poll() { alarm_.wait(); }
    void notify() {
        check(exists_.get(), "the poller that is notified exists");
        alarm_.signal();
        check(exists_.get(), "the poller that was notified exists");
    }
    void destroy() { exists_.retire(); }

private:
    interleave::event alarm_;
    tracked<bool> exists_{true};
};

/// What producers and owner share, and how they use it.
template <class Inbox, bool PaysFirst = false>
struct post_office {
    Inbox inbox;
    sleeping_place first, second;
    tracked<sleeping_place*> sleeps_in{&first};

    // As shared_state::post().
    bool post(inbox_node& node) {
        using outcome = typename Inbox::push_result;
        const outcome o = inbox.push(node);
        if (o == outcome::owner_sleeps) {
            if (PaysFirst) inbox.paid();
            sleeps_in.get()->notify();
            if (!PaysFirst) inbox.paid();
        }
        return o != outcome::closed;
    }

    // As scheduler::run() and block(), for as long as `wanted`.
    template <class Condition, class Open>
    void serve_while(Condition wanted, Open open) {
        while (wanted()) {
            if (inbox.any()) {
                open(inbox.take_all());
            } else if (inbox.try_sleep()) {
                sleeps_in.get()->poll();
                open(inbox.wake_up());
            }
        }
    }

    // As scheduler::attach(), after which the old poller is destroyed.
    void move() {
        inbox.settle();
        sleeps_in.get()->destroy();
        sleeps_in.set(&second);
    }

    // As ~runtime(): closes when nothing is left to open. Or, with no time for that, as
    // ~scheduler(), which then gets the rest.
    template <class Open>
    void end(Open open, bool in_time = true) {
        if (in_time)
            while (!inbox.try_close()) open(inbox.take_all());
        else
            open(inbox.close());
        inbox.settle();
        sleeps_in.get()->destroy();
    }
};

}  // namespace interleave
