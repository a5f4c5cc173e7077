// Fetches URLs with libcurl, all at once, a wire for each.
//
//     ./curl_get http://127.0.0.1:8080/ https://localhost:8443/
//     ./curl_get --first http://127.0.0.1:8080/ http://127.0.0.1:8081/     the first answer will do
//     ./curl_get --ticks http://127.0.0.1:8080/                            and another wire ticks

#include <cstdio>
#include <string>
#include <vector>

#include <wire/wire.hpp>

#include "../../command_line.hpp"
#include "fetcher.hpp"

namespace {

struct {
    std::vector<std::string> urls;
    std::string authorities;
    double timeout = 30;  // seconds
    bool first = false, body = false, ticks = false;
} options;

unsigned answers = 0;

void get(fetcher& curl, const std::string& url, wire::scope& all) {
    const auto until = wire::within(std::chrono::duration<double>(options.timeout));
    const auto page = curl.fetch(url, until, [](CURL* easy) {
        if (!options.authorities.empty())
            curl_easy_setopt(easy, CURLOPT_CAINFO, options.authorities.c_str());
    });
    if (page) {
        ++answers;
        std::printf("%ld, %zu bytes: %s\n", page->status, page->body.size(), url.c_str());
        if (options.body) std::fwrite(page->body.data(), 1, page->body.size(), stdout);
        if (options.first) all.cancel();
    } else if (!all.cancelled()) {
        std::fprintf(stderr, "curl_get: %s\n", page.why().c_str());
    }
}

void tick() {
    while (wire::sleep(wire::within(std::chrono::milliseconds(10)))) std::puts("tick");
}

int run() {
    fetcher curl;
    wire::handle<void> ticker;
    if (options.ticks) ticker = wire::spawn({.name = "ticker"}, tick);
    wire::with_scope(wire::never, [&](wire::scope& all) {
        for (const std::string& url : options.urls) all.go([&] { get(curl, url, all); });
    }).value();
    return options.first ? answers == 0 : answers < options.urls.size();
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("curl_get", "Fetches URLs, all at once.");
    line.add("URL", options.urls, "What to fetch").required();
    line.add("--ca", options.authorities, "Whom to believe, a PEM file; else as libcurl does");
    line.add("--timeout", options.timeout, "Seconds for each").range(0.001, 1e9);
    line.add("--first", options.first, "One answer is enough: break off the others");
    line.add("--body", options.body, "Print what came, too");
    line.add("--ticks", options.ticks, "Let a wire print a line every 10 ms meanwhile");
    line.parse(argc, argv);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return line.end(wire::run(run));
}
