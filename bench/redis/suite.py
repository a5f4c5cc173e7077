"""Suite `redis`: pipelined GETs, through the adapter for wires and through hiredis's own.

redis-server has the first core, the client the second. Each figure is from a client process of its
own.
"""

import socket

import machine
import report
from net import requests, servers

# system -> (program, its backend); None: it is not ours
OURS = {system: ("redis_wire", reactor) for system, reactor in machine.REACTORS.items()}
SYSTEMS = {**OURS, "wire_pipeline": ("redis_wire_pipeline", "auto"),
           "libuv": ("redis_libuv", None), "blocking": ("redis_blocking", None)}
DEPTHS = [1, 16, 256]
METRICS = {"": "ns/request", "rate": "1/s", "cpu": "ns CPU/request"}


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.server = servers.Servers(settings, {"redis": servers.System(
            requests.tool("redis-server"), ["--port", "{port}", "--bind", "127.0.0.1", "--save", "",
                                            "--appendonly", "no"], "install redis-server")})
        self.programs = {s: settings.program(name) for s, (name, _) in SYSTEMS.items()}

    def notes(self):
        if len(self.settings.cores) < 2:
            yield "SKIPPED redis: it needs two cores"
        for system, reason in self.server.skipped.items():
            yield f"SKIPPED all systems of {system}: {reason}"
        for system, program in self.programs.items():
            if not program:
                name = SYSTEMS[system][0]
                yield f"SKIPPED {system}: {machine.not_built(name, 'libhiredis-dev, libuv1-dev')}"

    def cases(self):
        possible = self.server.usable() and len(self.settings.cores) > 1
        usable = [s for s, program in self.programs.items() if program and possible]
        return [report.Case(f"get-p{depth}", usable, METRICS, "libuv") for depth in DEPTHS]

    def measure(self, case, system, _):
        with self.server.running("redis") as server:
            with socket.create_connection(("127.0.0.1", server.port), 5) as peer:
                peer.sendall(b"SET key xxx\r\n")
                if peer.recv(64) != b"+OK\r\n":
                    raise machine.Failed("redis-server does not take SET")
            printed = self._run(system, server.port, case.slug.rpartition("-p")[2])
        wall = float(printed["wall_ns"])
        return {"": wall, "rate": 1e9 / wall, "cpu": float(printed["cpu_ns"])}

    def _run(self, system, port, depth):
        reactor = SYSTEMS[system][1]
        words = machine.output_of([self.programs[system], port, depth], self.settings.cores[1:2],
                                  120, {"BENCH_MS": "300" if self.settings.quick else "1500",
                                        **({"WIRE_REACTOR": reactor} if reactor else {})}).split()
        printed = dict(zip(words[::2], words[1::2]))
        if reactor and reactor not in ("auto", printed["backend"]):
            raise machine.Failed(f"with WIRE_REACTOR={reactor} it runs on {printed['backend']}")
        return printed
