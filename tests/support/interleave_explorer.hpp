// The threads of an execution, and who runs next. See interleave.hpp.
//
// Control goes from fiber to fiber; whoever gives it up picks the successor. Before an access a
// thread may be preempted (step); where it cannot go on it gives way (give_way), which is no
// preemption. A thread that has just been given control goes on to its next access at once:
// anything else would equal a schedule in which it was not chosen.
#pragma once

#include <functional>
#include <span>
#include <utility>

#include "interleave_fiber.hpp"
#include "interleave_memory.hpp"
#include "interleave_search.hpp"

namespace interleave {

struct options {
    int preemptions = 2;  // switches away from a thread that could have gone on, in one execution
    int early_wakes = 0;  // sleeps that end though nobody woke the thread, in one execution
    std::uint64_t executions_max = 3'000'000;
    std::uint64_t samples = 0;      // executions at random after these, unless they were all
    int steps_max = 5'000;          // of one execution; more is taken for a hang
    std::int64_t tick_ns = 10'000;  // by which the virtual clock advances when it is read
};

namespace detail {

/// A thread's body, which lies in the frame of whoever called run().
struct body {
    void* callable;
    void (*call)(void*);
};

constexpr const char* not_repeated = "the scenario does not repeat itself";

/// Thrown in the scenario's own frame when its execution has failed.
struct abandoned {};

class explorer {
public:
    explorer(const options& o, const schedule& start) : choices(start), options_(o) {
        for (std::size_t i = 1; i <= threads_max; ++i)
            threads_[i].flow.start(stacks_[i - 1], &main_of_thread);
    }

    search choices;
    trace log;
    tso_memory memory{choices, log};
    std::string failure;  // of the last execution

    /// Runs the scenario once, along the path of `choices`.
    void execute(const std::function<void()>& scenario) {
        choices.restart();
        memory.reset();
        time_ = 0;
        steps_ = 0;
        preemptions_ = options_.preemptions;
        early_wakes_ = options_.early_wakes;
        try {
            scenario();
            if (!choices.same_tree()) failure = not_repeated;
        } catch (const abandoned&) {
        }
    }

    /// The threads, from the scenario's frame; returns when all have ended.
    void run(std::span<const body> bodies) {
        memory.fork();
        last_ = bodies.size();
        for (std::size_t i = 1; i <= last_; ++i) start(i, bodies[i - 1]);
        switch_to(successor());
        running_ = 0;
        if (!failure.empty()) {
            memory.drop_buffers();
            throw abandoned{};
        }
        memory.merge();
    }

    /// Ends the execution. Its threads are not unwound.
    [[noreturn]] void fail(const char* sentence) {
        failure = sentence;
        log.line(running_, "FAILS: %s", sentence);
        if (running_ == 0) throw abandoned{};
        self().flow.switch_to(threads_[0].flow);
        __builtin_unreachable();
    }

    /// Before every access: other threads may come first. Returns the thread's number.
    std::size_t step() {
        if (running_ == 0) return 0;
        count_step();
        if (std::exchange(self().fresh, false) || preemptions_ == 0) return running_;
        gather([this](std::size_t i) { return i == running_; });
        add([this](std::size_t i) {
            return i != running_ && (can_go_on(i) || (early_wakes_ > 0 && asleep(i)));
        });
        const std::size_t chosen = candidates_[choices.choose_seldom_another(count_)];
        if (chosen != running_) --preemptions_;
        switch_to(chosen);
        return running_;
    }

    /// A system call is a barrier too.
    std::size_t system_call() {
        const std::size_t me = step();
        memory.barrier(me);
        return me;
    }

    /// Ends the running thread here: it is killed, and its frames are not unwound. What it has
    /// stored arrives.
    [[noreturn]] void kill() {
        memory.barrier(running_);
        log.line(running_, "is killed");
        self().status = status::finished;
        self().killed = true;
        switch_to(successor());
        __builtin_unreachable();
    }

    /// A thread that spins goes on only once something may look different to it.
    void pause() {
        count_step();
        give_way(status::spinning);
        self().changes_seen = memory.changes_for(running_);
        self().read_clock = false;
    }

    std::int64_t now() {
        self().read_clock = true;
        return time_ += options_.tick_ns;
    }

    /// Sleeps until wake(`on`), or until a time. False: nobody woke us.
    bool sleep(const void* on, std::optional<std::int64_t> until) {
        count_step();
        log.line(running_, "sleeps");
        self().sleeps_on = on;
        self().until = until;
        self().woken = false;
        give_way(status::asleep);
        if (!self().woken && until) time_ = std::max(time_, *until);
        log.line(running_, self().woken ? "is woken" : "wakes early");
        return self().woken;
    }

    /// Wakes `count` of those that sleep on `on`, any of them.
    void wake(const void* on, int count) {
        for (; count > 0; --count) {
            gather([&](std::size_t i) { return asleep(i) && threads_[i].sleeps_on == on; });
            if (count_ == 0) return;
            thread& t = threads_[pick()];
            t.status = status::ready;
            t.woken = true;
        }
    }

    void futex_wait(cell word, std::uint64_t expected, std::optional<std::int64_t> until) {
        const std::size_t me = system_call();
        if (memory.load(me, word, std::memory_order_relaxed) == expected) sleep(word.at, until);
    }

