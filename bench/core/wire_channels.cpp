// Our own channels, and select over many of them.
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <wire/channel.hpp>
#include <wire/runtime.hpp>
#include <wire/select.hpp>
#include <wire/spawn.hpp>

#include "channels.hpp"
#include "wire_many.hpp"

namespace bench {
namespace {

template <std::size_t Capacity>
struct channel : wire::channel<int> {
    channel() : wire::channel<int>(Capacity) {}
    [[gnu::always_inline]] bool receive(int& value) {
        const wire::result<int> got = recv();
        if (got) value = *got;
        return got.has_value();
    }
};

struct channels {
    using rendezvous = channel<0>;
    using buffered_128 = channel<128>;
    using task = wire::handle<void>;

    template <class F>
    static task start(F& f) {
        return wire::spawn([&f] { f(); });
    }
    static void join(task& t) { static_cast<void>(t.join()); }

    template <class F>
    static void run(F& f) {
        wire::runtime rt;
        rt.go([&f] { f(); });
        static_cast<void>(rt.run());
    }
};

// What a wire selects from: as a program would write it, or if there are many, from branches that
// are made once.
template <std::size_t Count, std::size_t Capacity>
class inputs {
public:
    inputs() {
        if constexpr (Count > written_max)
            for (auto& c : channels_) branches_.push_back(wire::on_recv(c, take{sum_}));
    }

    void send(std::size_t n) { send_to(channels_[n % Count], 1); }
    void put(std::size_t n) {
        expect(channels_[n % Count].try_send(1).has_value(), "an empty channel takes nothing");
    }
    void receive_one() {
        if constexpr (Count > written_max)
            chosen(wire::select(std::span(branches_)));
        else
            receive_written(std::make_index_sequence<Count>());
    }

private:
    static constexpr std::size_t written_max = 8;

    struct take {
        int& sum;
        void operator()(wire::result<int> value) const { sum += value.value(); }
    };

    template <std::size_t... N>
    void receive_written(std::index_sequence<N...>) {
        chosen(wire::select(wire::on_recv(channels_[N], take{sum_})...));
    }
    static void chosen(const wire::result<std::size_t>& branch) {
        expect(branch.has_value(), "select has failed");
    }

    int sum_ = 0;
    std::array<channel<Capacity>, Count> channels_;
    std::vector<decltype(wire::on_recv(channels_[0], take{sum_}))> branches_;
};

// One operation: a wire puts a value into one of the channels and selects from all.
template <std::size_t Count>
double select_ready() {
    double result = 0;
    auto first = [&] {
        inputs<Count, 1> from;
        std::size_t at = 0;
        result = ns_per_operation([&](std::uint64_t n) {
            for (; n > 0; --n) {
                from.put(at++);
                from.receive_one();
            }
        });
    };
    channels::run(first);
    return result;
}

// One operation: a wire sends into one of the channels that the other selects from, and selects
// from its own.
template <std::size_t Count>
double select_woken() {
    using rendezvous = inputs<Count, 0>;
    struct turn {
        rendezvous& mine;
        rendezvous& theirs;
        std::size_t at = 0;
        void operator()() {
            theirs.send(at++);
            mine.receive_one();
        }
    };
    double result = 0;
    auto first = [&] {
        rendezvous there;
        rendezvous back;
        bool stop = false;
        auto answer = [&] {
            there.receive_one();
            turns<0>(turn{there, back}, for_ever, stop);
        };
        channels::task answerer = channels::start(answer);
        result = ns_per_operation([&](std::uint64_t n) { turns<0>(turn{back, there}, n, stop); });
        stop = true;
        there.send(0);
        channels::join(answerer);
    };
    channels::run(first);
    return result / 2;
}

template <std::size_t Count>
void add_selects(std::vector<bench_case>& cases) {
    const std::string name = "select-" + std::to_string(Count);
    cases.push_back({name + "-ready", &select_ready<Count>});
    cases.push_back({name + "-woken", &select_woken<Count>});
}

}  // namespace

void add_wire_channels(std::vector<bench_case>& cases) {
    add_channels<channels>(cases);
    add_selects<2>(cases);
    add_selects<8>(cases);
    add_selects<64>(cases);
}

}  // namespace bench
