// The life of a wire: start, end, and what its handle does.
#include "fiber.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <wire/diagnostics.hpp>
#include <wire/spawn.hpp>
#include "scheduler.hpp"

namespace wire::detail {
namespace {

constexpr std::size_t stack_min = 16 * 1024;

std::byte* place_below(std::byte* top, std::size_t size, std::size_t alignment) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(top) - size;
    return top - (reinterpret_cast<std::uintptr_t>(top) - (at & ~(alignment - 1)));
}

void describe(std::exception_ptr thrown, char* text, std::size_t size) noexcept {
    try {
        std::rethrow_exception(std::move(thrown));
    } catch (const std::exception& e) {
        std::snprintf(text, size, "%s", e.what());
    } catch (...) {
        std::snprintf(text, size, "an exception that is no std::exception");
    }
}

[[noreturn]] void end_program(const fiber& f, std::exception_ptr thrown) noexcept {
    char what[256];
    describe(std::move(thrown), what, sizeof what);
    std::fprintf(stderr, "wire: exception left the detached wire \"%s\": %s\n", f.shown_name(),
                 what);
    std::abort();
}

// The first frame on every wire's stack.
void wire_main(bc::transfer_t) noexcept {
    scheduler& s = *current_scheduler;
    fiber& f = *s.running();
    try {
        f.run(f.task);
    } catch (...) {
        if (f.detached) end_program(f, std::current_exception());
        f.thrown = std::current_exception();
    }
    s.finish(f);
}

// A stack that goes back unless it is kept.
class acquired_stack {
public:
    explicit acquired_stack(stack_cache& cache) : cache_(cache), memory_(cache.acquire()) {
#if WIRE_ASAN
        // What the last wire's frames have left marked.
        __asan_unpoison_memory_region(memory_.base,
                                      static_cast<std::size_t>(memory_.top - memory_.base));
#endif
    }
    ~acquired_stack() {
        if (memory_.base) cache_.release(memory_);
    }
    acquired_stack(const acquired_stack&) = delete;
    acquired_stack& operator=(const acquired_stack&) = delete;

    const stack* operator->() const noexcept {
        return &memory_;
    }
    stack keep() noexcept {
        return std::exchange(memory_, {});
    }

private:
    stack_cache& cache_;
    stack memory_;
};

void set_name(fiber& f, std::string_view name) noexcept {
    const std::size_t n = std::min(name.size(), f.name.size() - 1);
    if (n > 0) std::memcpy(f.name.data(), name.data(), n);
    f.name[n] = '\0';
}

}  // namespace

stack_cache& scheduler::cache_of_size(std::size_t size) {
    const std::size_t rounded = std::bit_ceil(std::max(size, stack_min));
    if (rounded == default_stacks_.size()) return default_stacks_;
    for (auto& cache : other_stacks_)
        if (cache->size() == rounded) return *cache;
    stack_options options = stack_options_;
    options.size = rounded;
    return *other_stacks_.emplace_back(std::make_unique<stack_cache>(options));
}

// What ThreadSanitizer keeps for a wire cannot be given back by the wire itself.
void scheduler::bury_shadows() noexcept {
#if WIRE_TSAN
    for (; !dead_shadows_.empty(); dead_shadows_.pop_back())
        __tsan_destroy_fiber(dead_shadows_.back());
#endif
}

// Room in the table and the ready queue for one more wire.
void scheduler::make_room() {
    if (used_ < room_) return;
    shared_->wires.reserve(used_ + 1);
    ready_.reserve(shared_->wires.size());
    room_ = shared_->wires.size();
}

fiber& scheduler::start(const spawn_options& options, const task_shape& shape, void* from) {
    WIRE_ASSERT(this == current_scheduler || on_own_thread(),
                "a wire is started on its runtime's own thread: from others use remote::go");
    make_room();
    bury_shadows();
    stack_cache& cache = options.stack == 0 ? default_stacks_ : cache_of_size(options.stack);
    WIRE_ASSERT(shape.size <= cache.size() / 4,
                "a wire's callable and arguments take more than a quarter of its stack");
    acquired_stack memory(cache);
    std::byte* const block = place_below(memory->top, sizeof(fiber), alignof(fiber));
    std::byte* const task =
        place_below(block, shape.size, std::max<std::size_t>(shape.alignment, 16));
    shape.construct(task, from);

    fiber& f = *::new (static_cast<void*>(block))
                   fiber(*this, cache, memory.keep(), shape, task, ++last_id_);
    f.root.cancelled = closing_;
    set_name(f, options.name);
    make_context(f.ctx, f.memory.base, task, &wire_main);
    enlist(f);
    return f;
}

