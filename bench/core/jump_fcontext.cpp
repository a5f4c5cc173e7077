// For the record: the bare loop with jump_fcontext, whose returns mispredict.
#include <boost/context/detail/fcontext.hpp>

#include "ring.hpp"

namespace {

namespace bc = boost::context::detail;

struct jump_switch {
    struct context {
        bc::fcontext_t at = nullptr;
        context* next = nullptr;
        void (*entry)(context&) = nullptr;
    };

    static std::size_t offset(std::size_t) { return 0; }

    static void make(context& c, std::byte* top, void (*entry)(context&)) {
        c.entry = entry;
        c.at = bc::make_fcontext(top, bench::stack_size / 2, &start);
    }

    static void resume_next(context& self) { arrived(bc::jump_fcontext(self.next->at, &self)); }

    static context& arrived(bc::transfer_t t) {
        context& from = *static_cast<context*>(t.data);
        from.at = t.fctx;
        return from;
    }

    static void start(bc::transfer_t t) {
        context& self = *arrived(t).next;
        self.entry(self);
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::bench_case> cases;
    bench::add_ring_yields<jump_switch>(cases);
    return bench::run_cases(cases, argc, argv);
}
