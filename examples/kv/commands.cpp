#include "commands.hpp"

#include <fnmatch.h>

#include <array>
#include <optional>

namespace kv {
namespace {

constexpr std::string_view not_an_integer = "ERR value is not an integer or out of range";
constexpr std::string_view wrong_type =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
constexpr std::string_view syntax = "ERR syntax error";

// ---- words

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// Whether `word` is `name`, which is in small letters.
bool is(std::string_view word, std::string_view name) {
    return std::equal(word.begin(), word.end(), name.begin(), name.end(),
                      [](char a, char b) { return lower(a) == b; });
}

// As redis has it: no blanks, no +, no zeros in front.
std::optional<std::int64_t> integer(std::string_view text) {
    std::int64_t n = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, n);
    if (error != std::errc() || rest != end) return {};
    const bool padded = text.front() == '0' ? text.size() > 1 : text.starts_with("-0");
    return padded ? std::nullopt : std::optional(n);
}

void wrong_number(call& c, std::string_view name) {
    c.answer.error("ERR wrong number of arguments for '" + std::string(name) + "' command");
}

void unknown_subcommand(call& c, std::string_view name) {
    c.answer.error("ERR unknown subcommand '" + std::string(c.request[1].substr(0, 128)) +
                   "'. Try " + std::string(name) + " HELP.");
}

// ---- values

std::string* string_of(store::node& n) {
    return std::get_if<std::string>(&n.second.value);
}
list* list_of(store::node& n) {
    return std::get_if<list>(&n.second.value);
}

// Sets a string, in the memory of the old one unless that is much too large.
store::node& put(store& values, std::string_view key, std::string_view value) {
    store::node* const old = values.find(key);
    if (!old) return values.insert(key, std::string(value));
    values.end_at(*old, 0);
    std::string* const text = string_of(*old);
    if (text && text->capacity() <= 2 * value.size() + 64)
        text->assign(value);
    else
        old->second.value = std::string(value);
    return *old;
}

// When something ends that shall last for `amount` units, in ms; nothing if that is too far away.
std::optional<std::int64_t> end_after(const store& values, std::int64_t amount, int unit_ms) {
    std::int64_t ms = 0, end = 0;
    if (__builtin_mul_overflow(amount, unit_ms, &ms)) return {};
    if (__builtin_add_overflow(values.now_ms(), ms, &end)) return {};
    return end;
}

// ---- connection

void ping(call& c) {
    if (c.request.size() == 1)
        c.answer.line("+PONG");
    else if (c.request.size() == 2)
        c.answer.bulk(c.request[1]);
    else
        wrong_number(c, "ping");
}

void echo(call& c) {
    c.answer.bulk(c.request[1]);
}

void quit(call& c) {
    c.answer.ok();
    c.over = true;
}

void select(call& c) {
    const auto n = integer(c.request[1]);
    if (!n)
        c.answer.error(not_an_integer);
    else if (*n != 0)
        c.answer.error("ERR DB index is out of range");
    else
        c.answer.ok();
}

// What libraries say when they connect.
void client(call& c) {
    const std::string_view what = c.request[1];
    if (is(what, "id"))
        c.answer.integer(static_cast<std::int64_t>(c.client));
    else if (is(what, "setname") || is(what, "setinfo"))
        c.answer.ok();
    else
        unknown_subcommand(c, "CLIENT");
}

// ---- strings

void get(call& c) {
    store::node* const n = c.values.find(c.request[1]);
    if (!n) return c.answer.nil();
    if (const std::string* text = string_of(*n))
        c.answer.bulk(*text);
    else
        c.answer.error(wrong_type);
}

struct set_options {
    bool nx = false, xx = false, get = false, keep = false;
    int unit_ms = 0;  // 0: no end
    std::string_view amount;
};

// Nothing if they make no sense.
std::optional<set_options> parse_set(const words& request) {
    set_options o;
    for (std::size_t i = 3; i < request.size(); ++i) {
        const std::string_view word = request[i];
        const bool timed = o.keep || o.unit_ms;
        if (is(word, "nx") && !o.xx)
            o.nx = true;
        else if (is(word, "xx") && !o.nx)
            o.xx = true;
        else if (is(word, "get"))
            o.get = true;
        else if (is(word, "keepttl") && !o.unit_ms)
            o.keep = true;
        else if ((is(word, "ex") || is(word, "px")) && !timed && i + 1 < request.size())
            o.unit_ms = is(word, "ex") ? 1000 : 1, o.amount = request[++i];
        else
            return {};
    }
    return o;
}

void set(call& c) {
    const auto o = parse_set(c.request);
    if (!o) return c.answer.error(syntax);
    std::optional<std::int64_t> end = 0;
    if (o->unit_ms) {
        const auto amount = integer(o->amount);
        if (!amount) return c.answer.error(not_an_integer);
        end = *amount > 0 ? end_after(c.values, *amount, o->unit_ms) : std::nullopt;
        if (!end) return c.answer.error("ERR invalid expire time in 'set' command");
    }
    store::node* const old =
        o->get || o->nx || o->xx || o->keep ? c.values.find(c.request[1]) : nullptr;
    if (o->get) {
        if (old && !string_of(*old)) return c.answer.error(wrong_type);
        get(c);
    }
    if ((o->nx && old) || (o->xx && !old)) return o->get ? void() : c.answer.nil();
    if (o->keep && old) end = old->second.ends_ms;
    c.values.end_at(put(c.values, c.request[1], c.request[2]), *end);
    if (!o->get) c.answer.ok();
}

void mset(call& c) {
    if (c.request.size() % 2 == 0) return wrong_number(c, "mset");
    for (std::size_t i = 1; i < c.request.size(); i += 2)
        put(c.values, c.request[i], c.request[i + 1]);
    c.answer.ok();
}

void mget(call& c) {
    c.answer.array(c.request.size() - 1);
    for (std::size_t i = 1; i < c.request.size(); ++i) {
        store::node* const n = c.values.find(c.request[i]);
        const std::string* const text = n ? string_of(*n) : nullptr;
        if (text)
            c.answer.bulk(*text);
        else
            c.answer.nil();
    }
}

void incr(call& c) {
    store::node* const n = c.values.find(c.request[1]);
    std::string* const text = n ? string_of(*n) : nullptr;
    if (n && !text) return c.answer.error(wrong_type);
    const auto old = text ? integer(*text) : 0;
    if (!old) return c.answer.error(not_an_integer);
    if (*old == std::numeric_limits<std::int64_t>::max())
        return c.answer.error("ERR increment or decrement would overflow");
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), *old + 1).ptr;
    if (text)
        text->assign(digits.begin(), end);
    else
        c.values.insert(c.request[1], std::string(digits.begin(), end));
    c.answer.integer(*old + 1);
}

