// wire::shm::ring as a link: its records are written and read where they lie.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>

#include "link.hpp"

namespace bench {

inline void demand(int error, const char* what) {
    if (error == 0) return;
    std::fprintf(stderr, "%s: errno %d\n", what, error);
    std::exit(1);
}

inline wire::shm::ring new_ring(const record_shape& s, const std::string& name) {
    return wire::shm::ring::create(
        name, {.producers = static_cast<std::uint32_t>(s.producers), .lane_bytes = s.room_bytes()});
}

class ring_writer {
public:
    explicit ring_writer(const std::string& name) {
        demand(producer_.attach(name.c_str()).error, "attach");
    }

    bool try_put(std::size_t n, auto fill) {
        std::span<std::byte> bytes;
        if (const int error = producer_.try_claim(n, bytes)) return is_full(error);
        fill(bytes.data());
        producer_.commit(n);
        return true;
    }
    std::size_t try_put_some(std::size_t n, std::size_t count, auto fill) {
        std::size_t done = 0;
        for (std::span<std::byte> bytes; done < count; ++done) {
            if (const int error = producer_.try_claim(n, bytes)) {
                is_full(error);
                break;
            }
            fill(done, bytes.data());
            producer_.prepare(n);
        }
        if (done > 0) producer_.publish();
        return done;
    }
    void put(std::size_t n, auto fill) {
        std::span<std::byte> bytes;
        demand(producer_.claim(n, bytes), "claim");
        fill(bytes.data());
        producer_.commit(n);
    }

private:
    static bool is_full(int error) {
        if (error != EAGAIN) demand(error, "try_claim");
        return false;
    }

    wire::shm::producer producer_;
};

class ring_reader {
public:
    explicit ring_reader(wire::shm::ring r) : ring_(std::move(r)) {}

    bool try_take(auto use) {
        const wire::result<wire::shm::record> got = ring_.try_peek();
        if (!got && got.code() == EAGAIN) return false;
        consume(got, use);
        return true;
    }
    void take(auto use) { consume(ring_.peek(), use); }

private:
    void consume(const wire::result<wire::shm::record>& got, auto use) {
        if (!got) demand(got.code(), "peek");
        use(got->bytes.data());
        ring_.release();
    }

    wire::shm::ring ring_;
};

/// Between plain threads.
class ring_link {
public:
    ring_link(const record_shape& s, int nth) : shape_(s), name_("/" + unique_name(nth)) {}

    auto receiver() { return ring_reader(new_ring(shape_, name_)); }
    auto sender() { return ring_writer(name_); }

protected:
    [[nodiscard]] const record_shape& its_shape() const { return shape_; }
    [[nodiscard]] const std::string& name() const { return name_; }

private:
    record_shape shape_;
    std::string name_;
};

}  // namespace bench
