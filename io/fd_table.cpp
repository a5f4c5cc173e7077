#include "fd_table.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace wire::io::detail {
namespace {

void end_waits(wire::detail::list<fd_waiter>& queue, int error) noexcept {
    while (!queue.empty()) {
        fd_waiter& w = queue.front();
        w.error = error;
        take_out(w);
    }
}

}  // namespace

fd_entry* fd_table::add(int fd) noexcept try {
    const auto n = static_cast<std::size_t>(fd);
    if (n >= by_number_.size()) by_number_.resize(std::max(n + 1, 2 * by_number_.size()));
    if (!free_) {
        fd_entry& fresh = entries_.emplace_back();
        fresh.index = static_cast<std::uint32_t>(entries_.size() - 1);
        fresh.home = &home_;
        free_ = &fresh;
    }
    fd_entry& e = *std::exchange(free_, free_->next_free);
    e.fd = fd;
    e.foreign = e.short_means_empty = e.gathers_sends = false;
    for (auto& d : e.directions) d.ready = d.ended = d.taken = false;
    by_number_[n] = &e;
    return &e;
} catch (const std::bad_alloc&) {
    return nullptr;
}

fd_entry* fd_table::find_or_add(int fd) noexcept {
    if (fd_entry* const known = find(fd)) return known;
    fd_entry* const e = add(fd);
    if (e) e->foreign = true;
    return e;
}

void fd_table::remove(fd_entry& e, int error) noexcept {
    for (auto& d : e.directions) {
        end_waits(d.turns, error);
        end_waits(d.waiters, error);
    }
    auto& known = by_number_[static_cast<std::size_t>(e.fd)];
    if (known == &e) known = nullptr;
    ++e.generation;
    e.fd = -1;
    e.next_free = free_;
    free_ = &e;
}

}  // namespace wire::io::detail
