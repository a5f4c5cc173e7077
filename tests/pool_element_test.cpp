// pool<T>'s elements and their memory.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <array>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include <wire/pool.hpp>
#include "support/count_malloc.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/pools.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// Counts what is made and destroyed, and that of it which lies in a pool's storage.
class counted {
public:
    counted() noexcept { made(); }
    counted(counted&& other) noexcept : value(other.value) { made(); }
    counted& operator=(counted&&) noexcept = default;
    ~counted() {
        --live;
        in_slots -= inside();
    }
    int value = 0;

    static inline int live = 0;
    static inline int in_slots = 0;
    static inline int made_in_slots = 0;
    static inline std::span<std::byte> slots;

private:
    void made() noexcept {
        ++live;
        in_slots += inside();
        made_in_slots += inside();
    }
    [[nodiscard]] bool inside() const noexcept {
        const auto* const at = reinterpret_cast<const std::byte*>(this);
        return at >= slots.data() && at < slots.data() + slots.size();
    }
};

void use_in_every_way(pool<counted>& p) {
    counted one;
    std::array<counted, 3> some;
    CHECK(p.put(counted()));
    CHECK(p.take());
    CHECK(p.put_swap(one));
    CHECK(p.take_swap(one));
    CHECK(p.put_some(some));
    CHECK(p.take_some(some));
    { const auto dropped = p.try_claim_put(); }
    p.try_claim_put()->put();
    { const auto dropped = p.try_claim_take(); }
    p.try_claim_take()->take();
}

// Starts one byte behind a boundary of `alignment`.
template <class T>
class unaligned_storage {
public:
    explicit unaligned_storage(std::size_t size, std::size_t alignment)
        : memory_(size + 2 * alignment), size_(size) {
        auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
        offset_ = alignment - at % alignment + 1;
    }
    [[nodiscard]] std::span<std::byte> span() { return std::span(memory_).subspan(offset_, size_); }

private:
    std::vector<std::byte> memory_;
    std::size_t size_;
    std::size_t offset_;
};

template <class T>
void expect_aligned_slots(std::size_t capacity) {
    pool<T> own(capacity);
    unaligned_storage<T> storage(pool<T>::storage_size(capacity), 128);
    pool<T> lent(storage.span());
    for (pool<T>* p : {&own, &lent}) {
        const T* before = nullptr;
        p->for_each([&](const T& t, std::size_t) {
            CHECK(reinterpret_cast<std::uintptr_t>(&t) % alignof(T) == 0);
            if (before) CHECK(&t == before + 1);
            before = &t;
        });
        auto claim = p->try_claim_put();
        CHECK(reinterpret_cast<std::uintptr_t>(&**claim) % alignof(T) == 0);
    }
}

struct alignas(64) line {
    char text[64];
};
struct alignas(128) pair_of_lines {
    char c;
};
struct odd {
    char text[3];
};

}  // namespace

TEST_CASE("pool: each slot holds a live element from the constructor to the destructor") {
    alignas(64) std::byte storage[pool<counted>::storage_size(4)];
    counted::slots = storage;
    counted::live = counted::in_slots = counted::made_in_slots = 0;
    {
        pool<counted> p{std::span(storage)};
        const int capacity = static_cast<int>(p.capacity());
        CHECK(counted::in_slots == capacity);
        for (int lap = 0; lap < 20; ++lap) use_in_every_way(p);
        p.close();
        p.reopen();
        CHECK(counted::live == capacity);
        CHECK(counted::in_slots == capacity);
        CHECK(counted::made_in_slots == capacity);  // none since
        CHECK(fill(p) == p.capacity());
    }
    CHECK(counted::live == 0);
    CHECK(counted::in_slots == 0);
    counted::slots = {};
}

TEST_CASE("pool: an element whose constructor throws leaves nothing behind") {
    static int made, gone;
    made = gone = 0;
    struct third_time_unlucky {
        third_time_unlucky() {
            if (++made == 3) throw std::runtime_error("unlucky");
        }
        third_time_unlucky(third_time_unlucky&&) noexcept {}
        third_time_unlucky& operator=(third_time_unlucky&&) noexcept { return *this; }
        ~third_time_unlucky() { ++gone; }
    };
    CHECK_THROWS_AS(pool<third_time_unlucky>(5), std::runtime_error);
    CHECK(made == 3);
    CHECK(gone == 2);
}

TEST_CASE("pool: no memory for the slots is std::bad_alloc") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "the heap is not ours");
    fail_allocation(1);
    CHECK_THROWS_AS(pool<int>(1000), std::bad_alloc);
    fail_allocation(0);
}

TEST_CASE("pool: messages that are left inside are destroyed") {
    const auto token = std::make_shared<int>(1);
    {
        pool<std::shared_ptr<int>> p(3);
        CHECK(p.put(token));
        CHECK(p.put(token));
        CHECK(token.use_count() == 3);
    }
    CHECK(token.use_count() == 1);
}

TEST_CASE("pool: a take leaves nothing of the message in its slot") {
    const auto token = std::make_shared<int>(1);
    pool<std::shared_ptr<int>> p(1);
    CHECK(p.put(token));
    CHECK(p.take());
    CHECK(token.use_count() == 1);
}

TEST_CASE("pool: elements are aligned, in memory of its own and of the caller's") {
    expect_aligned_slots<char>(5);
    expect_aligned_slots<odd>(5);
    expect_aligned_slots<double>(5);
    expect_aligned_slots<line>(5);
    expect_aligned_slots<pair_of_lines>(5);
}

