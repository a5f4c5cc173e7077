#include <wire/shm/ring.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

#include <wire/assert.hpp>
#include <wire/detail/running.hpp>
#include "abandon.hpp"
#include "create.hpp"
#include "death_watch.hpp"
#include "sleep_on.hpp"
#include "sweep.hpp"

namespace wire::shm {

using namespace detail;

class ring::state {
public:
    state(attached_ring&& r, ring_name name) : ring_(std::move(r)), name_(std::move(name)) {
        become_consumer();
    }
    ~state() {
        // First, so that nobody becomes the consumer of a ring whose name then goes.
        if (name_.is_removed) {
            close();
            name_.remove_if_of(ring_.memory.fd());
        }
        std::uint64_t me = me_;
        // [C] release: what it has seen of the lanes. Pairs with [C'].
        header().consumer.compare_exchange_strong(me, 0, std::memory_order_release,
                                                  std::memory_order_relaxed);
    }

    [[nodiscard]] bool is_of_this_process() const noexcept { return ::getpid() == pid_; }

    result<record> try_peek() noexcept {
        std::span<const std::byte> bytes;
        sweep::entry* at = nullptr;
        if (peeked_ || !sweep_.next_here(bytes, at)) [[unlikely]]
            return look();
        peeked_ = true;
        return held_ = {bytes, identity::pid(at->from.writer())};
    }
    [[gnu::noinline]] result<record> look() noexcept {
        hear();
        if (peeked_) return held_;  // whatever its producer has made of it since
        if (const int error = std::exchange(untold_, 0)) return failure{error};
        std::span<const std::byte> bytes;
        sweep::entry* at = nullptr;
        int error = next(bytes, at);
        if (error == EAGAIN && header().closed.load(std::memory_order_relaxed) != 0) error = EPIPE;
        if (error == 0) {
            peeked_ = true;
            return held_ = {bytes, identity::pid(at->from.writer())};
        }
        if (error == EBADMSG) note_departure(at->from.writer());
        if (error == EOWNERDEAD) {
            note_departure(at->owner);
            sweep_.bury(*at);
        }
        return failure{error};
    }
    result<record> peek(deadline until) noexcept {
        for (;;) {
            if (const int error = begin_call()) return failure{error};
            result<record> got = try_peek();
            if (got || got.code() != EAGAIN) return got;
            got = sleep(until);
            if (got.code() != EAGAIN) return got;
        }
    }
    void release() noexcept {
        WIRE_ASSERT(std::exchange(peeked_, false), "release() without a record that was peeked");
        sweep_.release();
    }

    // For a select.
    bool ready() noexcept {
        hear();
        if (peeked_ || untold_) return true;
        std::span<const std::byte> bytes;
        sweep::entry* at = nullptr;
        const int error = next(bytes, at);
        if (error == EBADMSG) {  // which is passed over already
            note_departure(at->from.writer());
            untold_ = error;
        }
        return error != EAGAIN || header().closed.load(std::memory_order_relaxed) != 0;
    }
    // Returns 0, EAGAIN (something is there) or why it cannot wait.
    int begin_wait(wire::detail::place& here) noexcept {
        basic_doorbell<system_sync>& bell = header().records;
        const std::uint32_t rung = bell.prepare(heavy_);
        look_for_the_dead();
        int error = 0;
        if (ready())
            error = EAGAIN;
        else if (!sleeper_.enlist(bell.bell(), rung, soonest(never), here))
            error = ENOMEM;
        if (error) bell.reset(heavy_);
        return error;
    }
    // Returns false if `here` has been signalled.
    bool end_wait() noexcept {
        const bool waited = sleeper_.withdraw();
        header().records.reset(heavy_);
        return waited;
    }

    void close() noexcept {
        // relaxed: the bells bring it to those who sleep.
        header().closed.store(1, std::memory_order_relaxed);
        wake_producers();
    }

    void remove_at_end() noexcept { name_.is_removed = name_.what != ring_name::kind::none; }

    ring_header& header() const noexcept { return ring_.map.header(); }
    const attached_ring& attached() const noexcept { return ring_; }
    departure last_departure() const noexcept { return last_; }

private:
    using sweep = basic_sweep<system_sync>;

    // Of so many that have left and live a descriptor is kept: they may come again.
    static constexpr std::size_t past_owners_max = 64;

