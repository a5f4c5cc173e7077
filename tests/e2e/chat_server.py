#!/usr/bin/env python3
"""chat_server: members of a room hear each other in one order, whoever does not read, or dies."""

import socket
import tempfile
import time
import unittest

from harness import (PATIENCE, Server, eventually, main, raise_limit_of_files, receive_all, refused,
                     reset, unless_held_up)


class ChatServer(Server):
    program = "chat_server"

    def __init__(self, *args, unix=None, **more):
        if unix:
            args, more = (*args, "--unix", unix), {**more, "port": None}
        super().__init__(*args, **more)
        self.unix, self.members = unix, []

    def __exit__(self, *_):
        for member in self.members:
            member.close()
        super().__exit__()

    def connect(self, host="127.0.0.1", receive_buffer=None):
        client = socket.socket(socket.AF_UNIX if self.unix else socket.AF_INET)
        client.settimeout(PATIENCE)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(self.unix or (host, self.port))
        return client

    def talk(self, client):
        client.sendall(b"/who\n")
        with client.makefile("rb") as lines:
            next(line for line in lines if line.startswith(b"* in "))

    def member(self, name=None, room=None):
        """One that has come in, and has read what the server has said to it."""
        member = Member(self.connect(), name, room)
        self.members.append(member)
        return member

    def rude(self):
        """A connection that is never read from, and has little room for what it does not read."""
        client = self.connect(receive_buffer=4096)
        client.sendall(b"/nick rude\n")
        return client


class Member:
    """A connection to the server, in lines. What it does not read yet the kernel keeps."""

    def __init__(self, connection, name=None, room=None):
        self.connection = connection
        self.file = connection.makefile("r", encoding="utf-8", newline="\n")
        self.name = self.hear().split()[2].rstrip(";")
        self.room = self.hear().split()[4].rstrip(":")
        if name:
            self.say(f"/nick {name}")
            self.hear_until(f"* you are {name}")
            self.name = name
        if room:
            self.say(f"/join {room}")
            self.hear_until_start(f"* you are in {room}: ")
            self.room = room

    def send(self, text):
        self.connection.sendall(text.encode())

    def say(self, *lines):
        self.send("".join(f"{line}\n" for line in lines))

    def hear(self):
        """The next line; None at the end."""
        return self.file.readline().removesuffix("\n") or None

    def hear_until_start(self, start):
        """What comes up to a line that starts so, and that line; or to the end, a None."""
        lines = [""]
        while lines[-1] is not None and not lines[-1].startswith(start):
            lines.append(self.hear())
        return lines[1:]

    def hear_until(self, last):
        lines = self.hear_until_start(last)
        if lines[-1] != last:
            raise AssertionError(f"heard {lines[-1]!r}, not {last!r}")
        return lines

    def hear_rest(self):
        return self.file.read().splitlines()

    def who(self):
        """Drops what has come so far. Returns who is in the room."""
        self.say("/who")
        start = f"* in {self.room}: "
        return self.hear_until_start(start)[-1].removeprefix(start).split(", ")

    def ask(self, line):
        self.say(line)
        return self.hear()

    def close(self, with_reset=False):
        self.file.close()
        (reset if with_reset else socket.socket.close)(self.connection)


def without(lines, *names):
    """Lines that none of them has said."""
    return [line for line in lines if line.split(":")[0] not in names]


