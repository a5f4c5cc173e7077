#include <wire/runtime.hpp>

#include "scheduler.hpp"

namespace wire {

runtime::runtime(const runtime_options& options)
    : scheduler_(std::make_unique<detail::scheduler>(options)) {}

runtime::~runtime() {
    scheduler_->end();
}

result<void> runtime::run() {
    return scheduler_->run();
}

bool runtime::run_once(std::chrono::nanoseconds budget) {
    return scheduler_->run_once(budget);
}

void runtime::stop() noexcept {
    scheduler_->shared().ask_to_stop();
}

remote runtime::remote() const noexcept {
    return wire::remote(scheduler_->shared());
}
void runtime::cancel_all() noexcept {
    scheduler_->cancel_all();
}
std::size_t runtime::size() const noexcept {
    return scheduler_->size();
}
void runtime::attach(poller* p) noexcept {
    scheduler_->attach(p);
}

work_guard::work_guard(runtime& rt) noexcept : scheduler_(*rt.scheduler_) {
    scheduler_.hold(+1);
}
work_guard::~work_guard() {
    scheduler_.hold(-1);
}

}  // namespace wire
