// Fails the Nth system call, for every N, over a complete session of server and clients.
//
// Each N runs in a child process of its own. Whatever fails, the child must end by itself, in time,
// without a leaked descriptor or a lost wire; and if the session was not complete, somebody must
// have been told: a call that returned the error, or a diagnostic that names the system call.
//
// No call of the session has a deadline, so that a lost wake-up shows as a hang. What this does not
// find: combinations of two failures.
#include "support/io.hpp"

#include <fcntl.h>
#include <signal.h>

#include <wire/datagram.hpp>
#include <wire/diagnostics.hpp>
#include <wire/run.hpp>
#include <wire/signals.hpp>
#include <wire/spawn.hpp>
#include <wire/splice.hpp>
#include <wire/wait_fd.hpp>

#include "sanitizers.hpp"
#include "support/backend.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/fault_plan.hpp"

namespace wire::test {
namespace {

const std::vector<plausible_errors> table = {
    {"accept4", {ECONNABORTED, EMFILE, ENOMEM, EINTR}},
    {"bind", {EADDRINUSE, EACCES}},
    {"connect", {ECONNREFUSED, ENETUNREACH, EINTR}},
    {"epoll_create1", {EMFILE, ENOMEM}},
    {"epoll_ctl", {ENOMEM, ENOSPC}},
    {"epoll_pwait2", {EINTR, ENOSYS}},
    {"epoll_wait", {EINTR, EBADF}},  // after epoll_pwait2 was refused
    {"eventfd", {EMFILE}},
    {"eventfd_write", {EAGAIN}},
    {"fcntl", {EBADF}},
    {"getsockname", {ENOBUFS}},
    {"io_uring_enter", {EINTR, EBUSY, EBADF}},
    {"io_uring_register", {EINVAL}},
    {"io_uring_setup", {EPERM, EINVAL, ENOMEM}},
    {"getsockopt", {ENOBUFS}},
    {"listen", {EADDRINUSE}},
    {"madvise", {EINVAL, EAGAIN}},
    {"mmap", {ENOMEM}},
    {"mprotect", {ENOMEM}},
    {"pidfd_open", {EMFILE, ENOSYS}},
    {"pipe2", {EMFILE}},
    {"poll", {ENOMEM, EINTR}},
    {"process_madvise", {EPERM, EINTR}},
    {"read", {EINTR, EIO}},
    {"recv", {ECONNRESET, EINTR}},
    {"recvmmsg", {ECONNREFUSED, EINTR}},
    {"recvmsg", {ECONNRESET, EINTR}},
    {"send", {EPIPE, ECONNRESET, EINTR}},
    {"sendfile", {EIO, EINTR}},
    {"sendmmsg", {ECONNREFUSED, EINTR}},
    {"sendmsg", {EPIPE, EINTR}},
    {"setsockopt", {ENOMEM}},
    {"shutdown", {ENOTCONN}},
    {"sigaction", {EINVAL}},
    {"sigaltstack", {ENOMEM}},
    {"signalfd", {EMFILE}},
    {"socket", {EMFILE, ENOBUFS}},
    {"socketpair", {EMFILE}},
    {"splice", {ENOMEM, EINTR}},
};

// ---- The session: its wires say on standard error what fails ------------------------------------

int wires = 0;
bool complete = false;  // the session went all the way

struct counted_wire {
    counted_wire() { ++wires; }
    ~counted_wire() { --wires; }
};

bool ok(const char* what, const std::error_code& error) {
    if (error) std::fprintf(stderr, "%s: %s\n", what, ::strerrorname_np(error.value()));
    return !error;
}

void serve_one(stream peer) {
    const counted_wire me;
    std::array<std::byte, 16 * 1024> buffer;
    for (;;) {
        const auto n = peer.read(buffer);
        if (!ok("server read", n.error()) || *n == 0) return;
        if (!ok("server write", peer.write_all(std::span(buffer).first(*n)).error())) return;
    }
}

void serve(listener& door) {
    const counted_wire me;
    for (;;) {
        auto peer = door.accept();
        if (!peer) {
            if (door.is_open()) ok("accept", peer.error());
            door.close();  // clients in the queue must not wait for ever
            return;
        }
        static_cast<void>(peer->set_no_delay(true));
        go(serve_one, *std::move(peer));
    }
}

bool echoes(stream& s, const std::string& text) {
    if (!ok("client write", s.write_all(text).error())) return false;
    std::string back(text.size(), '.');
    const auto got = s.read_exactly(std::as_writable_bytes(std::span(back)));
    return ok("client read", got.error()) && back == text;
}

bool echoes_parts(stream& s) {
    std::string text = "scattered";
    iovec out[2] = {{text.data(), 4}, {text.data() + 4, 5}};
    if (!ok("client write of parts", s.write_all(std::span(out)).error())) return false;
    std::string back(9, '.');
    const iovec in[2] = {{back.data(), 3}, {back.data() + 3, 6}};
    const auto n = s.read(std::span(in));
    return ok("client read of parts", n.error()) && back == text;
}

bool talk(const io::address& to) {
    const counted_wire me;
    auto near = io::connect(to);
    if (!ok("connect", near.error())) return false;
    static_cast<void>(near->set_no_delay(true));  // fails on the Unix socket
    if (!echoes(*near, "hello") || !echoes_parts(*near)) return false;
    if (!echoes(*near, long_text(100'000))) return false;
    if (!ok("shutdown", near->shutdown(io::direction::write).error())) return false;
    std::array<std::byte, 1> rest;
    const auto end = near->read(rest);
    return ok("client end", end.error()) && *end == 0;
}

bool wait_for_others() {
    auto pair = io::make_stream_pair();
    if (!ok("make_stream_pair", pair.error())) return false;
    auto& [near, far] = *pair;
    auto writer = spawn([&near] {
        const auto sent = near.write_all("x");
        if (!sent) near.close();  // nobody must wait for it
        return sent.error();
    });
    const int number = far.native_handle();
    if (!ok("wait_readable", io::wait_readable(number).error())) return false;
    if (!ok("pair write", writer.join().value())) return false;
    try {
        io::signals set{SIGURG};  // ignored, should it stay pending
        auto waiting = spawn([&] { return set.wait().error(); });
        yield();
        ::kill(::getpid(), SIGURG);
        return ok("signal", waiting.join().value());
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "exception: %s: %s\n", ::strerrorname_np(e.code().value()), e.what());
        return false;
    }
}

bool exchange_datagrams() {
    auto near = io::bind_udp("127.0.0.1", 0);
    auto far = io::bind_udp("127.0.0.1", 0);
    if (!ok("bind_udp", near.error()) || !ok("bind_udp", far.error())) return false;
    const auto at = far->local_address();
    if (!ok("address", at.error())) return false;
    std::array<std::byte, 8> bytes{};
    std::array<io::message, 2> two;
    for (io::message& m : two) m = {.buffer = bytes, .size = 4, .peer = *at};
    if (!ok("send_batch", near->send_batch(two).error())) return false;
    return ok("receive", far->receive(bytes).error()) &&
           ok("receive_batch", far->receive_batch(two).error());
}

// A file to one stream, and from there to another.
bool move_bytes() {
    auto first = io::make_stream_pair();
    auto second = io::make_stream_pair();
    if (!ok("make_stream_pair", first.error()) || !ok("make_stream_pair", second.error()))
        return false;
    auto pipe = io::splicer::make();
    if (!ok("splicer", pipe.error())) return false;
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    const auto sent = first->first.send_file(file, 0, 1000);
    ::close(file);
    first->first.close();
    if (!ok("send_file", sent.error())) return false;
    const auto moved = pipe->move_all(first->second, second->first);
    return ok("splice", moved.error()) && moved.done == 1000;
}

void session() {
    auto tcp = io::listen_tcp("127.0.0.1", 0);
    auto local = io::listen_unix(own_address("fault-sweep"));
    if (!ok("listen_tcp", tcp.error()) || !ok("listen_unix", local.error())) return;
    const auto tcp_at = tcp->local_address();
    const auto local_at = local->local_address();
    if (!ok("address", tcp_at.error()) || !ok("address", local_at.error())) return;

    auto first_server = spawn([&] { serve(*tcp); });
    auto second_server = spawn([&] { serve(*local); });
    auto client = spawn([&] { return talk(*tcp_at); });
    const bool second = talk(*local_at);
    const bool first = client.join().value();
    const bool others = wait_for_others() && exchange_datagrams() && move_bytes();
    tcp->close();
    local->close();
    first_server.join().value();
    second_server.join().value();
    complete = first && second && others;
}

// ---- The child and its judge --------------------------------------------------------------------

enum verdict { passed = 0, failed_openly = 10, leaked = 11, lost_a_wire = 12 };

[[noreturn]] void child() {
    ::alarm(10);
    const int before = open_descriptors();
    fault_plan::install();
    const int code = run([] { session(); });
    fault_plan::remove();
    if (open_descriptors() != before) ::_exit(leaked);
    if (wires != 0) ::_exit(lost_a_wire);
    ::_exit(complete && code == 0 ? passed : failed_openly);
}

// Empty, or what is wrong with a child's end.
std::string objection(const death& end, const fault_plan& plan) {
    if (end.signal == SIGALRM) return "it hangs";
    if (end.signal != 0) return std::string("it dies by ") + ::sigabbrev_np(end.signal);
    if (end.code == leaked) return "it leaks a descriptor";
    if (end.code == lost_a_wire) return "a wire has not ended";
    if (end.says("did not end")) return "a wire is abandoned";
    if (end.code == passed) return "";
    if (end.code != failed_openly) return "it leaves with code " + std::to_string(end.code);
    if (end.says(plan.error()) || end.says(plan.call())) return "";
    return "nobody was told";
}

struct sweep_result {
    int runs = 0, passed = 0, failed_openly = 0;
};

// Valgrind takes a second for each, ThreadSanitizer a sixth.
int stride() {
#if WIRE_TSAN
    return 5;
#else
    return under_valgrind() ? 5 : 1;
#endif
}

sweep_result sweep(fault_plan& plan) {
    sweep_result all;
    for (int nth = 1;; nth += stride()) {
        for (int variant = 0; variant == 0 || variant < plan.variants(); ++variant) {
            plan.set(nth, variant);
            const death end = run_in_child(child);
            if (!plan.reached()) return all;
            const std::string what = objection(end, plan);
            CAPTURE(nth);
            CAPTURE(plan.call());
            CAPTURE(plan.error());
            CAPTURE(end.said);
            CHECK(what == "");
            ++all.runs;
            (end.code == passed ? all.passed : all.failed_openly) += 1;
        }
    }
}

TEST_CASE("fault sweep: without a failure the session is complete") {
    fault_plan plan(table);
    plan.set(0, 0);
    const death end = run_in_child(child);
    INFO(end.said);
    CHECK(end.signal == 0);
    CHECK(end.code == passed);
    // A Valgrind without epoll_pwait2 makes the library say so, once.
    const bool coarse = under_valgrind() && end.says("wire: epoll_pwait2 is refused");
    const bool refused = end.says("wire: epoll: io_uring_setup");  // where we run
    CHECK(end.times("\n") == (coarse ? 1 : 0) + (refused ? 1 : 0));
}

TEST_CASE("fault sweep: whichever system call fails, the session ends openly and leaks nothing") {
    fault_plan plan(table);
    const sweep_result all = sweep(plan);
    MESSAGE(all.runs << " runs: " << all.passed << " complete, " << all.failed_openly
                     << " failed openly");
    CHECK(all.runs > 100 / stride());
    CHECK(all.passed > 20 / stride());
    CHECK(all.failed_openly > 20 / stride());

    // The canary: the sweep has met these, and meets nothing that the table does not know.
    const auto names = plan.names();
    std::vector<std::string> expected = {
        "accept4",  "pipe2",      "recvmmsg", "sendfile", "sendmmsg",    "splice",
        "bind",     "close",      "connect",  "eventfd",  "getsockname", "listen",
        "mmap",     "read",       "recv",     "recvmsg",  "send",        "sendmsg",
        "signalfd", "setsockopt", "shutdown", "socket",   "socketpair",  sleeping_call()};
    for (const char* call : {"epoll_create1", "epoll_ctl"})
        if (!on_io_uring()) expected.emplace_back(call);
    for (const std::string& name : expected) {
        CAPTURE(name);
        CHECK(names.contains(name));
    }
    for (const std::string& name : names) {
        CAPTURE(name);
        CHECK((name == "close" || std::any_of(table.begin(), table.end(), [&](const auto& entry) {
                   return entry.call == name;
               })));
    }
}

}  // namespace
}  // namespace wire::test
