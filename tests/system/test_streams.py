# SPDX-License-Identifier: Apache-2.0
"""Streams: framing, half-close, deadlines, and every kind of stream socket."""

import os
import signal
import socket
import stat
import threading
import time

import pytest

from settings import tcp
from wire import TIMEOUT, address_of, connect, read_all, read_exactly, reset, tcp_ask

SAMPLE = "Die Straße, ŉ und ΐ: ﬃ über alles.\r\n".encode()
LOUD = SAMPLE.decode().upper().encode()
SHORT = "300ms"


@pytest.fixture
def server(daemon):
    """A listener with these keys, served."""
    return lambda **keys: daemon(tcp(**keys)).listeners[0]


# Framing


def test_stream_answers_what_has_arrived(server):
    with connect(server()) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"HELLO"
        s.sendall(b" world")
        assert read_exactly(s, 6) == b" WORLD"


def test_stream_keeps_back_only_an_unfinished_character(server):
    with connect(server()) as s:
        s.sendall(b"a\xc3")
        assert read_exactly(s, 1) == b"A"
        s.sendall(b"\xa9b")
        assert read_exactly(s, 3) == "ÉB".encode()


def test_stream_gives_an_unfinished_character_back_at_the_end(server):
    assert tcp_ask(server(), b"a\xc3") == b"A\xc3"


@pytest.mark.parametrize("framing", ["stream", "line"])
def test_bytes_that_come_singly_give_the_same(server, framing):
    with connect(server(framing=framing)) as s:
        for byte in SAMPLE:
            s.sendall(bytes([byte]))
        assert read_exactly(s, len(LOUD)) == LOUD


