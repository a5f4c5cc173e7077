"""What the e2e tests share: a server of their own, and clients.

Each script is a unittest program that gets the folder of the examples as its argument:

    tests/e2e/echo_data.py build/examples [TestCase.test ...]

Everything happens on loopback, on ports that the system chooses, and is bounded in time.
"""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

# A shell has what it runs in the background ignore it, and so would the programs here.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE = 20  # seconds after which something that must happen counts as failed


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} EXAMPLES_FOLDER [TEST...]")
    Server.folder = pathlib.Path(sys.argv.pop(1)).resolve()
    if not (Server.folder / "echo_server").exists():
        print("echo_server was not built (no CLI11): skipped")
        sys.exit(77)
    run_tests()


def run_tests():
    """As unittest.main(), which would not say why a test is skipped."""
    result = unittest.main(verbosity=1, exit=False).result
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}", flush=True)
    sys.exit(not result.wasSuccessful())


def raise_limit_of_files():
    """As many descriptors as the system allows; the server inherits it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def enter_own_network(mtu=65536):
    """Moves this process into a network of its own, a loopback only. Says whether it may."""
    newuser, newnet, user = 0x10000000, 0x40000000, os.geteuid()
    if ctypes.CDLL(None).unshare(newnet if user == 0 else newuser | newnet) != 0:
        return False
    if user != 0:
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    siocgifflags, siocsifflags, siocsifmtu, up = 0x8913, 0x8914, 0x8922, 1
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        state = struct.unpack("16sh14x", fcntl.ioctl(any_socket, siocgifflags, request))[1]
        fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sh14x", b"lo", state | up))
        fcntl.ioctl(any_socket, siocsifmtu, struct.pack("16si12x", b"lo", mtu))
    return True


def proc(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")


def stat_of(pid):
    """The fields of /proc/PID/stat after the name: state, parent, and so on."""
    return proc(pid, "stat").rsplit(")", 1)[1].split()


def open_files(pid):
    """What its descriptors refer to, without those that are closed meanwhile."""
    names = []
    with contextlib.suppress(FileNotFoundError):  # the process has ended
        for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                names.append(os.readlink(descriptor))
    return names


def memory_of(pid, kind):
    """Bytes, of a kind that /proc/PID/status names."""
    return int(re.search(rf"^{kind}:\s*(\d+) kB", proc(pid, "status"), re.M)[1]) * 1024


@contextlib.contextmanager
def little_memory(test, pid, more):
    """Until the end of the with block the process gets only so many bytes of addresses more."""
    if re.search("lib[at]san", proc(pid, "maps")):
        test.skipTest("a sanitizer needs all addresses")
    soft, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (memory_of(pid, "VmSize") + more, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_AS, (soft, hard))


class Server:
    """An echo_server, or what a subclass names, killed at the end of a with block if it runs."""

    folder = None
    program = "echo_server"

    def __init__(self, *args, port=0, before_exec=None, pass_fds=()):
        command = [str(self.folder / self.program), *map(str, args)]
        if port is not None:
            command += ["--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, preexec_fn=before_exec,
                                        pass_fds=pass_fds, text=True)
        self.said = self.process.stdout.readline()
        ports = re.findall(r":(\d+)", self.said)
        self.port = int(ports[0]) if ports else None
        self.port_v6 = int(ports[-1]) if ports else None

    def __enter__(self):
        if not self.said.startswith("listening on "):
            raise AssertionError(f"the server did not start: {self.end()}")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def connect(self, host="127.0.0.1"):
        port = self.port_v6 if ":" in host else self.port
        return socket.create_connection((host, port), timeout=PATIENCE)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def end(self):
        """Waits until it has ended. Returns exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, self.said + out, err

    def stop(self):
        self.signal()
        return self.end()

    def memory(self):
        """Bytes of it that are in memory."""
        return memory_of(self.process.pid, "VmRSS")

    def cpu_ticks(self):
        fields = stat_of(self.process.pid)
        return int(fields[11]) + int(fields[12])

    def wake_ups_of_threads(self):
        """How often each of its threads has gone to sleep so far."""
        counts = []
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/status"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                text = task.read_text(encoding="utf-8")
                counts.append(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M)[1]))
        return counts

    def wake_ups(self):
        return sum(self.wake_ups_of_threads())

    def has_helper_thread(self):
        """ThreadSanitizer's own, which wakes up now and then."""
        return "libtsan" in proc(self.process.pid, "maps")

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def talk(self, client):
        """Asks something and gets an answer."""
        ask(client)

    def settled_descriptors(self):
        """How many it has open with no connection, once it has started completely."""
        for _ in range(10):
            counts = []
            with contextlib.ExitStack() as clients:
                for _ in range(2):
                    self.talk(clients.enter_context(self.connect()))
                    counts.append(self.descriptors())
            # A connection may have several, which are closed one after the other: to wait until
            # there are less would not do.
            without = 2 * counts[0] - counts[1]
            if eventually(lambda n=without: self.descriptors() == n, PATIENCE / 10):
                return without  # if not, it was still starting
        raise AssertionError(f"{counts} descriptors, and then {self.descriptors()}")