    void become_consumer() {
        me_ = identity::mine();
        if (me_ == identity::nobody) refuse({errno, identity::needs_proc}, name_.text);
        std::uint64_t before = header().consumer.load(std::memory_order_relaxed);
        if (before != 0 && !identity::has_ended(before))
            refuse({EBUSY, "the ring has a consumer, which lives"}, name_.text);
        // [C'] acquire: what the consumer before has seen of the lanes. Pairs with [C].
        if (!header().consumer.compare_exchange_strong(before, me_, std::memory_order_acquire,
                                                       std::memory_order_relaxed))
            refuse({EBUSY, "somebody else has just become the ring's consumer"}, name_.text);
        sweep_.set_fence(!system_sync::join_heavy_fences());
        heavy_ = system_sync::can_make_heavy_fences();
        header().records.reset(heavy_);
        sweep_.rescan();
        if (before != 0) wake_producers();
    }
    // The consumer before may have died between a release and the bell.
    void wake_producers() noexcept {
        for (std::uint32_t n = 0; n < ring_.map.geometry.lanes; ++n) ring_.map.lane(n).room.ring();
    }

    // Who never sleeps hears of the new and the dead here.
    void hear() noexcept {
        // Who cannot be watched is looked at now and then.
        constexpr unsigned look_every = 1024;
        const bool looks_itself = !all_watched_ && ++looks_ % look_every == 0;
        if (attachments() != looked_at_ || watch_.has_news() || looks_itself) [[unlikely]]
            look_for_the_dead();
    }
    // As of the sweep; who died before it was attached is not told of.
    int next(std::span<const std::byte>& bytes, sweep::entry*& at) noexcept {
        int error;
        while ((error = sweep_.next_anywhere(bytes, at)) == EOWNERDEAD &&
               (at->owner & identity::arriving) != 0)
            sweep_.bury(*at);
        return error;
    }
    // Sleeps once. Returns EAGAIN: look again.
    result<record> sleep(deadline until) noexcept {
        basic_doorbell<system_sync>& bell = header().records;
        const std::uint32_t rung = bell.prepare(heavy_);
        look_for_the_dead();
        result<record> got = try_peek();
        if (got.code() == EAGAIN) {
            if (system_sync::now_ns() >= until.ns())
                got = failure{ETIMEDOUT};
            else if (const int error = sleeper_.sleep(bell.bell(), rung, soonest(until)))
                got = failure{error};
        }
        bell.reset(heavy_);
        return got;
    }
    // Who cannot be watched is looked at now and then.
    deadline soonest(deadline until) const noexcept {
        constexpr std::int64_t look_every_ns = 50'000'000;
        const std::int64_t at_most = all_watched_ ? sleep_at_most_ns : look_every_ns;
        return std::min(until, deadline::at_ns(system_sync::now_ns() + at_most));
    }

    // relaxed: a hint; rescan() orders it.
    [[nodiscard]] std::uint64_t attachments() const noexcept {
        return header().attached.load(std::memory_order_relaxed);
    }
    void look_for_the_dead() noexcept {
        looked_at_ = attachments();
        sweep_.rescan();
        const bool any_died = watch_.any_died() || !all_watched_;
        if (any_died) watch_.forget_the_dead();
        all_watched_ = true;
        for (sweep::entry& e : sweep_.in_use()) look_at_owner(e, any_died);
        watch_.forget_unwanted(ring_.map.geometry.lanes + past_owners_max, [this](auto who) {
            return std::ranges::any_of(sweep_.in_use(), [who](const sweep::entry& e) {
                return (e.owner & ~identity::arriving) == who;
            });
        });
    }
    // From now on its death rings the bell.
    void look_at_owner(sweep::entry& e, bool any_died) noexcept {
        basic_lane<system_sync>& lane = e.from.shared();
        // relaxed: compared, and told to the user.
        e.owner = lane.owner.load(std::memory_order_relaxed);
        const std::uint64_t who = e.owner & ~identity::arriving;
        if (who == identity::nobody || who == me_ || e.dead) return;
        const bool watched = watch_.watch(who);
        all_watched_ = all_watched_ && watched;
        if (watched && !any_died && !watch_.has_news()) return;
        if (!identity::has_ended(who)) return;
        // Before it ended it may have arrived, or left, and somebody else have come.
        // acquire: all that it has committed. Pairs with nothing: the kernel orders it.
        e.owner = lane.owner.load(std::memory_order_acquire);
        e.dead = (e.owner & ~identity::arriving) == who;
    }
    void note_departure(std::uint64_t who) noexcept {
        last_ = {identity::pid(who), std::chrono::system_clock::now()};
    }

