// Datagrams: whole messages, who sent them, batches, and what is visible when they do not fit.
#include "support/io.hpp"

#include <fcntl.h>

#include <filesystem>
#include <functional>
#include <list>
#include <vector>

#include <wire/datagram.hpp>
#include <wire/spawn.hpp>

#include "support/count_malloc.hpp"
#include "support/failing_call.hpp"
#include "support/temporary_directory.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

using io::datagram;

datagram on_loopback(std::string_view host = "127.0.0.1") {
    return io::bind_udp(host, 0).value();
}

io::address address_of(const datagram& d) {
    return d.local_address().value();
}

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

// Sends text, demanding that it works.
void post(datagram& from, const datagram& to, std::string_view text) {
    CHECK(error_name(from.send_to(bytes(text), address_of(to), soon()).code()) == "");
}

// What one receive() brought, with a mark if some is missing, or the error's name.
std::string fetch(datagram& d, std::size_t room = 64, deadline until = soon()) {
    std::string buffer(room, '\0');
    const auto got = d.receive(std::as_writable_bytes(std::span(buffer)), until);
    if (!got) return error_name(got.code());
    buffer.resize(got->size);
    return buffer + (got->truncated ? "..." : "");
}

// Messages for a batch: their memory, and what the system is told.
struct texts {
    explicit texts(std::vector<std::string> all) : words(std::move(all)), messages(words.size()) {
        for (std::size_t i = 0; i < words.size(); ++i) {
            messages[i].buffer = std::as_writable_bytes(std::span(words[i]));
            messages[i].size = words[i].size();
        }
    }
    explicit texts(std::size_t count) : texts(std::vector<std::string>(count, "........")) {}
    texts& to(const io::address& peer) {
        for (io::message& m : messages) m.peer = peer;
        return *this;
    }
    [[nodiscard]] std::string text(std::size_t i) const {
        return words[i].substr(0, messages[i].size) + (messages[i].truncated ? "..." : "");
    }
    std::vector<std::string> words;
    std::vector<io::message> messages;
};

std::vector<std::string> numbers(int count) {
    std::vector<std::string> all;
    for (int i = 0; i < count; ++i) all.push_back(std::to_string(i));
    return all;
}

// ---- one message

TEST_CASE("datagram: a message arrives whole, with the address of its sender") {
    on_wires([] {
        const temporary_directory dir;
        for (const bool local : {false, true}) {
            CAPTURE(local);
            auto a = local ? io::bind_unix_datagram(dir / "a").value() : on_loopback();
            auto b = local ? io::bind_unix_datagram(dir / "b").value() : on_loopback();
            post(a, b, "one");
            post(a, b, "two");
            std::array<std::byte, 16> buffer;
            const auto got = b.receive(buffer, soon()).value();
            CHECK(got.size == 3);
            CHECK(got.from.to_string() == address_of(a).to_string());
            CHECK(fetch(b) == "two");
        }
    });
}

TEST_CASE("datagram: IPv6 works as IPv4 does") {
    on_wires([] {
        if (!io::bind_udp("::1", 0)) return;
        auto a = on_loopback("::1"), b = on_loopback("::1");
        post(a, b, "hello");
        CHECK(fetch(b) == "hello");
    });
}

TEST_CASE("datagram: a message that is cut says so, and the next is whole") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        post(a, b, "too long");
        post(a, b, "fits");
        CHECK(fetch(b, 4) == "too ...");
        CHECK(fetch(b, 4) == "fits");
    });
}

TEST_CASE("datagram: an empty message is a message") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        post(a, b, "");
        post(a, b, "after");
        CHECK(fetch(b) == "");
        CHECK(fetch(b) == "after");
    });
}

TEST_CASE("datagram: a Unix socket without a path sends, and is nobody") {
    on_wires([] {
        const temporary_directory dir;
        auto a = io::open_datagram(AF_UNIX).value();
        auto b = io::bind_unix_datagram(dir / "b").value();
        post(a, b, "x");
        std::array<std::byte, 16> buffer;
        CHECK(b.receive(buffer, soon()).value().from.to_string() == "unnamed");
    });
}

TEST_CASE("datagram: connected, it sends without an address and hears nobody else") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback(), stranger = on_loopback();
        CHECK(error_name(a.send(bytes("x"), soon()).code()) == "!EDESTADDRREQ");
        CHECK(a.connect(address_of(b)));
        CHECK(a.send(bytes("from a"), soon()));
        CHECK(fetch(b) == "from a");
        post(stranger, a, "from a stranger");
        post(b, a, "from b");
        CHECK(fetch(a) == "from b");
    });
}

