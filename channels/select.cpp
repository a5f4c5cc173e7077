// A select goes through three phases:
//
//     try      asks all branches whether they are ready; one of those, picked at random, commits.
//              Nothing is queued yet, so nothing has to be undone.
//     sleep    none is ready: each takes its place in a queue, and the wire parks until one of the
//              places is woken, which is the one that happens, until a deadline, or until it is
//              cancelled
//     handle   all places have been left; the handler runs
//
// Waking a place wakes the wire, and a wire is woken once: so at most one branch happens. Whoever
// wakes another place later is told that nobody waits there, and goes on to the next in the queue.
// That holds while the wire is parked here: to leave a place at something that other threads see it
// may have to park once more, and then nothing is chosen.
// A place at something that other threads, processes or the kernel see is only hinted at: then the
// wire tries again.
#include "selection.hpp"

#include <cstdint>

#include <wire/select.hpp>

namespace wire {
namespace detail {
namespace {

// A number below `bound`, from a sequence that is the same in every run of a program. (Marsaglia's
// xorshift.)
std::size_t any_below(std::size_t bound) noexcept {
    [[gnu::tls_model("initial-exec")]] constinit thread_local std::uint64_t state =
        0x9E37'79B9'7F4A'7C15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::size_t>(((state >> 32) * bound) >> 32);
}

// A wire whose selects never have to sleep would let nobody else run, nor the reactor look.
void give_way() noexcept {
    constexpr unsigned streak_max = 64;
    [[gnu::tls_model("initial-exec")]] constinit thread_local unsigned streak = 0;
    if (++streak % streak_max == 0) yield();
}

}  // namespace

bool selection::choose(branch& b) noexcept {
    if (!undecided() || !wake(sleeper_)) return false;
    chosen_ = &b;
    return true;
}

void selection::expire_at(deadline until, branch& b) noexcept {
    if (until >= until_) return;
    until_ = until;
    expiring_ = &b;
}

// Makes one of those happen that are ready, each as likely as the others: the k-th that is met
// replaces the one before with a chance of 1 to k. Returns nullptr if none is.
branch* selection::try_one() noexcept {
    for (;;) {
        branch* ready = nullptr;
        std::size_t met = 0;
        for (std::size_t i = 0; i < all_.count; ++i) {
            branch& b = all_[i];
            if (b.ready(*this) && (++met == 1 || any_below(met) == 0)) ready = &b;
        }
        if (!ready) return fallback_;
        if (ready->commit()) return ready;
    }
}

bool selection::arm() noexcept {
    while (armed_ < all_.count) {
        branch& b = all_[armed_++];
        WIRE_ASSERT(!b.in_, "a branch is used by two selects at once, or twice by one");
        b.in_ = this;
        if (b.arm(*this)) continue;
        chosen_ = &b;
        return false;
    }
    return true;
}

void selection::disarm() noexcept {
    while (armed_ > 0) {
        branch& b = all_[--armed_];
        b.disarm();
        b.in_ = nullptr;
    }
}

// Returns what has happened; nullptr if it is unknown. `error`: as park().
branch* selection::sleep(int& error) noexcept {
    chosen_ = nullptr;
    if (arm()) {
        parked_ = true;
        error = park("select", until_);
        parked_ = false;
    }
    disarm();
    if (error) return error == ETIMEDOUT ? expiring_ : nullptr;
    return chosen_ && chosen_->settle() ? chosen_ : nullptr;
}

std::size_t selection::place_of(const branch& b) const noexcept {
    std::size_t i = 0;
    while (&all_[i] != &b) ++i;
    return i;
}

result<std::size_t> selection::run() {
    give_way();
    branch* happened;
    while (!(happened = try_one())) {
        int error = 0;
        happened = sleep(error);
        if (happened) break;
        if (error) return failure{error};
    }
    const std::size_t place = place_of(*happened);
    happened->handle();
    return place;
}

result<std::size_t> select(branch_list all) {
    fiber* const self = about_to_block();
    if (!self) return failure{ECANCELED};
    if (all.count == 0) return failure{EINVAL};
    return selection(all, *self).run();
}

}  // namespace detail

bool branch::deliver(detail::waiter&) noexcept {
    return in_->choose(*this);
}

bool branch::chosen() const noexcept {
    return in_->has_chosen(*this);
}

bool branch::undecided() const noexcept {
    return in_->undecided();
}

}  // namespace wire
