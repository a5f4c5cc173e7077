#include "postgres.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include <wire/cancel.hpp>
#include <wire/offload.hpp>
#include <wire/select.hpp>
#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

namespace postgres {

using namespace std::chrono_literals;

namespace {

constexpr auto stop_patience = 1s;  // how long the server has to stop a query

std::string trimmed(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
}

std::string reason(int code) {
    if (code == ETIMEDOUT) return "the deadline has passed";
    if (code == ECANCELED) return "the wire was cancelled";
    return std::system_category().message(code);
}

}  // namespace

std::optional<std::string_view> reply::at(int row, int column) const noexcept {
    if (PQgetisnull(result_.get(), row, column)) return std::nullopt;
    return std::string_view(PQgetvalue(result_.get(), row, column),
                            static_cast<std::size_t>(PQgetlength(result_.get(), row, column)));
}

connection::connection(const std::string& info, wire::deadline until) {
    auto begun = wire::io::offload(until, [&] { return PQconnectStart(info.c_str()); });
    conn_.reset(begun.value_or(nullptr));
    int code = conn_ ? 0 : begun.has_value() ? ENOMEM : begun.code();
    if (code == 0) code = finish_connecting(until);
    if (code == 0 && PQsetnonblocking(conn_.get(), 1) != 0) code = ENOTCONN;
    if (code != 0) close(code, code == ENOTCONN ? message() : "cannot connect: " + reason(code));
}

// libpq tries one address after the other: after each poll the descriptor may be another one.
int connection::finish_connecting(wire::deadline until) {
    auto next =
        PQstatus(conn_.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
        const int fd = PQsocket(conn_.get());
        const auto ready = next == PGRES_POLLING_READING ? wire::io::wait_readable(fd, until)
                                                         : wire::io::wait_writable(fd, until);
        if (!ready) return ready.code();
        next = PQconnectPoll(conn_.get());
    }
    return next == PGRES_POLLING_OK ? 0 : ENOTCONN;
}

reply connection::query(wire::deadline until, const std::string& sql,
                        const std::vector<parameter>& params) {
    if (!conn_) return {ENOTCONN, "the connection is closed: " + error_};
    std::vector<const char*> values;
    for (const parameter& p : params) values.push_back(p ? p->c_str() : nullptr);
    if (!PQsendQueryParams(conn_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                           values.data(), nullptr, nullptr, 0)) {
        if (PQstatus(conn_.get()) == CONNECTION_OK) return {EINVAL, message()};
        close(ENOTCONN, message());
        return {ENOTCONN, error_};
    }
    owned_result last;
    const int code = exchange(until, last);
    if (code == 0) {
        const bool good = PQresultStatus(last.get()) == PGRES_TUPLES_OK ||
                          PQresultStatus(last.get()) == PGRES_COMMAND_OK ||
                          PQresultStatus(last.get()) == PGRES_EMPTY_QUERY;
        std::string text = good ? "" : trimmed(PQresultErrorMessage(last.get()));
        if (PQstatus(conn_.get()) == CONNECTION_OK)
            return {good ? 0 : EPROTO, std::move(text), last.release()};
        close(ENOTCONN, std::move(text));  // the server said why, and went
    } else if (code == ENOTCONN) {
        close(code, message());
    } else if (code == EOPNOTSUPP) {
        close(code, "COPY is not supported here, and the connection was closed");
    } else if (!stop_query()) {
        close(code, reason(code) + ", and the server did not stop the query");
    } else {
        return {code, reason(code) + ", and the query was stopped"};
    }
    return {code_, error_};
}

// Until the answer is complete. PQgetResult() does not block once PQisBusy() says no.
int connection::exchange(wire::deadline until, owned_result& last) {
    if (const int code = flush(until)) return code;
    for (;;) {
        while (PQisBusy(conn_.get())) {
            const auto readable = wire::io::wait_readable(PQsocket(conn_.get()), until);
            if (!readable) return readable.code();
            if (!PQconsumeInput(conn_.get())) return ENOTCONN;
        }
        owned_result next(PQgetResult(conn_.get()));
        if (!next) return last ? 0 : ENOTCONN;
        last = std::move(next);
        const auto status = PQresultStatus(last.get());
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) return EOPNOTSUPP;  // has no end
    }
}

// A server that sends while we do may wait for us to read.
int connection::flush(wire::deadline until) {
    for (int left; (left = PQflush(conn_.get())) != 0;) {
        if (left < 0) return ENOTCONN;
        const int fd = PQsocket(conn_.get());
        int code = 0;
        const auto chosen =
            wire::select(wire::on_writable(fd, [&](wire::result<void> ok) { code = ok.code(); }),
                         wire::on_readable(fd,
                                           [&](wire::result<void> ok) {
                                               code = !ok                           ? ok.code()
                                                      : PQconsumeInput(conn_.get()) ? 0
                                                                                    : ENOTCONN;
                                           }),
                         wire::on_deadline(until, [&] { code = ETIMEDOUT; }));
        if (!chosen) return chosen.code();
        if (code != 0) return code;
    }
    return 0;
}

// Asks the server to stop, on a connection of its own, and reads what it still sends. Both must end
// in time: a request that arrives late would stop the next query. PQcancel() blocks for as long as
// the network lets it, so it has a wire of its own, which may outlive this.
bool connection::stop_query() {
    const wire::shield against_cancellation;
    const wire::deadline until = wire::within(stop_patience);
    auto request = wire::spawn({.name = "PQcancel"}, [handle = PQgetCancel(conn_.get())] {
        std::array<char, 256> why;
        const bool asked = handle && wire::io::offload([&] {
                                         return PQcancel(handle, why.data(), why.size());
                                     }).value_or(0);
        PQfreeCancel(handle);
        return asked;
    });
    owned_result last;
    const bool read = exchange(until, last) == 0;
    const auto asked = request.join(until);
    if (!asked && asked.code() == ETIMEDOUT) request.detach();
    return read && asked.value_or(false) && PQstatus(conn_.get()) == CONNECTION_OK;
}

// The first call reads the farewell of a server that goes, and the second one finds the end.
bool connection::is_idle() noexcept {
    return conn_ && PQconsumeInput(conn_.get()) && PQconsumeInput(conn_.get()) &&
           PQtransactionStatus(conn_.get()) == PQTRANS_IDLE;
}

void connection::close(int code, std::string why) {
    code_ = code;
    error_ = std::move(why);
    conn_.reset();
}

std::string connection::message() const {
    return trimmed(PQerrorMessage(conn_.get()));
}

pool::lease pool::acquire(wire::deadline until) {
    if (const auto permit = free_.acquire(until); !permit) return lease(permit.code());
    while (!idle_.empty()) {
        connection last = std::move(idle_.back());
        idle_.pop_back();
        if (last.is_idle()) return {*this, std::move(last)};
    }
    return {*this, connection(info_, until)};
}

pool::lease::~lease() {
    if (!from_) return;
    if (it_->is_idle()) from_->idle_.push_back(std::move(*it_));
    it_.reset();
    from_->free_.release();
}

std::string pool::lease::error() const {
    return it_ ? it_->error() : "no connection became free: " + reason(code_);
}

}  // namespace postgres