    [[nodiscard]] std::size_t running() const { return running_; }

private:
    enum class status { finished, ready, spinning, asleep };

    struct thread {
        fiber flow;
        body work{};
        explorer::status status = explorer::status::finished;
        bool fresh = false;  // was given control and made no access yet
        const void* sleeps_on = nullptr;
        std::optional<std::int64_t> until;  // which time it sleeps
        bool woken = false;
        bool killed = false;             // its flow never goes on
        std::uint64_t changes_seen = 0;  // made by others, when its last pause ended
        bool read_clock = false;         // since then
    };

    thread& self() { return threads_[running_]; }

    void start(std::size_t i, const body& b) {
        thread& t = threads_[i];
        if (std::exchange(t.killed, false)) t.flow.start(stacks_[i - 1], &main_of_thread);
        t.work = b;
        t.status = status::ready;
        t.fresh = true;
        t.changes_seen = memory.changes_for(i);
        t.read_clock = false;
    }

    static void main_of_thread(boost::context::detail::transfer_t) noexcept;

    void count_step() {
        if (running_ == 0) fail("the scenario's frame would wait for ever: no thread runs now");
        if (++steps_ > options_.steps_max)
            fail("endless: an execution of more than steps_max steps");
    }

    void give_way(status until_chosen) {
        self().status = until_chosen;
        switch_to(successor());
        self().status = status::ready;
        self().fresh = true;
    }

    void switch_to(std::size_t chosen) {
        thread& from = self();
        thread& to = threads_[chosen];
        if (to.status == status::spinning && !sees_something_new(chosen))
            memory.bring_a_change(chosen);
        if (to.status == status::asleep) --early_wakes_;
        running_ = chosen;
        if (&from != &to) from.flow.switch_to(to.flow);
    }

    // Who runs when this thread gives way: any of those that can go on; if none can, one whose time
    // passes; the scenario's frame when all have ended.
    std::size_t successor() {
        gather([this](std::size_t i) { return can_go_on(i); });
        if (count_ == 0) {
            gather([this](std::size_t i) { return asleep(i) && threads_[i].until; });
            if (count_ == 0) return end_of_threads();
            const std::size_t chosen = pick();
            threads_[chosen].status = status::ready;
            return chosen;
        }
        if (early_wakes_ > 0) add([this](std::size_t i) { return asleep(i); });
        return pick();
    }

    std::size_t end_of_threads() {
        bool all_finished = true;
        for (std::size_t i = 1; i <= last_; ++i) {
            if (threads_[i].status == status::finished) continue;
            all_finished = false;
            log.line(i, asleep(i) ? "sleeps for ever" : "spins for ever");
        }
        if (!all_finished) fail("deadlock: no thread can go on");
        return 0;
    }

    [[nodiscard]] bool asleep(std::size_t i) const { return threads_[i].status == status::asleep; }
    [[nodiscard]] bool can_go_on(std::size_t i) const {
        if (threads_[i].status != status::spinning) return threads_[i].status == status::ready;
        return sees_something_new(i) || memory.others_buffer(i);
    }
    [[nodiscard]] bool sees_something_new(std::size_t i) const {
        return threads_[i].read_clock || threads_[i].changes_seen != memory.changes_for(i);
    }

    template <class F>
    void gather(F condition) {
        count_ = 0;
        add(condition);
    }
    template <class F>
    void add(F condition) {
        for (std::size_t i = 1; i <= last_; ++i)
            if (condition(i)) candidates_[count_++] = i;
    }
    std::size_t pick() { return candidates_[choices.choose(count_)]; }

    const options options_;
    fiber_stack stacks_[threads_max];
    thread threads_[threads_max + 1];  // the first is the scenario's own frame
    std::size_t last_ = 0;
    std::size_t running_ = 0;
    std::size_t candidates_[threads_max];
    std::size_t count_ = 0;  // of the candidates
    int steps_ = 0;
    int preemptions_ = 0;  // left
    int early_wakes_ = 0;  // left
    std::int64_t time_ = 0;
};

/// The one at work: atomics find it here.
inline explorer* current = nullptr;

/// Who used a piece of plain data, and when.
class uses {
public:
    void read() {
        const clock& now = check(changed_);
        read_.of[current->running()] = now.of[current->running()];
    }
    void change() {
        check(read_);
        const clock& now = check(changed_);
        changed_.of[current->running()] = now.of[current->running()];
    }
    void retire() {
        change();
        retired_ = true;
    }

private:
    const clock& check(const clock& earlier) const {
        const clock& now = current->memory.now(current->running());
        if (retired_) current->fail("plain data is used after retire()");
        if (!now.covers(earlier)) current->fail("race: acquire and release do not order two uses");
        return now;
    }

    clock read_{};
    clock changed_{};
    bool retired_ = false;
};

inline void explorer::main_of_thread(boost::context::detail::transfer_t) noexcept {
    explorer& e = *current;
    for (;;) {  // one round per set of threads that it is a part of
        e.self().work.call(e.self().work.callable);
        e.self().status = status::finished;
        e.switch_to(e.successor());
    }
}

}  // namespace detail
}  // namespace interleave
