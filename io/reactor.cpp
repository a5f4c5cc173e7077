#include <wire/reactor.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <system_error>

#include <wire/diagnostics.hpp>
#include "reactor_epoll.hpp"
#include "reactor_uring.hpp"
#include "scheduler.hpp"
#include "valgrind.hpp"

namespace wire::io {
namespace {

backend_choice asked_for(backend_choice by_program) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): as safe as any getenv
    const char* const word = std::getenv("WIRE_REACTOR");
    if (by_program != backend_choice::automatic || !word) return by_program;
    const std::string_view name(word);
    if (name == "auto") return backend_choice::automatic;
    if (name == "io_uring") return backend_choice::io_uring;
    if (name == "epoll") return backend_choice::epoll;
    throw std::system_error(
        EINVAL, std::system_category(),
        "WIRE_REACTOR is \"" + std::string(name) + "\"; set it to auto, io_uring or epoll");
}

// Why this process gets no ring. One is made to find out, and given up again.
detail::ring_refusal refusal() noexcept {
    detail::ring trial;
    return trial.open();
}

detail::backend* choose_backend(backend_choice by_program) {
    const backend_choice choice = asked_for(by_program);
    if (choice == backend_choice::epoll) return new detail::reactor_epoll("epoll");
    if (choice == backend_choice::automatic && RUNNING_ON_VALGRIND)
        return new detail::reactor_epoll("epoll: Valgrind does not see what io_uring writes");
    const detail::ring_refusal no = refusal();
    if (!no) return new detail::reactor_uring("io_uring");
    if (choice == backend_choice::io_uring)
        detail::made(no.what, no.error ? -no.error : -ENOSYS,
                     "allow io_uring (kernel.io_uring_disabled, seccomp), or do not demand it");
    const std::string line = std::string("epoll: ") + no.what + ": " +
                             (no.error ? ::strerrorname_np(no.error) : "is not there");
    // Once, not by each of many threads.
    static std::atomic<std::size_t> said_last{0};
    const std::size_t this_one = std::hash<std::string>{}(line);
    // relaxed: nothing is read because of it.
    if (said_last.exchange(this_one, std::memory_order_relaxed) != this_one)
        wire::detail::report(diagnostic::fallback, "%s", line.c_str());
    return new detail::reactor_epoll(line);
}

detail::backend* make_backend(runtime& rt, const reactor_options& options) {
    auto helping = std::make_unique<detail::helpers>(rt.internals().shared(), options.helpers,
                                                     options.helpers_idle);
    detail::backend* const chosen = choose_backend(options.backend);
    chosen->helping = std::move(helping);
    return chosen;
}

}  // namespace

reactor::reactor(runtime& rt, const reactor_options& options)
    : runtime_(rt), backend_(make_backend(rt, options)) {
    runtime_.attach(backend_);
}

reactor::~reactor() {
    runtime_.internals().drain();
    backend_->recall();
    backend_->helping.reset();
    runtime_.attach(nullptr);
    backend_->retire();
}

std::string_view reactor::backend() const noexcept {
    return backend_->line();
}

std::string_view backend() noexcept {
    const detail::backend* const home = detail::backend::current();
    return home ? home->line() : "none";
}

}  // namespace wire::io
