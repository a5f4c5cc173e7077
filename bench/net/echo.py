"""Echo servers under net_load: what a request costs them, among idle and slow connections too."""

import contextlib
import socket
import time

import machine
import report
from net import load, servers

CONNECTIONS = [1, 64, 1000]
SIZES = [64, 1024, 16384]
METRICS = {"": "ns CPU/request", "rate": "1/s", "p50": "us", "p99": "us", "p999": "us",
           "syscalls": "per request"}
PRINTED = {"": "cpu_ns", "rate": "per_second", "p50": "p50_us", "p99": "p99_us",
           "p999": "p999_us"}
IDLE = 10_000
IDLE_METRICS = {"": "bytes RSS/connection", "unused": "bytes RSS/connection", "cpu": "us/s"}
IDLE_SYSTEMS = ["wire", "wire-epoll", "wire-io_uring", "limit", "raw_uring"]


def systems(settings, small=False):
    """The systems of an echo server, in the order of running."""
    def peer(program, package, *arguments, **environment):
        return servers.System(settings.program(program), [*arguments, "{port}"],
                              f"install {package} and configure again", environment)

    def raw(program, *arguments):
        return servers.System(settings.program(program), ["{port}", *arguments])

    return {
        **servers.wires(settings.program("net_wire_echo"), *(["small"] if small else [])),
        "limit": raw("net_raw_epoll", "et"),
        "raw_epoll_lt": raw("net_raw_epoll", "lt"),
        "raw_uring": raw("net_raw_uring", "single"),
        "raw_uring_multishot": raw("net_raw_uring", "multishot"),
        "libuv": peer("net_libuv", "libuv1-dev"),
        "asio": peer("net_asio", "libasio-dev"),
        "state_threads": peer("net_state_threads", "libst-dev"),
        "go": peer("net_go_server", "golang-go", "echo", GOMAXPROCS="1"),
    }


def limits_of(echo):
    """Ours on io_uring is compared with the better raw loop on io_uring."""
    return {name: ["raw_uring", "raw_uring_multishot"] for name in echo.usable()
            if name.startswith("wire") and echo.backend[name] == "io_uring"}


class Echo:
    kind = "echo"

    def __init__(self, settings):
        self.settings = settings
        self.servers = servers.Servers(settings, systems(settings))
        self.small = servers.Servers(settings, {s: system for s, system in
                                                systems(settings, small=True).items()
                                                if s in IDLE_SYSTEMS})

    def skipped(self):
        return self.servers.skipped

    def cases(self):
        usable, limits = self.servers.usable(), limits_of(self.servers)
        for connections in CONNECTIONS:
            for size in SIZES:
                yield report.Case(f"echo-{connections}c-{size}b", usable, METRICS, limits=limits,
                                  group="echo")
        yield report.Case(f"idle-{IDLE}c", self.small.usable(), IDLE_METRICS, "", group="idle")
        many = [s for s in usable if self.servers.backend[s]]  # select cannot have so many
        yield report.Case(f"slowloris-{load.SLOW}c", many, load.SLOW_METRICS, group="slowloris")

    def measure(self, case, system, round_number):
        if case.slug.startswith("idle-"):
            return self._idle(system)
        if case.slug.startswith("slowloris-"):
            with self.servers.running(system) as server:
                return load.beside_slow_ones(self.settings, server, "--size", 64)
        connections, size = (int(word[:-1]) for word in case.slug.split("-")[1:])
        with self.servers.running(system) as server:
            printed = load.run(self.settings, server, connections, self._seconds(), "--size", size)
        measured = {metric: printed[name] for metric, name in PRINTED.items()}
        if round_number == 0:
            measured["syscalls"] = self._syscalls(system, connections, size)
        return measured

    def _seconds(self):
        return 0.5 if self.settings.quick else 1.5

    def _syscalls(self, system, connections, size):
        with self.servers.running(system) as server:
            printed = load.run(self.settings, server, connections, 1, "--size", size,
                               "--syscalls")
            if "syscalls" in printed:
                return printed["syscalls"]
            run = {}
            calls = servers.count_by_strace(server, lambda: run.update(
                load.run(self.settings, server, connections, 1, "--size", size, "--warm-up", 0)))
            return calls / run["requests"]

    def _idle(self, system):
        """Memory for each connection once it has sent a byte, and once it has filled its buffer."""
        with self.small.running(system) as server, contextlib.ExitStack() as opened:
            at_start = servers.memory(server.pid)
            peers = [opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                     for _ in range(IDLE)]
            grown = {}
            for metric, size in (("unused", 1), ("", 4096)):
                for peer in peers:
                    peer.sendall(bytes(size))
                    peer.recv(size, socket.MSG_WAITALL)
                grown[metric] = (servers.memory(server.pid) - at_start) / IDLE
            time.sleep(0.2)
            before, start = servers.cpu_ns(server.pid), time.monotonic()
            time.sleep(1 if self.settings.quick else 3)
            spent = (servers.cpu_ns(server.pid) - before) / 1e3
            return {**grown, "cpu": spent / (time.monotonic() - start)}
