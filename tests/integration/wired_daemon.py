"""What the tests of wired share: a folder with its settings, the daemon, wiredctl, and systemd's
socket for notifications."""

import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

from harness import PATIENCE, Server, eventually, receive_all

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "wired"


def wired(name="wired"):
    path = Server.folder / "wired" / name
    if not path.exists():
        print("wired was not built (Debian: libtomlplusplus-dev, libcli11-dev): skipped")
        sys.exit(77)
    return path


def request(port, text):
    """Connects, asks and gets the answer without its end of line."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(text.encode() + b"\r\nQUIT\r\n")
        return receive_all(client).removesuffix(b"\r\n+OK\r\n")


def ctl(folder, *words, code=0, at=None):
    """What wiredctl prints; it must return `code`."""
    command = [wired("wiredctl"), "--control", at or folder.control, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    folder.assertEqual(done.returncode, code, done.stdout + done.stderr)
    return done.stdout + done.stderr


class Folder(unittest.TestCase):
    """A folder for settings, log and control socket."""

    def setUp(self):
        wired()
        self.path = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.path, ignore_errors=True)
        self.config = str(self.path / "wired.toml")
        self.control = str(self.path / "control")
        self.settings()

    def write(self, text):
        pathlib.Path(self.config).write_text(text + "\n", encoding="utf-8")

    def settings(self, **values):
        values = {"listen": "127.0.0.1:0", "control": self.control} | values
        self.write("\n".join(f'{key} = "{value}"' if isinstance(value, str) and value != "true"
                             else f"{key} = {value}" for key, value in values.items()))

    def refused(self, *args):
        """What a daemon that must not start says."""
        done = subprocess.run([wired(), *args], capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        return done.stderr


class Daemon:
    """A running wired, killed at the end of a with block."""

    count = 0

    def __init__(self, folder, *args, before=(), ready=True, log=None, **environment):
        Daemon.count += 1
        self.log_path = log or folder.path / f"log{Daemon.count}"
        command = [*map(str, before), wired(), "--config", folder.config, *args]
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL,
                                            env=os.environ | environment)
        if ready:
            self.wait_until_ready()

    def wait_until_ready(self):
        eventually(lambda: "ready: " in self.log() or self.process.poll() is not None)
        if "ready: " not in self.log():
            self.process.kill()
            raise AssertionError(f"it did not start: {self.log()}")
        self.port = int(re.search(r"listens on 127.0.0.1:(\d+)", self.log())[1])

    def log(self):
        return self.log_path.read_text(encoding="utf-8")

    def says(self, text):
        """Waits until its log has that."""
        if not eventually(lambda: text in self.log()):
            raise AssertionError(f"it does not say {text!r}: {self.log()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def ask(self, text):
        return request(self.port, text)

    def end(self):
        return self.process.wait(PATIENCE)

    def stop(self):
        self.process.terminate()
        return self.end()


class Notifications:
    """The socket on which systemd is told of a daemon."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = name
        self.socket.bind(name.replace("@", "\0", 1))
        self.socket.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        if not self.name.startswith("@"):
            os.unlink(self.name)

    def next(self):
        return self.socket.recv(4096).decode()

    def all(self):
        """Those that are there."""
        found = []
        while select.select([self.socket], [], [], 0)[0]:
            found.append(self.socket.recv(4096).decode())
        return found
