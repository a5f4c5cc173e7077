#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <system_error>

#include <wire/assert.hpp>
#include <wire/stack.hpp>
#include "canary.hpp"
#include "sanitizers.hpp"
#include "slab.hpp"
#include "valgrind.hpp"

namespace wire {
namespace {

constexpr std::size_t slab_first = 64;  // stacks; later slabs double up to slab_max
constexpr std::size_t slab_max = 16 * 1024;
// Where overcommitting is forbidden a mapping counts in full, so few large stacks share one.
constexpr std::size_t slab_bytes_max = std::size_t{2} << 30;

std::size_t round_up(std::size_t bytes, std::size_t unit) noexcept {
    return (bytes + unit - 1) / unit * unit;
}

std::size_t page_size() noexcept {
    return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// The part of the caller's memory that begins where a stack may.
std::span<std::byte> aligned(std::span<std::byte> memory) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::size_t skipped = round_up(at, cache_line) - at;
    return memory.subspan(std::min(skipped, memory.size()));
}

}  // namespace

stack_cache::stack_cache(const stack_options& options) : options_(options) {
    WIRE_ASSERT(options.size >= stack_size_min && options.size <= stack_size_max,
                "a stack is 16 KiB at least and 1 GiB at most");
    if (has_canaries()) {
        options_.size = round_up(options.size, cache_line);
        options_.guard = 0;
        return;
    }
    WIRE_ASSERT(options.guard > 0 && options.guard <= stack_size_max,
                "a stack needs a guard below it, of 1 GiB at most");
    options_.size = round_up(options.size, page_size());
    options_.guard = round_up(options.guard, page_size());
}

stack_cache::~stack_cache() {
    if (!has_canaries()) return;
    // Frames of wires that never returned are still marked; the caller uses the memory again.
    [[maybe_unused]] std::byte* const lowest = options_.memory.data();
    detail::forget_frames(lowest, lowest + options_.memory.size());
    VALGRIND_MAKE_MEM_UNDEFINED(lowest, options_.memory.size());
}

void stack_cache::keep() noexcept {
    for (const auto& slab : slabs_) slab->keep();
}

void stack_cache::grow() {
    if (has_canaries())
        cut_one();
    else
        map_more();
}

// The next stack of the caller's memory, lowest first: what is not used is not touched.
void stack_cache::cut_one() {
    const std::span<std::byte> memory = aligned(options_.memory);
    const std::size_t fit = memory.size() / options_.size;
    if (total_ == fit)
        throw std::system_error(ENOMEM, std::system_category(),
                                "the caller's memory (stack_options::memory) has room for " +
                                    std::to_string(fit) + " stacks of " +
                                    std::to_string(options_.size) + " bytes, and all are in use");
    free_.reserve(fit);  // so that release() never allocates
    std::byte* const base = memory.data() + total_ * options_.size;
    const stack s{base, base + options_.size};
    detail::write_canary(s);
    detail::announce_stack(s);
    free_.push_back(s);
    ++total_;
    cold_ = 1;
}

bool stack_cache::intact(const stack& s) const noexcept {
    return !has_canaries() || detail::canary_intact(s);
}

void stack_cache::map_more() {
    if (slabs_.empty() || slabs_.back()->exhausted()) {
        const std::size_t fit = slab_bytes_max / (options_.size + options_.guard);
        const std::size_t count =
            std::min(std::clamp(total_, slab_first, slab_max), std::max<std::size_t>(fit, 1));
        slabs_.push_back(std::make_unique<detail::slab>(options_, count, total_));
    }
    detail::slab& slab = *slabs_.back();
    const std::size_t n = slab.batch();
    // Room for every stack there is, so that release() never allocates.
    if (free_.capacity() < total_ + n) free_.reserve(std::max(total_ + n, 2 * total_));
    std::array<stack, detail::slab::batch_max> fresh;
    slab.carve(std::span(fresh).first(n), total_);
    // The lowest stack is handed out first, so that a small program stays in few pages.
    free_.assign(std::make_reverse_iterator(fresh.begin() + static_cast<std::ptrdiff_t>(n)),
                 fresh.rend());
    total_ += n;
    cold_ = n;
}

std::size_t stack_cache::trim(std::size_t budget) noexcept {
    if (has_canaries()) return 0;  // what lies in the caller's memory is the caller's affair
    std::size_t trimmed = 0;
    while (trimmed < budget && free_.size() - cold_ > options_.warm_max) {
        const stack s = free_[cold_++];
        // The top page is included: the next wire on this stack starts from zeroed memory.
        const auto end = reinterpret_cast<std::uintptr_t>(s.base) + options_.size;
        ::madvise(s.base, end - reinterpret_cast<std::uintptr_t>(s.base), MADV_DONTNEED);
        ++trimmed;
    }
    return trimmed;
}

}  // namespace wire
