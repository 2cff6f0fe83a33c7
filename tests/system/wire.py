# SPDX-License-Identifier: Apache-2.0
"""Clients as small as they can be."""

import contextlib
import socket
import struct
import threading
import time

from settings import family_of

# For what will come: long enough for a machine that is busy with something else.
TIMEOUT = 20


def address_of(listener, address=None):
    return address or listener["address"], listener["port"]


def udp_socket(listener, address=None):
    """Connected, so that only an answer from the address that was asked arrives."""
    target = address_of(listener, address)
    s = socket.socket(family_of(target[0]), socket.SOCK_DGRAM)
    s.settimeout(TIMEOUT)
    s.connect(target)
    return s


def udp_ask(listener, data, address=None):
    with udp_socket(listener, address) as s:
        s.send(data)
        return s.recv(65536)


def connect(listener, address=None):
    if "path" in listener:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(TIMEOUT)
        path = listener["path"]
        s.connect("\0" + path[1:] if path.startswith("@") else path)
        return s
    target = address_of(listener, address)
    family_of(target[0])
    s = socket.create_connection(target, TIMEOUT)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, f"the server closed after {data!r}"
        data += piece
    return data


def read_all(s):
    """Until the other side's end."""
    data = bytearray()
    while piece := s.recv(65536):
        data += piece
    return bytes(data)


def tcp_ask(listener, data, address=None):
    """Sends, half-closes, and returns all that comes back."""
    with connect(listener, address) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return read_all(s)


def reset(s):
    """Closes in the rudest way."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


@contextlib.contextmanager
def overflowing(listener, n):
    """As many attempts to connect at once, of which none is accepted; each that finds no room is made again by the system."""
    tries = [socket.socket(family_of(listener["address"])) for _ in range(n)]
    for s in tries:
        s.setblocking(False)
        s.connect_ex(address_of(listener))
    yield tries
    for s in tries:
        s.close()


class Background:
    """Calls `ask` again and again in a thread until the block ends; keeps what failed."""

    def __init__(self, ask):
        self.ask, self.asked, self.failures = ask, 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            try:
                self.ask()
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
            self.asked += 1

    def __enter__(self):
        self._thread.start()
        return self

    def ask_more(self, n=1):
        """Returns when so many more have been asked: what is done meanwhile is done under load."""
        enough, deadline = self.asked + n, time.monotonic() + 3 * TIMEOUT
        while self.asked < enough:
            assert time.monotonic() < deadline, f"{self.asked} asked of {enough}"
            time.sleep(0.001)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(2 * TIMEOUT)
