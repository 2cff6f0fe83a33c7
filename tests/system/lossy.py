# SPDX-License-Identifier: Apache-2.0
"""A bad road: a relay between clients and a server that loses, doubles and delays datagrams. What
becomes of each is said by a function, so that a test can lose exactly what it wants to."""

import contextlib
import heapq
import itertools
import random
import selectors
import socket
import struct
import threading
import time

ALERT, HANDSHAKE, DATA = 21, 22, 23

PASS = ((0, None),)
LOSE = ()


def records_of(datagram):
    """What a datagram of DTLS holds: a pair of content type and epoch for each record."""
    found = []
    while len(datagram) >= 13:
        kind, _, epoch, _, _, length = struct.unpack(">BHHHIH", datagram[:13])
        found.append((kind, epoch))
        datagram = datagram[13 + length:]
    return found


def is_message(datagram):
    """Whether it carries text, and not a handshake."""
    return bool(datagram) and datagram[0] == DATA


class Weather:
    """Chance decides, the same way for the same seed and the same datagrams in the same order. A
    datagram that is late comes after some that were sent after it."""

    def __init__(self, seed=1, lost=0.1, doubled=0.1, late=0.1, delay=0.03):
        self.chance = random.Random(seed)
        self.lost, self.doubled, self.late, self.delay = lost, doubled, late, delay

    def _delay(self):
        return self.chance.uniform(0.001, self.delay) if self.chance.random() < self.late else 0

    def __call__(self, datagram, is_question):
        if self.chance.random() < self.lost:
            return LOSE
        copies = 2 if self.chance.random() < self.doubled else 1
        return [(self._delay(), None) for _ in range(copies)]


class Relay:
    """`at` is where clients find it, as a listener's group; each client has a port of its own towards
    the server at `to`.

    `fate(datagram, is_question)` gives what goes on instead of a datagram that came from a client, or
    from the server: pairs of a delay in seconds and a datagram, None for the one that came.
    """

    def __init__(self, to, fate=None):
        self.fate = fate or Weather()
        self.to = (to["address"], to["port"])
        self.family = socket.AF_INET6 if ":" in to["address"] else socket.AF_INET
        self.seen = []  # pairs of a datagram and whether it is a question
        self.heard = threading.Condition()
        self._front = self._socket()
        self._front.bind(("::1" if self.family == socket.AF_INET6 else "127.0.0.1", 0))
        address, port = self._front.getsockname()[:2]
        self.at = {"address": address, "port": port}
        self._backs = {}  # by the address of a client
        self._later, self._number = [], itertools.count()
        self._bell, self._ring = socket.socketpair()
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._bell, selectors.EVENT_READ)
        self._ready.register(self._front, selectors.EVENT_READ, self._take_question)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self._ring.close()
        self._thread.join()
        for one in (self._bell, self._front, self._ready, *self._backs.values()):
            one.close()

    def wait_for(self, condition, what="datagram", seconds=20):
        """Until the condition holds; it is looked at after every datagram."""
        with self.heard:
            assert self.heard.wait_for(condition, seconds), f"no {what} within {seconds} s"

    def count(self, condition, is_question):
        return sum(1 for datagram, way in list(self.seen) if way == is_question and condition(datagram))

    def _socket(self):
        one = socket.socket(self.family, socket.SOCK_DGRAM)
        one.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            one.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        return one

    def _back_of(self, client):
        if client not in self._backs:
            back = self._backs[client] = self._socket()
            back.connect(self.to)
            self._ready.register(back, selectors.EVENT_READ,
                                 lambda: self._take_answer(back, client))
        return self._backs[client]

    def _take_question(self):
        datagram, client = self._front.recvfrom(65536)
        back = self._back_of(client)
        self._decide(datagram, True, back.send)

    def _take_answer(self, back, client):
        self._decide(back.recv(65536), False, lambda data: self._front.sendto(data, client))

    def _decide(self, datagram, is_question, send):
        with self.heard:
            self.seen.append((datagram, is_question))
            pairs = self.fate(datagram, is_question)
            self.heard.notify_all()
        for delay, other in pairs:
            heapq.heappush(self._later, (time.monotonic() + delay, next(self._number),
                                         datagram if other is None else other, send))

    def _send_due(self):
        """Sends what is due, and says how long the next may wait; None: there is none."""
        while self._later:
            due, _, datagram, send = self._later[0]
            if due > time.monotonic():
                return due - time.monotonic()
            heapq.heappop(self._later)
            with contextlib.suppress(OSError):  # a full buffer loses it, as any road may
                send(datagram)
        return None

    def _run(self):
        while True:
            for key, _ in self._ready.select(self._send_due()):
                if key.data is None:
                    return
                with contextlib.suppress(OSError):  # nobody listens there
                    key.data()
