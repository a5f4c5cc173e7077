"""Suite `embed`: what a request costs an echo server inside the loop of others.

The servers are the recipes of examples/embed. The server has the first core, the load generator the
second. Every figure is from a server process of its own.
"""

import report
from net import load, servers

CONNECTIONS = [1, 16, 64, 256]
BACKENDS = ["epoll", "io_uring"]
OWN = "wire"
LOOPS = {"epoll": None, "glib": "libglib2.0-dev", "libuv": "libuv1-dev",
         "sd_event": "libsystemd-dev", "asio": "libasio-dev"}
METRICS = {"": "ns CPU/request", "rate": "1/s", "p99": "us"}
PRINTED = {"": "cpu_ns", "rate": "per_second", "p99": "p99_us"}


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.possible = len(settings.cores) > 1
        self.of = {b: servers.Servers(settings, systems_on(settings, b))
                   for b in BACKENDS} if self.possible else {}

    def notes(self):
        if not self.possible:
            yield "SKIPPED everything: it needs two cores"
        for backend, those in self.of.items():
            for system, reason in those.skipped.items():
                yield f"SKIPPED {system} on {backend}: {reason}"

    def cases(self):
        for backend, those in self.of.items():
            for connections in CONNECTIONS:
                yield report.Case(f"embed-{connections}c-{backend}", those.usable(), METRICS, OWN,
                                  group=backend)

    def measure(self, case, system, _):
        _, connections, backend = case.slug.split("-")
        seconds = 0.5 if self.settings.quick else 1.5
        with self.of[backend].running(system) as server:
            printed = load.run(self.settings, server, int(connections[:-1]), seconds, "--size", 64)
        return {metric: printed[name] for metric, name in PRINTED.items()}


def systems_on(settings, backend):
    environment = {"WIRE_REACTOR": backend}
    own = servers.System(settings.program("embed_own_loop"), ["{port}"], environment=environment)
    return {OWN: own} | {
        loop: servers.System(settings.program(f"embed_{loop}_loop"), ["{port}"],
                             f"install {package} and configure again", environment)
        for loop, package in LOOPS.items()}
