// The heap of an arena: records of all sizes, exhaustion, misuse, and segments.
#include <wire/shm/arena.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/arena.hpp"

namespace wire::test {
namespace {

constexpr std::size_t heap = 256 * 1024;

TEST_CASE("shm arena memory: from one byte to all of the heap, and nothing is lost") {
    arena a = arena::create(arena::unique_name(), {.size = heap});
    for (int round = 0; round < 3; ++round) {
        {
            const auto all = a.allocate(heap - record_overhead);
            REQUIRE(all);
            CHECK(all->bytes().size() == heap - record_overhead);
            CHECK(error_of(a.allocate(1)) == "!ENOMEM");
        }
        CHECK(error_of(a.allocate(heap)) == "!ENOMEM");
        CHECK(error_of(a.allocate(SIZE_MAX)) == "!ENOMEM");
        CHECK(error_of(a.allocate(0)) == "!EINVAL");
        for (std::size_t n = 1; n < heap - record_overhead; n += 1 + n / 3) {
            const auto r = a.allocate(n);
            REQUIRE(r);
            CHECK(r->bytes().size() == n);
            CHECK(reinterpret_cast<std::uintptr_t>(r->bytes().data()) % 16 == 0);
        }
    }
}

TEST_CASE("shm arena memory: a record of 4 bytes costs less than 256") {
    arena a = arena::create(arena::unique_name(), {.size = heap});
    std::vector<arena_record> all;
    while (auto r = a.allocate(4)) all.push_back(*std::move(r));
    CHECK(all.size() == heap / 32);
    CHECK(error_of(a.allocate(4)) == "!ENOMEM");
    all.pop_back();
    CHECK(a.allocate(4));
    // What was of small records can be of a large one.
    all.clear();
    CHECK(a.allocate(heap - record_overhead));
}

TEST_CASE("shm arena memory: where no slab fits a record still does") {
    arena a = arena::create(arena::unique_name(), {.size = 4096});
    const auto r = a.allocate(3000);
    REQUIRE(r);
    CHECK(r->bytes().size() == 3000);
    CHECK(error_of(a.allocate(1)) == "!ENOMEM");
}

TEST_CASE("shm arena memory: records in use do not overlap") {
    arena a = arena::create(arena::unique_name());
    std::mt19937 random(1);
    struct used {
        arena_record record;
        std::byte with;
    };
    std::vector<used> all;
    const auto is_as_filled = [](const used& u) {
        return std::ranges::all_of(u.record.bytes(), [&](std::byte b) { return b == u.with; });
    };
    for (int i = 0; i < 20'000; ++i) {
        const std::size_t most = random() % 20 == 0 ? 20'000 : 300;
        if (auto r = a.allocate(1 + random() % most); r && random() % 100 < 55) {
            const auto with = static_cast<std::byte>(random());
            std::ranges::fill(r->bytes(), with);
            all.push_back({*std::move(r), with});
        } else if (!all.empty()) {
            std::swap(all[random() % all.size()], all.back());
            CHECK(is_as_filled(all.back()));
            all.pop_back();
        }
    }
    CHECK(std::ranges::all_of(all, is_as_filled));
    all.clear();
    CHECK(longest_free(a, std::size_t{1} << 20) == (std::size_t{1} << 20) - record_overhead);
}

TEST_CASE("shm arena memory: what is no record of this user is refused") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    arena other = arena::create(arena::unique_name());
    arena_record of_b = made(b, "b"), of_other = made(other, "other"), none;
    CHECK(error_of(a.free(std::move(of_b))) == "!EINVAL");
    CHECK(error_of(a.free(std::move(of_other))) == "!EINVAL");
    CHECK(error_of(a.free(std::move(none))) == "!EINVAL");
    CHECK(text_of(of_b) == "b");  // refused: it is still there
    CHECK(b.free(std::move(of_b)));
    CHECK(!of_b);
}

TEST_CASE("shm arena memory: a record that another is moved to is freed") {
    arena a = arena::create(arena::unique_name());
    arena_record one = made(a, "one"), two = made(a, "two");
    const std::span<std::byte> before = one.bytes();
    one = std::move(two);
    CHECK(text_of(one) == "two");
    CHECK(!two);
    CHECK(two.bytes().empty());
    CHECK(error_of(a.adopt(before)) == "!EINVAL");
    arena_record& same = one;
    one = std::move(same);
    CHECK(text_of(one) == "two");
}

TEST_CASE("shm arena memory: a record that is freed twice is refused the second time") {
    arena a = arena::create(arena::unique_name());
    for (const std::size_t n : {10UL, 20'000UL}) {
        const std::span<std::byte> bytes = a.allocate(n)->release();
        CHECK(a.free(*a.adopt(bytes)));
        CHECK(error_of(a.adopt(bytes)) == "!EINVAL");
        // By two objects for one record.
        const std::span<std::byte> again = a.allocate(n)->release();
        auto one = a.adopt(again), two = a.adopt(again);
        REQUIRE((one && two));
        CHECK(a.free(*std::move(one)));
        CHECK(error_of(a.free(*std::move(two))) == "!EINVAL");
    }
    CHECK(a.allocate((std::size_t{1} << 20) - record_overhead));
}

TEST_CASE("shm arena memory: pointers to something else are no records") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    std::array<std::byte, 64> foreign{};
    CHECK(error_of(a.adopt(foreign)) == "!EINVAL");
    CHECK(error_of(a.adopt({})) == "!EINVAL");
    arena_record r = made(a, "0123456789"), of_b = made(b, "b");
    const std::span<std::byte> bytes = r.bytes();
    CHECK(error_of(a.adopt(bytes.subspan(1))) == "!EINVAL");
    CHECK(error_of(a.adopt(bytes.first(9))) == "!EINVAL");
    CHECK(error_of(a.adopt({bytes.data() - 16, 10})) == "!EINVAL");
    CHECK(error_of(a.adopt({bytes.data() + 32, 10})) == "!EINVAL");
    CHECK(error_of(a.adopt({bytes.data() + (std::size_t{1} << 30), 10})) == "!EINVAL");
    CHECK(error_of(b.adopt(of_b.bytes().subspan(1))) == "!EINVAL");
}

TEST_CASE("shm arena memory: a user who leaves gives back what it had, but what others hold") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name, {.size = heap});
    CHECK(a.add_channel(1, role::consumer));
    std::vector<arena_record> kept;
    {
        arena b = arena::open(name);
        CHECK(b.add_channel(1, role::producer));
        for (int i = 0; i < 400; ++i) {
            CHECK(sent(b, 1, "small") == "");
            static_cast<void>(b.allocate(100)->release());  // never freed
        }
        for (int i = 0; i < 400; ++i) {
            auto r = a.recv(1, soon());
            REQUIRE(r);
            if (i % 100 == 0) kept.push_back(*std::move(r));
        }
    }
    for (const arena_record& r : kept) CHECK(text_of(r) == "small");
    CHECK(longest_free(a, heap) > heap / 8);
    kept.clear();
    CHECK(longest_free(a, heap) == heap - record_overhead);
}

