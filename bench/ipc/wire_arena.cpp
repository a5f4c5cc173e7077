// wire::shm::arena between plain threads: memory is allocated, sent, received and freed.
#include <cerrno>
#include <string>
#include <utility>

#include <wire/shm/arena.hpp>

#include "run_link.hpp"
#include "wire_ring.hpp"

namespace {

constexpr std::uint32_t channel = 1;

template <class T>
bool is_there(const wire::result<T>& r, int nothing, const char* call) {
    if (r) return true;
    if (r.code() != nothing) bench::demand(r.code(), call);
    return false;
}

class writer {
public:
    explicit writer(const std::string& name) : arena_(wire::shm::arena::open(name)) {
        bench::demand(arena_.add_channel(channel, wire::shm::role::producer).code(), "add_channel");
    }

    bool try_put(std::size_t n, auto fill) {
        if (!filled_) {
            wire::result<wire::shm::arena_record> got = arena_.allocate(n);
            if (!is_there(got, ENOMEM, "allocate")) return false;
            filled_ = std::move(*got);
            fill(filled_.bytes().data());
        }
        return is_there(arena_.try_send(channel, filled_), EAGAIN, "try_send");
    }

private:
    wire::shm::arena arena_;
    wire::shm::arena_record filled_;  // and not sent yet
};

class reader {
public:
    explicit reader(const std::string& name) : arena_(wire::shm::arena::create(name)) {
        bench::demand(arena_.add_channel(channel, wire::shm::role::consumer).code(), "add_channel");
    }

    bool try_take(auto use) {
        wire::result<wire::shm::arena_record> got = arena_.try_recv(channel);
        if (!is_there(got, EAGAIN, "try_recv")) return false;
        use(got->bytes().data());
        bench::demand(arena_.free(std::move(*got)).code(), "free");
        return true;
    }

private:
    wire::shm::arena arena_;
};

class arena_link {
public:
    arena_link(const bench::record_shape&, int nth) : name_("/" + bench::unique_name(nth)) {}

    auto receiver() { return reader(name_); }
    auto sender() { return writer(name_); }

private:
    std::string name_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_link_cases(bench::arena_cases<arena_link>(), argc, argv);
}