// ---- lists

void lpush(call& c) {
    store::node* n = c.values.find(c.request[1]);
    if (n && !list_of(*n)) return c.answer.error(wrong_type);
    if (!n) n = &c.values.insert(c.request[1], list());
    list& items = *list_of(*n);
    for (std::size_t i = 2; i < c.request.size(); ++i) items.emplace_front(c.request[i]);
    c.answer.integer(static_cast<std::int64_t>(items.size()));
}

void lpop(call& c) {
    const bool counted = c.request.size() == 3;
    if (c.request.size() > 3) return wrong_number(c, "lpop");
    const auto count = counted ? integer(c.request[2]) : 1;
    if (!count || *count < 0) return c.answer.error("ERR value is out of range, must be positive");
    store::node* const n = c.values.find(c.request[1]);
    if (!n) return counted ? c.answer.nil_array() : c.answer.nil();
    list* const items = list_of(*n);
    if (!items) return c.answer.error(wrong_type);
    const std::size_t taken = std::min(items->size(), static_cast<std::size_t>(*count));
    if (counted) c.answer.array(taken);
    const auto end = items->begin() + static_cast<std::ptrdiff_t>(taken);
    for (auto i = items->begin(); i != end; ++i) c.answer.bulk(*i);
    if (c.answer.too_big()) return;  // they stay
    items->erase(items->begin(), end);
    if (items->empty()) c.values.erase(*n);
}

void lrange(call& c) {
    auto first = integer(c.request[2]), last = integer(c.request[3]);
    if (!first || !last) return c.answer.error(not_an_integer);
    store::node* const n = c.values.find(c.request[1]);
    if (!n) return c.answer.array(0);
    const list* const items = list_of(*n);
    if (!items) return c.answer.error(wrong_type);
    const auto size = static_cast<std::int64_t>(items->size());
    const auto from_start = [&](std::int64_t i) { return i < 0 ? i + size : i; };
    const auto begin = std::max(from_start(*first), std::int64_t{0});
    const auto end = std::min(from_start(*last), size - 1) + 1;
    if (begin >= end) return c.answer.array(0);
    c.answer.array(static_cast<std::size_t>(end - begin));
    for (auto i = begin; i < end; ++i) c.answer.bulk((*items)[static_cast<std::size_t>(i)]);
}

// ---- keys

template <class F>
void count_keys(call& c, F f) {
    std::int64_t n = 0;
    for (std::size_t i = 1; i < c.request.size(); ++i)
        if (store::node* const at = c.values.find(c.request[i])) f(*at), ++n;
    c.answer.integer(n);
}

