#!/usr/bin/env python3
"""shm_producer and shm_consumer: whoever is killed, no record is lost, torn or doubled."""

import os
import pathlib
import re
import signal
import struct
import sys
import unittest

from harness import Program, eventually, stat_of

Program.folder = pathlib.Path(sys.argv.pop(1)).resolve()
LINE = re.compile(r"(\d+) (sent|died after) (\d+) records(?:, (\d+) to (\d+))?; "
                  r"(\d+) missing, (\d+) torn\n")


class Consumer(Program):
    def __init__(self, test, ring):
        super().__init__(test, "shm_consumer", ring)
        self.line(f"receiving from {ring}\n".__eq__)
        self.last = {}  # of each producer, the number of its last record
        self.first = {}
        self.test = test

    def account(self, text):
        """Looks at a line. Nothing is ever missing or torn."""
        said = LINE.fullmatch(text)
        self.test.assertTrue(said, text)
        self.test.assertEqual(said[6] + said[7], "00", text)
        pid = int(said[1])
        if said[4]:
            self.first[pid], self.last[pid] = int(said[4]), int(said[5])
            self.test.assertEqual(int(said[3]), self.last[pid] - self.first[pid] + 1, text)
        return pid, said[2]

    def hear(self, what):
        """Waits for a line that says `what` of some producer."""
        return self.line(lambda text: self.account(text) == what)

    def hear_more(self, producer, than=-1):
        return self.line(lambda text: self.account(text) == (producer.pid, "sent")
                         and self.last[producer.pid] > than)

    def finish(self):
        self.send(signal.SIGINT)
        code, out, err = self.end()
        for text in out.splitlines(keepends=True):
            self.account(text)
        self.test.assertEqual((code, err), (0, ""))


class Rings(unittest.TestCase):
    def setUp(self):
        self.ring = f"/wire-e2e-{os.getpid()}-{self.id().rsplit('.', maxsplit=1)[-1]}"
        self.file = pathlib.Path("/dev/shm" + self.ring)
        self.addCleanup(self.file.unlink, missing_ok=True)

    def consumer(self):
        return Consumer(self, self.ring)

    def producer(self, *args):
        p = Program(self, "shm_producer", self.ring, *args)
        p.line(f"process {p.pid} sends to {self.ring}\n".__eq__)
        return p

    def run_one(self, name, *args):
        return Program(self, name, *args).end()

    def check_all_came(self, consumer, producer):
        """The producer ends, and the consumer got all that it says it has sent."""
        code, out, err = producer.end()
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(consumer.last[producer.pid] + 1, int(out.split()[0]))


class Deaths(Rings):
    def test_a_producer_that_is_killed_while_it_sends_loses_nothing_and_holds_up_nobody(self):
        consumer = self.consumer()
        steady = self.producer(200)
        for _ in range(3):
            doomed = self.producer()
            consumer.hear_more(doomed, than=0)
            doomed.kill()
            consumer.hear((doomed.pid, "died after"))
            self.assertGreater(consumer.last[doomed.pid], 0)
        consumer.hear_more(steady, than=consumer.last[steady.pid])
        consumer.finish()
        self.check_all_came(consumer, steady)

    def test_one_that_is_stopped_keeps_its_lane_and_goes_on_later(self):
        consumer = self.consumer()
        steady, stopped = self.producer(200), self.producer()
        consumer.hear_more(stopped)
        stopped.send(signal.SIGSTOP)
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
        for _ in range(2):
            consumer.hear_more(steady, than=consumer.last.get(steady.pid, -1))
        before = consumer.last[stopped.pid]
        stopped.send(signal.SIGCONT)
        consumer.hear_more(stopped, than=before)
        consumer.finish()
        self.assertEqual(consumer.first[stopped.pid], 0)
        self.check_all_came(consumer, stopped)
        self.check_all_came(consumer, steady)

    def test_the_next_consumer_goes_on_after_the_last_record_of_one_that_is_killed(self):
        one = self.consumer()
        fast, slow = self.producer(), self.producer(100)
        one.hear_more(fast)
        one.hear_more(slow)
        one.kill()
        two = self.consumer()
        two.hear_more(fast)
        two.hear_more(slow)
        self.assertGreater(two.first[fast.pid], one.last[fast.pid])
        self.assertGreater(two.first[slow.pid], one.last[slow.pid])
        two.finish()
        self.check_all_came(two, fast)
        self.check_all_came(two, slow)

    def test_between_two_consumers_no_record_is_lost_or_doubled(self):
        one = self.consumer()
        p = self.producer(1000)
        one.hear_more(p)
        p.send(signal.SIGSTOP)
        os.waitid(os.P_PID, p.pid, os.WSTOPPED | os.WNOWAIT)
        # Another's lines show that a second has passed since.
        clock = self.producer(50)
        for _ in range(3):
            one.hear_more(clock, than=one.last.get(clock.pid, -1))
        one.kill()
        p.send(signal.SIGCONT)
        two = self.consumer()
        two.hear_more(p)
        self.assertEqual(two.first[p.pid], one.last[p.pid] + 1)
        two.finish()
        self.check_all_came(two, p)

    def test_what_a_dead_producer_has_left_is_received_by_a_later_consumer(self):
        self.consumer().kill()
        p = self.producer()
        # Its lane is full once it sleeps; for memory it may wait in state D.
        self.assertTrue(eventually(lambda: stat_of(p.pid)[0] == "S"))
        p.kill()
        consumer = self.consumer()
        consumer.hear((p.pid, "died after"))
        self.assertEqual(consumer.first[p.pid], 0)
        self.assertGreater(consumer.last[p.pid], 50)


