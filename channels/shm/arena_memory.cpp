#include <cstring>

#include "arena_state.hpp"

namespace wire::shm::detail {

namespace {
// So many blocks are looked at before another slab is taken: then a user with much in use does not
// look at all of it each time.
constexpr std::size_t looks_max = 64;
constexpr std::size_t all = SIZE_MAX;
}  // namespace

result<std::span<std::byte>> arena_state::allocate(std::size_t n) {
    if (n == 0) return failure{EINVAL};
    const std::uint8_t c = size_classes::of(n);
    if (c == size_classes::none) return allocate_run(n);
    std::optional<block> b = slabs_->take(c, n, looks_max);
    if (!b) b = more(c, n);
    if (!b) return size_classes::pages(c) > 1 ? allocate_run(n) : failure{ENOMEM};
    ++records_;
    return std::span(b->bytes(), n);
}

// From another slab; or from any, if there is no memory for one.
std::optional<arena_state::block> arena_state::more(std::uint8_t c, std::size_t n) {
    slabs_->reserve(c);
    if (add_slab(c)) return slabs_->take(c, n, looks_max);
    if (auto b = slabs_->take(c, n, all)) return b;
    const locked guard(*this);
    reclaim();
    if (!make_slab(c) && !adopt_slab(c)) return std::nullopt;
    return slabs_->take(c, n, all);
}
bool arena_state::add_slab(std::uint8_t c) noexcept {
    const locked guard(*this);
    return make_slab(c);
}
bool arena_state::make_slab(std::uint8_t c) noexcept {
    const std::uint32_t pages = size_classes::pages(c);
    // A hostile user may declare pages free that are not.
    if (slabs_->count() >= map().geometry.pages) return false;
    const auto at = blocks_->pages().find(pages);
    if (!at) return false;
    std::byte* block_at = map().heap() + std::uint64_t{*at} * page;
    for (std::uint32_t i = 0; i < size_classes::blocks(c); ++i, block_at += size_classes::sizes[c])
        block(block_at).set(block_word::nobody, 0);
    blocks_->pages().make(*at, page_word::slab, me_, c, pages);
    slabs_->add(c, *at);
    return true;
}
// One that somebody has left behind, with records that others hold.
bool arena_state::adopt_slab(std::uint8_t c) noexcept {
    std::optional<std::uint32_t> found;
    blocks_->pages().for_each([&](std::uint32_t first, std::uint64_t w) {
        if (found || page_word::kind_of(w) != page_word::slab || page_word::class_of(w) != c ||
            page_word::user_of(w) != block_word::nobody ||
            page_word::pages_of(w) != size_classes::pages(c) ||
            blocks_->pages().length(first, w) != size_classes::pages(c))
            return;
        blocks_->for_each_in(first, w, [&](block b) {
            if (b.holder() == block_word::nobody) found = first;
        });
    });
    if (!found || slabs_->count() >= map().geometry.pages) return false;
    blocks_->pages().set(*found, page_word::make(page_word::slab, me_, c, size_classes::pages(c)));
    slabs_->add(c, *found);
    return true;
}

result<std::span<std::byte>> arena_state::allocate_run(std::size_t n) noexcept {
    if (n > map().heap_bytes()) return failure{ENOMEM};
    const auto pages = static_cast<std::uint32_t>((n + size_classes::overhead + page - 1) / page);
    const locked guard(*this);
    const auto at = find_pages(pages);
    if (!at) return failure{ENOMEM};
    const block b = blocks_->first_of(*at);
    b.set(me_, n);
    blocks_->pages().make(*at, page_word::run, block_word::nobody, 0, pages);
    ++records_;
    return std::span(b.bytes(), n);
}
std::optional<std::uint32_t> arena_state::find_pages(std::uint32_t n) noexcept {
    const auto at = blocks_->pages().find(n);
    if (at) return at;
    reclaim();
    return blocks_->pages().find(n);
}
// What the dead have held, and this user's slabs that hold nothing.
void arena_state::reclaim() noexcept {
    bury_the_dead();
    slabs_->remove_if([this](std::uint32_t first) {
        if (!recovery().is_empty(first, blocks_->pages().get(first))) return false;
        blocks_->pages().give_back(first);
        return true;
    });
    recovery().give_back_empty();
}

bool arena_state::free(bytes record) noexcept {
    --records_;
    if (!holds(record)) return false;
    const block b = block::of(record.data());
    const std::uint64_t begin = blocks_->offset_of(b) - size_classes::overhead;
    const auto first = static_cast<std::uint32_t>(begin / page);
    // Only the first block of a page can be a run.
    if (begin % page == 0 && page_word::kind_of(blocks_->pages().get(first)) == page_word::run)
        free_run(first, b);
    else
        b.set(block_word::nobody, 0);
    return true;
}
bool arena_state::holds(bytes record) const noexcept {
    return block::of(record.data()).word() == block_word::make(me_, record.size());
}
void arena_state::free_run(std::uint32_t first_page, block b) noexcept {
    const locked guard(*this);
    blocks_->pages().give_back(first_page);
    b.set(block_word::nobody, 0);
}
bool arena_state::adopt(bytes record) noexcept {
    const auto heap = reinterpret_cast<std::uintptr_t>(map().heap());
    const auto at = reinterpret_cast<std::uintptr_t>(record.data());
    if (at < heap || at - heap >= map().heap_bytes()) return false;
    if (!blocks_->at_offset(at - heap) || record.empty() || !holds(record)) return false;
    ++records_;
    return true;
}

// ---- shared segments

result<std::span<std::byte>> arena_state::add_segment(std::uint32_t id, std::size_t n,
                                                      const arena::initialiser& initialise,
                                                      deadline until) {
    if (n == 0) return failure{EINVAL};
    if (const int error = begin_call()) return failure{error};
    sleeper sleeps;
    for (;;) {
        // [C'] acquire: what has changed. Pairs with [C].
        const std::uint32_t seen = header().changed.load(std::memory_order_acquire);
        bool is_mine = false;
        result<bytes> memory = find_or_make_segment(id, n, is_mine);
        if (is_mine && memory) return initialised(id, *memory, initialise);
        if (memory.code() != EAGAIN) return memory;
        const std::int64_t now = arena_sync::now_ns();
        if (now >= until.ns()) return failure{ETIMEDOUT};
        // Whoever makes it may have died: that is asked now and then.
        const deadline look = deadline::at_ns(now + look_every_ns);
        if (const int error = sleeps.sleep(header().changed, seen, std::min(look, until)))
            return failure{error};
    }
}
result<std::span<std::byte>> arena_state::initialised(std::uint32_t id, bytes memory,
                                                      const arena::initialiser& initialise) {
    std::memset(memory.data(), 0, memory.size());
    try {
        initialise(memory);
    } catch (...) {
        settle_segment(id, block_word::nobody);
        throw;
    }
    settle_segment(id, arena_map::segment_type::ready);
    return memory;
}
void arena_state::settle_segment(std::uint32_t id, std::uint32_t state) noexcept {
    const locked guard(*this);
    // relaxed: the lock orders what is in it.
    if (const auto n = find_segment(id))
        map().segment(*n).state.store(state, std::memory_order_relaxed);
    notify();
}
// EAGAIN: somebody else makes it, who lives. `is_mine`: this user is to initialise it.
result<std::span<std::byte>> arena_state::find_or_make_segment(std::uint32_t id, std::size_t n,
                                                               bool& is_mine) {
    const locked guard(*this);
    auto at = find_segment(id);
    if (!at) {
        const result<std::uint32_t> made = make_segment(id, n);
        if (!made) return failure{made.code()};
        at = *made;
        is_mine = true;
    }
    auto& s = map().segment(*at);
    const bytes memory = memory_of(s);
    if (memory.size() != n) return failure{memory.empty() ? EBADMSG : EINVAL};
    const std::uint32_t state = s.state.load(std::memory_order_relaxed);
    if (is_mine || state == arena_map::segment_type::ready) return memory;
    if (lives(state)) return failure{EAGAIN};
    s.state.store(me_, std::memory_order_relaxed);
    is_mine = true;
    return memory;
}
result<std::uint32_t> arena_state::make_segment(std::uint32_t id, std::size_t n) noexcept {
    std::uint32_t free = 0;
    while (free < segments_max && map().segment(free).id.load(std::memory_order_relaxed) != 0)
        ++free;
    if (free == segments_max) return failure{EUSERS};
    if (n > map().heap_bytes()) return failure{ENOMEM};
    const auto pages = static_cast<std::uint32_t>((n + page - 1) / page);
    const auto first = find_pages(pages);
    if (!first) return failure{ENOMEM};
    auto& s = map().segment(free);
    s.first.store(*first, std::memory_order_relaxed);
    s.bytes.store(n, std::memory_order_relaxed);
    s.state.store(me_, std::memory_order_relaxed);
    // [K] release: all of it before, and the pages after: one without pages is dropped by whoever
    // takes the lock over. Pairs with [Q'].
    s.id.store(std::uint64_t{id} + 1, std::memory_order_release);
    blocks_->pages().make(*first, page_word::segment, block_word::nobody, 0, pages);
    return free;
}
result<std::span<std::byte>> arena_state::segment(std::uint32_t id) {
    const locked guard(*this);
    const auto n = find_segment(id);
    if (!n) return failure{ENOENT};
    const auto& s = map().segment(*n);
    if (s.state.load(std::memory_order_relaxed) != arena_map::segment_type::ready)
        return failure{EAGAIN};
    const bytes memory = memory_of(s);
    return memory.empty() ? failure{EBADMSG} : result(memory);
}
std::optional<std::uint32_t> arena_state::find_segment(std::uint32_t id) const noexcept {
    for (std::uint32_t n = 0; n < segments_max; ++n)
        if (map().segment(n).id.load(std::memory_order_relaxed) == std::uint64_t{id} + 1) return n;
    return std::nullopt;
}
// Empty: somebody has damaged it.
std::span<std::byte> arena_state::memory_of(const arena_map::segment_type& s) const noexcept {
    const std::uint32_t first = s.first.load(std::memory_order_relaxed);
    const std::uint64_t n = s.bytes.load(std::memory_order_relaxed);
    if (first >= map().geometry.pages) return {};
    const std::uint64_t begin = first * std::uint64_t{page};
    if (n > map().heap_bytes() - begin) return {};
    return {map().heap() + begin, n};
}
void arena_state::drop_unmade_segments() noexcept {
    const basic_arena_pages<arena_sync> pages(map());
    for (std::uint32_t n = 0; n < segments_max; ++n) {
        auto& s = map().segment(n);
        const std::uint32_t first = s.first.load(std::memory_order_relaxed);
        if (s.id.load(std::memory_order_relaxed) != 0 && first < map().geometry.pages &&
            page_word::kind_of(pages.get(first)) != page_word::segment)
            s.id.store(0, std::memory_order_relaxed);
    }
}

}  // namespace wire::shm::detail
