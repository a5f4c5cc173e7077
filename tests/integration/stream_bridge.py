#!/usr/bin/env python3
"""stream_send and stream_receive: whoever is killed, no message is lost, and repeats are counted.

Redis writes each command to disk before it answers.
"""

import collections
import os
import re
import signal
import subprocess
import unittest

from harness import PATIENCE, Program, closed_port, eventually
from redis_server import RedisServer, main_folder

FOLDER = "stream_bridge/"
SUMMARY = re.compile(r"(\d+) messages, (\d+) taken over, (\d+) repeats thrown away\n")
Sum = collections.namedtuple("Sum", "messages taken_over repeats")


def number_of(line):
    """Of "SENDER NUMBER message NUMBER"."""
    _, number, text = line.rstrip("\n").split(" ", 2)
    assert text == f"message {number}", line
    return int(number)


class Bridge(unittest.TestCase):
    def setUp(self):
        self.redis = RedisServer(self, "--appendonly", "yes", "--appendfsync", "always")

    def receiver(self, consumer, *args):
        return Program(self, FOLDER + "stream_receive", "numbers", "--server", self.redis.socket,
                       "--consumer", consumer, *args)

    def sender(self, *args):
        return Program(self, FOLDER + "stream_send", "numbers", "--server", self.redis.socket,
                       "--name", "one", *args)

    def wait_until_empty(self):
        self.assertTrue(eventually(lambda: self.redis.ask("XLEN", "numbers") == ":0"),
                        self.redis.ask("XLEN", "numbers"))

    def finish(self, receiver):
        """Ends it. Returns the numbers that it has printed, in order, and its sums."""
        receiver.send(signal.SIGINT)
        code, out, err = receiver.end()
        self.assertEqual(code, 0, err)
        *lines, last = receiver.lines + out.splitlines(keepends=True)
        numbers, sums = [number_of(line) for line in lines], SUMMARY.fullmatch(last)
        self.assertTrue(sums, last)
        sums = Sum(*map(int, sums.groups()))
        self.assertEqual(sums.messages, len(numbers))
        return numbers, sums

    def hear(self, receiver, number):
        receiver.line(lambda line: number_of(line) >= number)

    def check_end(self, sender):
        code, _, err = sender.end()
        self.assertEqual(code, 0, err)


class Deaths(Bridge):
    def test_nothing_is_lost_when_receiver_sender_and_redis_are_killed_one_after_the_other(self):
        count, steady = 250, ("--pause", 0.01, "--timeout", PATIENCE)
        first, sender = self.receiver("a"), self.sender("--count", count, *steady)
        self.hear(first, 60)
        first.kill()
        heard = [number_of(line) for line in
                 first.lines + [x for x in first.process.stdout if x.endswith("\n")]]

        second = self.receiver("b", "--idle", 0.3)
        self.hear(second, max(130, max(heard) + 3))
        sender.line(lambda line: int(line.split()[1]) >= max(140, max(heard) + 3))
        sender.kill()
        sent = int([*sender.lines, *sender.process.stdout][-1].split()[1])
        # It is not sure of the next one, and sends its last three again to be heard twice.
        again = self.sender("--first", sent - 2, "--count", count - sent + 3, *steady)

        self.hear(second, 200)
        self.redis.restart()
        self.check_end(again)
        self.wait_until_empty()
        numbers, sums = self.finish(second)

        self.assertEqual(set(heard) | set(numbers), set(range(1, count + 1)))
        self.assertEqual(len(heard), len(set(heard)))
        self.assertEqual(len(numbers), len(set(numbers)))
        # What was printed and not acknowledged comes again: one message at most.
        self.assertLessEqual(len(set(heard) & set(numbers)), 1)
        self.assertGreaterEqual(sums.repeats, 3)

    def test_what_a_dead_receiver_had_in_its_hands_goes_to_another_one(self):
        busy = self.receiver("busy", "--work", 3600, "--ahead", 4)
        self.hear_after(busy, self.sender("--count", 10))
        self.assertEqual(self.redis.ask("XLEN", "numbers"), ":10")
        busy.kill()
        heir = self.receiver("heir", "--idle", 0.2)
        self.wait_until_empty()
        numbers, sums = self.finish(heir)
        self.assertEqual(sorted(numbers), list(range(1, 11)))
        self.assertGreaterEqual(sums.taken_over, 1)
        self.assertEqual(sums.repeats, 0)

    def hear_after(self, receiver, sender):
        self.check_end(sender)
        self.hear(receiver, 1)

    def test_it_goes_on_where_redis_was_killed_and_nobody_else(self):
        receiver = self.receiver("a", "--idle", 0.5)
        sender = self.sender("--count", 300, "--pause", 0.001, "--timeout", PATIENCE)
        for least in 50, 150:
            self.hear(receiver, least)
            self.redis.kill()
            self.redis.start()
        self.check_end(sender)
        self.wait_until_empty()
        numbers, _ = self.finish(receiver)
        self.assertEqual(sorted(numbers), list(range(1, 301)))


    def test_a_stream_that_somebody_deletes_is_made_again(self):
        receiver = self.receiver("a")
        self.check_end(self.sender("--count", 3))
        self.wait_until_empty()
        self.assertEqual(self.redis.ask("DEL", "numbers"), ":1")
        self.check_end(self.sender("--first", 4, "--count", 3))
        self.wait_until_empty()
        self.assertEqual(self.finish(receiver), (list(range(1, 7)), Sum(6, 0, 0)))

    def test_a_receiver_that_is_told_to_end_acknowledges_what_it_has_printed(self):
        self.check_end(self.sender("--count", 3))
        receiver = self.receiver("a", "--work", 2, "--ahead", 4)
        self.hear(receiver, 1)
        self.assertEqual(self.finish(receiver)[0], [1])
        self.assertEqual(self.redis.ask("XLEN", "numbers"), ":2")

    def test_what_could_not_be_printed_is_not_acknowledged(self):
        self.check_end(self.sender("--count", 3))
        with open("/dev/full", "w", encoding="ascii") as full:
            receiver = Program(self, FOLDER + "stream_receive", "numbers", "--server",
                               self.redis.socket, "--consumer", "a", "--count", 3, stdout=full)
            self.assertEqual(receiver.end(), (
                1, None, "stream_receive: cannot write to standard output\n"))
        self.assertEqual(self.redis.ask("XLEN", "numbers"), ":3")


