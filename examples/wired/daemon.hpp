// The daemon: from its first notification to its last, and what wiredctl may ask of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config.hpp"
#include "service.hpp"

namespace wired {

/// What the command line says.
struct options {
    std::string program;  ///< argv[0]
    std::string config;
    bool take_over = false;
    bool journal = false;  ///< its log is for systemd's journal, whatever reads it
};

/// Sockets that systemd has opened; closed: none.
struct inherited {
    io::listener door, control;
};

class daemon {
public:
    /// `log` and `set` (of SIGHUP, SIGINT and SIGTERM) outlive it.
    daemon(options o, config settings, inherited sockets, io::log& log, io::signals& set);

    /// From start to end. Returns the exit code. Throws start_error.
    int run();

    // ---- for wiredctl: each returns what it is told, "error: " in front if it was in vain

    std::string status() const;
    /// Takes the file of settings over; all stays as it is if it is wrong.
    std::string reload();
    /// What an end in order begins with; finish() ends it. `who` is why, for the log.
    std::string begin_drain(std::string_view who);
    std::string finish_drain();
    /// Blocks the thread, so that nothing turns: to see the watchdog bite.
    std::string hold(double seconds);
    /// Gives everything to the process behind `to`.
    std::string give_to(io::stream& to);
    /// Starts the program anew, as its own successor.
    std::string upgrade();
    /// Ends run().
    void end() { end_.set(); }

private:
    void open_sockets();
    void open_control();
    io::listener open_door(const std::string& where) const;
    void succeed();
    void keep_control();
    void start_control();
    std::string adopt_settings(config fresh);
    void follow_signals();
    void feed_watchdog(std::chrono::microseconds time);
    void stop();
    void tell(const std::string& state);

    const options options_;
    config settings_;
    inherited sockets_;
    io::log& log_;
    io::signals& signals_;
    service service_{settings_, log_};
    io::listener control_;
    wire::scope* inside_ = nullptr;
    wire::handle<void> control_keeper_;
    wire::mutex turn_;  // of a reload, a take-over, the beginning of a drain
    wire::event end_;
    enum class phase : unsigned char { serving, giving, draining } phase_ = phase::serving;
    bool removes_control_ = true;  // its path, at the end
    bool gave_ = false;            // a successor has everything
    bool told_ = true;             // notifications arrive
    unsigned reloads_ = 0;
    std::string last_reload_ = "none";
};

}  // namespace wired
