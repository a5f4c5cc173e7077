"""A redis-server of a test's own: in a temporary folder, on a Unix socket and a free port."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from harness import PATIENCE, Program, eventually, free_port


def main_folder():
    """The folder of the examples, from the command line. Ends the program if redis is missing."""
    Program.folder = pathlib.Path(sys.argv.pop(1)).resolve()
    for needed, there in (("redis-server", shutil.which("redis-server")),
                          ("redis_get: libhiredis-dev",
                           (Program.folder / "third_party/redis/redis_get").exists())):
        if not there:
            print(f"skipped: this test needs {needed}")
            sys.exit(77)


class RedisServer:
    def __init__(self, test, *options):
        folder = tempfile.TemporaryDirectory(prefix="wire-redis-")
        test.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.socket = str(self.folder / "s")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.options = options
        self.process = None
        self.start()
        test.addCleanup(self.kill)

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket",
             self.socket, "--dir", str(self.folder), "--save", "", *map(str, self.options)],
            stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        if not eventually(self.answers):
            raise AssertionError("redis-server does not answer")

    def answers(self):
        with contextlib.suppress(OSError):
            return self.ask("PING") in ("+PONG", "-NOAUTH Authentication required.")
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.kill()
        self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def ask(self, *words):
        """The first line of the answer; of a string with a length, the string."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(self.socket)
            client.sendall(b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(w).encode() for w in words)))
            with client.makefile("rb") as answer:
                line = answer.readline().decode().rstrip("\r\n")
                if line.startswith("$") and line != "$-1":
                    return answer.read(int(line[1:])).decode()
                return line
