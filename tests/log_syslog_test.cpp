// The log to the system's: what its datagrams look like, and a daemon that is away or slow.
#include "support/io.hpp"

#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <regex>
#include <string>
#include <system_error>

#include <wire/address.hpp>
#include <wire/log.hpp>
#include "support/diagnostics.hpp"
#include "support/failing_call.hpp"
#include "support/temporary_directory.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

using io::log_level;
using enum io::log_level;

// What listens at /dev/log, elsewhere.
class fake_syslogd {
public:
    fake_syslogd() { start(); }
    ~fake_syslogd() { stop(); }
    fake_syslogd(const fake_syslogd&) = delete;
    fake_syslogd& operator=(const fake_syslogd&) = delete;

    [[nodiscard]] std::string path() const { return folder_ / "log"; }
    void start() {
        fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const auto at = io::address::local(path()).value();
        CHECK(::bind(fd_, at.raw(), at.length()) == 0);
    }
    void stop() {
        ::close(fd_);
        ::unlink(path().c_str());
    }
    /// "" if nothing has come.
    [[nodiscard]] std::string take() const {
        std::array<char, 4096> buffer;
        const auto n = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        return {buffer.data(), n < 0 ? 0 : static_cast<std::size_t>(n)};
    }

private:
    temporary_directory folder_;
    int fd_ = -1;
};

TEST_CASE("log: the system's log gets priority, date, ident and pid, one line at a time") {
    const fake_syslogd daemon;
    on_wires([&] {
        io::log log(io::syslog_options{
            .ident = "me", .option = LOG_PID, .facility = LOG_DAEMON, .path = daemon.path()});
        for (const log_level level : {debug, info, notice, warning, err, critical, fatal})
            log(level, "%s", "two\nlines");
    });
    for (int severity : {7, 6, 5, 4, 3, 2, 1}) {
        std::string text("<");
        text.append(std::to_string(LOG_DAEMON | severity));
        text.append(R"(>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d me\[)");
        text.append(std::to_string(::getpid())).append(R"(\]: two lines)");
        const std::regex form(text);
        CHECK(std::regex_match(daemon.take(), form));
    }
    CHECK(daemon.take() == "");
}

TEST_CASE("log: the system's log may go away and come back, and may be slow") {
    const caught_diagnostics said;
    fake_syslogd daemon;
    on_wires([&] {
        io::log log(io::syslog_options{.ident = "me", .path = daemon.path()});
        const auto say = [&](const char* text) {
            log(info, "%s", text);
            CHECK(log.flush(soon()));
        };
        say("one");
        CHECK(daemon.take().ends_with(" me: one"));
        daemon.stop();
        daemon.start();
        say("two");
        CHECK(daemon.take().ends_with(" me: two"));
        daemon.stop();
        say("three");
        say("four");
        CHECK(log.lost() == 2);
        daemon.start();
        say("five");
        CHECK(daemon.take().ends_with(" me: five"));
        for (int i = 0; i < 500; ++i) log(info, "%d", i);  // more than its queue holds
        let_others_run();
        for (int i = 0; i < 500; ++i) {
            std::string line;
            while ((line = daemon.take()).empty()) CHECK(sleep(within(1ms)));
            CHECK(line.ends_with(with_number(" me: ", i)));
        }
    });
    CHECK(said.of(diagnostic::loss).size() == 1);
}

TEST_CASE("log: without a socket for the system's log there is no log") {
    const failing_call refused("socket", EMFILE);
    CHECK_THROWS_WITH_AS(io::log(io::syslog_options{}), doctest::Contains("socket"),
                         std::system_error);
}

}  // namespace
}  // namespace wire::test