void del(call& c) {
    count_keys(c, [&](store::node& n) { c.values.erase(n); });
}

void exists(call& c) {
    count_keys(c, [](store::node&) {});
}

void expire_in(call& c, int unit_ms, std::string_view name) {
    if (c.request.size() > 3)
        return c.answer.error("ERR Unsupported option " + std::string(c.request[3].substr(0, 128)));
    const auto amount = integer(c.request[2]);
    if (!amount) return c.answer.error(not_an_integer);
    const auto end = end_after(c.values, *amount, unit_ms);
    if (!end)
        return c.answer.error("ERR invalid expire time in '" + std::string(name) + "' command");
    store::node* const n = c.values.find(c.request[1]);
    if (n && *amount <= 0)
        c.values.erase(*n);
    else if (n)
        c.values.end_at(*n, *end);
    c.answer.integer(n ? 1 : 0);
}

void expire(call& c) {
    expire_in(c, 1000, "expire");
}
void pexpire(call& c) {
    expire_in(c, 1, "pexpire");
}

void left_in(call& c, int unit_ms) {
    store::node* const n = c.values.find(c.request[1]);
    if (!n) return c.answer.integer(-2);
    if (!n->second.ends_ms) return c.answer.integer(-1);
    c.answer.integer((n->second.ends_ms - c.values.now_ms() + unit_ms / 2) / unit_ms);
}

void ttl(call& c) {
    left_in(c, 1000);
}
void pttl(call& c) {
    left_in(c, 1);
}

// ---- server

void dbsize(call& c) {
    c.answer.integer(static_cast<std::int64_t>(c.values.size()));
}

void flushall(call& c) {
    c.values.clear();
    c.answer.ok();
}

std::string section(std::string_view name, server& s) {
    const auto line = [](std::string_view key, std::uint64_t n) {
        return std::string(key) + ":" + std::to_string(n) + "\r\n";
    };
    if (name == "server")
        return "# Server\r\nserver_name:kv_server of wire\r\nredis_version:7.0.0\r\n"
               "redis_mode:standalone\r\n" +
               line("process_id", static_cast<std::uint64_t>(::getpid())) +
               line("uptime_in_seconds",
                    static_cast<std::uint64_t>(s.values.now_ms() - s.started_ms) / 1000);
    if (name == "clients") return "# Clients\r\n" + line("connected_clients", s.clients);
    if (name == "stats")
        return "# Stats\r\n" + line("total_connections_received", s.connections) +
               line("total_commands_processed", s.commands);
    const std::size_t keys = s.values.size();
    if (keys == 0) return "# Keyspace\r\n";
    return "# Keyspace\r\ndb0:keys=" + std::to_string(keys) +
           ",expires=" + std::to_string(s.values.ending()) + ",avg_ttl=0\r\n";
}

void info(call& c) {
    c.home.commands += std::exchange(c.uncounted, 0);
    const auto asked_for = [&](std::string_view name) {
        bool asked = c.request.size() == 1;
        for (std::size_t i = 1; i < c.request.size(); ++i)
            for (const std::string_view word :
                 {name, std::string_view("all"), std::string_view("default"),
                  std::string_view("everything")})
                asked |= is(c.request[i], word);
        return asked;
    };
    std::string text;
    for (const std::string_view name : {"server", "clients", "stats", "keyspace"})
        if (asked_for(name)) text += (text.empty() ? "" : "\r\n") + section(name, c.home);
    c.answer.bulk(text);
}

// What does not change, under the names that tools ask for.
void config(call& c) {
    const auto bulk_max = std::to_string(c.home.most.request_max);
    const std::pair<std::string_view, std::string_view> parameters[] = {
        {"appendonly", "no"},
        {"databases", "1"},
        {"maxmemory", "0"},
        {"save", ""},
        {"proto-max-bulk-len", bulk_max}};
    if (!is(c.request[1], "get")) return unknown_subcommand(c, "CONFIG");
    if (c.request.size() < 3) return wrong_number(c, "config|get");
    std::vector<std::string_view> found;
    for (const auto& [name, value] : parameters) {
        bool matches = false;
        for (std::size_t i = 2; i < c.request.size(); ++i) {
            const std::string pattern(c.request[i]);
            matches |= ::fnmatch(pattern.c_str(), name.data(), FNM_CASEFOLD) == 0;
        }
        if (matches) found.insert(found.end(), {name, value});
    }
    c.answer.array(found.size());
    for (const std::string_view word : found) c.answer.bulk(word);
}

void describe(call& c);

// ---- the table

constexpr std::size_t name_max = 8;

