#!/usr/bin/env python3
"""The examples without options print and do what they promise."""

import pathlib
import re
import signal
import socket
import subprocess
import sys
import unittest

from harness import PATIENCE, ask, enter_own_network, eventually, run_tests

FOLDER = pathlib.Path(sys.argv.pop(1)).resolve()


def port_is_free():
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 7000)) != 0


def has_bound(one, path):
    try:
        one.bind(path)
    except OSError:
        return False
    return True


def output_of(name, *args):
    done = subprocess.run([FOLDER / name, *args], capture_output=True, text=True, timeout=PATIENCE,
                          check=False)
    return done.returncode, done.stdout, done.stderr


class SmallExamples(unittest.TestCase):
    def test_ping_pong(self):
        lines = "".join(f"ping {i}\npong {i}\n" for i in range(1, 6))
        self.assertEqual(output_of("ping_pong"), (0, lines + "5 rounds\n", ""))
        self.assertEqual(output_of("ping_pong", "1"), (0, "ping 1\npong 1\n1 rounds\n", ""))

    def test_million(self):
        for args in (["2000"], ["protect", "2000"]):
            with self.subTest(args=args):
                code, out, err = output_of("million", *args)
                self.assertEqual((code, err), (0, ""))
                self.assertRegex(out, r"^2000 wires wait, \d+ bytes each\n"
                                 r"started in [\d.]+ us each, [\d.]+ times what touching a page "
                                 r"of each stack takes\n"
                                 r"woken once, in [\d.]+ us each\nall have ended\n$")

    def test_million_names_the_limit_that_it_meets(self):
        limit = int(pathlib.Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
        if limit > 200_000:
            self.skipTest("vm.max_map_count is far away")
        if b"__asan_init" in (FOLDER / "million").read_bytes():
            self.skipTest("AddressSanitizer itself needs mappings, and dies without")
        code, out, err = output_of("million", "protect", str(limit))
        self.assertEqual((code, out), (1, ""))
        found = re.fullmatch(r"million: mprotect for a wire's stack failed with (\d+) stacks in "
                             r"place; raise vm\.max_map_count .*: Cannot allocate memory\n", err)
        self.assertTrue(found, err)
        self.assertGreater(int(found[1]), 0.9 * limit / 2)

    def test_numbers_that_make_no_sense_are_refused_with_one_sentence(self):
        for name in ("ping_pong", "million", "ticker"):
            for args in (["0"], ["-1"], ["x"], ["7x"], [""], ["9" * 30], ["1", "2"]):
                with self.subTest(name=name, args=args):
                    code, out, err = output_of(name, *args)
                    self.assertEqual((code, out), (1, ""))
                    self.assertRegex(err, rf"^{name}: takes .* 1 to \d+\n$")

    def test_output_that_cannot_be_written_is_said(self):
        for name, *args in (["ping_pong"], ["timeouts"], ["million", "10"], ["fan_in_fan_out"],
                            ["first_answer"], ["prime_sieve", "10", "10"], ["ticker", "1"]):
            with self.subTest(name=name), open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([FOLDER / name, *args], stdout=full, stderr=subprocess.PIPE,
                                      text=True, timeout=PATIENCE, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stderr, f"{name}: cannot write to standard output\n")

    def test_timeouts(self):
        self.assertEqual(output_of("timeouts"), (0, "\n".join([
            "deadline: 5 of 8 bytes, Connection timed out",
            "shared deadline: 3 of 3 reads failed",
            "scope: Operation canceled, Operation canceled, expired: yes",
            "server: Operation canceled",
            "client: bye",
            ""]), ""))

    def test_fan_in_fan_out(self):
        answers = [(1, 1), (4, 1), (2, 2), (5, 1), (3, 3), (8, 3), (6, 2), (9, 3), (7, 1), (12, 1),
                   (10, 2), (11, 3)]
        lines = [f"job {job}, worker {worker}: {job * job}" for job, worker in answers]
        self.assertEqual(output_of("fan_in_fan_out"),
                         (0, "\n".join([*lines, "the sum is 650: right", ""]), ""))

    def test_first_answer(self):
        cancelled = "{}: Operation canceled".format
        self.assertEqual(output_of("first_answer"), (0, "\n".join([
            cancelled("slow"), cancelled("slower"), "the first answer: fast",
            cancelled("slow"), cancelled("fast"), cancelled("slower"),
            "the first answer: Connection timed out", ""]), ""))

    def test_prime_sieve(self):
        for args, wires, limit, hand_overs, primes, last, rest in (
                ([], 10_000, 10_000, 777_860, 1229, 9973, 0),
                (["10000", "2"], 10_000, 2, 1, 1, 2, 0),
                (["10", "100"], 10, 100, 316, 10, 29, 15),
                (["1", "7"], 1, 7, 6, 1, 2, 3)):
            with self.subTest(args=args):
                self.assertEqual(output_of("prime_sieve", *args), (0, "\n".join([
                    f"{wires} wires, numbers up to {limit}, {hand_overs} hand-overs",
                    f"{primes} of them found a prime, the last is {last}",
                    f"{rest} numbers went through all the wires", ""]), ""))

        for args in (["0"], ["10", "1"], ["10", "x"], ["10", "10", "10"]):
            with self.subTest(args=args):
                self.assertEqual(output_of("prime_sieve", *args), (
                    1, "", "prime_sieve: takes the number of wires, from 1 to 1000000, and the "
                    "largest number, from 2 to 10000000\n"))

    def test_ticker(self):
        code, out, err = output_of("ticker")
        self.assertEqual((code, err), (0, ""))
        *ticks, tock_was_late, tick_was_late = out.splitlines()
        for sound, period in ("tick", 100), ("tock", 170):  # of two that are late either may win
            self.assertEqual([line for line in ticks if line.endswith(sound)],
                             [f"{t:4} ms: {sound}" for t in range(period, 501, period)])
        self.assertEqual(len(ticks), 7)
        self.assertRegex(tock_was_late, r"^the last tock was \d+\.\d ms late$")
        self.assertRegex(tick_was_late, r"^the last tick was \d+\.\d ms late$")

    def test_ticker_ends_at_control_c(self):
        with subprocess.Popen([FOLDER / "ticker", "1000000"], stdout=subprocess.PIPE,
                              text=True) as program:
            self.assertEqual(program.stdout.readline(), " 100 ms: tick\n")
            program.send_signal(signal.SIGINT)
            out = program.communicate(timeout=PATIENCE)[0]
            self.assertIn("interrupted\n", out)
            self.assertEqual(program.returncode, 0)

    def test_echo_minimal(self):
        # Where a network of one's own is not permitted, this test may run twice at a time in one.
        mutex = socket.socket(socket.AF_UNIX)
        self.addCleanup(mutex.close)
        self.assertTrue(eventually(lambda: has_bound(mutex, "\0wire-e2e-port-7000")))
        if not port_is_free():
            self.skipTest("port 7000 is in use here")
        server = subprocess.Popen([FOLDER / "echo_minimal"])
        try:
            self.assertTrue(eventually(lambda: not port_is_free()))
            with socket.create_connection(("127.0.0.1", 7000), timeout=PATIENCE) as client:
                self.assertTrue(ask(client, b"x" * 100_000))
            second = output_of("echo_minimal")
            self.assertEqual(second[0], 1)
            self.assertIn("Address already in use", second[2])
        finally:
            server.kill()
            server.wait()
            eventually(port_is_free)  # the kernel ends an io_uring, and its listener, later


if __name__ == "__main__":
    enter_own_network()  # there port 7000 is free
    run_tests()