class Ends(Rings):
    def test_a_count_of_records_arrives_exactly(self):
        consumer = self.consumer()
        all_of_them = [self.producer(10_000_000, n) for n in (1, 17, 5000)]
        for p in all_of_them:
            p.process.wait()
        consumer.finish()
        for p, count in zip(all_of_them, (1, 17, 5000)):
            self.assertEqual(p.end(), (0, f"{count} records\n", ""))
            self.assertEqual(consumer.last[p.pid] + 1, count)

    def test_control_c_at_the_consumer_ends_the_producers_and_removes_the_ring(self):
        consumer = self.consumer()
        p = self.producer()
        consumer.hear_more(p)
        self.assertTrue(self.file.exists())
        consumer.finish()
        self.assertFalse(self.file.exists())
        code, out, err = p.end()
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(out.endswith(" records, then: the consumer has closed the ring\n"), out)

    def test_control_c_at_a_producer_that_waits_ends_it(self):
        self.consumer().kill()
        p = self.producer()
        p.send(signal.SIGINT)
        self.assertEqual(p.end()[0], -signal.SIGINT)


class Refusals(Rings):
    def check_refused(self, why, *, consumer_says=None):
        self.assertEqual(self.run_one("shm_producer", self.ring),
                         (1, "", f"shm_producer: {self.ring}: {why}\n"))
        said = consumer_says or re.sub(r"(.*) \((.*)\)", r"\1: \2", why)
        self.assertEqual(self.run_one("shm_consumer", self.ring),
                         (1, "", f"shm_consumer: {self.ring}: {said}\n"))

    def test_a_name_that_is_not_there(self):
        self.assertEqual(self.run_one("shm_producer", self.ring), (
            1, "", f"shm_producer: {self.ring}: shm_open: is there a ring of that name, and is it "
                   "yours? (No such file or directory)\n"))

    def test_names_that_cannot_be(self):
        for name in ("/a/b", "/", "", "/" + "x" * 300):
            for program in ("shm_producer", "shm_consumer"):
                code, _, err = self.run_one(program, name)
                self.assertEqual(code, 1)
                self.assertIn(f"{program}: {name}: shm_open: ", err)
                self.assertIn("Invalid argument", err)

    def test_a_file_that_is_no_ring(self):
        for content, why in (
                (b"", "whoever makes the ring is not done, or died: try again, or remove it "
                      "(Resource temporarily unavailable)"),
                (bytes(8192), "whoever makes the ring is not done, or died: try again, or remove "
                              "it (Resource temporarily unavailable)"),
                (b"x" * 8192, "there is something else than a ring (Protocol error)"),
                (b"wirering" + struct.pack("<I", 9) + bytes(8192),
                 "the ring is of another version of the library (Protocol not supported)")):
            with self.subTest(content=content[:12], size=len(content)):
                self.file.write_bytes(content)
                self.file.chmod(0o600)
                self.check_refused(why)
                self.assertEqual(self.file.read_bytes(), content)

    def test_a_ring_that_others_may_open(self):
        self.consumer().kill()
        self.file.chmod(0o644)
        self.check_refused("others may open it, too: its mode must be 0600 (Operation not "
                           "permitted)")

    def test_a_ring_that_was_cut_off(self):
        self.consumer().kill()
        os.truncate(self.file, 8192)
        self.check_refused("the memory is shorter than the ring's header says: it was truncated "
                           "(Bad message)")

    def test_a_second_consumer(self):
        first = self.consumer()
        self.assertEqual(self.run_one("shm_consumer", self.ring), (
            1, "", f"shm_consumer: {self.ring}: the ring has a consumer, which lives: "
                   "Device or resource busy\n"))
        first.finish()

    def test_wrong_use(self):
        for args in ([], ["/a", "0"], ["/a", "x"], ["/a", "1", "-1"], ["/a", "1", "1", "1"]):
            self.assertEqual(self.run_one("shm_producer", *args), (
                1, "", "shm_producer: takes a ring's name, records per second, a count\n"))
        for args in ([], ["/a", "/b"]):
            self.assertEqual(self.run_one("shm_consumer", *args), (
                1, "", "shm_consumer: takes the name of a ring, for instance /numbers\n"))


if __name__ == "__main__":
    unittest.main()