TEST_CASE("datagram: that nobody has the port is told to a connected socket, once") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        CHECK(a.connect(address_of(b)));
        const auto gone = address_of(b);
        b.close();
        CHECK(a.send(bytes("is anybody there?"), soon()));
        CHECK(fetch(a) == "!ECONNREFUSED");
        auto again = io::bind_datagram(gone).value();
        CHECK(a.send(bytes("now"), soon()));
        CHECK(fetch(again) == "now");
    });
}

TEST_CASE("datagram: what is too long for a message is refused, not cut") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        const std::string text(66'000, 'x');
        CHECK(error_name(a.send_to(bytes(text), address_of(b), soon()).code()) == "!EMSGSIZE");
    });
}

// ---- waiting

TEST_CASE("datagram: a receiver waits without holding up others, until its deadline or close") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        trace log;
        auto waiting = spawn([&] {
            log(fetch(b));
            log(fetch(b, 64, shortly()));
            log(fetch(b));
        });
        let_others_run();
        log("sends");
        post(a, b, "message");
        while (log.size() < 3) let_others_run();
        b.close();
        CHECK(waiting.join(soon()));
        CHECK(log == trace{"sends", "message", "!ETIMEDOUT", "!EBADF"});
        CHECK(fetch(b) == "!EBADF");
    });
}

TEST_CASE("datagram: each message goes to one of several receivers") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        std::vector<std::string> got;
        std::list<handle<void>> receivers;
        for (int i = 0; i < 3; ++i) receivers.push_back(spawn([&] { got.push_back(fetch(b)); }));
        let_others_run();
        for (const auto& n : numbers(3)) post(a, b, n);
        for (auto& r : receivers) CHECK(r.join(soon()));
        std::sort(got.begin(), got.end());
        CHECK(got == numbers(3));
    });
}

TEST_CASE("datagram: a receiver whose messages never end lets others run") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        for (int i = 0; i < 100; ++i) post(a, b, "x");
        bool ran = false;
        auto other = spawn([&] { ran = true; });
        int before = 0;
        for (int i = 0; i < 100; ++i) {
            CHECK(fetch(b) == "x");
            before += !ran;
        }
        CHECK(before < 100);
        CHECK(other.join(soon()));
    });
}

// Fills the queue of a Unix socket; returns how many messages are in it.
int fill_queue(const std::function<result<void>(deadline)>& send) {
    int sent = 0;
    while (send(within(0s))) ++sent;
    return sent;
}

TEST_CASE("datagram: a full Unix queue makes the sender wait, connected or not") {
    const temporary_directory dir;
    for (const bool connected : {false, true}) {
        CAPTURE(connected);
        on_wires([&] {
            auto a = io::open_datagram(AF_UNIX).value();
            auto b = io::bind_unix_datagram(dir / "b").value();
            const io::address to = connected ? io::address() : address_of(b);
            if (connected) CHECK(a.connect(address_of(b)));
            const auto send = [&](deadline until) { return a.send_to(bytes("x"), to, until); };
            const int sent = fill_queue(send);
            CHECK(sent > 0);
            CHECK(error_name(send(shortly()).code()) == "!ETIMEDOUT");
            auto sender = spawn([&] { return send(soon()).code(); });
            let_others_run();
            CHECK_FALSE(sender.finished());
            for (int i = 0; i <= sent; ++i) CHECK(fetch(b) == "x");
            CHECK(sender.join(soon()).value() == 0);
            b.close();
            CHECK(error_name(send(soon()).code()) == (connected ? "!ECONNREFUSED" : "!ENOENT"));
        });
    }
}

// ---- batches

TEST_CASE("datagram: a batch is sent and received in order, 32 with each system call") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        texts out(numbers(40)), in(40);
        {
            const failing_call sends("sendmmsg", 0);
            const auto sent = a.send_batch(out.to(address_of(b)).messages, soon());
            CHECK(sent);
            CHECK(sent.done == 40);
            CHECK(sends.calls() == 2);
        }
        CHECK(b.receive_batch(in.messages, soon()).value() == 32);
        CHECK(b.receive_batch(std::span(in.messages).subspan(32), soon()).value() == 8);
        for (std::size_t i = 0; i < 40; ++i) CHECK(in.text(i) == std::to_string(i));
        CHECK(in.messages[39].peer.to_string() == address_of(a).to_string());
    });
}

TEST_CASE("datagram: a batch waits for one message, and takes what is there") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        texts in(10);
        auto receiver = spawn([&] { return b.receive_batch(in.messages, soon()).value(); });
        let_others_run();
        post(a, b, "a long message");
        post(a, b, "short");
        CHECK(receiver.join(soon()).value() == 2);
        CHECK(in.text(0) == "a long m...");
        CHECK(in.text(1) == "short");
        CHECK(error_name(b.receive_batch(in.messages, shortly()).code()) == "!ETIMEDOUT");
        CHECK(b.receive_batch({}, soon()).value() == 0);
        CHECK(a.send_batch({}, soon()).done == 0);
    });
}

