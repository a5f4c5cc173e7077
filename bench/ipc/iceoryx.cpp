// Peer: iceoryx. A publisher for each thread that sends, which waits while the queue of the
// subscriber is full; the daemon RouDi runs as long as the case. Records are loaned, filled, sent,
// read where they lie and released: so these are also the cases of arenas.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "run_link.hpp"

namespace {

// Ends after the runtime, which was made later: it would end all processes that it still knows.
class daemon {
public:
    static void start() { static const daemon one; }

private:
    daemon()
        : pid_(bench::start_process([] {
              const int nothing = ::open("/dev/null", O_WRONLY);
              ::dup2(nothing, STDOUT_FILENO);
              ::dup2(nothing, STDERR_FILENO);
              ::execlp("iox-roudi", "iox-roudi", nullptr);
          })) {}
    ~daemon() {
        if (::getpid() != parent_) return;
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }

    const pid_t parent_ = ::getpid();
    const pid_t pid_;
};

iox::capro::ServiceDescription service(int nth) {
    return {"wire", "bench",
            iox::capro::IdString_t(iox::cxx::TruncateToCapacity, bench::unique_name(nth).c_str())};
}

// Waits for the daemon.
void take_part() {
    iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kOff);
    const std::string name = "wire-bench-" + std::to_string(::getpid());
    iox::runtime::PoshRuntime::initRuntime(
        iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name.c_str()));
}

class iceoryx {
public:
    iceoryx(const bench::record_shape& s, int nth)
        : room_(std::min<std::size_t>(s.room(), 256)), service_(service(nth)) {
        daemon::start();
    }

    class writer {
    public:
        explicit writer(const iox::capro::ServiceDescription& service)
            : publisher_(service, options()) {
            while (!publisher_.hasSubscribers()) ::usleep(1'000);
        }

        bool try_put(std::size_t n, auto fill) {
            auto chunk = publisher_.loan(static_cast<std::uint32_t>(n));
            if (chunk.has_error()) return false;
            fill(chunk.value());
            publisher_.publish(chunk.value());
            return true;
        }
        void put(std::size_t n, auto fill) {
            bench::retry([&] { return try_put(n, fill); });
        }

    private:
        static iox::popo::PublisherOptions options() {
            iox::popo::PublisherOptions o;
            o.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
            return o;
        }

        iox::popo::UntypedPublisher publisher_;
    };

    class reader {
    public:
        reader(const iox::capro::ServiceDescription& service, std::size_t room)
            : subscriber_(service, options(room)) {
            const auto attached =
                waits_.attachState(subscriber_, iox::popo::SubscriberState::HAS_DATA);
            bench::checked(attached.has_error() ? -1 : 0, "attachState");
        }

        bool try_take(auto use) {
            auto chunk = subscriber_.take();
            if (chunk.has_error()) return false;
            use(chunk.value());
            subscriber_.release(chunk.value());
            return true;
        }
        void take(auto use) {
            while (!try_take(use)) waits_.wait();
        }

    private:
        static iox::popo::SubscriberOptions options(std::size_t room) {
            iox::popo::SubscriberOptions o;
            o.queueCapacity = room;
            o.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
            return o;
        }

        iox::popo::UntypedSubscriber subscriber_;
        iox::popo::WaitSet<> waits_;
    };

    auto sender() { return writer(service_); }
    auto receiver() { return reader(service_, room_); }

    static void host(auto body) {
        take_part();
        body();
    }

private:
    std::size_t room_;
    iox::capro::ServiceDescription service_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<iceoryx>(argc, argv, bench::arena_cases<iceoryx>());
}
