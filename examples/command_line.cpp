#include "command_line.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <type_traits>
#include <utility>
#include <vector>

command_line::command_line(std::string name, const std::string& description)
    : name_(std::move(name)), app_(std::make_unique<CLI::App>(description)) {
    app_->option_defaults()->always_capture_default();
    app_->failure_message([this](const CLI::App*, const CLI::Error& e) {
        return name_ + ": " + e.what() + "\nTry " + name_ + " --help\n";
    });
}

command_line::~command_line() = default;

template <class T>
command_line::option command_line::add(const std::string& name, T& variable,
                                       const std::string& help) {
    if constexpr (std::is_same_v<T, bool>)
        return option(app_->add_flag(name, variable, help));
    else
        return option(app_->add_option(name, variable, help));
}

void command_line::parse(int argc, char** argv) {
    try {
        app_->parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app_->exit(e) == 0 && std::cout.flush() ? 0 : 1);
    }
}

int command_line::end(int code) const {
    if (!std::ferror(stdout) && std::fflush(stdout) == 0) return code;
    std::fprintf(stderr, "%s: cannot write to standard output\n", name_.c_str());
    return 1;
}

using option = command_line::option;

option& option::required() {
    option_->required();
    return *this;
}

option& option::excludes(const std::string& name) {
    option_->excludes(name);
    return *this;
}

template <class T>
option& option::number(T least, T most) {
    return check([=](const std::string& text) -> std::string {
        T n{};
        const char* const end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(text.data(), end, n);
        if (error == std::errc() && rest == end && n >= least && n <= most) return {};
        std::ostringstream reason;
        reason << "takes a number from " << least << " to " << most << ", not '" << text << "'";
        return reason.str();
    });
}

template <class T>
option& option::range(T least, T most) {
    option_->check(CLI::Range(least, most));
    return *this;
}

option& option::not_empty() {
    return check([](const std::string& text) { return text.empty() ? "is empty" : ""; });
}

option& option::existing_directory() {
    option_->check(CLI::ExistingDirectory);
    return *this;
}

option& option::check(const std::function<std::string(const std::string&)>& problem) {
    option_->check(CLI::Validator(problem, ""));
    return *this;
}

// The types that the header names.
template option command_line::add(const std::string&, std::string&, const std::string&);
template option command_line::add(const std::string&, std::vector<std::string>&,
                                  const std::string&);
template option command_line::add(const std::string&, bool&, const std::string&);
template option command_line::add(const std::string&, double&, const std::string&);
template option command_line::add(const std::string&, int&, const std::string&);
template option command_line::add(const std::string&, unsigned&, const std::string&);
template option command_line::add(const std::string&, std::uint16_t&, const std::string&);
template option command_line::add(const std::string&, std::uint64_t&, const std::string&);
template option& option::number(int, int);
template option& option::number(double, double);
template option& option::number(std::uint64_t, std::uint64_t);
template option& option::range(int, int);
template option& option::range(double, double);
