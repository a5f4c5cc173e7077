"""The servers that the suite `net` measures: start one, see what it runs on, what it costs."""

import contextlib
import dataclasses
import os
import pathlib
import resource
import signal
import socket
import subprocess
import tempfile
import time

import machine


@dataclasses.dataclass
class System:
    program: pathlib.Path  # None if it is not there
    arguments: list  # in which {port} stands for the port
    missing: str = "it is not built"  # why there is no program
    environment: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)  # path -> text, written at each start

    def reactor(self):
        """The backend of ours that it must run on, "auto" for any; None for servers of others."""
        return self.environment.get("WIRE_REACTOR")


@dataclasses.dataclass
class Server:
    pid: int
    port: int


def wires(program, *arguments, option=None, missing="it is not built"):
    """Our own server: on the backend that the library chooses, and on each of the two."""
    port = [option, "{port}"] if option else ["{port}"]
    return {name: System(program, [*port, *arguments], missing, {"WIRE_REACTOR": reactor})
            for name, reactor in machine.REACTORS.items()}


class Servers:
    """Those of one kind, of which each system has one."""

    def __init__(self, settings, systems):
        self.settings = settings
        self.all = systems
        self.backend = {}  # of those that can run
        self.skipped = {}  # system -> reason
        allow_many_descriptors()
        for name, system in systems.items():
            try:
                with self.running(name) as server:
                    self.backend[name] = backend_of(server.pid)
            except machine.Failed as reason:
                self.skipped[name] = str(reason)

    def usable(self):
        return list(self.backend)

    @contextlib.contextmanager
    def running(self, name):
        """A server of this system on the first core, which accepts connections."""
        system = self.all[name]
        if not system.program:
            raise machine.Failed(system.missing)
        port = free_port()
        arguments = [str(a).replace("{port}", str(port)) for a in system.arguments]
        for path, text in system.files.items():
            path.write_text(text.replace("{port}", str(port)))
        with tempfile.TemporaryFile() as errors:
            process = start([str(system.program), *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=errors,
                            env={**os.environ, **system.environment},
                            **machine.on_cores(self.settings.cores[:1]))
            try:
                wait_until_ready(process, port, errors)
                if system.reactor():
                    check_backend(system.reactor(), process.pid)
                yield Server(process.pid, port)
            finally:
                stop(process)


def start(command, **how):
    try:
        return subprocess.Popen(command, **how)
    except OSError as problem:
        raise machine.Failed(str(problem)) from None


def stop(process):
    """At once, and before its children, which it might replace."""
    for pid in processes(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def check_backend(wanted, pid):
    """Waits until a server of ours has its backend: it may accept connections before."""
    end = time.monotonic() + 5
    found = backend_of(pid)
    while not found and time.monotonic() < end:
        time.sleep(0.02)
        found = backend_of(pid)
    if wanted not in ("auto", found):
        raise machine.Failed(f"with WIRE_REACTOR={wanted} it runs on {found}")


def backend_of(pid):
    """What a process waits with, as its open descriptors show: io_uring, epoll, or None."""
    kinds = set()
    for each in processes(pid):
        with contextlib.suppress(OSError):
            for fd in list(pathlib.Path(f"/proc/{each}/fd").iterdir()):
                with contextlib.suppress(OSError):
                    kinds.add(os.readlink(fd))
    for kind, name in (("io_uring", "io_uring"), ("eventpoll", "epoll")):
        if f"anon_inode:[{kind}]" in kinds:
            return name
    return None


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(process, port, errors):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-300:]
            raise machine.Failed(f"it ended at once, exit code {process.returncode} {said}")
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise machine.Failed("it accepts no connection within 10 s")


def allow_many_descriptors():
    """To this process and what it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def processes(pid):
    """A process and its children, which do the work of some servers."""
    children = machine.first_line(f"/proc/{pid}/task/{pid}/children", "")
    return [pid, *map(int, children.split())]


def cpu_ns(pid):
    """Processor time of a server so far, from the clocks of its processes."""
    return sum(time.clock_gettime_ns(~p << 3 | 2) for p in processes(pid))


def memory(pid):
    """What is resident of a server, in bytes."""
    return sum(int(machine.first_line(f"/proc/{p}/statm").split()[1]) for p in
               processes(pid)) * resource.getpagesize()


def count_syscalls(settings, server, work):
    """The system calls of a server while work() runs."""
    counter = subprocess.Popen(
        [settings.program("net_count_syscalls"), *map(str, processes(server.pid))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counter.stdout.readline()
    try:
        work()
    finally:
        printed, _ = counter.communicate()
    return int(printed) if printed else count_by_strace(server, work)


def count_by_strace(server, work):
    """From an attached strace; that slows the server, so more requests share a wait for events."""
    with tempfile.NamedTemporaryFile("r") as summary:
        targets = [word for p in processes(server.pid) for word in ("-p", str(p))]
        strace = subprocess.Popen(["strace", "-c", "-f", "-U", "calls,name", "-o", summary.name,
                                   *targets], stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        try:
            work()
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(10)
        total = [line.split()[0] for line in summary if line.split()[1:] == ["total"]]
    if not total:
        raise machine.Failed("strace has counted nothing")
    return int(total[0])
