// Downloads files over HTTP, several at once, each with a deadline of its own.
//
//     ./http_get http://127.0.0.1:8080/README.md http://127.0.0.1:8080/LICENSE
//     ./http_get --stdout http://127.0.0.1:8080/hello
//     ./http_get --help
//
// A wire_pool bounds how many run at once. A server that stalls costs its own download only.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <wire/wire.hpp>

#include "command_line.hpp"
#include "http/parser.hpp"

namespace {

namespace io = wire::io;
using seconds = std::chrono::duration<double>;

struct {
    std::vector<std::string> urls;
    std::string folder = ".";
    bool to_stdout = false, progress = false;
    double timeout = 30;
    unsigned parallel = 6;
} options;

struct download {
    std::string url, host, service = "80", path = "/", name;
    std::uint64_t received = 0;
    std::optional<std::uint64_t> length;  // of the body, once it is known
};

// What all downloads have come to.
struct {
    std::size_t done = 0, failed = 0;
} count;

/// Why a download has failed; empty: it has not.
using problem = std::string;

problem describe(int error) {
    return std::system_category().message(error);
}

// ---- addresses

problem parse_url(download& d) {
    std::string_view rest = d.url;
    constexpr std::string_view scheme = "http://";
    if (!rest.starts_with(scheme)) return "only http:// is spoken here";
    rest.remove_prefix(scheme.size());
    rest = rest.substr(0, rest.find('#'));
    const std::size_t slash = rest.find_first_of("/?");
    std::string_view authority = rest.substr(0, slash);
    if (slash != rest.npos) {
        if (rest[slash] == '/') d.path.clear();  // else it stays "/"
        d.path += rest.substr(slash);
    }
    if (d.path.find_first_of(" \t\r\n") != d.path.npos) return "there is a blank in it";
    const std::size_t colon = authority.rfind(':');
    if (colon != authority.npos && authority.find(']', colon) == authority.npos) {
        d.service = authority.substr(colon + 1);
        authority = authority.substr(0, colon);
    }
    if (authority.starts_with('[') && authority.ends_with(']'))
        authority = authority.substr(1, authority.size() - 2);
    d.host = authority;
    return d.host.empty() ? "there is no host in it" : "";
}

std::string file_name(const download& d) {
    const std::string path = d.path.substr(0, d.path.find('?'));
    const std::string last = path.substr(path.rfind('/') + 1);
    return last.empty() || last == "." || last == ".." ? "index.html" : last;
}

wire::result<io::stream> connect(const download& d, wire::deadline until, problem& why) {
    auto peer = io::connect(d.host, d.service, until);
    if (peer) return *std::move(peer);
    const std::error_code error = peer.error();
    const bool unknown = error.category() == io::name_category();
    why = (unknown ? "cannot look up '" + d.host + "'" : "cannot connect") + ": " + error.message();
    return wire::failure{peer.code()};
}

// ---- files

/// Where a body goes. A file gets its name when it is whole.
class target {
public:
    explicit target(const std::string& name) : path_(options.folder + "/" + name) {
        if (!options.to_stdout)
            fd_ = ::open(part().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    }
    ~target() {
        if (options.to_stdout) return;
        if (fd_ >= 0) ::close(fd_);
        ::unlink(part().c_str());  // if it has not become the file
    }
    target(const target&) = delete;
    target& operator=(const target&) = delete;

    problem write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
            if (n < 0 && errno != EINTR) return "cannot write: " + describe(errno);
            bytes.remove_prefix(n < 0 ? 0 : static_cast<std::size_t>(n));
        }
        return {};
    }
    problem finish() {
        if (options.to_stdout) return {};
        const bool whole = ::close(std::exchange(fd_, -1)) == 0;
        if (whole && ::rename(part().c_str(), path_.c_str()) == 0) return {};
        return "cannot write " + path_ + ": " + describe(errno);
    }
    [[nodiscard]] problem opened() const {
        return fd_ >= 0 ? "" : "cannot write " + part() + ": " + describe(errno);
    }

private:
    [[nodiscard]] std::string part() const { return path_ + ".part"; }
    std::string path_;
    int fd_ = STDOUT_FILENO;
};

// ---- one download

std::string request_for(const download& d) {
    const bool v6 = d.host.find(':') != d.host.npos;
    const std::string host = v6 ? "[" + d.host + "]" : d.host;
    return "GET " + d.path + " HTTP/1.1\r\nHost: " + host +
           (d.service == "80" ? "" : ":" + d.service) +
           "\r\nUser-Agent: http_get\r\nAccept: */*\r\nConnection: close\r\n\r\n";
}

problem judge(unsigned status) {
    if (status / 100 == 2) return {};
    const std::string answer = "the server answers " + std::to_string(status);
    return status / 100 == 3 ? answer + ": redirects are not followed" : answer;
}

