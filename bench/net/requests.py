"""HTTP and RESP servers under the usual tools, wrk and redis-benchmark: what a request costs."""

import csv
import pathlib
import shutil
import socket
import tempfile

import machine
import report
from net import load, servers

HERE = pathlib.Path(__file__).resolve().parent
PATH = "/hello"
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def tool(name):
    """The path of an installed program, or None."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return found and pathlib.Path(found)


class Requests:
    """Servers of a kind that has a load generator of its own."""

    def __init__(self, settings, kind, systems, generator, package):
        self.settings = settings
        self.kind = kind
        self.servers = servers.Servers(settings, systems)
        self.generator = tool(generator)
        self.missing = f"install {package}, for {generator}"

    def skipped(self):
        return self.servers.skipped if self.generator else {"all systems": self.missing}

    def usable(self):
        return self.servers.usable() if self.generator else []

    def measure(self, case, system, round_number):
        with self.servers.running(system) as server:
            self.warm_up(case, server)
            before = servers.cpu_ns(server.pid)
            measured = self.generate(case, server)
            spent = servers.cpu_ns(server.pid) - before
            measured[""] = spent / measured.pop("requests")
        if round_number == 0:
            measured["syscalls"] = self._syscalls(case, system)
        return measured

    def _syscalls(self, case, system):
        run = {}
        with self.servers.running(system) as server:
            self.warm_up(case, server)
            calls = servers.count_syscalls(self.settings, server,
                                           lambda: run.update(self.generate(case, server)))
        return calls / run["requests"]

    def run_generator(self, *arguments):
        return machine.output_of([self.generator, *arguments], self.settings.cores[1:2], 120)


class Http(Requests):
    METRICS = {"": "ns CPU/request", "rate": "1/s", "p50": "us", "p99": "us", "p999": "us",
               "syscalls": "per request"}
    CASES = {"http-64c": (64, 1), "http-1000c": (1000, 1), "http-64c-p16": (64, 16)}

    def __init__(self, settings):
        self.folder = tempfile.TemporaryDirectory(prefix="bench-nginx-")
        systems = servers.wires(settings.example("http_server"), "--max-connections", "15000",
                                "--request-timeout", "3600", option="--port",
                                missing="examples/http_server is not built")
        ours = servers.Servers(settings, {"wire": systems["wire"]})
        self.answer = answer = answer_of(ours) if ours.usable() else DEFAULT_ANSWER
        text = answer.partition("\r\n\r\n")[2]
        systems["limit"] = servers.System(settings.program("net_raw_epoll"),
                                          ["{port}", "et", answer, "empty-line"])
        systems["nginx"] = nginx(pathlib.Path(self.folder.name), text)
        systems["go"] = servers.System(settings.program("net_go_server"), ["http", "{port}", text],
                                       "install golang-go and configure again",
                                       {"GOMAXPROCS": "1"})
        super().__init__(settings, "http", systems, "wrk", "wrk")

    def cases(self):
        for slug in self.CASES:
            yield report.Case(slug, self.usable(), self.METRICS, group="http")
        alike = [s for s in self.servers.usable() if s == "limit" or s.startswith("wire")]
        yield report.Case(f"slowloris-http-{load.SLOW}c", alike, load.SLOW_METRICS,
                          group="slowloris")

    def measure(self, case, system, round_number):
        if case.slug in self.CASES:
            return super().measure(case, system, round_number)
        with self.servers.running(system) as server:
            return load.beside_slow_ones(self.settings, server, "--request", REQUEST, "--answer",
                                         len(self.answer))

    def warm_up(self, case, server):
        self._wrk(case, server, 1)

    def generate(self, case, server):
        printed = self._wrk(case, server, 1 if self.settings.quick else 3)
        if printed["errors"]:
            raise machine.Failed(f"wrk had {printed['errors']:.0f} errors")
        return {"requests": printed["requests"], "rate": printed["per_second"],
                "p50": printed["p50_us"], "p99": printed["p99_us"], "p999": printed["p999_us"]}

    def _wrk(self, case, server, seconds):
        connections, depth = self.CASES[case.slug]
        said = self.run_generator("-t1", f"-c{connections}", f"-d{seconds}s", "-s",
                                  HERE / "wrk.lua", f"http://127.0.0.1:{server.port}{PATH}", "--",
                                  depth)
        words = said.partition("\nresult ")[2].split()
        return {name: float(value) for name, value in zip(words[::2], words[1::2])}


DEFAULT_ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n"


def answer_of(ours):
    """What our server answers: the others answer as much, and the limit just that."""
    with ours.running("wire") as server, \
            socket.create_connection(("127.0.0.1", server.port), 5) as peer:
        peer.sendall(REQUEST.encode())
        answer = peer.recv(65536).decode()
    if not answer.startswith("HTTP/1.1 200 "):
        raise machine.Failed(f"http_server answers GET {PATH} with {answer[:60]!r}")
    return answer


NGINX = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{{port}} backlog=4096;
        location / {{ return 200 "{text}"; }}
    }}
}}
"""


def nginx(folder, text):
    configuration = NGINX.format(folder=folder, text=text.replace("\n", "\\n"))
    return servers.System(tool("nginx"), ["-p", folder, "-c", folder / "nginx.conf"],
                          "install nginx", files={folder / "nginx.conf": configuration})


class Resp(Requests):
    """One command, with and without pipelining."""
    METRICS = {"": "ns CPU/request", "rate": "1/s", "p50": "us", "p99": "us",
               "syscalls": "per request"}
    DEPTHS = [1, 16]
    ANSWERS = {"ping": "+PONG\r\n", "get": "$3\r\nxxx\r\n", "set": "+OK\r\n"}
    TESTS = {"ping": "ping_mbulk", "get": "get", "set": "set"}

    def __init__(self, settings, command):
        self.command = command
        systems = servers.wires(settings.example("kv_server"), option="--port",
                                missing="examples/kv_server is not built")
        systems["limit"] = servers.System(settings.program("net_raw_epoll"),
                                          ["{port}", "et", self.ANSWERS[command], "*"])
        systems["redis"] = servers.System(
            tool("redis-server"), ["--port", "{port}", "--bind", "127.0.0.1", "--save", "",
                                   "--appendonly", "no"], "install redis-server")
        super().__init__(settings, f"resp-{command}", systems, "redis-benchmark", "redis-tools")

    def cases(self):
        return [report.Case(f"resp-{self.command}-p{depth}", self.usable(), self.METRICS,
                            group="resp") for depth in self.DEPTHS]

    def warm_up(self, case, server):
        """Makes the value that GET gets, too."""
        self._benchmark(server, "set", 16, 10_000)
        self._benchmark(server, self.TESTS[self.command], 16, 10_000)

    def generate(self, case, server):
        depth = int(case.slug.rpartition("-p")[2])
        count = (10_000 if self.settings.quick else 150_000) * (1 if depth == 1 else 10)
        row = self._benchmark(server, self.TESTS[self.command], depth, count)
        return {"requests": count, "rate": float(row["rps"]),
                "p50": float(row["p50_latency_ms"]) * 1e3,
                "p99": float(row["p99_latency_ms"]) * 1e3}

    def _benchmark(self, server, test, depth, count):
        said = self.run_generator("-p", server.port, "-t", test, "-P", depth, "-n", count, "--csv")
        rows = list(csv.DictReader(line for line in said.splitlines() if line.startswith('"')))
        if len(rows) != 1:
            raise machine.Failed(f"redis-benchmark prints {said[:200]!r}")
        return rows[0]
