// A random program of channel operations for each seed, and smaller ones of one that fails.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "channel_program.hpp"

namespace wire::test {

// Source of the generator: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
// generators", 2014.
class dice {
public:
    explicit dice(std::uint64_t seed) : state_(seed) {}
    /// From 0 to n - 1.
    int operator()(int n) {
        std::uint64_t z = state_ += 0x9E37'79B9'7F4A'7C15;
        z = (z ^ z >> 30) * 0xBF58'476D'1CE4'E5B9;
        z = (z ^ z >> 27) * 0x94D0'49BB'1331'11EB;
        return static_cast<int>((z ^ z >> 31) % static_cast<std::uint64_t>(n));
    }
    template <class T, std::size_t n>
    T operator()(const T (&of)[n]) {
        return of[(*this)(static_cast<int>(n))];
    }

private:
    std::uint64_t state_;
};

class random_program {
public:
    static program of(std::uint64_t seed) {
        random_program r(seed);
        r.write();
        return std::move(r.program_);
    }

private:
    // So few that no stretch without a pause has 64 switches: then the scheduler would look at its
    // timers at a moment that depends on the real time.
    static constexpr int steps_max = 24;

    explicit random_program(std::uint64_t seed) : dice_(seed) { program_.seed = seed; }

    void write() {
        channels_ = 1 + dice_(3);
        for (int c = 0; c < channels_; ++c)
            program_.capacities.push_back(dice_(2) == 0 ? 0 : 1 + dice_(3));
        const int wires = 2 + dice_(5);
        const int steps = std::min(5, steps_max / wires);
        program_.wires.resize(static_cast<std::size_t>(wires));
        for (auto& w : program_.wires) {
            const bool waits = dice_(3) == 0;
            if (waits) w.push_back(open(0));
            for (int n = 1 + dice_(steps); n > 0; --n)
                w.push_back(waits && dice_(3) != 0 ? any_with_waits() : any());
        }
    }

    step any() {
        static constexpr op likely[]{op::send,  op::send,     op::send,     op::recv,   op::recv,
                                     op::recv,  op::select,   op::select,   op::select, op::range,
                                     op::sleep, op::try_send, op::try_recv, op::yield,  op::cancel};
        static constexpr op others[]{op::close, op::close, op::kill, op::drain};
        return made(dice_(8) == 0 ? dice_(others) : dice_(likely));
    }

    step any_with_waits() {
        static constexpr op what[]{op::await, op::await, op::await,   op::take,
                                   op::take,  op::take,  op::reset,   op::reset,
                                   op::open,  op::drop,  op::trigger, op::stop};
        const op o = dice_(what);
        if (o == op::open) return open(dice_(waits_max));
        if (o == op::await) return {.what = o, .ms = delay()};
        return {.what = o, .other = dice_(4) == 0 ? 1 : 0};
    }

    step open(int number) { return {.what = op::open, .channel = channel(), .other = number}; }

    step made(op what) {
        const int wires = static_cast<int>(program_.wires.size());
        switch (what) {
            case op::send:
            case op::recv:
                return {.what = what, .channel = channel(), .ms = delay()};
            case op::range:
            case op::drain:
                return {.what = what, .channel = channel(), .other = 1 + dice_(3)};
            case op::cancel:
            case op::kill:
                return {.what = what, .other = dice_(wires)};
            case op::select:
                return select();
            case op::sleep:
                return {.what = what, .ms = dice_(4)};
            case op::yield:
                return {.what = what};
            default:
                return {.what = what, .channel = channel()};
        }
    }

    step select() {
        step s{.what = op::select};
        for (int n = 1 + dice_(3); n > 0; --n)
            s.arms.push_back({dice_(2) == 0 ? arm::recv : arm::send, channel()});
        const int last = dice_(6);
        if (last == 0) s.arms.push_back({arm::otherwise});
        if (last == 1 || last == 2) s.arms.push_back({arm::deadline, 0, dice_(4)});
        return s;
    }

    int channel() { return dice_(channels_); }
    int delay() { return dice_(3) != 0 ? forever : dice_(4); }

    dice dice_;
    program program_;
    int channels_ = 0;
};

/// Takes away what it can while `fails(p)` holds.
template <class Fails>
class shrinker {
public:
    static program shrunk(program p, Fails fails) {
        shrinker s{std::move(p), fails};
        while (s.pass()) {
        }
        return std::move(s.program_);
    }

private:
    shrinker(program p, Fails fails) : program_(std::move(p)), fails_(fails) {}

    bool accept(program smaller) {
        if (!fails_(smaller)) return false;
        program_ = std::move(smaller);
        return true;
    }

    // Whether anything could be taken away.
    bool pass() {
        bool better = false;
        for (std::size_t w = program_.wires.size(); w-- > 0;) better |= accept(without_wire(w));
        for (std::size_t w = 0; w < program_.wires.size(); ++w)
            for (std::size_t s = program_.wires[w].size(); s-- > 0;) better |= shrink_step(w, s);
        for (std::size_t c = program_.capacities.size(); c-- > 0;) better |= shrink_channel(c);
        return better;
    }

    bool shrink_step(std::size_t w, std::size_t s) {
        program p = program_;
        p.wires[w].erase(p.wires[w].begin() + static_cast<std::ptrdiff_t>(s));
        if (accept(std::move(p))) return true;
        bool better = shrink_number(w, s, &step::ms, forever) || shrink_number(w, s, &step::ms, 0);
        for (std::size_t a = program_.wires[w][s].arms.size(); a-- > 0;) {
            p = program_;
            auto& arms = p.wires[w][s].arms;
            arms.erase(arms.begin() + static_cast<std::ptrdiff_t>(a));
            better |= accept(std::move(p));
        }
        return better;
    }

    bool shrink_number(std::size_t w, std::size_t s, int step::*which, int to) {
        const step& old = program_.wires[w][s];
        if (old.*which == to || old.*which == forever || old.what == op::sleep) return false;
        program p = program_;
        p.wires[w][s].*which = to;
        return accept(std::move(p));
    }

    bool shrink_channel(std::size_t c) {
        if (program_.capacities.size() > 1 && accept(without_channel(static_cast<int>(c))))
            return true;
        if (program_.capacities[c] == 0) return false;
        program p = program_;
        --p.capacities[c];
        return accept(std::move(p));
    }

    [[nodiscard]] program without_wire(std::size_t out) const {
        program p = program_;
        p.wires.erase(p.wires.begin() + static_cast<std::ptrdiff_t>(out));
        const int g = static_cast<int>(out);
        const auto names_wire = [](const step& s) {
            return s.what == op::cancel || s.what == op::kill;
        };
        for (auto& w : p.wires) {
            std::erase_if(w, [&](const step& s) { return names_wire(s) && s.other == g; });
            for (step& s : w) s.other -= names_wire(s) && s.other > g;
        }
        return p;
    }

    [[nodiscard]] program without_channel(int out) const {
        program p = program_;
        p.capacities.erase(p.capacities.begin() + out);
        for (auto& w : p.wires) {
            std::erase_if(w, [&](const step& s) {
                return (s.what < op::select || s.what == op::open) && s.channel == out;
            });
            for (step& s : w) {
                s.channel -= s.channel > out;
                std::erase_if(
                    s.arms, [&](const arm& a) { return a.kind <= arm::send && a.channel == out; });
                for (arm& a : s.arms) a.channel -= a.channel > out;
            }
        }
        return p;
    }

    program program_;
    Fails fails_;
};

}  // namespace wire::test
