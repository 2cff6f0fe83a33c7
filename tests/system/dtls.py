# SPDX-License-Identifier: Apache-2.0
"""Clients that speak DTLS: `openssl s_client`, and ClientHellos written by hand."""

import os
import select
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import secure
from rig import UPPERD
from settings import listener

CLIENTS = Path(UPPERD).parents[1] / "tests/system/dtls-clients"

HANDSHAKE, CLIENT_HELLO, VERIFY = 22, 1, 3
COOKIE = 32


def dtls(*pairs, more=None, **keys):
    """A listener with these certificates; `more` are further keys of its tls group."""
    certificates = [pair if isinstance(pair, dict) else pair.group() for pair in pairs]
    return listener("dtls", tls={"certificates": certificates, **(more or {})}, **keys)


def s_client(at, *args, text=b"hello\n", answer=b"HELLO\n"):
    return secure.s_client(at, "-dtls1_2", *args, text=text, answer=answer)


class Session:
    """openssl s_client, with which one talks line by line. Never blocking: else it would wait in a read
    for more, when what has come was only a forgery."""

    def __init__(self, at, *args):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-dtls1_2", "-connect", f"{at['address']}:{at['port']}",
             "-quiet", "-no_ign_eof", "-nbio", *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            if self.process.stdin:
                self.end()
        finally:
            self.vanish()

    def vanish(self):
        """Goes without a word."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        self.process.stdin = None

    def read(self, wanted, seconds=20):
        """What it says until this is a part of it."""
        said, end = b"", time.monotonic() + seconds
        while wanted not in said:
            left = end - time.monotonic()
            assert left > 0, f"only {said!r}"
            if select.select([self.process.stdout], [], [], left)[0]:
                some = self.process.stdout.read()
                assert some, f"it ended after {said!r}"
                said += some
        return said

    def ask(self, text, times=1):
        """A line, and its answer in upper case; what may be lost is sent more than once."""
        for left in reversed(range(times)):
            self.process.stdin.write(text.encode() + b"\n")
            self.process.stdin.flush()
            try:
                return self.read(text.upper().encode() + b"\n", 1 if left else 20)
            except AssertionError:
                if not left:
                    raise

    def end(self):
        """close_notify; returns when that is said."""
        self.process.stdin.close()
        self.process.stdin = None
        return self.process.wait(20)

    def wait_for_end(self, seconds=20):
        """It ends when the server says goodbye."""
        return self.process.wait(seconds)


def many_clients(at, n, *sizes):
    """So many at once, each of which is answered a message of each size with its own text."""
    ran = subprocess.run([CLIENTS, at["address"], str(at["port"]), str(n), *map(str, sizes)],
                         text=True, capture_output=True, timeout=150)
    assert ran.stdout == f"{n} agreed, {n * len(sizes)} right\n", ran.stdout + ran.stderr
    assert ran.returncode == 0


def record(kind, body, sequence=0, epoch=0, version=0xfeff):
    return struct.pack("!BHHHIH", kind, version, epoch, sequence >> 32, sequence & 0xffffffff,
                       len(body)) + body


def message(kind, body, number=0, offset=0, length=None, piece=None):
    whole = len(body) if length is None else length
    part = len(body) if piece is None else piece
    return (struct.pack("!B", kind) + whole.to_bytes(3, "big") + struct.pack("!H", number) +
            offset.to_bytes(3, "big") + part.to_bytes(3, "big") + body)


class Hello:
    """One that a client might send; two with the same random are of the same client."""

    def __init__(self, random=None, suites=(0xc02b, 0xc02f)):
        self.random = random or os.urandom(32)
        self.suites = struct.pack(f"!{len(suites)}H", *suites)

    def body(self, cookie=b""):
        groups = struct.pack("!HHHHH", 10, 6, 4, 0x001d, 0x0017)
        signatures = struct.pack("!HHHHHHH", 13, 10, 8, 0x0403, 0x0804, 0x0401, 0x0807)
        points = struct.pack("!HHBB", 11, 2, 1, 0)
        extensions = groups + signatures + points + struct.pack("!HH", 23, 0)
        return (b"\xfe\xfd" + self.random + b"\0" + bytes([len(cookie)]) + cookie +
                struct.pack("!H", len(self.suites)) + self.suites + b"\1\0" +
                struct.pack("!H", len(extensions)) + extensions)

    def datagram(self, cookie=b"", sequence=None, number=None):
        count = 1 if cookie else 0
        number = count if number is None else number
        return record(HANDSHAKE, message(CLIENT_HELLO, self.body(cookie), number),
                      count if sequence is None else sequence)


def cookie_of(answer):
    """The cookie in a HelloVerifyRequest, or nothing when it is something else."""
    if len(answer) < 28 or answer[0] != HANDSHAKE or answer[13] != VERIFY:
        return None
    return answer[28:28 + answer[27]]


def ask(s, data, seconds=5):
    """What comes back first, or nothing."""
    s.settimeout(seconds)
    s.send(data)
    try:
        return s.recv(65536)
    except TimeoutError:
        return None


class Tap:
    """Stands between one client and the server, and keeps what the client sends and how long the answers
    are. `before` goes in front of each datagram with data."""

    def __init__(self, at, before=b""):
        self.before = before
        self.inside = client_socket(at)
        self.outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.outside.bind(("127.0.0.1", 0))
        self.at = {"address": "127.0.0.1", "port": self.outside.getsockname()[1]}
        self.sent, self.lengths = [], []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        client = None
        while True:
            for s in select.select([self.inside, self.outside], [], [])[0]:
                try:
                    if s is self.outside:
                        data, client = s.recvfrom(65536)
                        self.sent.append(data)
                        self.inside.send(self.before + data if data[0] == 23 else data)
                    else:
                        answer = s.recv(65536)
                        self.lengths.append(len(answer))
                        self.outside.sendto(answer, client)
                except OSError:
                    return

    def replay(self, *datagrams):
        for data in datagrams:
            self.inside.send(data)

    def close(self):
        self.inside.close()
        self.outside.close()


def client_socket(at, source=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if source:
        s.bind(source)
    s.connect((at["address"], at["port"]))
    return s
