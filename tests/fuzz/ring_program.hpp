// What the fuzz targets of rings do with their bytes: a small program that damages the memory of a
// ring and, in between, uses both of its ends.
//
// Each operation is a byte, followed by its arguments; a missing argument is zero. It begins with a
// ring of two lanes that is well-formed and has nobody at its ends. On both sides of its memory lie
// pages that may not be touched, so an access beyond it ends the program. What an end hands out
// must lie in one lane's records, and what it returns must be documented.
//
// Both ends do what programs may do, however damaged the memory is: they commit no more than they
// have claimed and release what they have found.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>

#include <wire/shm/detail/attach.hpp>
#include <wire/shm/ring.hpp>

namespace wire::test {

inline void demand(bool holds, const char* sentence) {
    if (holds) return;
    std::fprintf(stderr, "ring fuzz: %s\n", sentence);
    std::abort();
}

/// The input, read from the front.
class tape {
public:
    tape(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

    [[nodiscard]] bool over() const { return rest_.empty(); }
    std::uint8_t byte() { return static_cast<std::uint8_t>(number(1)); }
    std::size_t below(std::size_t n) { return byte() % n; }
    /// Little endian.
    std::uint64_t number(std::size_t bytes) {
        std::uint64_t n = 0;
        const auto taken = take(bytes);
        std::memcpy(&n, taken.data(), taken.size());
        return n;
    }
    std::span<const std::uint8_t> take(std::size_t bytes) {
        const auto taken = rest_.first(std::min(bytes, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }

private:
    std::span<const std::uint8_t> rest_;
};

/// The memory of a ring between pages that may not be touched.
class fenced_memory {
public:
    static constexpr shm::ring_options sizes{.producers = 2, .lane_bytes = 4096};

    fenced_memory() : size_(shm::ring::storage_size(sizes)) {
        void* const at = ::mmap(nullptr, 2 * fence + size_, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        demand(at != MAP_FAILED, "there is no memory");
        begin_ = static_cast<std::byte*>(at) + fence;
        demand(::mprotect(begin_, size_, PROT_READ | PROT_WRITE) == 0, "it cannot be used");
        shm::ring::create_in(bytes(), sizes);
        std::memcpy(fresh_, begin_, sizeof fresh_);
    }
    fenced_memory(const fenced_memory&) = delete;
    fenced_memory& operator=(const fenced_memory&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const { return {begin_, size_}; }
    [[nodiscard]] shm::detail::ring_map map() const {
        return {begin_, {sizes.producers, sizes.lane_bytes}};
    }
    void begin_anew() {
        std::memcpy(begin_, fresh_, sizeof fresh_);
        std::memset(begin_ + sizeof fresh_, 0, size_ - sizeof fresh_);
    }
    [[nodiscard]] bool in_one_lane(std::span<const std::byte> part) const {
        for (std::uint32_t n = 0; n < sizes.producers; ++n) {
            const std::byte* const records = map().records(n);
            if (part.data() >= records + shm::detail::record_word::size &&
                part.data() + part.size() <= records + sizes.lane_bytes)
                return true;
        }
        return false;
    }

private:
    static constexpr std::size_t fence = std::size_t{1} << 20;
    const std::size_t size_;
    std::byte* begin_;
    std::byte fresh_[2 * shm::detail::page];  // the header and the words of the lanes
};

/// `Ends` has the types `consumer` and `producer`, and says with `checks_bounds` whether they look
/// at what they read.
template <class Ends>
class ring_program {
public:
    ring_program(fenced_memory& memory, tape in) : memory_(memory), in_(in) {
        memory_.begin_anew();
    }
    void run() {
        while (!in_.over()) (this->*operations[in_.below(operations.size())])();
    }

private:
    using consumer = typename Ends::consumer;
    using producer = typename Ends::producer;
    struct sending {
        producer end;
        std::span<std::byte> claimed;
    };

    // The consumer.
    void open() {
        consumer_.reset();
        peeked_ = false;
        consumer_.emplace();
        if (!is_documented(consumer_->open(memory_.bytes()))) consumer_.reset();
    }
    void leave() {
        consumer_.reset();
        peeked_ = false;
    }
    void peek() {
        look([this](auto& bytes) { return consumer_->peek(bytes); });
    }
    void look_for_the_dead() {
        look([this](auto& bytes) { return consumer_->look_for_the_dead(bytes); });
    }
    template <class F>
    void look(F call) {
        if (!consumer_) return;
        std::span<const std::byte> bytes;
        if (!is_documented(call(bytes))) return;
        peeked_ = true;
        expect_in_one_lane(bytes);
        touch(bytes);
    }
    void release() {
        if (peeked_) consumer_->release();
        peeked_ = false;
    }
    void receive() {
        peek();
        release();
    }
    void close() {
        if (consumer_) consumer_->close();
    }

    // Three producers, of which two find a lane.
    sending& any() { return sending_[in_.below(sending_.size())]; }
    void attach() {
        sending& s = any();
        s.claimed = {};
        is_documented(s.end.attach(memory_.bytes()));
    }
    void detach() {
        sending& s = any();
        s.claimed = {};
        s.end.detach();
    }
    void claim() { claim_for(any(), in_.number(2)); }
    void claim_for(sending& s, std::size_t n) {
        if (!s.end.attached()) return;
        if (!is_documented(s.end.claim(n, s.claimed))) s.claimed = {};
        if (!s.claimed.empty()) expect_in_one_lane(s.claimed);
        demand(s.claimed.empty() || s.claimed.size() == n, "a claim has another length");
    }
    void prepare() { prepare_of(any(), in_.number(2)); }
    void prepare_of(sending& s, std::size_t n) {
        if (s.claimed.empty()) return;
        std::fill(s.claimed.begin(), s.claimed.end(), std::byte{1});
        s.end.prepare(1 + n % s.claimed.size());
        s.claimed = {};
    }
    void publish() {
        sending& s = any();
        if (s.end.attached() && s.claimed.empty()) s.end.publish();
    }
    void abort() {
        sending& s = any();
        if (s.end.attached()) s.end.abort();
        s.claimed = {};
    }
    void send() {
        sending& s = any();
        const std::size_t n = in_.number(2);
        claim_for(s, n);
        if (s.claimed.empty()) return;
        prepare_of(s, n - 1);
        s.end.publish();
    }

    // A hostile process.
    void put_word() { write(word_at(), in_.number(8)); }
    void put_small_number() { write(word_at(), in_.byte()); }
    void change_word() {
        const std::size_t at = word_at();
        write(at, word(at) + static_cast<std::uint64_t>(static_cast<std::int8_t>(in_.byte())));
    }
    void change_a_lot() {
        const std::size_t at = word_at();
        write(at, word(at) + (std::uint64_t{1} << in_.below(64)));
    }
    void put_record_word() {
        const std::size_t at = record_at();
        write(at, in_.number(8));
    }
    void put_length() {
        const std::size_t at = record_at();
        write(at, in_.number(2));
    }
    void put_filler() {
        const std::size_t at = record_at();
        write(at, shm::detail::record_word::filler | in_.number(2));
    }
    void put_bytes() {
        const std::size_t at = in_.number(2) % memory_.bytes().size();
        const auto bytes = in_.take(in_.byte());
        const std::size_t n = std::min(bytes.size(), memory_.bytes().size() - at);
        std::memcpy(memory_.bytes().data() + at, bytes.data(), n);
    }

    // The words that the ring has, and their neighbours.
    std::size_t word_at() {
        static constexpr std::array<std::size_t, 22> words{
            0,    8,    16,   24,   32,   128,  136,  144,  256,  260,  4096,
            4224, 4352, 4360, 4364, 4480, 4608, 4736, 4744, 4748, 4104, 4488};
        return words[in_.below(words.size())];
    }
    // Around a lane's head or tail.
    std::size_t record_at() {
        const std::size_t choice = in_.byte();
        auto& lane = memory_.map().lane(choice % 2);
        const std::uint64_t at = choice / 2 % 2 ? lane.head.load() : lane.tail.load();
        const std::uint64_t near = at + (choice / 4 % 8 - 4) * 8;
        const std::byte* const records = memory_.map().records(choice % 2);
        return static_cast<std::size_t>(records - memory_.bytes().data()) +
               near % memory_.sizes.lane_bytes / 8 * 8;
    }
    std::uint64_t word(std::size_t at) {
        std::uint64_t n;
        std::memcpy(&n, memory_.bytes().data() + at, sizeof n);
        return n;
    }
    void write(std::size_t at, std::uint64_t n) {
        const std::size_t size = at % 8 == 0 ? sizeof n : sizeof n / 2;
        std::memcpy(memory_.bytes().data() + at, &n, size);
    }

    // Returns whether it is 0.
    static bool is_documented(int error) {
        static constexpr std::array known{0,        EAGAIN, EPROTO,     EPROTONOSUPPORT, EBADMSG,
                                          EXDEV,    EUSERS, EOWNERDEAD, EPIPE,           EINVAL,
                                          EMSGSIZE, EBUSY,  ETIMEDOUT};
        demand(std::find(known.begin(), known.end(), error) != known.end(), "an unknown error");
        return error == 0;
    }
    void expect_in_one_lane(std::span<const std::byte> bytes) const {
        if (Ends::checks_bounds)
            demand(memory_.in_one_lane(bytes), "a record lies outside of every lane");
    }
    // As one who uses the record; its pages are enough.
    static void touch(std::span<const std::byte> bytes) {
        constexpr std::size_t stride = 256;
        std::byte sum{};
        for (std::size_t at = 0; at < bytes.size(); at += stride) sum ^= bytes[at];
        if (!bytes.empty()) sum ^= bytes.back();
        [[maybe_unused]] const volatile std::byte used = sum;
    }

    using operation = void (ring_program::*)();
    using self = ring_program;
    static constexpr std::array<operation, 24> operations{
        &self::open,        &self::peek,         &self::release,         &self::receive,
        &self::attach,      &self::send,         &self::claim,           &self::prepare,
        &self::publish,     &self::abort,        &self::detach,          &self::look_for_the_dead,
        &self::close,       &self::leave,        &self::put_word,        &self::put_small_number,
        &self::change_word, &self::change_a_lot, &self::put_record_word, &self::put_length,
        &self::put_filler,  &self::put_bytes,    &self::receive,         &self::send};

    fenced_memory& memory_;
    tape in_;
    std::optional<consumer> consumer_;
    std::array<sending, 3> sending_;
    bool peeked_ = false;
};

}  // namespace wire::test
