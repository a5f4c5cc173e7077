// The life of a wire: start, end, and what its handle does.
#include "fiber.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>

#include <wire/diagnostics.hpp>
#include <wire/scope.hpp>
#include <wire/spawn.hpp>
#include "scheduler.hpp"

namespace wire::detail {
namespace {

std::byte* place_below(std::byte* top, std::size_t size, std::size_t alignment) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(top) - size;
    return top - (reinterpret_cast<std::uintptr_t>(top) - (at & ~(alignment - 1)));
}

[[noreturn]] void end_program(const fiber& f, const std::exception_ptr& thrown) noexcept {
    std::fprintf(stderr, "wire: exception left the detached wire \"%s\": %s\n", f.shown_name(),
                 description(thrown).data());
    std::abort();
}

// In a catch block. A function of its own: with its temporaries wire_main()
// could not end in a jump.
[[gnu::cold, gnu::noinline]] void keep_exception(fiber& f) noexcept {
    if (f.group)
        f.group->fail(std::current_exception());
    else if (f.detached)
        end_program(f, std::current_exception());
    if (!f.detached) f.thrown = std::current_exception();
}

// Whether a wire waits in join(); others may wait for the same end in a list.
bool is_joined(fiber& f) noexcept {
    waiter* w = f.joiners.next(nullptr);
    while (w && !w->who) w = f.joiners.next(w);
    return w != nullptr;
}

void set_name(fiber& f, std::string_view name) noexcept {
    const std::size_t n = std::min(name.size(), f.name.size() - 1);
    if (n > 0) std::memcpy(f.name.data(), name.data(), n);
    f.name[n] = '\0';
}

}  // namespace

std::array<char, 256> description(const std::exception_ptr& thrown) noexcept {
    std::array<char, 256> text;
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
        std::snprintf(text.data(), text.size(), "%s", e.what());
    } catch (...) {
        std::snprintf(text.data(), text.size(), "an exception that is no std::exception");
    }
    return text;
}

fiber_pool& scheduler::pool_of(std::size_t size) {
    WIRE_ASSERT(size <= stack_size_max, "a wire asks for a stack of more than 1 GiB");
    if (default_pool_.stacks.has_canaries()) {
        if (size <= default_pool_.stacks.size()) return default_pool_;
        throw std::system_error(ENOMEM, std::system_category(),
                                "a wire asks for a stack of " + std::to_string(size) +
                                    " bytes, but all stacks of its runtime have " +
                                    std::to_string(default_pool_.stacks.size()) +
                                    " (runtime_options::stack.memory)");
    }
    const std::size_t rounded = std::bit_ceil(std::max(size, stack_size_min));
    if (rounded == default_pool_.stacks.size()) return default_pool_;
    for (auto& pool : other_pools_)
        if (pool->stacks.size() == rounded) return *pool;
    stack_options options = stack_options_;
    options.size = rounded;
    return *other_pools_.emplace_back(std::make_unique<fiber_pool>(options));
}

// With room in the table and the ready queue.
fiber& scheduler::make_fiber(fiber_pool& pool) {
    shared_->wires.reserve(fibers_ + 1);
    ready_.reserve(shared_->wires.size());
    const stack memory = pool.stacks.acquire();
    forget_frames(memory.base, memory.top);
    std::byte* const block = place_below(memory.top, sizeof(fiber), alignof(fiber));
    ++fibers_;
    wire_slot& slot = shared_->wires.take();
    slot.wire = ::new (static_cast<void*>(block)) fiber(*this, pool, memory, slot);
    return *slot.wire;
}

// Gives stacks back until `keep` idle wires are left or `budget` is used up. What is left of a
// control block still says that its wire has ended; trimmed, it is zeros, and no wire has the id 0.
// So a wire_ref may always look at it, unless it lies in a bounded pool, whose memory may be gone:
// there it asks the slot.
void scheduler::shed(fiber_pool& pool, std::size_t keep, std::size_t budget) noexcept {
    for (; pool.count() > keep && budget > 0; --budget) {
        fiber& f = *pool.take();
        drop_context(f.ctx);
        shared_->wires.give_back(*f.slot);
        --fibers_;
        pool.stacks.release(f.memory);
    }
}

// At the end of a pool: no wire of it is left, and no handle of one.
void scheduler::dismiss(bounded_pool& pool) noexcept {
    shed(pool, 0, pool.count());
    pool.unlink();
}

void scheduler::adopt(bounded_pool& pool) noexcept {
    bounded_pools_.push_back(pool);
}

fiber& scheduler::start(const origin& where, const spawn_options& options, const task_shape& shape,
                        void* from, bool joinable) {
    if (this != current_front) [[unlikely]]
        on_push_outside(
            "a wire is started on its runtime's own thread: from others use remote::go");
    fiber_pool& pool = where.pool           ? *where.pool
                       : options.stack == 0 ? default_pool_
                                            : pool_of(options.stack);
    WIRE_ASSERT(shape.size <= pool.stacks.size() / 4,
                "a wire's callable and arguments take more than a quarter of its stack");
    fiber* const idle = pool.take();
    fiber& f = idle ? *idle : make_fiber(pool);
    std::byte* const task = place_below(reinterpret_cast<std::byte*>(&f), shape.size,
                                        std::max<std::size_t>(shape.alignment, 16));
    forget_frames(f.memory.base, reinterpret_cast<std::byte*>(&f));
    try {
        shape.construct(task, from);
    } catch (...) {
        pool.put_back(f);
        throw;
    }
    f.id = ++last_id_;
    f.shape = &shape;
    f.task = task;
    f.local = nullptr;
    f.detached = !joinable;
    f.resumed = false;
    f.root.cancelled = closing_;
    f.group = where.group;
    if (f.group) f.group->begin(f.root);
    if (where.pool) [[unlikely]]
        f.root.attach(&where.pool->wires);
    set_name(f, options.name);
    make_context(f.ctx, f.memory.base, task, &wire_main);
    f.state = fiber_state::active;
    ++live_;
    ready_.push(f);
    return f;
}