// A name as a number, the same in capitals: 0x20 is all that tells them apart.
constexpr std::uint64_t packed(std::string_view name) {
    std::uint64_t letters = 0;
    for (const char c : name) letters = letters << 8 | static_cast<unsigned char>(c | 0x20);
    return letters;
}

constexpr std::array commands{
    command{"client", -2, 0, 0, 0, false, false, client},
    command{"command", -1, 0, 0, 0, false, false, describe},
    command{"config", -2, 0, 0, 0, false, false, config},
    command{"dbsize", 1, 0, 0, 0, false, true, dbsize},
    command{"del", -2, 1, -1, 1, true, false, del},
    command{"echo", 2, 0, 0, 0, false, false, echo},
    command{"exists", -2, 1, -1, 1, false, false, exists},
    command{"expire", -3, 1, 1, 1, true, false, expire},
    command{"flushall", 1, 0, 0, 0, true, true, flushall},
    command{"get", 2, 1, 1, 1, false, false, get},
    command{"incr", 2, 1, 1, 1, true, false, incr},
    command{"info", -1, 0, 0, 0, false, true, info},
    command{"lpop", -2, 1, 1, 1, true, false, lpop},
    command{"lpush", -3, 1, 1, 1, true, false, lpush},
    command{"lrange", 4, 1, 1, 1, false, false, lrange},
    command{"mget", -2, 1, -1, 1, false, false, mget},
    command{"mset", -3, 1, -1, 2, true, false, mset},
    command{"pexpire", -3, 1, 1, 1, true, false, pexpire},
    command{"ping", -1, 0, 0, 0, false, false, ping},
    command{"pttl", 2, 1, 1, 1, false, false, pttl},
    command{"quit", -1, 0, 0, 0, false, false, quit},
    command{"select", 2, 0, 0, 0, false, false, select},
    command{"set", -3, 1, 1, 1, true, false, set},
    command{"ttl", 2, 1, 1, 1, false, false, ttl},
};

// Where each command lies by its packed name: slot() takes the upper bits of a product, whose
// factor is such that no two names get the same slot.
struct directory {
    static constexpr std::size_t bits = 7, slots = 1 << bits;
    static constexpr std::uint64_t nobody = 1;  // no packed name
    std::uint64_t factor = 0x9e3779b97f4a7c15;
    std::array<std::uint64_t, slots> names{};
    std::array<std::uint8_t, slots> places{};

    [[nodiscard]] constexpr std::size_t slot(std::uint64_t name) const {
        return name * factor >> (64 - bits);
    }
    constexpr bool fill() {
        names.fill(nobody);
        for (std::uint8_t i = 0; i < commands.size(); ++i) {
            const std::uint64_t name = packed(commands[i].name);
            if (names[slot(name)] != nobody) return false;
            names[slot(name)] = name;
            places[slot(name)] = i;
        }
        return true;
    }
};

constexpr directory by_name = [] {
    directory d;
    while (!d.fill()) d.factor += 2;
    return d;
}();

void describe_one(call& c, const command& it) {
    c.answer.array(6);
    c.answer.bulk(it.name);
    c.answer.integer(it.arity);
    c.answer.array(1);
    c.answer.line(it.writes ? "+write" : "+readonly");
    for (const int n : {it.first, it.last, it.step}) c.answer.integer(n);
}

// COMMAND
void describe(call& c) {
    const std::string_view what = c.request.size() > 1 ? c.request[1] : "";
    if (is(what, "docs")) return c.answer.array(0);
    if (is(what, "count")) return c.answer.integer(static_cast<std::int64_t>(commands.size()));
    if (is(what, "info") && c.request.size() > 2) {
        c.answer.array(c.request.size() - 2);
        for (std::size_t i = 2; i < c.request.size(); ++i)
            if (const command* known = find_command(c.request[i]))
                describe_one(c, *known);
            else
                c.answer.nil_array();
        return;
    }
    if (c.request.size() > 1 && !is(what, "info")) return unknown_subcommand(c, "COMMAND");
    c.answer.array(commands.size());
    for (const command& it : commands) describe_one(c, it);
}

}  // namespace

const command* find_command(std::string_view name) {
    if (name.size() > name_max) return nullptr;
    const std::uint64_t letters = packed(name);
    const std::size_t slot = by_name.slot(letters);
    return by_name.names[slot] == letters ? &commands[by_name.places[slot]] : nullptr;
}

store::shard_set command::shards(const store& values, const words& request) const {
    if (whole) return values.all();
    store::shard_set needed = 0;
    const auto end = last < 0 ? request.size() : static_cast<std::size_t>(last) + 1;
    for (auto i = static_cast<std::size_t>(first); first && i < end;
         i += static_cast<std::size_t>(step))
        needed |= values.shard_of(request[i]);
    return needed;
}

}  // namespace kv
