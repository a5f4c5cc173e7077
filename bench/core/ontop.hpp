// Switching with ontop_fcontext, as a `Switch` of ring.hpp.
#pragma once

#include <boost/context/detail/fcontext.hpp>

#include "ring.hpp"

namespace bench {

namespace bc = boost::context::detail;

struct ontop_switch {
    struct context {
        bc::fcontext_t at = nullptr;
        context* next = nullptr;
        context* ahead = nullptr;  // for those who fetch it early
        void (*entry)(context&) = nullptr;
    };

    static std::size_t offset(std::size_t) { return 0; }

    static void make(context& c, std::byte* top, void (*entry)(context&)) {
        c.entry = entry;
        c.at = bc::make_fcontext(top, stack_size / 2, &start);
    }

    static void resume_next(context& self) { bc::ontop_fcontext(self.next->at, &self, &arrive); }

    // Runs on the target's stack and returns into the target, as predicted.
    static bc::transfer_t arrive(bc::transfer_t t) {
        static_cast<context*>(t.data)->at = t.fctx;
        return t;
    }

    static void start(bc::transfer_t t) {
        context& self = *static_cast<context*>(t.data)->next;
        self.entry(self);
    }
};

}  // namespace bench
