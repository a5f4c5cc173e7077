#include "fetcher.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <new>
#include <system_error>

namespace {

CURLM* make_multi() {
    static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM* const made = started == CURLE_OK ? curl_multi_init() : nullptr;
    if (!made) throw std::bad_alloc();
    return made;
}

std::size_t append(char* data, std::size_t, std::size_t size, void* to) noexcept try {
    static_cast<std::string*>(to)->append(data, size);
    return size;
} catch (const std::exception&) {
    return 0;  // libcurl says CURLE_WRITE_ERROR
}

int errno_of(CURL* easy, CURLcode code) {
    long system_error = 0;
    switch (code) {
        case CURLE_OPERATION_TIMEDOUT:
            return ETIMEDOUT;
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
            return EINVAL;
        case CURLE_COULDNT_RESOLVE_HOST:
            return EHOSTUNREACH;
        case CURLE_COULDNT_CONNECT:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
            curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &system_error);
            return system_error > 0 ? static_cast<int>(system_error) : EPROTO;
        default:
            return EPROTO;
    }
}

}  // namespace

// One fetch(), in its wire's frame: it leaves libcurl before that does.
struct fetcher::transfer {
    explicit transfer(fetcher& f) : owner(f), easy(curl_easy_init()) {
        if (!easy) throw std::bad_alloc();
        ++owner.under_way_;
    }
    ~transfer() {
        curl_multi_remove_handle(owner.multi_, easy);
        curl_easy_cleanup(easy);
        --owner.under_way_;
    }
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;

    void prepare(const std::string& url) {
        curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");  // file: would block
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // not to wait for a look-up's thread
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer.body);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, words.data());
        curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
    }

    fetcher& owner;
    CURL* const easy;
    response answer;
    std::array<char, CURL_ERROR_SIZE> words{};
    CURLcode code = CURLE_OK;
    wire::wait done;
};

fetcher::fetcher() : multi_(make_multi()) {
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, socket_changed);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, timer_changed);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    any_.chain(timer_);
    driver_ = wire::spawn({.name = "libcurl"}, [this] { drive(); });
}

fetcher::~fetcher() {
    WIRE_ASSERT(under_way_ == 0, "a fetcher ends during a fetch()");
    { const auto ended = std::move(driver_); }
    curl_multi_cleanup(multi_);
}

fetched fetcher::fetch(const std::string& url, wire::deadline until,
                       const std::function<void(CURL*)>& prepare) {
    transfer t(*this);
    t.prepare(url);
    if (prepare) prepare(t.easy);
    if (const CURLMcode refused = curl_multi_add_handle(multi_, t.easy); refused != CURLM_OK)
        return {EPROTO, url + ": " + curl_multi_strerror(refused)};
    if (const auto waited = t.done.await(until); !waited)
        return {waited.code(), url + ": " + waited.error().message()};
    if (t.code != CURLE_OK)
        return {errno_of(t.easy, t.code),
                url + ": " + (t.words[0] ? t.words.data() : curl_easy_strerror(t.code))};
    curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &t.answer.status);
    return std::move(t.answer);
}

// ---- what libcurl waits for, as it says in whichever wire calls it

int fetcher::socket_changed(CURL*, curl_socket_t fd, int what, void* self, void*) {
    auto& f = *static_cast<fetcher*>(self);
    socket& s = f.sockets_[fd];
    f.watch(s.in, fd, what == CURL_POLL_IN || what == CURL_POLL_INOUT);
    f.watch(s.out, fd, what == CURL_POLL_OUT || what == CURL_POLL_INOUT);
    if (what == CURL_POLL_REMOVE) f.sockets_.erase(fd);  // its number may be another's next
    return 0;
}

template <class Wait>
void fetcher::watch(std::optional<Wait>& wait, curl_socket_t fd, bool wanted) {
    constexpr bool reads = std::is_same_v<Wait, wire::io::readable_wait>;
    if (wanted == wait.has_value()) return;
    if (wanted) {
        any_.chain(wait.emplace(fd));
        meaning_[&*wait] = {fd, reads ? CURL_CSELECT_IN : CURL_CSELECT_OUT};
    } else {
        meaning_.erase(&*wait);
        wait.reset();
    }
}

int fetcher::timer_changed(CURLM*, long ms, void* self) {
    const auto until = ms < 0 ? wire::never : wire::within(std::chrono::milliseconds(ms));
    static_cast<fetcher*>(self)->timer_.arm(until);
    return 0;
}

// ---- the wire that tells it what is ready

void fetcher::drive() {
    while (const auto ready = any_.await()) {
        if (*ready == &timer_) {
            timer_.reset();
            act(CURL_SOCKET_TIMEOUT, 0);
        } else {
            const auto [fd, how] = meaning_.at(*ready);
            act(fd, how);
            rearm(fd);
        }
    }
}

void fetcher::act(curl_socket_t fd, int ready) {
    int running = 0;
    curl_multi_socket_action(multi_, fd, ready, &running);
    tell_the_finished();
}

// Only now: what was ready may have been read. The socket may be gone, or be a new one.
void fetcher::rearm(curl_socket_t fd) {
    const auto at = sockets_.find(fd);
    if (at == sockets_.end()) return;
    auto& [in, out] = at->second;
    if (in && in->triggered()) in->reset();
    if (out && out->triggered()) out->reset();
}

void fetcher::tell_the_finished() {
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        transfer* t = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        t->code = message->data.result;
        t->done.wake();
    }
}