class Talk(unittest.TestCase):
    def test_what_one_says_the_others_hear(self):
        with ChatServer() as server:
            alice, bob = server.member(), server.member()
            self.assertEqual((alice.name, bob.name), ("guest1", "guest2"))
            self.assertEqual(alice.hear(), "* guest2 has joined")
            self.assertEqual(alice.ask("/nick alice"), "* you are alice")
            self.assertEqual(bob.hear(), "* guest1 is now alice")
            alice.say("hello", "", "two\r", "a\x1b[1mb\x00c\x7fd é")
            self.assertEqual([bob.hear() for _ in range(3)],
                             ["alice: hello", "alice: two", "alice: a [1mb c d é"])
            alice.say("/join den")
            self.assertEqual(alice.hear(), "* you are in den: alice")
            self.assertEqual(bob.hear(), "* alice has left")
            alice.say("nobody hears this")
            self.assertEqual(bob.ask("/who"), "* in lobby: guest2")
            self.assertEqual(bob.ask("/join den"), "* you are in den: alice, guest2")
            self.assertEqual(alice.hear(), "* guest2 has joined")
            self.assertEqual(bob.ask("/who"), "* in den: alice, guest2")
            self.assertEqual(bob.ask("/quit now"), "* goodbye")
            self.assertIsNone(bob.hear())
            self.assertEqual(alice.hear(), "* guest2 has left")
            alice.connection.shutdown(socket.SHUT_WR)
            self.assertEqual(alice.hear_rest(), ["* goodbye"])
            self.assertEqual(server.stop()[::2], (0, ""))

    def test_commands_explain_themselves(self):
        with ChatServer() as server:
            member = server.member()
            member.say("/help", "/none x")
            lines = member.hear_until("* /none is nothing; try /help")
            self.assertEqual([line.split()[1].strip(":") for line in lines],
                             ["/nick", "/join", "/who", "/quit", "/help", "/none"])

    def test_a_name_belongs_to_one(self):
        with ChatServer() as server:
            alice, other = server.member("alice"), server.member()
            self.assertEqual(other.ask("/nick alice"), "* the name alice is taken")
            self.assertEqual(other.ask("/nick guest3"), "* you are guest3")
            third = server.member()
            self.assertEqual(third.name, "guest4")  # not guest3
            self.assertEqual(other.hear(), "* guest4 has joined")
            self.assertEqual(other.ask("/nick guest3"), "* the name guest3 is taken")
            self.assertEqual(other.ask("/nick guest2"), "* you are guest2")  # nobody is any more
            alice.close()
            self.assertEqual(other.hear(), "* alice has left")
            self.assertEqual(other.ask("/nick alice"), "* you are alice")
            for name in ("", "a b", "x" * 21, "é", "a:", "*"):
                for command in ("/nick", "/join"):
                    with self.subTest(command=command, name=name):
                        self.assertEqual(other.ask(f"{command} {name}"), "* names have 1 to "
                                         "20 letters, digits, hyphens and underscores")
            self.assertEqual(other.ask("/nick " + "x" * 20), "* you are " + "x" * 20)

    def test_one_of_100_gets_the_name_that_all_want(self):
        with ChatServer() as server:
            members = [server.member(room=f"r{i}") for i in range(100)]
            for member in members:
                member.say("/nick king")
            answers = [member.hear() for member in members]
            self.assertEqual(answers.count("* you are king"), 1)
            self.assertEqual(answers.count("* the name king is taken"), 99)

    def test_lines_have_a_bound(self):
        with ChatServer() as server:
            alice, bob = server.member("alice"), server.member("bob")
            alice.who()
            for byte in ["x"] * 1000 + ["\n"]:
                bob.send(byte)
            self.assertEqual(alice.hear(), "bob: " + "x" * 1000)
            for text in ("x" * 1001 + "\n", "y" * 100_000):
                with self.subTest(size=len(text)):
                    talker = server.member(room="other")
                    talker.send(text)
                    self.assertEqual(talker.hear_rest(), ["* that line is too long: goodbye"])

    def test_200_members_of_10_rooms_hear_all_others_of_theirs_in_one_order(self):
        times = 50
        raise_limit_of_files()
        with ChatServer() as server:
            members = [server.member(f"m{i}", f"room{i % 10}") for i in range(200)]
            rooms = [members[i::10] for i in range(10)]
            for member in members:
                self.assertEqual(member.who(), [m.name for m in members if m.room == member.room])
            for i in range(times):
                for member in members:
                    member.say(f"{i} from {member.room}")
            for room in rooms:
                heard = {m.name: [m.hear() for _ in range(times * 19)] for m in room}
                first = room[0].name
                for member in room:
                    lines = heard[member.name]
                    for other in room:
                        said = [f"{other.name}: {i} from {other.room}" for i in range(times)]
                        self.assertEqual([line for line in lines if line in said],
                                         said if other is not member else [])
                    self.assertEqual(without(lines, first), without(heard[first], member.name))
            for member in members:
                member.say("/quit")
            for member in members:
                rest = member.hear_rest()
                self.assertEqual(rest[-1], "* goodbye")
                self.assertTrue(all(line.endswith("has left") for line in rest[:-1]), rest)
            code, out, err = server.stop()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut connections: 0", out)

    def test_who_says_much_at_once_costs_nobody_the_connection(self):
        with ChatServer() as server:
            members = [server.member() for _ in range(20)]
            flood = [f"line {i}" for i in range(2000)]
            members[-1].who()
            members[-1].say(*flood, "/quit")
            for member in members[:-1]:
                lines = member.hear_until("* guest20 has left")
                self.assertEqual([x for x in lines if ":" in x], [f"guest20: {x}" for x in flood])
            self.assertEqual(server.stop()[::2], (0, ""))


