"""What the e2e tests share: an echo server of their own, and clients.

Each script is a unittest program that gets the folder of the examples as its argument:

    tests/e2e/echo_data.py build/examples [TestCase.test ...]

Everything happens on loopback, on ports that the system chooses, and is bounded in time.
"""

import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest

PATIENCE = 20  # seconds after which something that must happen counts as failed


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} EXAMPLES_FOLDER [TEST...]")
    Server.folder = pathlib.Path(sys.argv.pop(1)).resolve()
    if not (Server.folder / "echo_server").exists():
        print("echo_server was not built (no CLI11): skipped")
        sys.exit(77)
    unittest.main(verbosity=1)


def raise_limit_of_files():
    """As many descriptors as the system allows; the server inherits it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server:
    """An echo_server, killed at the end of a with block if it still runs."""

    folder = None

    def __init__(self, *args, port=0, before_exec=None):
        command = [str(self.folder / "echo_server"), *map(str, args)]
        if port is not None:
            command += ["--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, preexec_fn=before_exec, text=True)
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

    def cpu_ticks(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def wake_ups(self):
        """How often its threads have gone to sleep so far."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/status")
        return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", t.read_text(), re.M)[1])
                   for t in tasks)

    def has_helper_thread(self):
        """ThreadSanitizer's own, which wakes up now and then."""
        return "libtsan" in pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def settled_descriptors(self):
        """How many it has open with no connection, once it has started completely."""
        with self.connect() as client:
            ask(client)
            with_one = self.descriptors()
        eventually(lambda: self.descriptors() < with_one)
        return self.descriptors()


def receive(client, size):
    """Exactly `size` bytes, or what came before the end."""
    data = bytearray()
    while len(data) < size:
        part = client.recv(min(1 << 16, size - len(data)))
        if not part:
            break
        data += part
    return bytes(data)


def receive_all(client):
    return receive(client, 1 << 62)


def ask(client, text=b"hello"):
    """Whether the server sends `text` back."""
    client.sendall(text)
    return receive(client, len(text)) == text


def eventually(condition):
    """Waits until condition() holds; says whether it did in time."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def pattern(size):
    """Bytes that tell their place, to find what is lost, doubled or out of order."""
    return b"".join(b"%d," % i for i in range(size // 4))[:size].ljust(size, b".")
