#!/usr/bin/env python3
"""What the steps of docs/scaling.md cost and bring, with wrk on loopback.

    bench/scaling.py BUILD_FOLDER [ROUNDS]

Each case runs once in each round, one after the other, and a line gives the medians: requests per
second, and the processor time per request of the servers, of haproxy and of wrk. On a machine with
as many cores as threads that work, wrk and haproxy take from the servers what they use: then the
processor times tell more than the rates.
"""
import argparse
import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import time

CONFIG = pathlib.Path(__file__).parents[1] / "examples" / "scaling" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SECONDS = 3
FRONT = "127.0.0.1:18080"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(*command, **more):
    with subprocess.Popen([str(word) for word in command], **more) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def server(build, *options):
    command = [build / "examples" / "http_server", "--host", "127.0.0.1", "--port", 0, *options]
    with running(*command, stdout=subprocess.PIPE, text=True) as process:
        process.address = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())[0]
        yield process


@contextlib.contextmanager
def front(one, two):
    env = dict(os.environ, WIRE_FRONT=FRONT, WIRE_ONE=one.address, WIRE_TWO=two.address)
    with running(HAPROXY, "-db", "-f", CONFIG, env=env, stderr=subprocess.DEVNULL) as process:
        time.sleep(1)  # the first health checks
        yield process


def load(address, servers, haproxy=None, connections=64):
    """Requests per second, and microseconds per request of servers, haproxy and wrk."""
    watched = {"servers": servers, "haproxy": [haproxy] if haproxy else []}
    before = {name: sum(cpu_seconds(p.pid) for p in group) for name, group in watched.items()}
    began = os.times()
    said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}",
                           f"http://{address}/hello"], check=True, capture_output=True,
                          text=True).stdout
    ended = os.times()
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    requests = int(re.search(r"(\d+) requests in", said)[1])
    used = {name: sum(cpu_seconds(p.pid) for p in group) - before[name]
            for name, group in watched.items()}
    used["wrk"] = (ended.children_user + ended.children_system
                   - began.children_user - began.children_system)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return {"rate": rate, **{name: 1e6 * spent / requests for name, spent in used.items()}}


def one_thread(build):
    with server(build) as one:
        return load(one.address, [one])


def two_threads(build):
    with server(build, "--threads", 2) as one:
        return load(one.address, [one])


def front_of_one(build):
    with server(build) as one, front(one, one) as haproxy:
        return load(FRONT, [one], haproxy)


def front_of_two(build):
    with server(build) as one, server(build) as two, front(one, two) as haproxy:
        return load(FRONT, [one, two], haproxy)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, help="the build folder, of a release build")
    parser.add_argument("rounds", type=int, nargs="?", default=5)
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("at least one round")
    if not (given.build / "examples" / "http_server").exists():
        parser.error(f"{given.build}/examples/http_server is missing: build it first (it needs "
                     "libcli11-dev and libboost-dev)")
    if not shutil.which("wrk"):
        parser.error("install wrk")
    return given.build, given.rounds


def main():
    build, rounds = arguments()
    cases = [one_thread, two_threads] + ([front_of_one, front_of_two] if HAPROXY else [])
    if not HAPROXY:
        print("SKIPPED the cases with haproxy: install it")
    seen = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            seen[case].append(case(build))
    print(f"{'':14} {'requests/s':>11}   us per request: servers, haproxy, wrk")
    for case, results in seen.items():
        middle = {what: statistics.median(r[what] for r in results) for what in results[0]}
        print(f"{case.__name__:14} {middle['rate']:11.0f}   {middle['servers']:.1f} "
              f"{middle['haproxy']:.1f} {middle['wrk']:.1f}")


if __name__ == "__main__":
    main()
