#include "slab.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <system_error>

#include <wire/diagnostics.hpp>
#include "sanitizers.hpp"
#include "sys.hpp"
#include "valgrind.hpp"

namespace wire::detail {
namespace {

constexpr int madv_guard_install = 102;  // Linux 6.13; absent from the headers of older systems
constexpr std::size_t colours = 32;

// Set once the kernel has refused MADV_GUARD_INSTALL. relaxed: a hint, every thread may find out
// for itself.
constinit std::atomic<bool> install_refused{false};

[[noreturn]] void fail(const char* call, std::size_t already, const char* fix) {
    const int error = errno;
    throw std::system_error(error, std::system_category(),
                            std::string(call) + " for a wire's stack failed with " +
                                std::to_string(already) + " stacks in place; " + fix);
}

void* map(std::size_t length) {
    const auto p = sys::call("mmap", [&] {
        return reinterpret_cast<std::intptr_t>(
            ::mmap(nullptr, length, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0));
    });
    return p == -1 ? nullptr : reinterpret_cast<void*>(p);  // NOLINT(performance-no-int-to-ptr)
}

// One process_madvise for all. Returns how many of the guards are in place.
std::size_t install_in_one_call(std::span<const iovec> guards) noexcept {
    if (RUNNING_ON_VALGRIND) return 0;  // it knows neither call, and says so at length
    const int self = static_cast<int>(
        sys::call("pidfd_open", [] { return ::syscall(SYS_pidfd_open, ::getpid(), 0); }));
    if (self < 0) return 0;
    const auto bytes = sys::call("process_madvise", [&] {
        return ::syscall(SYS_process_madvise, self, guards.data(), guards.size(),
                         madv_guard_install, 0);
    });
    ::close(self);
    return bytes > 0 ? static_cast<std::size_t>(bytes) / guards[0].iov_len : 0;
}

// What one call leaves undone is done one by one. Returns how many of the guards are in place;
// errno says why not all.
std::size_t install_guards(std::span<const iovec> guards) noexcept {
    std::size_t done = install_in_one_call(guards);
    while (done < guards.size() && sys::call("madvise", [&g = guards[done]] {
                                       return ::madvise(g.iov_base, g.iov_len, madv_guard_install);
                                   }) == 0)
        ++done;
    return done;
}

std::size_t protect_guards(std::span<const iovec> guards) noexcept {
    std::size_t done = 0;
    while (done < guards.size() && sys::call("mprotect", [&g = guards[done]] {
                                       return ::mprotect(g.iov_base, g.iov_len, PROT_NONE);
                                   }) == 0)
        ++done;
    return done;
}

bool wants_install(guard_kind kind) noexcept {
    if (kind == guard_kind::automatic) return !install_refused.load(std::memory_order_relaxed);
    return kind == guard_kind::install;
}

void note_fallback(int error) noexcept {
    if (install_refused.exchange(true, std::memory_order_relaxed)) return;
    report(diagnostic::fallback,
           "madvise(MADV_GUARD_INSTALL): %s (Linux older than 6.13, or mlockall); stacks are "
           "guarded with mprotect, which allows about half of vm.max_map_count stacks",
           std::system_category().message(error).c_str());
}

}  // namespace

slab::slab(const stack_options& options, std::size_t count, std::size_t already)
    : options_(options),
      count_(count),
      length_(count * (options.guard + options.size) + options.guard) {
    base_ = static_cast<std::byte*>(map(length_));
    if (!base_)
        fail("mmap", already,
             "allow more memory (ulimit -v, vm.overcommit_memory, vm.max_map_count)");
    // A huge page would give every parked wire 2 MiB. Kernels without huge pages refuse: no harm.
    ::madvise(base_, length_, MADV_NOHUGEPAGE);
}

slab::~slab() {
    if (kept_) return;
    // Frames of wires that never returned are still marked; the addresses will be somebody else's.
    forget_frames(base_, base_ + length_);
    ::munmap(base_, length_);
}

std::byte* slab::guard_of(std::size_t index) const noexcept {
    return base_ + index * (options_.guard + options_.size);
}

stack slab::stack_of(std::size_t index) const noexcept {
    std::byte* const lowest = guard_of(index) + options_.guard;
    // Equal tops would compete for the same sets of the cache, so each starts a few lines lower
    // than its neighbour; all stay within the topmost page.
    return {lowest, lowest + options_.size - (index % colours) * cache_line};
}

std::size_t slab::batch() const noexcept {
    return std::min(batch_max, count_ - carved_);
}

void slab::guard(std::size_t first, std::size_t last, std::size_t already) {
    std::array<iovec, batch_max + 1> guards;
    const std::size_t n = last - first;
    for (std::size_t i = 0; i < n; ++i) guards[i] = {guard_of(first + i), options_.guard};
    const auto all = std::span(guards).first(n);

    std::size_t done = 0;
    if (wants_install(options_.guards)) {
        done = install_guards(all);
        if (done == n) return;
        if (options_.guards == guard_kind::install)
            fail("madvise(MADV_GUARD_INSTALL)", already, "Linux 6.13 or later is needed");
        note_fallback(errno);
    }
    done += protect_guards(all.subspan(done));
    if (done < n)
        fail("mprotect", already + done,
             "raise vm.max_map_count (sysctl -w vm.max_map_count=...): each stack needs two "
             "mappings");
}

void slab::carve(std::span<stack> out, std::size_t already) {
    const std::size_t n = batch();
    const bool last = carved_ + n == count_;
    guard(carved_, carved_ + n + (last ? 1 : 0), already);  // the last batch guards the slab's top
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = stack_of(carved_ + i);
        announce_stack(out[i]);
    }
    carved_ += n;
}

void announce_stack([[maybe_unused]] stack s) noexcept {
    VALGRIND_STACK_REGISTER(s.base, s.top);
}

}  // namespace wire::detail
