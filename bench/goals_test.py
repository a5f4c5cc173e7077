#!/usr/bin/env python3
"""What the table of goals says about records of which one knows the answer."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import goals  # noqa: E402

SIX = ["1p1c", "1p2c", "2p1c", "2p2c", "4p4c", "5p5c"]


def records(case, limit=None, unit="ns", **medians):
    return [{"case": case, "system": system, "unit": unit, "median": median, "limit": limit}
            for system, median in medians.items()]


def rows(*lists):
    """{(case, system, compared with): (is, goal, verdict)} as the table has them."""
    lines = goals.table([r for records in lists for r in records]).splitlines()[2:]
    cells = [[c.strip() for c in line.strip().split("  ") if c.strip()] for line in lines]
    return {tuple(c[:3]): (c[3], c[4], "".join(c[5:])) for c in cells}


class Goals(unittest.TestCase):
    def test_records_without_a_goal_make_no_table(self):
        self.assertEqual(goals.table(records("futex-wake", futex=1)), "")

    def test_the_best_of_the_others_counts(self):
        found = rows(records("1p1c-8b-1000", wire=10, condvar=50, tbb=41, xenium_vyukov=9))
        self.assertEqual(found["1p1c-8b-1000", "wire", "xenium_vyukov"], ("1.11", "1.00", "MISSED"))
        self.assertEqual(found["1p1c-8b-1000", "wire", "tbb"], ("0.24", "0.25", ""))

    def test_peers_with_tokens_and_other_metrics_are_no_bases(self):
        found = rows(records("1p1c-8b-1000", wire=10, concurrentqueue_tokens=1),
                     records("1p1c-8b-1000-rate", wire=10, condvar=1),
                     records("1p1c-8b-1000-bulk16-cpu", wire=10, condvar=1))
        self.assertEqual(found, {})

    def test_redis_has_goals_for_time_and_processor_time_and_none_for_the_rate(self):
        found = rows(*(records("get-p16" + metric, wire=112, libuv=100)
                       for metric in ("", "-rate", "-cpu")))
        self.assertEqual(found, {("get-p16", "wire", "libuv"): ("1.12", "1.11", "MISSED"),
                                 ("get-p16-cpu", "wire", "libuv"): ("1.12", "1.11", "MISSED")})

    def test_room_for_64_and_for_1_have_goals_of_their_own(self):
        found = rows(records("2p2c-8b-64", wire=10, go=9),
                     records("2p2c-8b-1", wire=10, condvar=10))
        self.assertEqual(found["2p2c-8b-64", "wire", "go"], ("1.11", "1.00", "MISSED"))
        self.assertEqual(found["2p2c-8b-1", "wire", "condvar"], ("1.00", "1.00", ""))

    def test_swaps_are_compared_with_the_single_calls(self):
        found = rows(records("4p4c-8b-1000", wire=10, wire_swap=11),
                     records("buffers-64k", wire=10, wire_swap=9))
        self.assertEqual(found, {("4p4c-8b-1000", "wire_swap", "wire"): ("1.10", "1.00", "MISSED"),
                                 ("buffers-64k", "wire_swap", "wire"): ("0.90", "1.00", "")})

    def test_more_room_has_the_goal_against_peers_that_sleep(self):
        found = rows(records("5p5c-8b-65536", wire=10, tbb=39, xenium_vyukov=1))
        self.assertEqual(found, {("5p5c-8b-65536", "wire", "tbb"): ("0.26", "0.25", "MISSED")})

    def test_a_case_is_compared_with_another_one_of_the_same_system(self):
        found = rows(records("2p2c-8b-1000", wire=10), records("4p4c-8b-1000", wire=15),
                     records("2p2c-8b-1000-bulk16", wire=9), records("1p1c-8b-1000", wire=20),
                     records("1p1c-8b-1000-bulk16", wire=5))
        self.assertEqual(found["4p4c-8b-1000", "wire", "2p2c-8b-1000"], ("1.50", "1.43", "MISSED"))
        self.assertEqual(found["2p2c-8b-1000-bulk16", "wire", "2p2c-8b-1000"],
                         ("0.90", "1.00", ""))
        self.assertEqual(found["1p1c-8b-1000-bulk16", "wire", "1p1c-8b-1000"], ("0.25", "1.00", ""))

    def test_no_other_case_no_row(self):
        self.assertEqual(rows(records("4p4c-8b-1000", wire=15)), {})

    def test_a_mean_takes_the_best_peer_of_each_case(self):
        mean = ("?p?c-8b-1000, mean of 6", "wire", "best of each")
        cells = [records(f"{n}-8b-1000", wire=4, condvar=90, **{peer: 8}) for n, peer in
                 zip(SIX, ["tbb", "go", "xenium_kfifo", "boost_lockfree", "tbb", "go"])]
        self.assertEqual(rows(*cells)[mean], ("0.50", "0.67", ""))
        cells[0] = records("1p1c-8b-1000", wire=64, go=8)  # 16 times as much: 1.59 times the mean
        self.assertEqual(rows(*cells)[mean], ("0.79", "0.67", "MISSED"))

    def test_a_mean_for_each_peer_of_echo(self):
        found = rows(records("echo-1c-64b", wire=8, go=16, libuv=4),
                     records("echo-64c-64b", wire=8, go=4, libuv=4, asio=9))
        self.assertEqual({k[2]: v[0] for k, v in found.items() if "mean" in k[0]},
                         {"go": "1.00", "libuv": "2.00", "asio": "0.89"})

    def test_the_limit_of_the_record_counts(self):
        found = rows(records("pool-idle-wake", limit="futex", wire=13, futex=10, wire_bridge=99))
        self.assertEqual(found, {("pool-idle-wake", "wire", "futex"): ("1.30", "1.20", "MISSED")})

    def test_a_sleeping_consumer_must_not_run_at_all(self):
        found = rows(records("pool-idle-cpu", unit="CPU us/s", wire=0, wire_pool_wires=0.1, tbb=7))
        self.assertEqual(found, {("pool-idle-cpu", "wire", "CPU us/s"): ("0.00", "0.00", ""),
                                 ("pool-idle-cpu", "wire_pool_wires", "CPU us/s"):
                                 ("0.10", "0.00", "MISSED")})

    def test_the_bridge_is_compared_with_peers_that_keep_the_order(self):
        found = rows(records("bridge-1p1c-busy", wire_bridge=12, concurrentqueue=1, condvar=40,
                             xenium_vyukov=10))
        self.assertEqual(found, {("bridge-1p1c-busy", "wire_bridge", "xenium_vyukov"):
                                 ("1.20", "1.25", "")})

    def test_rings_are_compared_with_their_limits(self):
        found = rows(records("ring-64b-1p", limit="spsc_bytes", wire=15, spsc_bytes=10, pipe=1),
                     records("ring-64b-1p-batch16", limit="spsc_bytes", wire=6, spsc_bytes=10),
                     records("ring-1m-1p", limit="copy", wire_copied=12, copy=10, wire=99))
        self.assertEqual(found, {
            ("ring-64b-1p", "wire", "spsc_bytes"): ("1.50", "1.43", "MISSED"),
            ("ring-64b-1p-batch16", "wire", "spsc_bytes"): ("0.60", "0.67", ""),
            ("ring-1m-1p", "wire_copied", "copy"): ("1.20", "1.25", "")})

    def test_more_producers_are_compared_with_one(self):
        found = rows(records("ring-64b-1p", wire=10), records("ring-64b-8p", wire=13))
        self.assertEqual(found["ring-64b-8p", "wire", "ring-64b-1p"], ("1.30", "1.25", "MISSED"))

    def test_sleeping_wires_have_a_goal_of_their_own(self):
        found = rows(records("ring-rtt-sleep-1core", limit="bare_trips", wire=14.1, wire_wires=14.1,
                             wire_wires_epoll=90, bare_trips=10))
        self.assertEqual(found, {
            ("ring-rtt-sleep-1core", "wire", "bare_trips"): ("1.41", "1.40", "MISSED"),
            ("ring-rtt-sleep-1core", "wire_wires", "bare_trips"): ("1.41", "1.50", "")})

    def test_an_arena_is_compared_with_the_limit_and_with_iceoryx(self):
        found = rows(records("arena-64b", limit="boost_allocator", wire_arena=10,
                             boost_allocator=39, iceoryx=11))
        self.assertEqual(found, {
            ("arena-64b", "wire_arena", "boost_allocator"): ("0.26", "0.25", "MISSED"),
            ("arena-64b", "wire_arena", "iceoryx"): ("0.91", "1.00", "")})


if __name__ == "__main__":
    unittest.main()
