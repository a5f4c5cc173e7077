#include "site.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <charconv>
#include <optional>

namespace http {
namespace {

constexpr std::pair<std::string_view, std::string_view> types[] = {
    {".html", "text/html; charset=utf-8"},
    {".txt", "text/plain; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".gif", "image/gif"},
    {".pdf", "application/pdf"},
};

std::string_view type_of(std::string_view path) {
    for (const auto& [extension, type] : types)
        if (path.ends_with(extension)) return type;
    return "application/octet-stream";
}

// The path in "/path?query" or "http://host/path?query"; nothing if it is none of them.
std::optional<std::string_view> path_in(std::string_view target) {
    constexpr std::string_view scheme = "http://";
    if (target.starts_with(scheme)) {
        target.remove_prefix(std::min(target.find('/', scheme.size()), target.size()));
        if (target.empty()) return "/";
    }
    if (!target.starts_with('/')) return std::nullopt;
    return target.substr(0, target.find_first_of("?#"));
}

// Replaces each %XX; nothing if one is malformed or stands for a zero.
std::optional<std::string> decoded(std::string_view path) {
    std::string plain;
    for (std::size_t i = 0; i < path.size(); ++i) {
        unsigned char c = static_cast<unsigned char>(path[i]);
        if (c == '%') {
            const std::string_view digits = path.substr(i + 1, 2);
            const char* const end = digits.data() + digits.size();
            const auto [rest, error] = std::from_chars(digits.data(), end, c, 16);
            if (error != std::errc() || rest != end || digits.size() != 2 || c == 0)
                return std::nullopt;
            i += 2;
        }
        plain += static_cast<char>(c);
    }
    return plain;
}

// Opens a path below `root`, without a way out of it through "..", links or other file systems.
file open_below(int root, const char* path) {
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    return file(static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how)));
}

int status_for(int error) {
    switch (error) {
        case EMFILE:
        case ENFILE:
        case ENOMEM:
            return 503;
        case EACCES:
        case EPERM:
            return 403;
        case ENOSYS:
            return 500;
        default:
            return 404;
    }
}

resource with_status(int status) {
    resource r;
    r.status = status;
    return r;
}

resource open_file(int root, std::string path) {
    if (path.ends_with('/')) path += "index.html";
    file opened = open_below(root, path.c_str() + path.find_first_not_of('/'));
    if (opened.number() < 0) return with_status(status_for(errno));
    struct stat about {};
    if (::fstat(opened.number(), &about) != 0 || !S_ISREG(about.st_mode)) return with_status(404);
    return {.status = 200,
            .content = std::move(opened),
            .size = static_cast<std::uint64_t>(about.st_size),
            .type = type_of(path)};
}

}  // namespace

resource site::find(std::string_view target) const {
    if (target == "/hello") return with_status(200);  // most of what benchmarks ask for
    const auto path = path_in(target);
    if (!path) return with_status(400);
    if (*path == "/hello" || (*path == "/" && root_ < 0)) return with_status(200);
    if (root_ < 0) return with_status(404);
    auto plain = decoded(*path);
    return plain ? open_file(root_, *std::move(plain)) : with_status(400);
}

void site::look_at_clock() {
    timespec now;
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == second_) return;
    second_ = now.tv_sec;
    tm parts;
    ::gmtime_r(&second_, &parts);
    std::strftime(date_.data(), date_.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    text_.assign("HTTP/1.1 200 OK\r\nServer: wire\r\nDate: ").append(date());
    text_.append("\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    text_.append(std::to_string(text_body().size())).append("\r\n\r\n");
    text_.append(text_body());
}

}  // namespace http
