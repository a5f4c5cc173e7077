// The reference for timers: armed deadlines in a std::multimap.
#include <map>

#include "timers.hpp"

namespace {

class multimap_timers {
public:
    using handle = std::multimap<std::int64_t, int>::iterator;

    void arm(handle& timer, std::int64_t at) { timer = armed_.emplace(at, 0); }
    void disarm(handle& timer) { armed_.erase(timer); }

private:
    std::multimap<std::int64_t, int> armed_;
};

double timers_100000() {
    multimap_timers timers;
    std::vector<multimap_timers::handle> handles(bench::armed_timers);
    return bench::set_and_cancel(timers, handles, 0);
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run_cases({{"timers-100000", &timers_100000}}, argc, argv);
}
