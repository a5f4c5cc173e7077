#include "daemon.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include "control.hpp"
#include "handover.hpp"
#include "notify.hpp"

namespace wired {
namespace {

using enum io::log_level;

std::string text_of(int error) {
    return std::system_category().message(error);
}

// The kernel closes the sockets of a killed process a moment after it is gone, if it used io_uring;
// who starts the next one at once should not be refused for that.
wire::result<io::listener> listen_patiently(const io::address& at) {
    const wire::deadline until = wire::within(std::chrono::seconds(1));
    for (;;) {
        auto door = io::listen(at);
        if (door.code() != EADDRINUSE || wire::deadline(std::chrono::steady_clock::now()) > until)
            return door;
        static_cast<void>(wire::sleep(wire::within(std::chrono::milliseconds(20))));
    }
}

std::string count(std::size_t n, const std::string& of) {
    return std::to_string(n) + ' ' + of + (n == 1 ? "" : "s");
}

}  // namespace

daemon::daemon(options o, config settings, inherited sockets, io::log& log, io::signals& set)
    : options_(std::move(o)),
      settings_(std::move(settings)),
      sockets_(std::move(sockets)),
      log_(log),
      signals_(set) {}

// ---- start and end

int daemon::run() {
    if (options_.take_over)
        succeed();
    else
        open_sockets();
    service_.start();
    const auto body = [this](wire::scope& all) {
        inside_ = &all;
        start_control();
        all.go({.name = "signals"}, [this] { follow_signals(); });
        if (const auto time = watchdog_time(options_.take_over); time.count() > 0)
            all.go({.name = "watchdog"}, [this, time] { feed_watchdog(time); });
        log_(notice, "ready: listens on %s, control on %s",
             service_.door().local_address()->to_string().c_str(), settings_.control.c_str());
        tell("READY=1\nSTATUS=serving");
        static_cast<void>(end_.await());
        control_keeper_ = {};
        all.cancel();
    };
    static_cast<void>(wire::with_scope(wire::never, body));
    stop();
    return 0;
}

void daemon::stop() {
    if (gave_) ::close(control_.release());  // the path is the successor's
    if (!gave_ && removes_control_ && settings_.control[0] != '@')
        ::unlink(settings_.control.c_str());
    log_(notice, gave_ ? "the successor has taken over" : "stopped");
}

void daemon::feed_watchdog(std::chrono::microseconds time) {
    // Comes from a wire, so it tells that the scheduler turns.
    while (wire::sleep(wire::within(time / 3))) tell("WATCHDOG=1");
}

void daemon::tell(const std::string& state) {
    const auto told = notify(state);
    if (!told && told_ && told.code() != ECANCELED)
        log_(warning, "NOTIFY_SOCKET=%s takes no notification: %s", std::getenv("NOTIFY_SOCKET"),
             text_of(told.code()).c_str());
    told_ = told.has_value();
}

void daemon::follow_signals() {
    while (const auto number = signals_.wait()) {
        if (*number == SIGHUP) {
            reload();
        } else if (phase_ == phase::draining) {
            log_(notice, "another signal: waits no longer");
            service_.hurry();
        } else if (!begin_drain("a signal").starts_with("error")) {
            inside_->go({.name = "drain"}, [this] {
                finish_drain();
                end();
            });
        }
    }
}

// ---- sockets

void daemon::open_sockets() {
    open_control();  // first: says it if another instance runs
    if (sockets_.door.is_open())
        service_.open(std::move(sockets_.door), "");
    else
        service_.open(open_door(settings_.listen), settings_.listen);
}

io::listener daemon::open_door(const std::string& where) const {
    auto door = listen_patiently(parse_address(where).value());
    if (door) return *std::move(door);
    const char* const fix = door.code() == EADDRINUSE      ? "; choose another port"
                            : door.code() == EADDRNOTAVAIL ? "; this machine has no such address"
                            : door.code() == EACCES ? "; ports below 1024 need CAP_NET_BIND_SERVICE"
                                                    : "";
    throw start_error("cannot listen on " + where + ": " + text_of(door.code()) + fix);
}

void daemon::open_control() {
    if (sockets_.control.is_open()) {
        control_ = std::move(sockets_.control);
        removes_control_ = false;
        return;
    }
    const std::string& path = settings_.control;
    const auto mask = ::umask(0177);  // for this user only
    auto door = listen_patiently(io::address::local(path).value());
    ::umask(mask);
    if (door) {
        control_ = *std::move(door);
        return;
    }
    std::string fix;
    std::error_code ignored;
    if (door.code() == EADDRINUSE)
        fix = path[0] == '@' || std::filesystem::is_socket(path, ignored)
                  ? "; another instance runs: stop it, replace it with --take-over, or set another "
                    "`control`"
                  : "; there is a file that is no socket";
    else if (door.code() == ENOENT)
        fix = "; make its folder, or let systemd make it (RuntimeDirectory=)";
    else if (door.code() == EACCES)
        fix = "; this user may not write to its folder, or another user's instance runs";
    throw start_error("cannot open the control socket " + path + ": " + text_of(door.code()) + fix);
}

// ---- the old instance gives, the new one takes

void daemon::succeed() {
    inheritance got = take_over(service_, settings_.control, [this] {
        if (!service_.where().empty() && service_.where() != settings_.listen)
            service_.open(open_door(settings_.listen), settings_.listen);
    });
    if (got.control.is_open())
        control_ = std::move(got.control), removes_control_ = got.removes_control;
    else
        open_control();
    log_(got.whole ? notice : warning, "has taken over %s and %s%s",
         count(service_.connections().size(), "connection").c_str(),
         count(service_.home.values.size(), "key").c_str(),
         got.whole ? "" : "; the old instance ended before it had sent everything");
}

std::string daemon::give_to(io::stream& to) {
    const std::lock_guard turn(turn_);
    if (phase_ != phase::serving) return "error: this instance ends already\n";
    phase_ = phase::giving;
    ucred peer{};
    socklen_t size = sizeof peer;
    ::getsockopt(to.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    log_(notice, "process %d takes over", peer.pid);
    control_keeper_ = {};  // ends that wire; who is in the queue is answered by the successor
    service_.freeze();
    const std::string why = hand_over(service_, control_, removes_control_, to);
    if (why.empty()) {
        gave_ = true;
        tell("MAINPID=" + std::to_string(peer.pid));
        end();
    } else {
        log_(warning, "process %d has not taken over: %s", peer.pid, why.c_str());
        phase_ = phase::serving;
        service_.start();
        start_control();
    }
    return {};
}

std::string daemon::upgrade() {
    std::vector<std::string> command = {options_.program, "--config", options_.config,
                                        "--take-over"};
    if (options_.journal) command.emplace_back("--journal");
    auto child = io::process::start(command);
    if (!child) return "error: cannot start " + command[0] + ": " + text_of(child.code()) + '\n';
    const auto ended = child->wait();
    if (ended) return "error: the successor has ended; the log says why\n";
    ::close(child->release());  // this instance ends first
    return gave_ ? "replaced\n" : "error: this instance ends\n";
}

// ---- what wiredctl asks for

void daemon::start_control() {
    control_keeper_ = wire::spawn({.name = "control"}, [this] { keep_control(); });
}

void daemon::keep_control() {
    const auto serve = [this](io::stream& peer) {
        inside_->go({.name = "wiredctl"},
                    [this, own = std::move(peer)]() mutable { answer(*this, own); });
    };
    while (auto peer = control_.accept()) serve(*peer);
    const wire::shield last;  // and those whom the system has accepted ahead
    while (auto peer = control_.accept(wire::within(std::chrono::seconds(0)))) serve(*peer);
}

std::string daemon::status() const {
    constexpr const char* phases[] = {"serving", "giving all to a successor", "draining"};
    const kv::server& home = service_.home;
    return "pid           " + std::to_string(::getpid()) + "\nphase         " +
           phases[static_cast<int>(phase_)] + "\nlisten        " +
           (service_.door().is_open() ? service_.door().local_address()->to_string() : "no more") +
           "\nconnections   " + std::to_string(service_.connections().size()) + " of at most " +
           std::to_string(settings_.connections_max) + ", " + std::to_string(home.connections) +
           " so far\nrequests      " + std::to_string(home.commands) + "\nkeys          " +
           std::to_string(home.values.size()) + "\nreloads       " + std::to_string(reloads_) +
           ", the last: " + last_reload_ + "\nreactor       " + std::string(io::backend()) + '\n';
}

std::string daemon::reload() {
    const std::lock_guard turn(turn_);
    if (phase_ != phase::serving) return "error: this instance ends\n";
    tell("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec());
    std::string why;
    try {
        auto fresh = io::offload([&] { return read_config(options_.config); });
        why = fresh ? adopt_settings(*std::move(fresh)) : text_of(fresh.code());
    } catch (const std::runtime_error& e) {
        why = e.what();
    }
    last_reload_ = why.empty() ? "took the settings over" : "refused: " + why;
    reloads_ += why.empty();
    log_(why.empty() ? notice : err, "reload %s%s", last_reload_.c_str(),
         why.empty() ? "" : "; all stays as it was");
    tell("READY=1\nSTATUS=" + (why.empty() ? "serving" : "serving; reload " + last_reload_));
    return why.empty() ? "reloaded\n" : "error: " + why + '\n';
}

// Throws start_error.
std::string daemon::adopt_settings(config fresh) {
    if (fresh.control != settings_.control) return "control: its change needs a restart";
    if (!service_.where().empty() && fresh.listen != service_.where())
        service_.open(open_door(fresh.listen), fresh.listen);
    settings_ = std::move(fresh);
    log_.set_least(settings_.log_level);
    return {};
}

std::string daemon::begin_drain(std::string_view who) {
    const std::lock_guard turn(turn_);
    if (phase_ != phase::serving) return "error: this instance ends already\n";
    phase_ = phase::draining;
    const std::string left = count(service_.connections().size(), "connection");
    log_(notice, "%.*s ends it: drains %s, for %g s at most", static_cast<int>(who.size()),
         who.data(), left.c_str(), settings_.drain.count());
    tell("STOPPING=1\nSTATUS=drains " + left);
    return "drains " + left + '\n';
}

std::string daemon::finish_drain() {
    const auto cut = service_.drain(wire::within(settings_.drain));
    if (cut.empty()) return "drained\n";
    std::string who;
    for (std::size_t i = 0; i < cut.size() && i < 10; ++i) who += (i ? ", " : "") + cut[i];
    if (cut.size() > 10) who += ", and " + std::to_string(cut.size() - 10) + " more";
    log_(warning, "drain: %s; cuts %s: %s",
         service_.hurried() ? "waits no longer" : "the time is over",
         count(cut.size(), "connection").c_str(), who.c_str());
    return "cut " + count(cut.size(), "connection") + ": " + who + '\n';
}

std::string daemon::hold(double seconds) {
    if (!settings_.allow_hold) return "error: `allow_hold` is not set\n";
    if (!(seconds > 0 && seconds <= 3600)) return "error: hold takes seconds, at most 3600\n";
    log_(warning, "holds the thread for %g s", seconds);
    static_cast<void>(log_.flush());
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    return "held\n";
}

}  // namespace wired
