// libcurl from wires, through its multi interface. Two files to copy into a program.
//
//     fetcher curl;  // on a wire
//     auto page = curl.fetch("https://example.org/", within(10s));
//     if (!page) return complain(page.why());
//     use(page->status, page->body);
//
// Any number of wires fetch at once; connections are kept and shared. libcurl moves the bytes by
// itself, on sockets of its own. One wire tells it which of them are ready, and when its timer has
// run out: both are waits in one list.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/spawn.hpp>
#include <wire/wait.hpp>
#include <wire/wait_fd.hpp>

/// What a server has answered, whatever the status.
struct response {
    long status = 0;
    std::string body;
};

/// A response, or an errno and libcurl's words.
class fetched : public wire::result<response> {
public:
    fetched(response r) : result(std::move(r)) {}
    fetched(int code, std::string why) : result(wire::failure{code}), why_(std::move(why)) {}
    [[nodiscard]] const std::string& why() const noexcept { return why_; }

private:
    std::string why_;
};

/// Fetches what URLs name, for the wires of one runtime, which must have a reactor.
class fetcher {
public:
    /// Call from a wire. Throws std::bad_alloc.
    fetcher();
    /// Closes the connections. Call from a wire, when no fetch() is under way (asserted).
    ~fetcher();
    fetcher(const fetcher&) = delete;
    fetcher& operator=(const fetcher&) = delete;

    /// Gets an http: or https: URL, following redirects, while other wires run. `prepare` may set
    /// further options of the transfer: a method, headers, CURLOPT_CAINFO.
    ///
    /// Fails with ETIMEDOUT or ECANCELED, and the transfer is broken off then; with EINVAL if it is
    /// no such URL, EHOSTUNREACH if there is no such host, ECONNREFUSED and the like if nobody
    /// answers, EPROTO for what else libcurl does not like. Call from a wire.
    fetched fetch(const std::string& url, wire::deadline until = wire::never,
                  const std::function<void(CURL*)>& prepare = {});

private:
    struct transfer;
    struct socket {
        std::optional<wire::io::readable_wait> in;
        std::optional<wire::io::writable_wait> out;
    };

    static int socket_changed(CURL*, curl_socket_t fd, int what, void* self, void*);
    static int timer_changed(CURLM*, long ms, void* self);
    template <class Wait>
    void watch(std::optional<Wait>& wait, curl_socket_t fd, bool wanted);
    void drive();
    void act(curl_socket_t fd, int ready);
    void rearm(curl_socket_t fd);
    void tell_the_finished();

    CURLM* const multi_;
    std::unordered_map<curl_socket_t, socket> sockets_;  // of libcurl, which it waits for
    std::unordered_map<wire::wait*, std::pair<curl_socket_t, int>> meaning_;
    wire::timer timer_;
    wire::wait_list any_;
    unsigned under_way_ = 0;
    wire::handle<void> driver_;
};
