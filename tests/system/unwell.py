# SPDX-License-Identifier: Apache-2.0
"""Servers that are unwell in ways a test can count: they drop, double, swap, corrupt and delay answers."""

import contextlib
import heapq
import itertools
import socket
import threading
import time

import peers

TAG = 16

# What becomes of an answer, in turn. HELD is sent after the answer to the next question.
OK, DROPPED, DOUBLED, HELD, CORRUPTED, UNCHANGED, LATE, STRANGE, GARBLED_TAG = (
    "ok", "dropped", "doubled", "held", "corrupted", "unchanged", "late", "strange", "garbled tag")
CYCLE = (OK, DROPPED, DOUBLED, HELD, OK, CORRUPTED, UNCHANGED, LATE, STRANGE, GARBLED_TAG)


def number_of(question):
    """The number that upper writes into its questions; a letter for each four bits."""
    number = 0
    for letter in question[:TAG]:
        number = number << 4 | letter - ord("a")
    return number & 0xffffffff


class Unwell:
    """A UDP server that treats the first `n` questions by turns, and answers the others."""

    def __init__(self, n=1000, delay=1.0):
        self.n, self.delay = n, delay
        self.socket = peers.bind(socket.SOCK_DGRAM)
        self.other = peers.bind(socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.url = f"udp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.held = None
        self.later, self.order = [], itertools.count()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.serve, self.send_late)]
        for thread in self.threads:
            thread.start()

    def close(self):
        self.ended.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)
        self.socket.close()
        self.other.close()

    def send_late(self):
        while not self.ended.wait(0.005):
            while self.later and self.later[0][0] <= time.monotonic():
                _, _, answer, client = heapq.heappop(self.later)
                self.socket.sendto(answer, client)

    def serve(self):
        with contextlib.suppress(OSError):
            while not self.ended.is_set():
                question, client = self.socket.recvfrom(65536)
                if client is None:
                    return
                number = number_of(question)
                self.treat(CYCLE[number % len(CYCLE)] if number < self.n else OK, question, client)

    def treat(self, fate, question, client):
        answer = question.upper()
        if fate == HELD:
            self.held = answer
            return
        if fate == DOUBLED:
            self.socket.sendto(answer, client)
        elif fate == CORRUPTED:
            answer = answer[:30] + b"#" + answer[31:]
        elif fate == GARBLED_TAG:
            answer = b"?!" + answer[2:]
        elif fate == UNCHANGED:
            answer = question
        elif fate == LATE:
            heapq.heappush(self.later, (time.monotonic() + self.delay, next(self.order), answer, client))
        if fate == STRANGE:
            self.other.sendto(answer, client)
        elif fate not in (DROPPED, LATE):
            self.socket.sendto(answer, client)
        if self.held:
            self.socket.sendto(self.held, client)
            self.held = None


class SlowRoad:
    """A relay that takes each connection at once, and passes its first bytes on after `delay` seconds."""

    def __init__(self, to, delay):
        self.to, self.delay = to, delay
        self.listener = peers.bind(socket.SOCK_STREAM)
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection((self.to["address"], self.to["port"]))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    def pass_on(self, source, sink):
        time.sleep(self.delay)
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
