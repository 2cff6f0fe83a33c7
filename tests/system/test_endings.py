# SPDX-License-Identifier: Apache-2.0
"""How connections end: a reader that is slow is waited for, an answer that is whole ends in order, and
one that is cut ends with a reset, so that no client takes a part of it for the whole."""

import os
import signal
import socket
import ssl
import threading
import time

import pytest

import process
from ctl import reasons_of, status_of
from secure import context_for, tls
from settings import tcp
from wire import TIMEOUT, connect, read_exactly

QUESTION = b"straight ahead " * 4
SIZE = 6 << 20


def begin(listener, context=None, buffer=4096):
    """A connection with a small receive buffer, so that the server soon has to wait for it."""
    if "path" in listener:
        return connect(listener)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.settimeout(TIMEOUT)
    s.connect((listener["address"], listener["port"]))
    return context.wrap_socket(s, server_hostname="localhost") if context else s


def send_all(s, data):
    """Goes on while the other side takes something, and gives up when the connection is gone."""
    try:
        s.sendall(data)
    except OSError:
        pass


class SlowReader:
    """Asks for a lot, reads `rate` bytes a second for some seconds, and then the rest at once."""

    def __init__(self, s, rate, seconds, size=SIZE):
        self.s, self.rate, self.seconds = s, rate, seconds
        self.question = (QUESTION * (size // len(QUESTION) + 1))[:size]
        self.answer, self.failure, self.took = bytearray(), None, 0.0
        s.settimeout(60)
        self.writer = threading.Thread(target=self._write, daemon=True)
        self.reader = threading.Thread(target=self._read, daemon=True)

    def start(self):
        self.writer.start()
        self.reader.start()
        return self

    def _write(self):
        send_all(self.s, self.question)
        if not isinstance(self.s, ssl.SSLSocket):
            try:
                self.s.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def _read(self):
        begun = time.monotonic()
        try:
            while len(self.answer) < len(self.question):
                slow = (passed := time.monotonic() - begun) < self.seconds
                if slow and len(self.answer) > self.rate * passed:
                    time.sleep(0.02)
                    continue
                some = self.s.recv(max(self.rate // 20, 1) if slow else 65536)
                if not some:
                    break
                self.answer += some
        except OSError as error:
            self.failure = error
        self.took = time.monotonic() - begun

    def join(self):
        self.reader.join(120)
        self.s.close()

    def is_served(self):
        return not self.failure and self.answer == self.question.upper()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["plain", "tls", "unix"])
def test_an_honest_slow_reader_is_waited_for(daemon, authority, tmp_path, kind):
    """Several write time-outs long. A record of TLS is read whole by the client's library, which at
    5 kB/s takes more than three seconds."""
    context = context_for(authority) if kind == "tls" else None
    timeout = 5 if kind == "tls" else 3
    settings = {"write_timeout": f"{timeout}s", "idle_timeout": "60s"}
    listener = {"plain": lambda: tcp(**settings), "unix": lambda: tcp(path=str(tmp_path / "s"), **settings),
                "tls": lambda: tls(authority.issue("ec"), **settings)}[kind]()
    d = daemon(listener)
    readers = [SlowReader(begin(listener, context), rate, 4 * timeout).start()
               for rate in (100_000, 20_000, 5_000)]
    for reader in readers:
        reader.join()
    for reader in readers:
        print(kind, reader.rate, len(reader.answer), f"{reader.took:.1f} s", reader.failure)
    assert all(reader.is_served() for reader in readers)
    assert reasons_of(d)["write"] == 0


def reads_until_cut(s):
    """What arrived, and how it ended: "reset", "end" (of file), or "close_notify"."""
    data = bytearray()
    s.settimeout(TIMEOUT)
    try:
        while True:
            some = s.recv(65536)
            if not some:
                return data, "close_notify" if isinstance(s, ssl.SSLSocket) else "end"
            data += some
    except ssl.SSLEOFError:
        return data, "end"
    except ConnectionError:
        return data, "reset"


def is_cut(s, whole):
    """Whether less than that arrives, and then a reset. Below TLS, where it can be told from an end."""
    s.settimeout(TIMEOUT)
    n = 0
    try:
        while some := socket.socket.recv(s, 65536):
            n += len(some)
    except ConnectionError:
        return n < whole
    print(f"{n} of {whole}, and an end of file")
    return False


def kinds(authority, kind, **settings):
    if kind == "tls":
        return tls(authority.issue("ec"), **settings), context_for(authority)
    return tcp(**settings), None


def connect_rudely(listener, context, **more):
    """As begin(); an end of file without close_notify is an error to it."""
    if context:
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, more.get("buffer", 4096))
    s.settimeout(TIMEOUT)
    s.connect((listener["address"], listener["port"]))
    if not context:
        return s
    return context.wrap_socket(s, server_hostname="localhost", suppress_ragged_eofs=False)


def ask_without_reading(s, size=SIZE):
    """Sends until the other side takes no more; the rest is never sent."""
    s.settimeout(0.5)
    data, at = QUESTION * (size // len(QUESTION)), 0
    try:
        while at < len(data):
            at += s.send(data[at:at + 65536])
    except OSError:
        pass
    return at


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_an_answer_that_is_cut_for_its_reader_ends_with_a_reset(daemon, authority, kind):
    listener, context = kinds(authority, kind, write_timeout="2s", idle_timeout="60s")
    d = daemon(listener)
    with connect_rudely(listener, context) as s:
        sent = ask_without_reading(s)
        d.expect("peer-ended", reason="write")
        assert is_cut(s, sent)


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("how", ["reload", "stop"])
def test_an_answer_that_is_cut_when_a_drain_is_over_ends_with_a_reset(daemon, authority, kind, how):
    listener, context = kinds(authority, kind, write_timeout="60s")
    d = daemon(listener, drain="1s")
    with connect_rudely(listener, context) as s:
        sent = ask_without_reading(s)
        if how == "reload":
            since = d.mark()
            d.reload()
            process.wait_until(lambda: d.records("peer-ended", since, reason="drain"), what="its end")
        else:
            assert d.stop() == 0
        assert is_cut(s, sent)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_no_part_of_an_answer_looks_whole(daemon, tmp_path, kind):
    """Each asks for a little more than the one before. One of them comes to where all of its question is
    read and a part of the answer has found no room, so that nothing but us can tell it."""
    d = daemon(tcp(path=str(tmp_path / "s")) if kind == "unix" else tcp(), drain="2s")
    piece, whole = "\u0390".encode() * 16384, "\u0390".upper().encode() * 16384
    clients = []
    for n in range(1, 60):
        s = begin(d.listeners[0])
        send = threading.Thread(target=send_all, args=(s, piece * n), daemon=True)
        send.start()
        clients.append((n, s))
    time.sleep(2)  # a reader that is slow to begin
    assert d.stop() == 0
    ends = []
    for n, s in clients:
        data, how = reads_until_cut(s)
        ends.append((len(data) == n * len(whole), how))
        s.close()
    assert set(ends) == {(True, "end"), (False, "reset")}


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_an_answer_that_dies_with_its_worker_ends_with_a_reset(daemon, authority, kind):
    listener, context = kinds(authority, kind, write_timeout="60s")
    d = daemon(listener, workers=1)
    with connect_rudely(listener, context) as s:
        sent = ask_without_reading(s)
        os.kill(d.workers()[0], signal.SIGKILL)
        d.killed += 1
        assert is_cut(s, sent)


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("how", ["idle", "reload", "stop"])
def test_whatever_was_answered_whole_ends_in_order(daemon, authority, kind, how):
    listener, context = kinds(authority, kind, **{"idle_timeout": "1s"} if how == "idle" else {})
    d = daemon(listener, drain="500ms")
    with connect_rudely(listener, context, buffer=65536) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"HELLO"
        if how == "reload":
            d.reload()
        elif how == "stop":
            assert d.stop() == 0
        assert reads_until_cut(s) == (b"", "close_notify" if context else "end")


def test_a_tail_that_is_read_slowly_arrives_whole(daemon):
    """The line that is too long ends the connection, after all that was asked before is answered; the
    kernel holds most of the answers then, and more than the time to linger passes until they are read."""
    lines = b"a line of some length\n" * 20000
    d = daemon(tcp(framing="line", max_line=1000, write_timeout="2s"))
    with connect_rudely(d.listeners[0], None) as s:
        s.settimeout(TIMEOUT)
        threading.Thread(target=send_all, args=(s, lines + b"x" * 2000), daemon=True).start()
        late = threading.Timer(4, send_all, (s, b"too late"))
        late.start()
        answer, begun = bytearray(), time.monotonic()
        while len(answer) < len(lines):
            answer += (some := s.recv(65536 if time.monotonic() - begun > 6 else 2000))
            assert some, f"{len(answer)} bytes of {len(lines)}"
            if time.monotonic() - begun < 6:
                time.sleep(0.02)
        late.join()
        assert answer == lines.upper()
    process.wait_until(lambda: status_of(d)["connections"] == 0, what="its end")
