// result<T>: a value, or the errno that explains why there is none.
#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <wire/result.hpp>

using namespace wire;

namespace {

// Counts how many of it exist; a move leaves an object behind that still counts.
struct counted {
    static inline int alive = 0;
    explicit counted(int v) : n(v) { ++alive; }
    counted(const counted& other) : n(other.n) { ++alive; }
    counted(counted&& other) noexcept : n(std::exchange(other.n, 0)) { ++alive; }
    counted& operator=(const counted&) = default;
    ~counted() { --alive; }
    int n;
};

result<int> half(int n) {
    if (n % 2) return failure{EDOM};
    return n / 2;
}

}  // namespace

TEST_CASE("result: holds a value or an errno") {
    const auto good = half(8);
    CHECK(good);
    CHECK(good.has_value());
    CHECK(*good == 4);
    CHECK(good.code() == 0);
    CHECK_FALSE(good.error());

    const auto bad = half(7);
    CHECK_FALSE(bad);
    CHECK(bad.code() == EDOM);
    CHECK(bad.error() == std::error_code(EDOM, std::system_category()));
    CHECK(bad.error() == std::errc::argument_out_of_domain);
}

TEST_CASE("result: value() throws std::system_error with the error") {
    CHECK(half(6).value() == 3);
    try {
        static_cast<void>(half(5).value());
        CHECK(false);
    } catch (const std::system_error& e) {
        CHECK(e.code().value() == EDOM);
        CHECK(e.code().category() == std::system_category());
    }
    CHECK_NOTHROW(result<void>().value());
    CHECK_THROWS_AS(result<void>(failure{EPIPE}).value(), std::system_error);
}

TEST_CASE("result: value_or gives the value, or something else") {
    CHECK(half(4).value_or(9) == 2);
    CHECK(half(3).value_or(9) == 9);
    const auto kept = half(4);
    CHECK(kept.value_or(9) == 2);
    CHECK(kept.value() == 2);
}

TEST_CASE("result: may hold what can only be moved, and moves it out") {
    result<std::unique_ptr<int>> r(std::make_unique<int>(3));
    CHECK(**r == 3);
    const std::unique_ptr<int> p = *std::move(r);
    CHECK(*p == 3);
    // In two steps: inlined, gcc 12 takes the move of the absent value for a use of it.
    const auto pass = [](result<std::unique_ptr<int>> passed) { return passed.code(); };
    auto failed = std::make_unique<result<std::unique_ptr<int>>>(failure{EIO});
    CHECK(pass(std::move(*failed)) == EIO);
    static_assert(!std::is_copy_constructible_v<result<std::unique_ptr<int>>>);
    static_assert(std::is_move_constructible_v<result<std::unique_ptr<int>>>);
}

TEST_CASE("result: copies, moves and assignments keep exactly the objects that are needed") {
    counted::alive = 0;
    {
        result<counted> a(counted(1));
        CHECK(counted::alive == 1);
        result<counted> b = a;
        CHECK(counted::alive == 2);
        b = result<counted>(failure{EIO});
        CHECK(counted::alive == 1);
        CHECK(b.code() == EIO);
        b = a;
        CHECK(b->n == 1);
        CHECK(counted::alive == 2);
        b = std::move(a);
        CHECK(b->n == 1);
        a = result<counted>(failure{EPIPE});
        a = b;
        CHECK(a->n == 1);
    }
    CHECK(counted::alive == 0);
}

TEST_CASE("result: an assignment whose move throws leaves a failure, and nothing twice destroyed") {
    struct throws_when_moved : counted {
        explicit throws_when_moved(int moves_left) : counted(moves_left) {}
        throws_when_moved(throws_when_moved&& other) : counted(other.n - 1) {
            if (n < 0) {
                throw 1;
            }
        }
    };
    counted::alive = 0;
    {
        result<throws_when_moved> to(throws_when_moved(5));
        // One move into the result, one into the parameter; the third throws.
        CHECK_THROWS_AS(to = result<throws_when_moved>(throws_when_moved(1)), int);
        CHECK_FALSE(to);
        CHECK(to.code() == EINVAL);
        to = result<throws_when_moved>(throws_when_moved(5));
        CHECK(to);
    }
    CHECK(counted::alive == 0);
}

TEST_CASE("result: -> reaches into the value") {
    result<std::string> r(std::string("abc"));
    CHECK(r->size() == 3);
    r->push_back('d');
    CHECK(*std::as_const(r) == "abcd");
}

TEST_CASE("result: to_result turns an errno into a result") {
    CHECK(to_result(0));
    CHECK(to_result(ETIMEDOUT).code() == ETIMEDOUT);
}

TEST_CASE("result: a value-or-errno of a size fits into two registers") {
    static_assert(sizeof(result<std::size_t>) == 16);
    static_assert(sizeof(result<void>) == sizeof(int));
    static_assert(std::is_nothrow_move_constructible_v<result<std::string>>);
}
