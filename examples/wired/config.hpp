// What the file of settings says, checked as a whole before any of it counts.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

#include <wire/address.hpp>
#include <wire/log.hpp>

namespace wired {

/// The settings, with their defaults. wired.toml explains them.
struct config {
    std::string listen = "127.0.0.1:7379";
    std::string control = "/run/wired/control";
    unsigned connections_max = 10000;
    std::chrono::duration<double> idle = std::chrono::minutes(5);
    std::chrono::duration<double> drain = std::chrono::seconds(10);
    wire::io::log_level log_level = wire::io::log_level::info;
    bool allow_hold = false;
};

/// Its what() begins with file, line and column: "wired.toml:3:10: ...".
struct config_error : std::runtime_error {
    using runtime_error::runtime_error;
};

/// Throws config_error. It blocks and needs a large stack: not on a wire, but with io::offload.
config read_config(const std::string& path);

/// The numbers of "127.0.0.1:80" or "[::1]:80"; EINVAL.
wire::result<wire::io::address> parse_address(const std::string& text);

}  // namespace wired
