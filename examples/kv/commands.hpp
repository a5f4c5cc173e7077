// The commands of the key-value server: a table, and what each does.
#pragma once

#include "engine.hpp"

namespace kv {

/// What a command has to do with. Its keys are locked.
struct call {
    server& home;
    store& values;
    const words& request;  ///< as many words as the arity asks for
    reply& answer;
    const std::uint64_t client;
    std::uint64_t& uncounted;  ///< commands of this client that are not in home.commands yet
    bool& over;                ///< set: close the connection
};

/// A command; `first`, `last` and `step` say which words are keys, as in COMMAND of redis.
struct command {
    std::string_view name;  ///< small letters, at most 8
    int arity;              ///< words with the name; -n: at least n
    int first, last, step;  ///< last: -1 for the last word
    bool writes;
    bool whole;  ///< needs all keys
    void (*run)(call&);

    [[nodiscard]] bool takes(std::size_t words) const {
        const int n = static_cast<int>(words);
        return arity < 0 ? n >= -arity : n == arity;
    }
    /// If the store is shared.
    [[nodiscard]] store::shard_set shards(const store& values, const words& request) const;
};

/// nullptr: unknown. In capitals or not.
const command* find_command(std::string_view name);

}  // namespace kv