void scheduler::enlist(fiber& f) noexcept {
    f.slot = &shared_->wires.take();
    f.slot->wire = &f;
    ++used_;
    ++live_;
    ready_.push(f);
}

// Runs on the wire that ends. Its stack may be handed out again from here on, but not before the
// switch: only this thread starts wires on it.
void scheduler::finish(fiber& f) noexcept {
    // Its destructor may block: the wire still runs then.
    if (f.detached && f.drop_result) f.drop_result(f.task);
    WIRE_ASSERT(f.scope == &f.root && f.root.children.empty(),
                "a wire ends inside a scope of its own");
    f.state = fiber_state::finished;
    if (f.root.linked()) f.root.unlink();
    wake_all(f.joiners);
    --live_;
    if (f.detached) {
#if WIRE_TSAN
        dead_shadows_.push_back(std::exchange(f.ctx.shadow, nullptr));
#endif
        shared_->wires.give_back(*f.slot);
        --used_;
        f.cache->release(f.memory);
    }
    mark_dying(f.ctx);
    leave(f);
    __builtin_unreachable();
}

void scheduler::reclaim(fiber& f) noexcept {
    if (f.drop_result && !f.thrown) f.drop_result(f.task);
    shared_->wires.give_back(*f.slot);
    --used_;
    forget_context(f.ctx);
    stack_cache& cache = *f.cache;
    const stack memory = f.memory;
    if (f.thrown) f.thrown = nullptr;  // no other member has anything to destroy
    cache.release(memory);
}

scheduler& running_scheduler(const char* sentence) noexcept {
    return on_wire(sentence);
}

fiber& start(scheduler& where, const spawn_options& options, const task_shape& shape, void* from) {
    return where.start(options, shape, from);
}

int wait_for_end(fiber& f, deadline until) noexcept {
    scheduler* const s = current_scheduler;
    if (f.state == fiber_state::finished) {
        // Level-triggered: a cancelled wire is told so even where it would not have to wait.
        return s && s->running() && s->running()->scope->cancelled ? ECANCELED : 0;
    }
    waiter me;
    WIRE_ASSERT(me.who->home == f.home, "join() of a wire of another runtime");
    WIRE_ASSERT(me.who != &f, "a wire joins itself and would wait for ever");
    f.joiners.push_back(me);
    return s->park("join", until);
}

int join(fiber*& f, deadline until) {
    WIRE_ASSERT(f->joiners.empty(), "two wires join one wire through one handle");
    if (const int error = wait_for_end(*f, until)) return error;
    if (f->thrown) [[unlikely]] {
        std::exception_ptr thrown = f->thrown;
        f->home->reclaim(*std::exchange(f, nullptr));
        std::rethrow_exception(std::move(thrown));
    }
    return 0;
}

bool has_finished(const fiber& f) noexcept {
    return f.state == fiber_state::finished;
}
void* task_of(fiber& f) noexcept {
    return f.task;
}
void cancel_wire(fiber& f) noexcept {
    if (f.state != fiber_state::finished) f.root.cancel();
}
void reclaim(fiber& f) noexcept {
    f.home->reclaim(f);
}
wire_ref ref_of(fiber& f) noexcept {
    return f.home->ref_of(f);
}

void let_go(fiber& f) noexcept {
    if (f.state != fiber_state::finished) {
        f.detached = true;
        return;
    }
    if (f.thrown) end_program(f, f.thrown);
    reclaim(f);
}

void end_wire(fiber& f) noexcept {
    if (f.state != fiber_state::finished) {
        WIRE_ASSERT(
            current_scheduler && current_scheduler->running(),
            "a handle of an unfinished wire is destroyed outside a wire: join or detach it");
        f.root.cancel();
        const shield against_cancellation;
        wait_for_end(f, never);
    }
    if (f.thrown) {
        char what[256];
        describe(f.thrown, what, sizeof what);
        report(diagnostic::failure, "wire \"%s\" ended by an exception and nobody joined it: %s",
               f.shown_name(), what);
    }
    reclaim(f);
}

}  // namespace wire::detail
