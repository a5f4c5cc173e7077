#include "call.hpp"

#include <cerrno>
#include <exception>
#include <new>
#include <utility>

#include <wire/detail/park.hpp>
#include <wire/remote.hpp>
#include "scheduler.hpp"

namespace wire::detail {

// The nodes that a call sends, each once. What they do is in open().
enum class step { request, reply, abort };

template <step>
struct call_node : inbox_node {
    call_node() noexcept;
};

/// The node of a call; the callable, later its result, lies behind it in the same memory. As a link
/// it is in its runtime's list of calls that have begun.
class call : public call_node<step::request>,
             public call_node<step::reply>,
             public call_node<step::abort>,
             public link {
public:
    static call* make(const task_shape& shape, void* bound);

    // On the callee's thread.
    void begin(scheduler& on);
    void refuse() noexcept { finish(EPIPE); }
    void cancel() noexcept {
        if (wire_) cancel_wire(*wire_);
    }
    void abandon() noexcept;

    // On the caller's.
    int await(shared_state& to, deadline until);
    void wake_caller() noexcept {
        if (sleeper_) wake(*sleeper_);
    }
    void drop() noexcept {
        if (state_.drop()) destroy(this);
    }
    [[nodiscard]] void* result() noexcept { return shape_.result(task_); }
    [[nodiscard]] std::exception_ptr take_exception() noexcept { return std::move(thrown_); }

private:
    enum class content : std::uint8_t { callable, nothing, result };

    call(const task_shape& shape, void* task) noexcept : shape_(shape), task_(task) {}
    ~call() { drop_content(); }

    static std::size_t room_for(const task_shape& shape) noexcept;
    static std::align_val_t alignment_of(const task_shape& shape) noexcept;
    static void destroy(call* c) noexcept;

    void serve() noexcept;
    void finish(int error) noexcept;
    void drop_content() noexcept;
    int wait_for_reply(deadline until) noexcept;
    int block_thread(const shared_state& to, deadline until) noexcept;

    basic_call<real_sync> state_;
    const task_shape& shape_;
    void* const task_;

    // The caller's, but for what the callee reads when the call is wanted: home_.
    remote home_;  // the caller's runtime; empty: a thread waits
    waiter* sleeper_ = nullptr;

    // The callee's until finish(), then the caller's.
    fiber* wire_ = nullptr;  // while it runs
    content holds_ = content::callable;
    int error_ = 0;
    std::exception_ptr thrown_;
};

namespace {

// `on` is the callee's scheduler, but for a reply the caller's; nullptr if that has ended.
template <step S>
void open(inbox_node& node, scheduler* on) {
    call& c = static_cast<call&>(static_cast<call_node<S>&>(node));
    if (S == step::request) return on ? c.begin(*on) : c.refuse();
    if (S == step::reply && on) c.wake_caller();
    if (S == step::abort && on) c.cancel();
    c.drop();  // the reference of whoever sent it
}

}  // namespace

template <step S>
call_node<S>::call_node() noexcept : inbox_node(&open<S>, S == step::request) {}

// ---- memory

std::align_val_t call::alignment_of(const task_shape& shape) noexcept {
    return std::align_val_t(std::max(alignof(call), shape.alignment));
}

std::size_t call::room_for(const task_shape& shape) noexcept {
    const std::size_t a = shape.alignment;
    return (sizeof(call) + a - 1) / a * a;
}

call* call::make(const task_shape& shape, void* bound) {
    const std::size_t offset = room_for(shape);
    const auto alignment = alignment_of(shape);
    void* const memory = ::operator new(offset + shape.size, alignment);
    void* const task = static_cast<std::byte*>(memory) + offset;
    try {
        shape.construct(task, bound);
    } catch (...) {
        ::operator delete(memory, alignment);
        throw;
    }
    return ::new (memory) call(shape, task);
}

void call::destroy(call* c) noexcept {
    const auto alignment = alignment_of(c->shape_);
    c->~call();
    ::operator delete(static_cast<void*>(c), alignment);
}

void call::drop_content() noexcept {
    const content was = std::exchange(holds_, content::nothing);
    if (was == content::callable) shape_.drop_callable(task_);
    if (was == content::result && shape_.drop_result) shape_.drop_result(task_);
}

// ---- the callee's side

// Throws if there is no stack; nothing has happened then.
void call::begin(scheduler& on) {
    if (state_.is_given_up()) return drop();
    wire_ = &start_task<void>({on}, {.name = "call"}, false, [this] { serve(); });
    on.calls().push_back(*this);
}

void call::serve() noexcept {
    std::exception_ptr thrown;
    holds_ = content::nothing;  // run() destroys the callable
    try {
        shape_.run(task_);
        holds_ = content::result;
    } catch (...) {
        thrown = std::current_exception();
    }
    // Not in the handler, which would still have a part in the exception after finish().
    thrown_ = std::move(thrown);
    unlink();
    wire_ = nullptr;
    finish(0);
}

void call::finish(int error) noexcept {
    error_ = error;
    if (!state_.finish()) {
        // What nobody takes ends here, on the thread that has made it.
        drop_content();
        thrown_ = nullptr;
        return drop();
    }
    if (!home_) {
        state_.notify();
        return drop();
    }
    // The reply takes our reference along: where it has been posted this may be gone.
    if (!home_.checked().post(static_cast<call_node<step::reply>&>(*this))) drop();
}

// The wire has not ended although its runtime does; what it uses is never destroyed.
void call::abandon() noexcept {
    unlink();
    wire_ = nullptr;
    finish(EPIPE);
}

void abandon_calls(list<link>& calls) noexcept {
    for (link* l = calls.next(nullptr); l;) {
        link* const after = calls.next(l);
        static_cast<call&>(*l).abandon();
        l = after;
    }
}

// ---- the caller's side

int call::wait_for_reply(deadline until) noexcept {
    waiter me;
    sleeper_ = &me;
    const int error = park("call", until);
    sleeper_ = nullptr;
    return error;
}

int call::block_thread(const shared_state& to, deadline until) noexcept {
    WIRE_ASSERT(!current_scheduler() && to.owner.load(std::memory_order_relaxed) != this_thread(),
                "remote::call() on a runtime's thread outside its wires: they could not run");
    return state_.await(until, &is_past) ? 0 : ETIMEDOUT;
}

// Returns with the outcome, or without our reference: then the call is over for us.
int call::await(shared_state& to, deadline until) {
    const bool on_a_wire = running_or_none() != nullptr;
    if (on_a_wire) home_ = this_wire::remote();
    if (!to.post(static_cast<call_node<step::request>&>(*this))) {
        destroy(this);
        return EPIPE;
    }
    const int gave_up = on_a_wire ? wait_for_reply(until) : block_thread(to, until);
    if (!gave_up || !state_.give_up()) {
        const int error = error_;
        if (error) drop();
        return error;
    }
    home_ = remote();  // nobody will come from there: our wires may be a deadlock
    if (!to.post(static_cast<call_node<step::abort>&>(*this))) drop();
    return gave_up;
}

outgoing_call::outgoing_call(const remote& to, deadline until, const task_shape& shape,
                             void* bound) {
    // A copy, since `to` may be gone before we return.
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
    const remote target = to;
    if (running_or_none()) error_ = check_cancelled();
    if (error_) return;
    call* const c = call::make(shape, bound);
    error_ = c->await(target.checked(), until);
    if (error_) return;
    if (std::exception_ptr thrown = c->take_exception()) {
        c->drop();
        std::rethrow_exception(std::move(thrown));
    }
    call_ = c;
}

outgoing_call::~outgoing_call() {
    if (call_) call_->drop();
}

void* outgoing_call::result() const noexcept {
    return call_->result();
}

}  // namespace wire::detail
