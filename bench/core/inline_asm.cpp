// For the record: the bare loop with a hand-written inline switch for x86-64. The compiler saves
// what it needs around it; floating-point control words stay as they are.
#include "ring.hpp"

namespace {

struct asm_switch {
    struct context {
        void* sp = nullptr;
        void* ip = nullptr;
        void* fp = nullptr;
        context* next = nullptr;
        void (*entry)(context&) = nullptr;
    };

    static std::size_t offset(std::size_t) { return 0; }

    static void make(context& c, std::byte* top, void (*entry)(context&)) {
        c.entry = entry;
        c.sp = top - 8;  // as after a call
        c.ip = reinterpret_cast<void*>(&start);
    }

    [[gnu::always_inline]] static void resume_next(context& self) {
        context* from = &self;
        context* to = self.next;
        // clang-format off
        asm volatile(
            "movq %%rsp, 0(%[from])\n\t"
            "leaq 1f(%%rip), %%rax\n\t"
            "movq %%rax, 8(%[from])\n\t"
            "movq %%rbp, 16(%[from])\n\t"
            "movq 0(%[to]), %%rsp\n\t"
            "movq 16(%[to]), %%rbp\n\t"
            "jmpq *8(%[to])\n"
            "1:"
            : [from] "+D"(from), [to] "+S"(to)
            :
            : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
              "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
        // clang-format on
    }

    // Arrives with the registers of the jump, which are those of a call.
    static void start(context*, context* self) { self->entry(*self); }
};

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::bench_case> cases;
    bench::add_ring_yields<asm_switch>(cases);
    return bench::run_cases(cases, argc, argv);
}
