"""The load generators: net_load, and others that take and print the same."""

import machine

SLOW = 10_000
SLOW_METRICS = {"": "us, p99", "p50": "us", "p999": "us", "rate": "1/s", "cpu": "ns CPU/request"}
SLOW_PRINTED = {"": "p99_us", "p50": "p50_us", "p999": "p999_us", "rate": "per_second",
                "cpu": "cpu_ns"}


def run(settings, server, connections, seconds, *more, program="net_load"):
    """What it prints: {name: value}."""
    command = [settings.program(program), "--port", server.port, "--pid", server.pid,
               "--connections", connections, "--seconds", seconds, *more]
    words = machine.output_of(command, settings.cores[1:2], seconds + 30).split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2])}


def beside_slow_ones(settings, server, *more):
    """The metrics of one client among many slow ones."""
    printed = run(settings, server, 1, 1 if settings.quick else 4, "--slow", SLOW, *more)
    return {metric: printed[name] for metric, name in SLOW_PRINTED.items()}
