// Keys and values as requests that make them anew: what a successor is given of them.
#pragma once

#include <initializer_list>
#include <limits>
#include <ranges>

#include "kv/engine.hpp"

namespace wired {

inline void append_request(std::initializer_list<std::string_view> words, kv::buffer& out) {
    kv::reply request(out, std::numeric_limits<std::size_t>::max());  // the same syntax
    request.array(words.size());
    for (const std::string_view word : words) request.bulk(word);
}

/// Appends the requests that make `key` anew at the time `now_ms`.
inline void append_requests(const kv::store::node& key, std::int64_t now_ms, kv::buffer& out) {
    const auto& [name, entry] = key;
    if (const auto* const text = std::get_if<std::string>(&entry.value))
        append_request({"SET", name, *text}, out);
    else
        for (const std::string& one : std::views::reverse(std::get<kv::list>(entry.value)))
            append_request({"LPUSH", name, one}, out);
    if (entry.ends_ms)
        append_request({"PEXPIRE", name, std::to_string(entry.ends_ms - now_ms)}, out);
}

/// Runs whole requests. Returns whether all were done.
inline bool run_requests(kv::session& session, kv::buffer& requests) {
    kv::buffer answers;
    while (!requests.empty()) {
        const std::size_t used = session.consume(requests.view(), answers);
        if (used == 0 || answers.view().starts_with('-')) return false;
        requests.drop(used);
        answers.clear();
    }
    return true;
}

}  // namespace wired
