"""Suite `tls`: what an echo over TLS costs a server.

The server has the first core, the load generator the second. Every figure is from a server process
of its own.
"""

import subprocess

import machine
import report
from net import load, servers

CONNECTIONS = [1, 16, 64]
SIZE = 1024
METRICS = {"": "ns CPU/request", "rate": "1/s", "p50": "us", "p99": "us", "syscalls": "per request"}
PRINTED = {"": "cpu_ns", "rate": "per_second", "p50": "p50_us", "p99": "p99_us"}
RAW = {"raw_fd": "fd", "raw_memory": "memory"}


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.missing = self._missing()
        self.servers = None if self.missing else servers.Servers(settings, self._systems())

    def _missing(self):
        if len(self.settings.cores) < 2:
            return "it needs two cores"
        if not self.settings.program("tls_load"):
            return "install libssl-dev and configure again"
        return ""

    def _systems(self):
        certificate, key = make_certificate(self.settings.programs)
        def raw(bio):
            return servers.System(self.settings.program("tls_raw_epoll"),
                                  ["{port}", certificate, key, bio])
        return {**servers.wires(self.settings.program("tls_wire_echo"), certificate, key),
                **{name: raw(bio) for name, bio in RAW.items()}}

    def notes(self):
        if self.missing:
            yield f"SKIPPED tls: {self.missing}"
            return
        for system, reason in self.servers.skipped.items():
            yield f"SKIPPED {system}: {reason}"

    def cases(self):
        if self.missing:
            return []
        usable = self.servers.usable()
        limits = {system: list(RAW) for system in usable}
        return [report.Case(f"tls-{connections}c-{SIZE}b", usable, METRICS, limits=limits)
                for connections in CONNECTIONS]

    def measure(self, case, system, round_number):
        connections = int(case.slug.split("-")[1][:-1])
        with self.servers.running(system) as server:
            printed = self._load(server, connections, 0.5 if self.settings.quick else 1.5)
        measured = {metric: printed[name] for metric, name in PRINTED.items()}
        if round_number == 0:
            measured["syscalls"] = self._syscalls(system, connections)
        return measured

    def _load(self, server, connections, seconds):
        return load.run(self.settings, server, connections, seconds, "--size", SIZE,
                        program="tls_load")

    def _syscalls(self, system, connections):
        """Of a run of its own. Those of the handshakes and of the warm-up count: a little more."""
        run = {}
        with self.servers.running(system) as server:
            calls = servers.count_syscalls(self.settings, server, lambda: run.update(
                self._load(server, connections, 1)))
        return calls / run["all"]


def make_certificate(folder):
    """A new key of the usual kind and its certificate, files of `folder`."""
    certificate, key = folder / "tls_certificate.pem", folder / "tls_key.pem"
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                        "/CN=localhost", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise machine.Failed(f"openssl makes no certificate: {problem}") from None
    return certificate, key
