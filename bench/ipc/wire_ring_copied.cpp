// wire::shm::ring whose consumer copies each record out of it.
#include <memory>
#include <vector>

#include "run_link.hpp"
#include "wire_ring.hpp"

namespace {

class receiver {
public:
    explicit receiver(wire::shm::ring r) : ring_(std::move(r)), mine_(ring_.longest()) {}

    bool try_take(auto use) {
        const wire::result<std::size_t> got = ring_.try_recv(mine_);
        if (!got && got.code() == EAGAIN) return false;
        if (!got) bench::demand(got.code(), "try_recv");
        use(mine_.data());
        return true;
    }

private:
    wire::shm::ring ring_;
    std::vector<std::byte> mine_;
};

class copied : public bench::ring_link {
public:
    using bench::ring_link::ring_link;

    static bool can(const bench::record_shape& s) { return s.bytes == 1 << 20; }

    auto receiver() { return ::receiver(bench::new_ring(its_shape(), name())); }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<copied>(argc, argv);
}