class Repeats(Bridge):
    def test_what_is_sent_twice_is_received_once_and_counted(self):
        receiver = self.receiver("a")
        for _ in range(2):
            self.check_end(self.sender("--count", 10))
        self.wait_until_empty()
        self.assertEqual(self.finish(receiver), (list(range(1, 11)), Sum(10, 0, 10)))

    def test_redis_that_is_stopped_for_long_makes_repeats_and_loses_nothing(self):
        receiver = self.receiver("a", "--idle", 0.3, "--silence", 0.5)
        sender = self.sender("--count", 60, "--silence", 0.25, "--pause", 0.05, "--timeout",
                             PATIENCE)
        self.hear(receiver, 10)
        self.redis.pause()
        # What it has sent by then waits in a socket, and is executed as is what it sends again.
        self.assertIn("no answer", sender.process.stderr.readline())
        self.redis.go_on()
        self.check_end(sender)
        self.wait_until_empty()
        numbers, sums = self.finish(receiver)
        self.assertEqual(sorted(numbers), list(range(1, 61)))
        self.assertGreaterEqual(sums.repeats, 1)

    def test_a_sender_without_a_name_repeats_nobody(self):
        receiver = self.receiver("a")
        for _ in range(2):
            self.check_end(Program(self, FOLDER + "stream_send", "numbers", "--server",
                                   self.redis.socket, "--count", 5))
        self.wait_until_empty()
        self.assertEqual(self.finish(receiver)[1], Sum(10, 0, 0))


class Room(Bridge):
    def test_a_sender_waits_until_enough_is_acknowledged_and_nothing_is_dropped(self):
        sender = self.sender("--count", 50, "--unacknowledged", 8, "--timeout", PATIENCE)
        sender.line("sent 8\n".__eq__)
        code, _, err = self.sender("--first", 100, "--count", 1, "--unacknowledged", 8,
                                   "--timeout", 1).end()
        self.assertEqual((code, err), (1, "stream_send: cannot send 100: stream numbers is full: "
                                       "8 messages are not acknowledged\n"))
        receiver = self.receiver("a")
        self.check_end(sender)
        self.wait_until_empty()
        self.assertEqual(self.finish(receiver)[0], list(range(1, 51)))

    def test_receivers_share_the_messages(self):
        receivers = [self.receiver(name) for name in "abc"]
        self.check_end(self.sender("--count", 120))
        self.wait_until_empty()
        numbers = [n for r in receivers for n in self.finish(r)[0]]
        self.assertEqual(sorted(numbers), list(range(1, 121)))


class Sentences(unittest.TestCase):
    def run_one(self, name, *args, password=None):
        environment = {**os.environ, **({"REDIS_PASSWORD": password} if password else {})}
        done = subprocess.run([Program.folder / (FOLDER + name), "s", *map(str, args)], text=True,
                              capture_output=True, timeout=PATIENCE, env=environment, check=False)
        self.assertEqual(done.returncode, 1)
        return done.stderr

    def both(self, server, *args, **more):
        yield self.run_one("stream_send", "--server", server, *args, **more)
        yield self.run_one("stream_receive", "--consumer", "a", "--server", server, *args, **more)

    def test_no_server(self):
        for host in ("127.0.0.1", "localhost"):
            with self.subTest(host=host), closed_port() as port:
                why = f"redis {host}:{port}: Connection refused (is redis-server running there?)"
                for said in self.both(f"{host}:{port}", "--timeout", 1):
                    self.assertIn(f": {why}; trying again\n", said)
                    self.assertRegex(said, rf"cannot (send 1|receive from s): {re.escape(why)}\n$")

    def test_no_address(self):
        for said in self.both("redis"):
            self.assertIn("redis redis: is neither HOST:PORT nor a path", said)

    def test_a_key_of_another_type(self):
        redis = RedisServer(self)
        redis.ask("SET", "s", "text")
        for said in self.both(redis.address):
            self.assertRegex(said, r"cannot (send 1|receive from s): redis \S+: WRONGTYPE .* "
                             r"\(that key is used for something else\)\n$")

    def test_no_password_and_a_wrong_one(self):
        redis = RedisServer(self, "--requirepass", "secret")
        for said in self.both(redis.socket):
            self.assertIn("NOAUTH Authentication required. (is that the right password?)", said)
        for said in self.both(redis.socket, password="guess"):
            self.assertIn("WRONGPASS", said)

    def test_no_memory(self):
        redis = RedisServer(self, "--maxmemory", "1000")
        said = self.run_one("stream_send", "--server", redis.socket, "--timeout", 2)
        self.assertIn("trying again\n", said)
        self.assertRegex(said, r"cannot send 1: redis \S+: OOM .* \(more maxmemory is needed, or "
                         r"faster receivers\)\n$")


if __name__ == "__main__":
    main_folder()
    unittest.main(verbosity=1)
