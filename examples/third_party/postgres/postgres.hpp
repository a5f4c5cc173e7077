// PostgreSQL for wires: libpq's asynchronous calls, with the waiting done by the runtime. Take the
// two files postgres.hpp and postgres.cpp into a project of yours.
//
//     postgres::pool db("host=/run/postgresql dbname=shop", 8);
//     auto mine = db.acquire(within(1s));
//     auto found = mine->query(within(2s), "select name from item where price < $1", 100);
//     if (!found) return complain(found.error());
//     for (int i = 0; i < found.rows(); ++i) use(found.at(i, 0));
//
// Other wires run while one waits for the server. What may still block is made on a helper thread:
// PQconnectStart(), which reads files and looks up the host, and PQcancel(). Of several host names
// the second and later ones are looked up on the thread itself: give those with `hostaddr`, too.
// libpq's connect_timeout does not count; the deadline does.
//
// A connection is used by one wire at a time, all of one runtime. More: docs/postgres.md.
#pragma once

#include <libpq-fe.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/semaphore.hpp>

namespace postgres {

template <auto destroy>
struct deleter {
    template <class T>
    void operator()(T* object) const noexcept {
        destroy(object);
    }
};

/// What a query has brought: rows, or why there are none.
class reply {
public:
    reply(int code, std::string error, PGresult* from = nullptr)
        : result_(from), code_(code), error_(std::move(error)) {}

    /// Whether the query succeeded.
    explicit operator bool() const noexcept { return code_ == 0; }
    /// 0; EPROTO: the server refused, see state(); ETIMEDOUT or ECANCELED: the query was cancelled;
    /// ENOTCONN: the connection is lost; EOPNOTSUPP: it was a COPY, and the connection is closed;
    /// otherwise as the wait for it said.
    [[nodiscard]] int code() const noexcept { return code_; }
    /// What the server said, or libpq; empty after success.
    [[nodiscard]] const std::string& error() const noexcept { return error_; }
    /// The server's five characters, such as 42601 for a syntax error; else empty.
    [[nodiscard]] std::string_view state() const noexcept {
        const char* const text = PQresultErrorField(result_.get(), PG_DIAG_SQLSTATE);
        return text ? text : "";
    }

    [[nodiscard]] int rows() const noexcept { return PQntuples(result_.get()); }
    [[nodiscard]] int columns() const noexcept { return PQnfields(result_.get()); }
    /// A value as text, valid as long as this is; nullopt if it is null.
    [[nodiscard]] std::optional<std::string_view> at(int row, int column) const noexcept;

private:
    std::unique_ptr<PGresult, deleter<&PQclear>> result_;
    int code_;
    std::string error_;
};

/// A parameter as text; nullopt is null.
using parameter = std::optional<std::string>;

/// Numbers in the shortest form that reads back the same.
template <class T>
parameter to_parameter(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
        return value ? "true" : "false";
    } else if constexpr (std::is_arithmetic_v<T>) {
        std::array<char, 64> text;
        return std::string(text.data(), std::to_chars(text.begin(), text.end(), value).ptr);
    } else {
        return parameter(value);
    }
}

class connection {
public:
    /// Connects, within the deadline; what kept it from that is in error(). `info` is libpq's
    /// connection string. Call from a wire of a runtime with a reactor.
    connection(const std::string& info, wire::deadline until);

    /// Whether it is connected. A query that fails may have closed it.
    explicit operator bool() const noexcept { return conn_ != nullptr; }
    /// Why it is not: ETIMEDOUT, ECANCELED, or ENOTCONN, with libpq's and the server's words.
    [[nodiscard]] int code() const noexcept { return code_; }
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

    /// Runs one statement with parameters $1, $2, ... and waits for all of its rows.
    ///
    /// At the deadline, or when the wire is cancelled, the server is asked to stop. If it has done
    /// so within a second the connection can be used on; otherwise it is closed. Call from a wire
    /// of the runtime in which it was made.
    template <class... Args>
    reply query(wire::deadline until, const std::string& sql, const Args&... args) {
        return query(until, sql, std::vector<parameter>{to_parameter(args)...});
    }
    reply query(wire::deadline until, const std::string& sql, const std::vector<parameter>& params);

    /// Whether the server is still there, as far as it has told, and no transaction is open.
    [[nodiscard]] bool is_idle() noexcept;

private:
    using owned_result = std::unique_ptr<PGresult, deleter<&PQclear>>;

    int finish_connecting(wire::deadline until);
    int exchange(wire::deadline until, owned_result& last);
    int flush(wire::deadline until);
    bool stop_query();
    void close(int code, std::string why);
    [[nodiscard]] std::string message() const;

    std::unique_ptr<PGconn, deleter<&PQfinish>> conn_;
    int code_ = 0;
    std::string error_;
};

/// At most so many connections, opened when they are wanted, shared by the wires of one runtime.
class pool {
public:
    /// A connection on loan. It goes back with the end of this, or is closed if it is lost or in
    /// the middle of a transaction.
    class lease {
    public:
        explicit lease(int code) noexcept : code_(code) {}
        lease(pool& from, connection&& c) noexcept : from_(&from), it_(std::move(c)) {}
        lease(lease&& other) noexcept
            : from_(std::exchange(other.from_, nullptr)),
              it_(std::move(other.it_)),
              code_(other.code_) {}
        ~lease();

        /// Whether there is one, and it is connected.
        explicit operator bool() const noexcept { return it_ && *it_; }
        /// Why not: that of the connection; ETIMEDOUT or ECANCELED if none became free.
        [[nodiscard]] int code() const noexcept { return it_ ? it_->code() : code_; }
        [[nodiscard]] std::string error() const;
        connection* operator->() noexcept { return &*it_; }

    private:
        pool* from_ = nullptr;
        std::optional<connection> it_;
        int code_ = 0;
    };

    pool(std::string info, std::size_t connections) : info_(std::move(info)), free_(connections) {}

    /// Waits for its turn, and for the server if a new connection is needed: also where the server
    /// has closed an idle one meanwhile. No lease outlives the pool.
    lease acquire(wire::deadline until);

private:
    const std::string info_;
    wire::semaphore free_;
    std::vector<connection> idle_;
};

}  // namespace postgres