TEST_CASE("shm arena memory: the slabs of one who has left are used by others") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name, {.size = 8192});
    CHECK(a.add_channel(1, role::consumer));
    std::vector<arena_record> kept;
    {
        arena b = arena::open(name);
        CHECK(b.add_channel(1, role::producer));
        for (int i = 0; i < 256; ++i) CHECK(sent(b, 1, "small") == "");
    }
    for (int i = 0; i < 256; ++i) {
        auto r = a.recv(1, soon());
        REQUIRE(r);
        if (i % 2 == 0) kept.push_back(*std::move(r));
    }
    std::size_t more = 0;
    while (auto r = a.allocate(5)) {
        ++more;
        kept.push_back(*std::move(r));
    }
    CHECK(more == 128);
}

TEST_CASE("shm arena memory: an arena's handle outlives its records") {
    const std::string name = arena::unique_name();
    CHECK(dies(
        [&] {
            auto a = std::make_unique<arena>(arena::create(name));
            auto r = a->allocate(1);
            a.reset();
        },
        "an arena's handle ends before its records"));
    CHECK(arena::remove(name));
}

TEST_CASE("shm arena memory: a segment is initialised once, by the first of many") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(error_of(a.segment(5)) == "!ENOENT");
    std::atomic<int> initialised = 0, good = 0;
    {
        std::vector<std::jthread> all;
        for (int i = 0; i < 16; ++i)
            all.emplace_back([&] {
                arena mine = arena::open(name);
                const auto s = mine.add_segment(5, 10'000, [&](std::span<std::byte> bytes) {
                    ++initialised;
                    std::ranges::fill(bytes, std::byte{7});
                });
                good += s && s->size() == 10'000 && s->front() == std::byte{7} &&
                        s->back() == std::byte{7};
            });
    }
    CHECK(initialised == 1);
    CHECK(good == 16);
    const auto s = a.segment(5);
    REQUIRE(s);
    CHECK(reinterpret_cast<std::uintptr_t>(s->data()) % 4096 == 0);
    const auto unused = [](std::span<std::byte>) { CHECK(false); };
    CHECK(error_of(a.add_segment(5, 9'999, unused)) == "!EINVAL");
    CHECK(error_of(a.add_segment(6, 0, unused)) == "!EINVAL");
    CHECK(error_of(a.add_segment(6, std::size_t{1} << 30, unused)) == "!ENOMEM");
}

TEST_CASE("shm arena memory: a segment whose initialisation throws is initialised by the next") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    CHECK_THROWS_AS(static_cast<void>(a.add_segment(1, 100,
                                                    [](std::span<std::byte> bytes) {
                                                        bytes[0] = std::byte{1};
                                                        throw std::runtime_error("no");
                                                    })),
                    std::runtime_error);
    CHECK(error_of(b.segment(1)) == "!EAGAIN");
    const auto s =
        b.add_segment(1, 100, [](std::span<std::byte> bytes) { bytes[1] = std::byte{2}; });
    REQUIRE(s);
    CHECK((*s)[0] == std::byte{0});
    CHECK((*s)[1] == std::byte{2});
}

TEST_CASE("shm arena memory: a segment is not waited for beyond the deadline") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    const auto s = a.add_segment(1, 100, [&](std::span<std::byte>) {
        CHECK(error_of(b.add_segment(
                  1, 100, [](std::span<std::byte>) {}, shortly())) == "!ETIMEDOUT");
    });
    CHECK(s);
}

}  // namespace
}  // namespace wire::test