TEST_CASE("datagram: a batch that fails in the middle says how many were sent") {
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        texts out({"first", "second", std::string(66'000, 'x'), "fourth"});
        const auto sent = a.send_batch(out.to(address_of(b)).messages, soon());
        CHECK(sent.done == 2);
        CHECK(error_name(sent.code) == "!EMSGSIZE");
        CHECK(fetch(b) == "first");
        CHECK(fetch(b) == "second");
        CHECK(fetch(b, 64, shortly()) == "!ETIMEDOUT");
    });
}

TEST_CASE("datagram: a batch to a full Unix queue stops at its deadline with what was sent") {
    on_wires([] {
        const temporary_directory dir;
        auto a = io::open_datagram(AF_UNIX).value();
        auto b = io::bind_unix_datagram(dir / "b").value();
        texts out(numbers(2000));
        const auto sent = a.send_batch(out.to(address_of(b)).messages, shortly());
        CHECK(error_name(sent.code) == "!ETIMEDOUT");
        CHECK(sent.done > 0);
        for (std::size_t i = 0; i < sent.done; ++i) CHECK(fetch(b) == std::to_string(i));
        CHECK(fetch(b, 64, shortly()) == "!ETIMEDOUT");
    });
}

TEST_CASE("datagram: receiving and sending allocate nothing") {
    if (!counts_allocations()) return;
    on_wires([] {
        auto a = on_loopback(), b = on_loopback();
        texts out(numbers(8)), in(8);
        out.to(address_of(b));
        std::array<std::byte, 16> buffer;
        int failures = 0;
        const auto once = [&] {
            auto late = spawn([&] { failures += !a.send_batch(out.messages, soon()); });
            failures += !b.receive(buffer, soon());
            for (std::size_t got = 1; got < 8;) got += b.receive_batch(in.messages, soon()).value();
            failures += !late.join(soon());
        };
        for (int i = 0; i < 10; ++i) once();
        const allocation_count allocated;
        for (int i = 0; i < 100; ++i) once();
        CHECK(allocated.value() == 0);
        CHECK(failures == 0);
    });
}

// ---- addresses

TEST_CASE("datagram: a port is shared only by those who say so") {
    const io::datagram_options shared{.reuse_port = true};
    auto first = io::bind_udp("127.0.0.1", 0, shared).value();
    const std::uint16_t port = address_of(first).port();
    CHECK(io::bind_udp("127.0.0.1", port, shared).code() == 0);
    CHECK(error_name(io::bind_udp("127.0.0.1", port).code()) == "!EADDRINUSE");
}

TEST_CASE("datagram: a path is made by bind, removed by close, and replaced if nobody uses it") {
    namespace fs = std::filesystem;
    const temporary_directory dir;
    auto a = io::bind_unix_datagram(dir / "s").value();
    CHECK(fs::is_socket(dir / "s"));
    CHECK(error_name(io::bind_unix_datagram(dir / "s").code()) == "!EADDRINUSE");
    CHECK(error_name(io::listen_unix(dir / "s").code()) == "!EADDRINUSE");
    ::close(a.release());  // as a killed program does
    CHECK(fs::is_socket(dir / "s"));
    a = io::bind_unix_datagram(dir / "s").value();
    a.close();
    CHECK_FALSE(fs::exists(dir / "s"));
}

TEST_CASE("datagram: an address that is none fails as the system says") {
    CHECK(error_name(io::bind_udp("localhost", 0).code()) == "!EINVAL");
    CHECK(error_name(io::bind_udp("192.0.2.1", 0).code()) == "!EADDRNOTAVAIL");
    CHECK(error_name(io::bind_unix_datagram("").code()) == "!EINVAL");
    CHECK(error_name(io::open_datagram(AF_UNSPEC).code()) == "!EAFNOSUPPORT");
    const failing_call sockets("socket", EMFILE);
    CHECK(error_name(io::bind_udp("127.0.0.1", 0).code()) == "!EMFILE");
}

TEST_CASE("datagram: adopt takes datagram sockets, and leaves others to the caller") {
    const int udp = ::socket(AF_INET, SOCK_DGRAM, 0);
    auto mine = io::datagram::adopt(udp).value();
    CHECK(mine.native_handle() == udp);
    CHECK((::fcntl(udp, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(udp, F_GETFD) & FD_CLOEXEC) != 0);
    const int tcp = ::socket(AF_INET, SOCK_STREAM, 0);
    CHECK(error_name(io::datagram::adopt(tcp).code()) == "!EPROTOTYPE");
    CHECK(error_name(io::stream::adopt(udp).code()) == "!EPROTOTYPE");
    CHECK(::close(tcp) == 0);
    CHECK(error_name(io::datagram::adopt(tcp).code()) == "!EBADF");
}

}  // namespace
}  // namespace wire::test