    attached_ring ring_;
    ring_name name_;
    const pid_t pid_ = ::getpid();
    std::uint64_t me_ = 0;
    sweep sweep_{ring_.map};
    death_watch watch_{[this] { header().records.ring(); }};
    sleeper sleeper_;
    std::uint64_t looked_at_ = 0;  // so many attachments: the owners of those are watched
    bool heavy_ = false;           // it can make bringers pass a barrier
    bool all_watched_ = true;
    unsigned looks_ = 0;  // while not
    bool peeked_ = false;
    record held_{};   // if it is
    int untold_ = 0;  // an error that a select has found, for the next try_peek()
    departure last_{};
};

namespace {

using kind = ring_name::kind;

// For error messages: there is nothing to remove.
ring_name unnamed(std::string text) {
    return {kind::none, std::move(text), false};
}

template <class F>
attached_ring opened(const std::string& what, F attach) {
    attached_ring r;
    if (const refusal no = attach(r)) refuse(no, what);
    return r;
}

}  // namespace

ring::ring(std::unique_ptr<state> s) noexcept : state_(s.release()) {}
ring::ring(ring&&) noexcept = default;
ring& ring::operator=(ring&&) noexcept = default;
ring::~ring() = default;

ring ring::create(const std::string& name, const ring_options& options) {
    const ring_name n{kind::shared, name, options.remove};
    return ring(std::make_unique<state>(make_named(n, options), n));
}
ring ring::create_file(const std::string& path, const ring_options& options) {
    const ring_name n{kind::file, path, options.remove};
    return ring(std::make_unique<state>(make_named(n, options), n));
}
ring ring::create_anonymous(const ring_options& options) {
    return ring(std::make_unique<state>(make_anonymous(options), unnamed("a ring without a name")));
}
ring ring::create_in(std::span<std::byte> memory, const ring_options& options) {
    return ring(std::make_unique<state>(make_in(memory, options),
                                        unnamed("a ring in the caller's memory")));
}
std::size_t ring::storage_size(const ring_options& options) noexcept {
    return ring_map::total_bytes({options.producers, options.lane_bytes});
}

ring ring::open(const std::string& name) {
    return ring(std::make_unique<state>(
        opened(name, [&](auto& r) { return attach_to_name(name.c_str(), r); }),
        ring_name{kind::shared, name, false}));
}
ring ring::open_file(const std::string& path) {
    return ring(std::make_unique<state>(
        opened(path, [&](auto& r) { return attach_to_path(path.c_str(), r); }),
        ring_name{kind::file, path, false}));
}
ring ring::open_descriptor(int fd) {
    return ring(std::make_unique<state>(
        opened("a descriptor", [&](auto& r) { return attach_to(fd, false, r); }),
        unnamed("a descriptor")));
}
ring ring::open_in(std::span<std::byte> memory) {
    return ring(std::make_unique<state>(
        opened("memory", [&](auto& r) { return attach_to(mapping(memory), r); }),
        unnamed("memory")));
}

bool ring::ready() noexcept {
    return state_->ready();
}
int ring::begin_wait(wire::detail::place& here) noexcept {
    return state_->begin_wait(here);
}
bool ring::end_wait() noexcept {
    return state_->end_wait();
}

result<record> ring::peek(deadline until) {
    return state_->peek(until);
}
result<record> ring::try_peek() {
    return state_->try_peek();
}
void ring::release() noexcept {
    state_->release();
}

result<std::size_t> ring::recv(std::span<std::byte> into, deadline until) {
    return copied(peek(until), into);
}
result<std::size_t> ring::try_recv(std::span<std::byte> into) {
    return copied(try_peek(), into);
}
result<std::size_t> ring::copied(const result<record>& got, std::span<std::byte> into) noexcept {
    if (!got) return failure{got.code()};
    if (got->bytes.size() > into.size()) return failure{EMSGSIZE};
    const std::size_t n = got->bytes.size();
    std::memcpy(into.data(), got->bytes.data(), n);
    release();
    return n;
}

departure ring::last_departure() const noexcept {
    return state_->last_departure();
}
void ring::close() noexcept {
    state_->close();
}
void ring::remove_at_end() noexcept {
    state_->remove_at_end();
}
int ring::descriptor() const noexcept {
    return state_->attached().memory.fd();
}
std::size_t ring::producers() const noexcept {
    std::size_t n = 0;
    const ring_map& map = state_->attached().map;
    for (std::uint32_t i = 0; i < map.geometry.lanes; ++i)
        n += map.lane(i).owner.load(std::memory_order_relaxed) != 0;
    return n;
}
std::size_t ring::longest() const noexcept {
    return record_word::longest(state_->attached().map.geometry.lane_bytes);
}

}  // namespace wire::shm