TEST_CASE("pool: storage_size() is what so many slots take, wherever the storage begins") {
    for (std::size_t n = 1; n <= 40; ++n) {
        CAPTURE(n);
        unaligned_storage<odd> storage(pool<odd>::storage_size(n), 64);
        pool<odd> p(storage.span());
        CHECK(p.capacity() == n);
        CHECK(fill(p) == n);
    }
}

TEST_CASE("pool: a byte less than storage_size() has room for one slot less") {
    unaligned_storage<line> storage(pool<line>::storage_size(3) - 1, 64);
    CHECK(pool<line>(storage.span()).capacity() == 2);
}

TEST_CASE("pool: storage that has no room for one element is refused") {
    constexpr auto sentence = "the storage has no room for one element: see storage_size()";
    std::byte small[4];
    CHECK(dies([&] { pool<line> p{std::span<std::byte>(small)}; }, sentence));
    CHECK(dies([&] { pool<line> p{std::span<std::byte>()}; }, sentence));
    unaligned_storage<line> storage(pool<line>::storage_size(1) - 1, 64);
    CHECK(dies([&] { pool<line> p{storage.span()}; }, sentence));
}

TEST_CASE("pool: nothing is written outside the storage") {
    constexpr std::size_t size = pool<odd>::storage_size(7), margin = 64;
    std::vector<std::byte> memory(size + 2 * margin, std::byte{0x5a});
    {
        pool<odd> p{std::span(memory).subspan(margin, size)};
        for (int i = 0; i < 100; ++i) {
            CHECK(fill(p) == p.capacity());
            CHECK(drain(p) == p.capacity());
        }
    }
    for (std::size_t i = 0; i < margin; ++i) {
        CHECK(memory[i] == std::byte{0x5a});
        CHECK(memory[margin + size + i] == std::byte{0x5a});
    }
}

TEST_CASE("pool: sizes and addresses beyond 2 GiB and 4 GiB are right") {
    using page = std::array<std::byte, 4096>;
    static_assert(pool<page>::storage_size(1U << 20) > std::size_t{4} << 30);
    static_assert(pool<page>::storage_size((1U << 19) + 1) - pool<page>::storage_size(1U << 19) ==
                  4096 + 2 * sizeof(std::uint32_t));

    // Five slots of a GiB each, of which only the pages are ever there that are touched.
    struct giant {
        giant() noexcept {}  // touches nothing
        giant(giant&& other) noexcept { bytes[0] = other.bytes[0]; }
        giant& operator=(giant&& other) noexcept {
            bytes[0] = other.bytes[0];
            return *this;
        }
        std::byte bytes[std::size_t{1} << 30];
    };
    constexpr std::size_t size = pool<giant>::storage_size(5);
    WIRE_LEAVE_OUT_IF(under_valgrind(), "valgrind has no room for it");
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    WIRE_LEAVE_OUT_IF(memory == MAP_FAILED, "there is no room for it here");
    {
        pool<giant> p(std::span(static_cast<std::byte*>(memory), size));
        REQUIRE(p.capacity() == 5);
        for (std::size_t i = 0; i < 5; ++i) {
            auto claim = p.try_claim_put();
            const giant* const expected = static_cast<giant*>(memory) + i;
            CHECK(&**claim == expected);
            (*claim)->bytes[0] = static_cast<std::byte>(i + 1);
            claim->put();
        }
        for (std::size_t i = 0; i < 5; ++i) {
            auto claim = p.try_claim_take();
            CHECK((*claim)->bytes[0] == static_cast<std::byte>(i + 1));
            claim->take();
        }
    }
    ::munmap(memory, size);
}

TEST_CASE("pool: nothing allocates but the constructor") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "the heap is not ours");
    pool<counted> p(4);
    use_in_every_way(p);
    const allocation_count count;
    for (int i = 0; i < 10; ++i) use_in_every_way(p);
    p.close();
    CHECK(p.take().code() == EPIPE);
    p.reopen();
    CHECK(p.wait_until_empty());
    CHECK(count.value() == 0);
}

TEST_CASE("pool: waiting allocates nothing, in threads and in wires") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "the heap is not ours");
    as_each([](as kind) {
        pool<int> there(1, {.wait = waiting::park}), back(1, {.wait = waiting::park});
        const auto partner = start(kind, [&] {
            while (auto v = there.take())
                if (!back.put(*v)) return;
        });
        run(kind, [&] {
            const auto lap = [&](int i) {
                CHECK(there.put(i));
                CHECK(back.take().value_or(-1) == i);
            };
            for (int i = 0; i < 20; ++i) lap(i);
            const allocation_count count;
            for (int i = 0; i < 200; ++i) lap(i);
            CHECK(count.value() == 0);
        });
        there.close();
    });
}

namespace {

// Trivially copyable; but what is const makes another of it, and is not assigned from.
struct made_not_assigned {
    made_not_assigned() = default;
    explicit made_not_assigned(int n) : value(n) {}
    made_not_assigned(const made_not_assigned&) = default;
    made_not_assigned& operator=(const made_not_assigned&) = delete;
    made_not_assigned& operator=(made_not_assigned&&) = default;
    int value = 0;
};
static_assert(std::is_trivially_copyable_v<made_not_assigned>);

}  // namespace

TEST_CASE("pool: a copy is put of what may be copied, but not assigned") {
    pool<made_not_assigned> p(2);
    const made_not_assigned one(1), two(2);
    CHECK(p.put(one));
    CHECK(p.try_put(two));
    CHECK(p.take().value().value == 1);
    CHECK(p.take().value().value == 2);
}
