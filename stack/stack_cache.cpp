#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <span>

#include <wire/assert.hpp>
#include <wire/stack.hpp>
#include "slab.hpp"
#include "sys.hpp"

namespace wire {
namespace {

constexpr std::size_t size_min = 16 * 1024;  // a signal frame with AVX-512 state takes 3.4 KiB
constexpr std::size_t size_max = std::size_t{1} << 30;
constexpr std::size_t slab_first = 64;  // stacks; later slabs double up to slab_max
constexpr std::size_t slab_max = 16 * 1024;

std::size_t whole_pages(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return (bytes + page - 1) / page * page;
}

}  // namespace

stack_cache::stack_cache(const stack_options& options) : options_(options) {
    WIRE_ASSERT(options.size >= size_min && options.size <= size_max,
                "a stack is 16 KiB at least and 1 GiB at most");
    WIRE_ASSERT(options.guard > 0 && options.guard <= size_max, "a stack needs a guard below it");
    options_.size = whole_pages(options.size);
    options_.guard = whole_pages(options.guard);
}

stack_cache::~stack_cache() = default;

void stack_cache::grow() {
    if (slabs_.empty() || slabs_.back()->exhausted()) {
        const std::size_t count = std::clamp(total_, slab_first, slab_max);
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
