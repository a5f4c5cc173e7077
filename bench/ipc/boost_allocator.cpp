// The limit of passing on allocated records: the allocator of Boost.Interprocess, which a mutex
// protects, and a queue of what was sent, under a mutex of its own.
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <string>

#include "run_link.hpp"

namespace {

namespace ipc = boost::interprocess;
using heap = ipc::managed_shared_memory;

class queue {
public:
    bool try_push(heap::handle_t record) {
        const ipc::scoped_lock guard(mutex_);
        if (pushed_ - popped_ == records_.size()) return false;
        records_[pushed_++ % records_.size()] = record;
        return true;
    }
    bool try_pop(heap::handle_t& record) {
        const ipc::scoped_lock guard(mutex_);
        if (pushed_ == popped_) return false;
        record = records_[popped_++ % records_.size()];
        return true;
    }

private:
    ipc::interprocess_mutex mutex_;
    std::size_t pushed_ = 0, popped_ = 0;
    std::array<heap::handle_t, 1'024> records_{};
};

class boost_allocator {
public:
    boost_allocator(const bench::record_shape&, int nth) : name_(bench::unique_name(nth)) {}

    class writer {
    public:
        explicit writer(const std::string& name)
            : heap_(ipc::open_only, name.c_str()), queue_(heap_.find<queue>("queue").first) {}

        bool try_put(std::size_t n, auto fill) {
            if (!filled_) {
                filled_ = heap_.allocate(n);
                fill(filled_);
            }
            if (!queue_->try_push(heap_.get_handle_from_address(filled_))) return false;
            filled_ = nullptr;
            return true;
        }

    private:
        heap heap_;
        queue* queue_;
        void* filled_ = nullptr;  // and not sent yet
    };

    class reader {
    public:
        explicit reader(const std::string& name)
            : name_(name),
              heap_(ipc::create_only, name.c_str(), 1 << 20),
              queue_(heap_.construct<queue>("queue")()) {}
        ~reader() { ipc::shared_memory_object::remove(name_.c_str()); }

        bool try_take(auto use) {
            heap::handle_t sent = 0;
            if (!queue_->try_pop(sent)) return false;
            void* const record = heap_.get_address_from_handle(sent);
            use(record);
            heap_.deallocate(record);
            return true;
        }

    private:
        std::string name_;
        heap heap_;
        queue* queue_;
    };

    auto sender() { return writer(name_); }
    auto receiver() { return reader(name_); }

private:
    std::string name_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_link_cases(bench::arena_cases<boost_allocator>(), argc, argv);
}
