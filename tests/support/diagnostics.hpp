// Catches the library's diagnostics while in scope.
#pragma once

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <wire/diagnostics.hpp>

namespace wire::test {

class caught_diagnostics {
public:
    caught_diagnostics() {
        lines().clear();
        before_ = set_diagnostics_handler([](diagnostic kind, std::string_view text) noexcept {
            const std::lock_guard guard(mutex());
            lines().emplace_back(kind, text);
        });
    }
    ~caught_diagnostics() { set_diagnostics_handler(before_); }
    caught_diagnostics(const caught_diagnostics&) = delete;
    caught_diagnostics& operator=(const caught_diagnostics&) = delete;

    /// How many lines there are, but for those that say what the kernel, or Valgrind, refuses here.
    [[nodiscard]] std::size_t size() const {
        const auto all = of_all();
        return static_cast<std::size_t>(std::ranges::count_if(all, [](const line& l) {
            return !l.second.starts_with("epoll: ") && !l.second.starts_with("epoll_pwait2 is");
        }));
    }

    /// The texts of one kind, in order.
    [[nodiscard]] std::vector<std::string> of(diagnostic kind) const {
        std::vector<std::string> texts;
        for (const auto& [k, text] : of_all())
            if (k == kind) texts.push_back(text);
        return texts;
    }

    /// Whether a line of that kind contains `text`.
    [[nodiscard]] bool has(diagnostic kind, std::string_view text) const {
        for (const auto& said : of(kind))
            if (said.find(text) != std::string::npos) return true;
        return false;
    }

private:
    using line = std::pair<diagnostic, std::string>;
    static std::mutex& mutex() {
        static std::mutex m;
        return m;
    }
    static std::vector<line>& lines() {
        static std::vector<line> all;
        return all;
    }
    static std::vector<line> of_all() {
        const std::lock_guard guard(mutex());
        return lines();
    }
    diagnostics_handler before_;
};

}  // namespace wire::test
