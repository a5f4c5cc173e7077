// Fails the Nth system call of a child process. The plan and what came of it lie in shared memory.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sys.hpp"

namespace wire::test {

/// What a system call fails with in real life.
struct plausible_errors {
    const char* call;
    std::vector<int> errors;
};

class fault_plan {
public:
    explicit fault_plan(const std::vector<plausible_errors>& table) {
        table_ = &table;
        page_ =
            static_cast<shared_page*>(::mmap(nullptr, sizeof(shared_page), PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    }
    ~fault_plan() { ::munmap(page_, sizeof *page_); }
    fault_plan(const fault_plan&) = delete;
    fault_plan& operator=(const fault_plan&) = delete;

    /// Plans the next child's failure: the `nth` call (0: none) with its `variant`th error.
    void set(int nth, int variant) {
        page_->nth = nth;
        page_->variant = variant;
        page_->count = page_->variants = page_->error = 0;
    }
    /// For the child.
    static void install() { wire::detail::sys::hook = &answer; }
    static void remove() { wire::detail::sys::hook = nullptr; }

    /// Whether the planned call was reached, and how: "send fails with EPIPE".
    [[nodiscard]] bool reached() const { return page_->error != 0; }
    [[nodiscard]] std::string call() const { return page_->call; }
    [[nodiscard]] std::string error() const { return ::strerrorname_np(page_->error); }
    /// How many errors that call knows.
    [[nodiscard]] int variants() const { return page_->variants; }
    /// All calls that were asked for, in any child so far.
    [[nodiscard]] std::set<std::string> names() const {
        return {page_->names, page_->names + page_->names_used};
    }

private:
    static constexpr int names_max = 64;
    struct shared_page {
        int nth, variant, count, variants, error;
        char call[32];
        char names[names_max][32];
        int names_used;
    };

    static void remember(const char* call) noexcept {
        for (int i = 0; i < page_->names_used; ++i)
            if (std::strcmp(page_->names[i], call) == 0) return;
        if (page_->names_used < names_max)
            std::snprintf(page_->names[page_->names_used++], sizeof page_->names[0], "%s", call);
    }

    static int answer(const char* call) noexcept {
        remember(call);
        // A close that is not made would leak by itself.
        if (std::strcmp(call, "close") == 0 || ++page_->count != page_->nth) return 0;
        std::snprintf(page_->call, sizeof page_->call, "%s", call);
        page_->error = EIO;
        for (const plausible_errors& entry : *table_) {
            if (std::strcmp(entry.call, call) != 0) continue;
            page_->variants = static_cast<int>(entry.errors.size());
            page_->error = entry.errors[static_cast<std::size_t>(page_->variant)];
        }
        return page_->error;
    }

    static inline const std::vector<plausible_errors>* table_ = nullptr;
    static inline shared_page* page_ = nullptr;
};

}  // namespace wire::test