class Slow(unittest.TestCase):
    def chat(self, alice, bob, until):
        """Alice talks until Bob hears `until`. Demands that he hears all of it in order."""
        text, said, heard = "x" * 900, 0, []
        while until not in heard:
            alice.say(*(f"{i} {text}" for i in range(said, said + 10)))
            said += 10
            heard += bob.hear_until(f"alice: {said - 1} {text}")
            self.assertLess(said, 100_000)
        heard.remove(until)
        self.assertEqual(heard, [f"alice: {i} {text}" for i in range(said)])

    def test_who_never_reads_is_dropped_and_the_others_get_everything(self):
        with ChatServer("--backlog", 20) as server:
            alice, bob = server.member("alice", "den"), server.member("bob", "den")
            before = server.settled_descriptors()
            with server.rude() as rude:
                rude.sendall(b"/join den\n")
                bob.hear_until("* rude has joined")
                self.chat(alice, bob, "* rude was dropped: too slow")
                self.assertEqual(bob.who(), ["alice", "bob"])
                self.assertTrue(eventually(lambda: server.descriptors() == before))
                self.assertIn(b"\nalice: 0 xxx", receive_all(rude))  # there is an end
            code, _, err = server.stop()
            self.assertEqual(code, 0)
            self.assertRegex(err, r"^\S+ \S+ <WARNING> dropped rude, who reads too slowly\n$")

    def test_who_asks_more_than_it_reads_is_dropped(self):
        with ChatServer("--backlog", 20) as server, server.rude() as rude:
            with self.assertRaises(ConnectionError):
                while True:
                    rude.sendall(b"/help\n" * 1000)
            alice = server.member("alice")
            self.assertEqual(alice.who(), ["alice"])
            self.assertRegex(server.stop()[2], "<WARNING> dropped rude, who reads too slowly\n$")

    def test_who_is_silent_for_long_has_to_go(self):
        def attempt(beat):
            with ChatServer("--idle-timeout", 1) as server:
                talker, silent = server.member("talker"), server.member("silent")
                talker.who()
                heard = ""
                while heard != "* you have said nothing for long: goodbye":
                    self.assertIn(heard, ("", "talker: I am here"))
                    beat()
                    time.sleep(0.05)
                    talker.say("I am here")
                    heard = silent.hear()
                self.assertIsNone(silent.hear())
                self.assertEqual(talker.hear(), "* silent has left")

        unless_held_up(0.5, attempt)


class Ends(unittest.TestCase):
    def test_members_that_die_cost_the_others_nothing(self):
        with ChatServer() as server:
            before = server.settled_descriptors()
            members = [server.member(f"m{i}") for i in range(60)]
            dying, living = members[:40], members[40:]
            for i in range(20):
                for member in members[2 * i:]:
                    member.say(f"{i}")
                dying[2 * i].close(with_reset=True)
                dying[2 * i + 1].close()
            for member in living:
                missing = {f"{m.name}: {i}" for m in living if m is not member for i in range(20)}
                missing.update(f"* {m.name} has left" for m in dying)
                while missing:
                    line = member.hear()
                    self.assertIsNotNone(line)
                    missing.discard(line)
                self.assertEqual(member.who(), [m.name for m in living])
            self.assertEqual(living[0].ask("/nick m0"), "* you are m0")
            for member in living:
                member.close()
            self.assertTrue(eventually(lambda: server.descriptors() == before))
            self.assertEqual(server.stop()[::2], (0, ""))

    def test_sigterm_says_goodbye_to_all(self):
        with ChatServer() as server:
            members = [server.member(room=f"room{i % 5}") for i in range(50)]
            for member in members:
                member.who()
            server.signal()
            for member in members:
                self.assertEqual(member.hear_rest(), ["* the server stops: goodbye"])
            code, out, err = server.end()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("signal 15, open connections: 50\n", out)
            self.assertIn("cut connections: 0", out)

    def test_who_does_not_read_the_goodbye_is_cut_after_the_drain_time(self):
        with tempfile.TemporaryDirectory() as folder:
            path, text = f"{folder}/chat", "x" * 900
            with ChatServer("--drain", 2, "--backlog", 100_000, unix=path) as server, \
                    server.rude():
                alice, bob = server.member("alice"), server.member("bob")
                for i in range(2000):  # more than what the kernel keeps for the rude one
                    alice.say(f"{i} {text}")
                    bob.hear_until(f"alice: {i} {text}")
                server.signal()
                self.assertEqual(bob.hear_rest(), ["* the server stops: goodbye"])
                code, out, err = server.end()
                self.assertEqual((code, err), (0, ""))
                self.assertIn("cut connections: 1", out)

    def test_it_has_one_thread(self):
        code, text = refused("--threads", 2, program="chat_server")
        self.assertEqual(code, 1)
        self.assertRegex(text, "^chat_server: .*--threads")


if __name__ == "__main__":
    main()