// Takes what of the response is in `bytes`. True once it is complete, or `why` not empty.
bool take(std::string_view& bytes, std::optional<http::response_parser>& answer, download& d,
          target& to, problem& why) {
    for (;;) {
        const std::size_t before = bytes.size();
        const http::progress p = answer->parse(bytes);
        const bool interim = p == http::progress::complete && answer->status() / 100 == 1;
        if (p == http::progress::failed) why = "no answer of HTTP: " + answer->error();
        if (p == http::progress::head || (p == http::progress::complete && !interim)) {
            why = judge(answer->status());
            d.length = answer->length();
        }
        if (why.empty()) why = to.write(answer->body());
        d.received += answer->body().size();
        if (!why.empty() || (p == http::progress::complete && !interim)) return true;
        if (interim) answer.emplace();
        if (p == http::progress::more && bytes.size() == before) return false;
    }
}

problem receive(io::stream& from, download& d, target& to, wire::deadline until) {
    std::optional<http::response_parser> answer(std::in_place);
    std::array<char, 2 * http::head_max> buffer;
    std::size_t filled = 0;
    problem why;
    for (;;) {
        const auto room = std::as_writable_bytes(std::span(buffer)).subspan(filled);
        const auto n = from.read(room, until);
        if (!n) return describe(n.code());
        if (*n == 0) break;
        std::string_view rest(buffer.data(), filled + *n);
        if (take(rest, answer, d, to, why)) return why;
        std::memmove(buffer.data(), rest.data(), rest.size());
        filled = rest.size();
    }
    if (answer->end_of_stream() == http::progress::complete) return why;
    return "the connection has ended too early";
}

problem fetch(download& d) {
    const wire::deadline until = wire::within(seconds(options.timeout));
    problem why;
    auto peer = connect(d, until, why);
    if (!peer) return why;
    if (const auto sent = peer->write_all(request_for(d), until); !sent) return describe(sent.code);
    target to(d.name);
    if (why = to.opened(); why.empty()) why = receive(*peer, d, to, until);
    return why.empty() ? to.finish() : why;
}

// ---- all of them

void show_progress(const std::vector<download>& all) {
    std::uint64_t received = 0, length = 0;
    bool known = true;
    for (const download& d : all) {
        received += d.received;
        length += d.length.value_or(0);
        known = known && d.length;
    }
    std::fprintf(stderr, "\r\033[K%zu of %zu done, %zu failed, %ju%s%s KiB", count.done, all.size(),
                 count.failed, std::uintmax_t{received / 1024}, known ? " of " : "",
                 known ? std::to_string(length / 1024).c_str() : "");
}

void fetch_and_tell(download& d, wire::wait_group& left) {
    problem why = fetch(d);
    ++(why.empty() ? count.done : count.failed);
    if (!why.empty() && d.received > 0) why += ", after " + std::to_string(d.received) + " bytes";
    if (!why.empty())
        std::fprintf(stderr, "%shttp_get: %s: %s\n", options.progress ? "\r\033[K" : "",
                     d.url.c_str(), why.c_str());
    left.done();
}

void fetch_all(std::vector<download>& all) {
    wire::wait_group left(all.size());
    wire::wire_pool pool(options.parallel, {.name = "download"});
    auto progress = wire::spawn({.name = "progress"}, [&] {
        while (!left.wait(wire::within(seconds(0.2))))
            if (options.progress) show_progress(all);
    });
    for (download& d : all) pool.go(wire::never, [&] { fetch_and_tell(d, left); }).value();
    progress.join().value();
    if (!options.progress) return;
    show_progress(all);
    std::fputc('\n', stderr);
}

std::vector<download> plan() {
    std::vector<download> all;
    std::set<std::string> taken;
    for (const std::string& url : options.urls) {
        download d;
        d.url = url;
        if (const problem why = parse_url(d); !why.empty()) {
            std::fprintf(stderr, "http_get: %s: %s\n", url.c_str(), why.c_str());
            std::exit(1);
        }
        const std::string name = file_name(d);
        for (int i = 1;
             !taken.insert(d.name = i == 1 ? name : name + "." + std::to_string(i)).second;)
            ++i;
        all.push_back(std::move(d));
    }
    return all;
}

void read_options(int argc, char** argv) {
    command_line line("http_get", "Downloads files over HTTP, several at once.");
    line.add("URL", options.urls, "What to download").required();
    line.add("--folder", options.folder, "Where the files go").existing_directory();
    line.add("--stdout", options.to_stdout, "Write to standard output; for one URL")
        .excludes("--folder");
    line.add("--timeout", options.timeout, "Seconds for each download").range(0.001, 1e9);
    line.add("--parallel", options.parallel, "Downloads at once").range(1, 1000);
    line.add("--progress", options.progress, "Tell, also if nobody sits at a terminal");
    line.parse(argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
    read_options(argc, argv);
    if (options.to_stdout && options.urls.size() > 1) {
        std::fprintf(stderr, "http_get: --stdout is for one URL\n");
        return 1;
    }
    options.progress = options.progress || ::isatty(STDERR_FILENO);
    std::vector<download> all = plan();
    const int code = wire::run([&] { fetch_all(all); });
    return code != 0 || count.failed > 0 ? 1 : 0;
}