class Program:
    """A program of the examples, killed at the end of the test, or when patience ends."""

    folder = None

    def __init__(self, test, name, *args, stdout=subprocess.PIPE):
        self.process = subprocess.Popen([self.folder / name, *map(str, args)], text=True,
                                        stdin=subprocess.DEVNULL, stdout=stdout,
                                        stderr=subprocess.PIPE)
        self.pid = self.process.pid
        self.lines = []
        self.guard = threading.Timer(PATIENCE, self.process.kill)
        self.guard.start()
        test.addCleanup(self.close)

    def close(self):
        self.guard.cancel()
        if self.process.returncode is None:
            self.process.kill()
        self.process.communicate()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.wait()

    def line(self, wanted):
        """The next line of which `wanted` is true."""
        for text in self.process.stdout:
            self.lines.append(text)
            if wanted(text):
                return text
        raise AssertionError(f"it ended without that line: {self.lines}, "
                             f"{self.process.stderr.read()}")

    def end(self):
        """Its exit code, and what it has said since the last line."""
        # communicate() would leave out what was read together with that line.
        out = self.process.stdout.read() if self.process.stdout else None
        err = self.process.stderr.read()
        return self.process.wait(PATIENCE), out, err


def refused(*args, program="echo_server", **more):
    """Runs a server that must not start. Returns its exit code and what it says."""
    with_output = subprocess.run([Server.folder / program, *map(str, args)], text=True,
                                 capture_output=True, timeout=PATIENCE, check=False, **more)
    return with_output.returncode, with_output.stdout + with_output.stderr


def receive(client, size):
    """Exactly `size` bytes, or what came before the end."""
    data = bytearray()
    while len(data) < size:
        part = client.recv(min(1 << 16, size - len(data)))
        if not part:
            break
        data += part
    return bytes(data)


def receive_until(client, end):
    """What comes, up to that end; nothing if the other side is gone before it."""
    data = b""
    while not data.endswith(end):
        part = client.recv(4096)
        if not part:
            return b""
        data += part
    return data


def receive_all(client):
    return receive(client, 1 << 62)


def free_port():
    """A port for a server that cannot choose one itself. The system gives it to nobody else: it is
    below those that it chooses from."""
    least = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    first = int(least.split()[0])
    for port in random.sample(range(first // 2, first), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("100 ports are all in use")


@contextlib.contextmanager
def closed_port():
    """A port that refuses connections, held until the end of the with block."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def reset(client):
    """Closes with a reset instead of an end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def ask(client, text=b"hello"):
    """Whether the server sends `text` back."""
    client.sendall(text)
    return receive(client, len(text)) == text


def eventually(condition, patience=PATIENCE):
    """Waits until condition() holds; says whether it did in time."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def unless_held_up(limit, attempt):
    """Calls attempt(beat), which is about a limit of time, and calls beat() whenever it is in time.
    If it fails, and there was more than `limit` seconds between two such moments, a busy machine
    has held up this process or the other: that says nothing, so it is called again."""
    for tries_left in reversed(range(10)):
        beats = [time.monotonic()]
        try:
            attempt(lambda beats=beats: beats.append(time.monotonic()))
            return
        except (AssertionError, OSError):
            beats.append(time.monotonic())
            longest = max(b - a for a, b in zip(beats, beats[1:]))
            if not limit < longest < PATIENCE or tries_left == 0:
                raise


class Rude:
    """Sends a text again and again over a connection, and never reads."""

    def __init__(self, client, text):
        self.client, self.period, self.sent = client, len(text), 0
        self.much = text * (1 + 65536 // len(text))
        client.setblocking(False)

    def push(self):
        """Sends what goes at once; says how much has gone so far."""
        try:
            while True:
                self.sent += self.client.send(self.much[self.sent % self.period:])
        except BlockingIOError:
            return self.sent

    def is_cut(self):
        """Sends what goes at once. Says whether the other side has ended the connection."""
        try:
            self.push()
        except ConnectionError:
            return True
        return False


def accepts(path):
    """Whether a server listens on a Unix socket; its file is there before it does."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    except OSError:
        return False
    return True


def pattern(size):
    """Bytes that tell their place, to find what is lost, doubled or out of order."""
    return b"".join(b"%d," % i for i in range(size // 4))[:size].ljust(size, b".")
