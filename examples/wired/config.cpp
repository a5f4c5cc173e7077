// Of all files only this one includes toml++, which takes long to compile.
#include "config.hpp"

#include <toml++/toml.h>

#include <array>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

namespace wired {
namespace {

using wire::io::log_level;

// After a call that failed.
config_error unreadable(const std::string& path) {
    return config_error(path + ": " + std::system_category().message(errno ? errno : EIO));
}

[[noreturn]] void refuse(const toml::source_region& at, std::string_view reason) {
    std::ostringstream text;
    text << *at.path << ':' << at.begin.line << ':' << at.begin.column << ": " << reason;
    throw config_error(text.str());
}

template <class T>
T value_of(const toml::node& n, const char* kind) {
    const auto value = std::is_same_v<T, double> ? n.value<T>() : n.value_exact<T>();
    if (!value) refuse(n.source(), std::string("this must be ") + kind);
    return *value;
}

std::string text_of(const toml::node& n) {
    auto text = value_of<std::string>(n, "a text in quotes");
    if (text.empty()) refuse(n.source(), "this must not be empty");
    return text;
}

std::chrono::duration<double> seconds_of(const toml::node& n) {
    const auto s = value_of<double>(n, "a number of seconds");
    if (!(s > 0 && s <= 1e6)) refuse(n.source(), "this must be up to 1,000,000 seconds, not 0");
    return std::chrono::duration<double>(s);
}

std::string address_of(const toml::node& n) {
    auto text = text_of(n);
    if (!parse_address(text))
        refuse(n.source(), "this must be a numeric address and a port, as \"127.0.0.1:7379\"");
    return text;
}

std::string path_of(const toml::node& n) {
    auto text = text_of(n);
    if (!wire::io::address::local(text)) refuse(n.source(), "this path has more than 107 bytes");
    return text;
}

unsigned count_of(const toml::node& n) {
    const auto count = value_of<std::int64_t>(n, "a whole number");
    if (count < 1 || count > 1'000'000) refuse(n.source(), "this must be 1 to 1,000,000");
    return static_cast<unsigned>(count);
}

log_level level_of(const toml::node& n) {
    constexpr std::array names = {"debug", "info", "notice", "warning", "err", "critical", "fatal"};
    const std::string name = text_of(n);
    for (std::size_t i = 0; i < names.size(); ++i)
        if (name == names[i]) return static_cast<log_level>(i);
    refuse(n.source(), "this must be debug, info, notice, warning, err, critical or fatal");
}

// A key of the file, and what it sets.
struct setting {
    std::string_view key;
    void (*set)(config&, const toml::node&);
};
constexpr setting settings[] = {
    {"listen", [](config& c, const toml::node& n) { c.listen = address_of(n); }},
    {"control", [](config& c, const toml::node& n) { c.control = path_of(n); }},
    {"connections_max", [](config& c, const toml::node& n) { c.connections_max = count_of(n); }},
    {"idle_seconds", [](config& c, const toml::node& n) { c.idle = seconds_of(n); }},
    {"drain_seconds", [](config& c, const toml::node& n) { c.drain = seconds_of(n); }},
    {"log_level", [](config& c, const toml::node& n) { c.log_level = level_of(n); }},
    {"allow_hold",
     [](config& c, const toml::node& n) { c.allow_hold = value_of<bool>(n, "true or false"); }},
};

void apply(config& c, const toml::key& key, const toml::node& node) {
    for (const setting& s : settings)
        if (s.key == key.str()) return s.set(c, node);
    refuse(key.source(), "there is no setting \"" + std::string(key.str()) + '"');
}

}  // namespace

config read_config(const std::string& path) {
    errno = 0;
    std::ifstream file(path);
    if (!file) throw unreadable(path);
    try {
        const toml::table all = toml::parse(file, path);
        if (file.bad()) throw unreadable(path);  // or else what is missing would be as by default
        config c;
        for (const auto& [key, node] : all) apply(c, key, node);
        return c;
    } catch (const toml::parse_error& e) {
        refuse(e.source(), e.description());
    }
}

wire::result<wire::io::address> parse_address(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == text.npos) return wire::failure{EINVAL};
    std::string_view host = std::string_view(text).substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto got = std::from_chars(text.data() + colon + 1, end, port);
    if (got.ec != std::errc() || got.ptr != end) return wire::failure{EINVAL};
    return wire::io::address::ip(host, port);
}

}  // namespace wired
