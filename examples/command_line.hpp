// The command line of a program: its options, --help, and the end with a sentence if it is wrong.
//
//     std::string name;
//     unsigned times = 1;
//
//     int main(int argc, char** argv) {
//         command_line line("greet", "Greets somebody.");
//         line.add("NAME", name, "Whom").required();
//         line.add("--times", times, "How often").number(1, 1000);
//         line.parse(argc, argv);
//         ...
//
// This is a thin shell over CLI11, whose headers take longer to compile than any example: only
// command_line.cpp includes them.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

/// What a program takes from its command line, and the variables that get it.
class command_line {
public:
    class option;

    command_line(std::string name, const std::string& description);
    ~command_line();
    command_line(const command_line&) = delete;
    command_line& operator=(const command_line&) = delete;

    /// The name of the program.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    /// Adds an option, "--name", or an argument, "NAME". What `variable` holds is the default, and
    /// --help shows it. A bool is a flag, any other T takes a value: std::string, double, int,
    /// unsigned, std::uint16_t, std::uint64_t or, for several values, std::vector<std::string>.
    template <class T>
    option add(const std::string& name, T& variable, const std::string& help = {});

    /// Sets the variables. Ends the program if the command line is wrong, with exit code 1, or a
    /// question, with 0 once the answer is written.
    void parse(int argc, char** argv);

    /// Writes what standard output still holds. Returns `code`; or 1, and says so, if something
    /// that was printed there could not be written.
    [[nodiscard]] int end(int code) const;

private:
    const std::string name_;
    const std::unique_ptr<CLI::App> app_;
};

/// What an option demands.
class command_line::option {
public:
    option& required();
    /// Not together with another option, which was added before.
    option& excludes(const std::string& name);

    /// A number from `least` to `most`, int, double or std::uint64_t, and nothing else.
    template <class T>
    option& number(T least, T most);
    /// The same for int and double, in words of CLI11, which --help shows too.
    template <class T>
    option& range(T least, T most);
    option& not_empty();
    option& existing_directory();
    /// What `problem` returns "" for; else it is why not.
    option& check(const std::function<std::string(const std::string&)>& problem);

private:
    friend command_line;
    explicit option(CLI::Option* added) noexcept : option_(added) {}

    CLI::Option* option_;
};