// Runs on the wire that ends. It may be taken from its pool again from here on, but not before the
// switch: only this thread starts wires.
inline void scheduler::finish(fiber& f) noexcept {
    // Its destructor may block: the wire still runs then.
    if (f.detached && f.shape->drop_result) f.shape->drop_result(f.task);
    WIRE_ASSERT(f.scope == &f.root && f.root.children.empty(),
                "a wire ends inside a scope of its own");
    f.state = fiber_state::finished;
    if (f.pool->stacks.has_canaries()) [[unlikely]]
        check_canary(f);
    if (f.root.linked()) f.root.unlink();
    wake_all(f.joiners);
    if (f.group) f.group->ended();
    --live_;
    if (f.detached)
        f.pool->give_back(f);
    else
        ++held_;
}

// The first frame on every wire's stack, and its last.
WIRE_LEFT_BY_JUMP bc::transfer_t scheduler::wire_main(bc::transfer_t t) {
    scheduler& s = *current_scheduler();
    fiber& f = *s.running_;
    begin_flow(f.ctx, t);
    try {
        f.shape->run(f.task);
    } catch (...) {
        keep_exception(f);
    }
    s.finish(f);
    return end_in(f.ctx, s.successor(), s.thread_);
}

// The memory of others may be damaged by now: nothing but the end of the program makes sense.
void scheduler::check_canary(const fiber& f) const noexcept {
    if (f.pool->stacks.intact(f.memory)) return;
    char sentence[200];
    std::snprintf(sentence, sizeof sentence,
                  "stack overflow: wire \"%s\" needs more than its stack of %zu bytes, and has "
                  "written over what lies below it in the caller's memory",
                  f.shown_name(), f.pool->stacks.size());
    assertion_failed("the canary is intact", sentence, __FILE__, __LINE__);
}

void scheduler::reclaim(fiber& f) noexcept {
    if (f.thrown)
        f.thrown = nullptr;
    else if (f.shape->drop_result)
        f.shape->drop_result(f.task);
    f.detached = true;
    --held_;
    f.pool->give_back(f);
}

scheduler& running_scheduler(const char* sentence) noexcept {
    return on_wire(sentence);
}

fiber& start(const origin& where, const spawn_options& options, const task_shape& shape, void* from,
             bool joinable) {
    return where.where.start(where, options, shape, from, joinable);
}

int wait_for_end(fiber& f, deadline until) noexcept {
    scheduler& s = on_wire("only a wire can wait here: call this from a wire");
    WIRE_ASSERT(&s == f.home, "join() of a wire of another runtime");
    WIRE_ASSERT(s.running() != &f, "a wire joins itself and would wait for ever");
    waiter me(*s.running());
    f.joiners.push_back(me);
    return s.park("join", until);
}

[[gnu::cold]] void rethrow(fiber*& f) {
    std::exception_ptr thrown = f->thrown;
    f->home->reclaim(*std::exchange(f, nullptr));
    std::rethrow_exception(std::move(thrown));
}

int join(fiber*& f, deadline until) {
    WIRE_ASSERT(!is_joined(*f), "two wires join one wire through one handle");
    if (f->state != fiber_state::finished) {
        if (const int error = wait_for_end(*f, until)) return error;
    } else if (const fiber* const self = running_or_none(); self && self->scope->cancelled) {
        // Level-triggered: a cancelled wire is told so even where it would not have to wait.
        return ECANCELED;
    }
    if (f->thrown) [[unlikely]]
        rethrow(f);
    return 0;
}

bool has_finished(const fiber& f) noexcept {
    return f.state == fiber_state::finished;
}
void* result_of(fiber& f) noexcept {
    return f.shape->result(f.task);
}
void cancel_wire(fiber& f) noexcept {
    WIRE_ASSERT(f.home == current_scheduler() || f.home->on_own_thread(),
                "a wire is cancelled on its own thread only: from others use remote::cancel");
    if (f.state != fiber_state::finished) f.root.cancel();
}
void reclaim(fiber& f) noexcept {
    f.home->reclaim(f);
}

void let_go(fiber& f) noexcept {
    if (f.state != fiber_state::finished) {
        f.detached = true;
        return;
    }
    if (f.thrown && !f.group) end_program(f, f.thrown);
    reclaim(f);
}

void end_wire(fiber& f) noexcept {
    if (f.state != fiber_state::finished) {
        WIRE_ASSERT(
            running_or_none(),
            "a handle of an unfinished wire is destroyed outside a wire: join or detach it");
        f.root.cancel();
        const shield against_cancellation;
        wait_for_end(f, never);
    }
    if (f.thrown && !f.group)
        report(diagnostic::failure, "wire \"%s\" ended by an exception and nobody joined it: %s",
               f.shown_name(), description(f.thrown).data());
    reclaim(f);
}

}  // namespace wire::detail