def test_what_follows_an_urgent_byte_is_answered(daemon):
    """The kernel ends a read before such a byte, as if there were nothing behind it."""
    running = daemon(tcp(), workers=1)
    worker, = running.workers()
    with connect(running.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        os.kill(worker, signal.SIGSTOP)
        s.sendall(b"before")
        s.send(b"!", socket.MSG_OOB)
        s.sendall(b"behind")
        os.kill(worker, signal.SIGCONT)
        assert read_exactly(s, 12) == b"BEFOREBEHIND"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_waits_for_its_end(server, end):
    with connect(server(framing="line")) as s:
        s.sendall(b"first")
        s.settimeout(0.2)
        with pytest.raises(TimeoutError):
            s.recv(100)
        s.settimeout(TIMEOUT)
        s.sendall(end + b"second" + end + b"third")
        assert read_exactly(s, 11 + 2 * len(end)) == b"FIRST" + end + b"SECOND" + end


def test_last_line_needs_no_end(server):
    assert tcp_ask(server(framing="line"), b"one\ntwo") == b"ONE\nTWO"


def test_line_too_long_closes(server):
    line = server(framing="line", max_line=15)
    with connect(line) as s:
        s.sendall(b"fifteen bytes..\n")
        assert read_exactly(s, 16) == b"FIFTEEN BYTES..\n"
    with connect(line) as s:
        s.sendall(b"x" * 16)
        assert read_all(s) == b""


def send_until_jammed(s, text, size):
    """Until neither side takes anything any more; returns how much went out."""
    sent, quiet = 0, time.monotonic()
    while time.monotonic() - quiet < 0.5:
        try:
            at = sent % len(text)
            sent += s.send(text[at:at + size])
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    return sent


@pytest.mark.parametrize("letter", ["a", "ΐ"])
@pytest.mark.parametrize("size", [70000, 200000])
def test_a_jam_that_ends_is_over(server, letter, size):
    """What came while nothing went out is answered, though no more will come to tell of it."""
    with connect(server()) as s:
        s.setblocking(False)
        sent = send_until_jammed(s, letter.encode() * 10 ** 6, size)
        s.setblocking(True)
        s.settimeout(TIMEOUT)
        expected = letter.upper().encode() * (sent // len(letter.encode()))
        assert read_exactly(s, len(expected)) == expected


def test_oneshot_answers_once_and_closes(server):
    with connect(server(framing="oneshot")) as s:
        s.sendall(b"hello")
        assert read_all(s) == b"HELLO"


def test_oneshot_that_comes_byte_by_byte_is_answered_whole(server):
    """As Java's DataOutputStream.writeBytes() does it; and a character may come in pieces."""
    with connect(server(framing="oneshot")) as s:
        for byte in "hello, straße".encode():
            s.sendall(bytes([byte]))
            time.sleep(0.01)
        begun = time.monotonic()
        assert read_all(s) == b"HELLO, STRASSE"
        assert time.monotonic() - begun > 0.08  # the sleep after the last byte is part of the quiet


def test_oneshot_ends_with_a_character_that_is_not_whole(server):
    with connect(server(framing="oneshot", invalid="replace")) as s:
        s.sendall(b"hello\xe2\x82")
        assert read_all(s).decode() == "HELLO\ufffd"


def test_oneshot_waits_for_its_first_byte(server):
    with connect(server(framing="oneshot")) as s:
        time.sleep(0.5)  # longer than the quiet after an answer
        s.sendall(b"hello")
        assert read_all(s) == b"HELLO"


def test_oneshot_of_any_length_is_answered_whole(server):
    """The reader is slow to begin; what waits for it is no quiet."""
    with connect(server(framing="oneshot")) as s:
        threading.Thread(target=s.sendall, args=(b"hello" * 2000000,), daemon=True).start()
        time.sleep(1)
        assert read_all(s) == b"HELLO" * 2000000


def test_oneshot_is_acknowledged_once(server):
    with connect(server(framing="oneshot", service="acknowledge")) as s:
        for byte in b"hello":
            s.sendall(bytes([byte]))
            time.sleep(0.01)
        assert read_all(s) == b"Message received."


def test_acknowledge_answers_each_line(server):
    one = server(service="acknowledge", framing="line")
    assert tcp_ask(one, b"a\nb\n") == b"Message received." * 2


def test_echo(server):
    assert tcp_ask(server(service="echo"), SAMPLE) == SAMPLE


def test_reject_closes_at_the_first_bad_byte(server):
    with connect(server(invalid="reject")) as s:
        s.sendall(b"good\xffnever")
        try:
            assert b"NEVER" not in read_all(s)
        except ConnectionResetError:
            pass


# The end


def test_half_close_is_honoured(server):
    """What was sent before our end is answered before the server's."""
    data = SAMPLE * 5000
    with connect(server()) as s:
        s.sendall(data[:100000])
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == data[:100000].decode("utf-8", "surrogateescape").upper().encode(
            "utf-8", "surrogateescape")


def test_nothing_sent_is_nothing_answered(server):
    assert tcp_ask(server(), b"") == b""


def test_reset_disturbs_nobody(server):
    one = server()
    for _ in range(20):
        s = connect(one)
        s.sendall(b"x" * 1000)
        reset(s)
    assert tcp_ask(one, b"still here") == b"STILL HERE"


def test_many_at_once_keep_apart(server):
    one = server()
    clients = [connect(one) for _ in range(100)]
    for n, s in enumerate(clients):
        s.sendall(b"client %03d" % n)
    for n, s in reversed(list(enumerate(clients))):
        assert read_exactly(s, 10) == b"CLIENT %03d" % n
        s.close()


# Deadlines


def closes_after(s):
    """Seconds until the server ends the connection, politely or not; it may not take until the next
    limit would end it."""
    start = time.monotonic()
    try:
        assert s.recv(100) == b""
    except ConnectionResetError:
        pass
    return time.monotonic() - start


def test_idle_connection_is_closed(server):
    with connect(server(idle_timeout=SHORT)) as s:
        assert closes_after(s) > 0.2


def test_busy_connection_is_not_idle(server):
    with connect(server(idle_timeout="2s")) as s:
        for _ in range(10):
            time.sleep(0.25)
            s.sendall(b"x")
            assert read_exactly(s, 1) == b"X"


def test_half_a_line_does_not_live_for_ever(server):
    with connect(server(framing="line", idle_timeout=SHORT)) as s:
        s.sendall(b"no end")
        assert closes_after(s) > 0.2


def test_peer_that_takes_nothing_is_closed(daemon):
    d = daemon(tcp(write_timeout=SHORT, idle_timeout="60s"))
    with connect(d.listeners[0]) as s:
        s.setblocking(False)
        start = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() < start + 8:  # which is less than it would be without being told
                try:
                    s.send(b"x" * 65536)
                except BlockingIOError:
                    time.sleep(0.05)


# Sockets


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_any_address_serves_both_families(server, address):
    assert tcp_ask(server(address="::"), b"hello", address) == b"HELLO"


def test_v6only_leaves_ipv4_alone(server):
    one = server(address="::", v6only=True)
    assert tcp_ask(one, b"six", "::1") == b"SIX"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address_of(one, "127.0.0.1"), 1)


def test_unix_socket(daemon, tmp_path):
    path = str(tmp_path / "upper.socket")
    d = daemon(tcp(path=path, mode="0620"))
    assert tcp_ask(d.listeners[0], b"hello") == b"HELLO"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o620


def test_unix_socket_is_taken_over_from_a_dead_daemon(start, tmp_path):
    path = str(tmp_path / "upper.socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    d = start(tcp(path=path)).wait_ready()
    assert tcp_ask(d.listeners[0], b"hello") == b"HELLO"


def test_unix_socket_is_gone_after_stop(daemon, tmp_path):
    path = tmp_path / "upper.socket"
    assert daemon(tcp(path=str(path))).stop() == 0
    assert not path.exists()


def test_abstract_socket(server, tmp_path):
    name = f"@upperd-test-{os.getpid()}-{tmp_path.name}"
    assert tcp_ask(server(path=name), b"hello") == b"HELLO"
