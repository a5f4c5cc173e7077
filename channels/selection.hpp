// A select in progress; see select.cpp.
#pragma once

#include <wire/select.hpp>

namespace wire::detail {

class selection : immovable {
public:
    selection(branch_list all, fiber& self) noexcept : all_(all), sleeper_(self) {}

    result<std::size_t> run();

    // For its branches.

    /// A place of `b` is woken. As wake().
    bool choose(branch& b) noexcept;
    [[nodiscard]] bool has_chosen(const branch& b) const noexcept { return chosen_ == &b; }
    [[nodiscard]] bool undecided() const noexcept { return parked_ && still_waits(sleeper_); }
    /// `b` happens at `until`.
    void expire_at(deadline until, branch& b) noexcept;
    /// `b` happens if nothing else is ready.
    void fall_back_on(branch& b) noexcept { fallback_ = &b; }

private:
    branch* try_one() noexcept;
    bool arm() noexcept;
    void disarm() noexcept;
    branch* sleep(int& error) noexcept;
    [[nodiscard]] std::size_t place_of(const branch& b) const noexcept;

    const branch_list all_;
    waiter sleeper_;  // in no queue: its places wake it
    bool parked_ = false;
    branch* chosen_ = nullptr;
    branch* fallback_ = nullptr;
    branch* expiring_ = nullptr;
    deadline until_;
    std::size_t armed_ = 0;  // so many from the first
};

}  // namespace wire::detail
