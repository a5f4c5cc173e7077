"""Suite `net`: echo servers, and what a request costs them.

The server has the first core, the load generator the second. Every figure is from a server process
of its own.
"""

import contextlib
import pathlib
import resource
import select
import signal
import socket
import subprocess
import tempfile
import time

import machine
import report

# System -> (program, further arguments, package that a peer needs), in the order of running.
SYSTEMS = {
    "wire": ("net_wire_echo", [], None),
    "limit": ("net_raw_epoll", ["et"], None),
    "raw_epoll_lt": ("net_raw_epoll", [], None),
    "libuv": ("net_libuv", [], "libuv1-dev"),
    "asio": ("net_asio", [], "libasio-dev"),
    "state_threads": ("net_state_threads", [], "libst-dev"),
}
CONNECTIONS = [1, 64, 1000]
SIZE = 64
METRICS = {"": "ns CPU/request", "rate": "1/s", "p50": "us", "p99": "us", "syscalls": "per request"}
PRINTED = {"": "cpu_ns", "rate": "per_second", "p50": "p50_us", "p99": "p99_us"}


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.load = settings.program("net_load")
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def notes(self):
        for system, (program, _, package) in SYSTEMS.items():
            if not self.settings.program(program):
                why = f": install {package} and configure again" if package else ""
                yield f"SKIPPED {system}: {program} is not built{why}"
        if not self._possible():
            yield "SKIPPED net: it needs net_load and two cores"
        yield "system calls are counted in a short run of their own, in round 1, by the kernel's"
        yield "tracepoint raw_syscalls:sys_enter; where that is not allowed, by strace -c -f"

    def _possible(self):
        return self.load and len(self.settings.cores) > 1

    def cases(self):
        built = [s for s, (program, _, _) in SYSTEMS.items() if self.settings.program(program)]
        return [report.Case(f"echo-{n}c-{SIZE}b", built if self._possible() else [], METRICS)
                for n in CONNECTIONS]

    def measure(self, case, system, round_number):
        connections = int(case.slug.split("-")[1][:-1])
        seconds = 0.5 if self.settings.quick else 1.5
        with self._server(system) as (pid, port):
            printed = self._run_load(pid, port, connections, seconds)
        measured = {metric: printed[name] for metric, name in PRINTED.items()}
        if round_number == 0:
            measured["syscalls"] = self._syscalls(system, connections)
        return measured

    def _syscalls(self, system, connections):
        with self._server(system) as (pid, port):
            printed = self._run_load(pid, port, connections, 1, "--syscalls")
            if "syscalls" in printed:
                return printed["syscalls"]
            return self._strace(pid, port, connections)

    def _strace(self, pid, port, connections):
        """From an attached strace; that slows the server, so more requests share an epoll_wait."""
        with tempfile.NamedTemporaryFile("r") as summary:
            strace = subprocess.Popen(["strace", "-c", "-f", "-U", "calls,name",
                                       "-o", summary.name, "-p", str(pid)],
                                      stderr=subprocess.DEVNULL)
            time.sleep(0.3)
            printed = self._run_load(pid, port, connections, 1, "--warm-up", "0")
            strace.send_signal(signal.SIGINT)
            strace.wait(10)
            total = [line.split()[0] for line in summary if line.split()[1:] == ["total"]]
        if not total:
            raise machine.Failed("strace has counted nothing")
        return int(total[0]) / printed["requests"]

    def _run_load(self, pid, port, connections, seconds, *more):
        command = [self.load, "--port", port, "--pid", pid, "--connections", connections,
                   "--size", SIZE, "--seconds", seconds, *more]
        words = machine.output_of(command, self.settings.cores[1:2], seconds + 30).split()
        return {name: float(value) for name, value in zip(words[::2], words[1::2])}

    @contextlib.contextmanager
    def _server(self, system):
        """A running server, ready for connections: its pid and port."""
        program, more, _ = SYSTEMS[system]
        port = free_port()
        server = subprocess.Popen(
            [str(self.settings.program(program)), str(port), *more], stdout=subprocess.PIPE,
            text=True, **machine.on_cores(self.settings.cores[:1]))
        try:
            wait_until_ready(server)
            yield server.pid, port
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(server):
    readable, _, _ = select.select([server.stdout], [], [], 5)
    if not readable or server.stdout.readline().strip() != "ready":
        raise machine.Failed(f"{pathlib.Path(server.args[0]).name} did not say ready within 5 s")
