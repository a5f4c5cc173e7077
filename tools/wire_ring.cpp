// wire-ring: looks into a ring in shared memory from a shell.
//
//     wire-ring create /numbers --producers 4 --lane-bytes 65536
//     wire-ring stat /numbers
//     echo hello | wire-ring send /numbers
//     wire-ring tail /numbers
//     wire-ring remove /numbers
//
// RING is "/name", or the path of a file. Exit codes: 0; 1, something failed, and standard error
// says what; 2, wrong use.

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>

#include "ring/look.hpp"
#include "ring/tail.hpp"

namespace {

void create(const std::string& name, wire::shm::ring_options sizes) {
    sizes.remove = false;
    if (is_shared_name(name))
        wire::shm::ring::create(name, sizes);
    else
        wire::shm::ring::create_file(name, sizes);
}

class sender {
public:
    explicit sender(const std::string& name) : name_(name) {
        if (const auto no =
                is_shared_name(name) ? ring_.attach(name.c_str()) : ring_.attach_file(name.c_str()))
            throw std::system_error(no.error, std::system_category(), name + ": " + no.why);
    }
    void send(const std::string& record) {
        if (const int error = ring_.send(std::as_bytes(std::span(record))))
            throw std::system_error(error, std::system_category(), name_ + ": " + reason(error));
    }

private:
    [[nodiscard]] std::string reason(int error) const {
        if (error == EMSGSIZE)
            return "send: a record of this ring has at most " + std::to_string(ring_.longest()) +
                   " bytes";
        if (error == EINVAL) return "send: a record has at least one byte";
        if (error == EPIPE) return "send: the consumer has closed the ring";
        return "send";
    }

    const std::string name_;
    wire::shm::producer ring_;
};

// The arguments, or else the lines of standard input.
void send(const std::string& name, const std::vector<std::string>& records) {
    sender to(name);
    for (const std::string& r : records) to.send(r);
    if (!records.empty()) return;
    for (std::string line; std::getline(std::cin, line);) to.send(line);
    if (std::ferror(stdin) != 0)
        throw std::system_error(errno, std::system_category(), "read standard input");
}

struct arguments {
    std::string ring;
    wire::shm::ring_options sizes;
    tail_options tail;
    std::vector<std::string> records;
    bool force = false;
    int exit_code = 0;
};

void describe(CLI::App& app, arguments& a) {
    const auto command = [&](const char* name, const char* help) {
        CLI::App* const c = app.add_subcommand(name, help);
        c->add_option("RING", a.ring, "/name, or the path of a file")->required();
        return c;
    };
    command("stat", "Prints the sizes of a ring, who uses it, and what lies in it")->callback([&a] {
        print_ring(a.ring);
    });
    CLI::App* const tail = command("tail", "Becomes the consumer, and prints what comes");
    tail->add_flag("--hex", a.tail.hex, "Print text as bytes, too");
    tail->add_option("--count", a.tail.count, "End after so many records");
    tail->callback([&a] { a.exit_code = tail_ring(a.ring, a.tail); });
    CLI::App* const sending = command("send", "Sends its arguments, or the lines of its input");
    sending->add_option("RECORD", a.records, "A record");
    sending->callback([&a] { send(a.ring, a.records); });
    CLI::App* const making = command("create", "Makes a ring, for who becomes its consumer");
    making->add_option("--producers", a.sizes.producers, "So many at once")->capture_default_str();
    making->add_option("--lane-bytes", a.sizes.lane_bytes, "For the records of each")
        ->capture_default_str();
    making->callback([&a] { create(a.ring, a.sizes); });
    CLI::App* const removing =
        command("remove", "Removes the name; who has the ring open keeps it");
    removing->add_flag("--force", a.force, "Also if its consumer lives");
    removing->callback([&a] { remove_ring(a.ring, a.force); });
}

int fail(const std::string& why) {
    std::fprintf(stderr, "wire-ring: %s\n", why.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Looks into a ring in shared memory.", "wire-ring");
    arguments a;
    describe(app, a);
    app.require_subcommand(1);
    app.failure_message([](const CLI::App*, const CLI::Error& e) {
        return std::string("wire-ring: ") + e.what() + "\nTry wire-ring --help\n";
    });
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    } catch (const std::system_error& e) {
        return fail(e.what());
    }
    if (a.exit_code == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0))
        return fail(std::string("write standard output: ") + std::strerror(errno));
    return a.exit_code;
}
