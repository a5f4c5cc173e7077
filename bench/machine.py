"""What the benchmarks run on and how: settings, description of the machine, pinned programs."""

import json
import os
import pathlib
import platform
import subprocess
import sys


class Failed(Exception):
    """A program of the benchmark did not give a figure."""


# Our systems, and the backend that each asks the library for.
REACTORS = {"wire": "auto", "wire-epoll": "epoll", "wire-io_uring": "io_uring"}


class Settings:
    def __init__(self, arguments):
        self.build = arguments.build.resolve()
        self.programs = self.build / "bench"
        self.quick = arguments.quick
        self.rounds = arguments.rounds or (2 if arguments.quick else 5)
        self.cores = chosen_cores(arguments.cores)
        if not self.programs.is_dir():
            sys.exit(f"{self.programs} is missing. Build the programs first:\n"
                     f"  meson setup {arguments.build} -Dbench=enabled --buildtype=release\n"
                     f"  meson compile -C {arguments.build}")

    def program(self, name):
        """The path of a built program, or None."""
        return existing(self.programs / name)

    def example(self, name):
        """The path of a built example, or None."""
        return existing(self.build / "examples" / name)


def not_built(name, package):
    """Why a system is skipped whose program has that name; package: what it needs, or None."""
    why = f": install {package} and configure again" if package else ""
    return f"{name} is not built{why}"


def notes_of_missing(programs, prefix, packages):
    """A line for each system of which the program {prefix}_{system} was not built."""
    for system, program in programs.items():
        if not program:
            yield f"SKIPPED {system}: {not_built(f'{prefix}_{system}', packages[system])}"


def existing(path):
    return path if path.exists() else None


def chosen_cores(text):
    usable = sorted(os.sched_getaffinity(0))
    if not text:
        return usable[:2]
    cores = [int(c) for c in text.split(",")]
    if not set(cores) <= set(usable):
        sys.exit(f"--cores {text}: this process may use {usable}")
    return cores


def on_cores(cores):
    """Arguments for subprocess that pin the new process."""
    return {"preexec_fn": lambda: os.sched_setaffinity(0, cores)}


def output_of(command, cores, timeout, environment=None):
    """What a pinned program prints; raises Failed if it fails."""
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                              timeout=timeout, env={**os.environ, **(environment or {})},
                              **on_cores(cores))
    except subprocess.TimeoutExpired:
        raise Failed(f"nothing after {timeout} s") from None
    if done.returncode != 0:
        raise Failed(f"exit code {done.returncode} {done.stderr.strip()[-300:]}")
    return done.stdout


def first_line(path, default="unknown"):
    try:
        return pathlib.Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return default


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def build_type(build):
    """How the library was built, from Meson's own description."""
    try:
        options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    except (OSError, ValueError):
        return "unknown"
    value = {o["name"]: o["value"] for o in options}
    text = f"{value['buildtype']}, -O{value['optimization']}"
    if value.get("b_sanitize", "none") != "none" or value["optimization"] in ("0", "g", "plain"):
        text += "  (WARNING: not a build to measure)"
    return text


def load_average():
    load = os.getloadavg()[0]
    return f"{load:.2f}" + ("  (WARNING: other work disturbs the figures)" if load > 0.7 else "")


def describe(settings):
    cores = settings.cores
    governor = first_line(f"/sys/devices/system/cpu/cpu{cores[0]}/cpufreq/scaling_governor")
    return "\n".join([
        f"machine   {cpu_model()}, {os.cpu_count()} CPUs; using {', '.join(map(str, cores))}",
        f"kernel    {platform.release()}",
        f"governor  {governor}",
        f"build     {build_type(settings.build)}",
        f"load      {load_average()}",
        f"rounds    {settings.rounds}{' (quick)' if settings.quick else ''}",
        ""])
