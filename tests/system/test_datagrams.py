# SPDX-License-Identifier: Apache-2.0
"""Datagrams: one in, one out, from the address that was asked."""

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest

import rig
from ctl import reasons_of
from settings import tcp, udp
from wire import TIMEOUT, family_of, udp_ask, udp_socket

MIXED_DATAGRAMS = Path(rig.UPPERD).parents[1] / "tests/system/mixed-datagrams"


def is_answered(listener, data):
    """Asks, then asks something that is surely answered: what came first tells."""
    with udp_socket(listener) as s:
        s.send(data)
        s.send(b"after")
        return s.recv(65536) != b"AFTER"


TEXTS = ["hello", "straße", "ŉ", "ΐ", "ﬃ", "İstanbul ǰ ᾳ", "\0\n\t", "日本 ABC"]


@pytest.mark.parametrize("text", TEXTS)
def test_answers_in_upper_case(daemon, text):
    d = daemon(udp())
    assert udp_ask(d.listeners[0], text.encode()).decode() == text.upper()


def test_bytes_that_are_not_utf8_pass(daemon):
    d = daemon(udp())
    assert udp_ask(d.listeners[0], b"a\xff\xc3b\xed\xa0\x80c") == b"A\xff\xc3B\xed\xa0\x80C"


def test_replaces_what_is_not_utf8(daemon):
    d = daemon(udp(invalid="replace"))
    data = b"a\xff\xf0\x9f\x98b\xc3"
    assert udp_ask(d.listeners[0], data) == data.decode("utf-8", "replace").upper().encode()


def test_rejects_what_is_not_utf8(daemon):
    d = daemon(udp(invalid="reject"))
    assert not is_answered(d.listeners[0], b"a\xff")
    assert is_answered(d.listeners[0], b"a")


def test_ascii_leaves_the_rest_alone(daemon):
    d = daemon(udp(charset="ascii"))
    assert udp_ask(d.listeners[0], "straße".encode()) == "STRAßE".encode()


def test_echo(daemon):
    d = daemon(udp(service="echo"))
    assert udp_ask(d.listeners[0], b"As it was sent") == b"As it was sent"


def test_acknowledge(daemon):
    d = daemon(udp(service="acknowledge", amplification=100.0))
    assert udp_ask(d.listeners[0], b"hello") == b"Message received."


@pytest.mark.parametrize("size", [1, 1400, 9000, 65507])
def test_every_size_is_answered(daemon, size):
    d = daemon(udp())
    assert udp_ask(d.listeners[0], b"x" * size) == b"X" * size


def test_empty_datagram_is_not_answered(daemon):
    d = daemon(udp())
    assert not is_answered(d.listeners[0], b"")


def test_reply_too_long_for_a_datagram_is_dropped_whole(daemon):
    d = daemon(udp())
    assert not is_answered(d.listeners[0], "ΐ".encode() * 30000)


def test_reply_beyond_amplification_is_dropped_whole(daemon):
    d = daemon(udp(amplification=1.5))
    assert not is_answered(d.listeners[0], "ΐ".encode())
    assert is_answered(d.listeners[0], "aaaaaaaaΐ".encode())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.77.0.1", "::1"])
def test_answer_comes_from_the_address_that_was_asked(daemon, address):
    d = daemon(udp(address="::"))
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT)
        s.sendto(b"hello", (address, d.listeners[0]["port"]))
        answer, sender = s.recvfrom(2048)
    assert answer == b"HELLO"
    assert sender[:2] == (address, d.listeners[0]["port"])


def test_v6only_leaves_ipv4_alone(daemon):
    d = daemon(udp(address="::", v6only=True))
    assert udp_ask(d.listeners[0], b"six", "::1") == b"SIX"
    with udp_socket(d.listeners[0], "127.0.0.1") as s, pytest.raises(ConnectionRefusedError):
        s.send(b"four")
        s.recv(100)


def test_interface_binds_to_the_device(daemon, as_root):
    d = daemon(udp(address="0.0.0.0", interface="lo"))
    assert udp_ask(d.listeners[0], b"hello", "127.0.0.1") == b"HELLO"


def test_burst_loses_nothing(daemon):
    """As many as the socket's buffer surely holds, so that the batches are full."""
    d = daemon(udp(), workers=1)
    wanted = {b"MESSAGE %d" % n for n in range(100)}
    with udp_socket(d.listeners[0]) as s:
        for n in range(100):
            s.send(b"message %d" % n)
        assert {s.recv(100) for _ in wanted} == wanted


def test_two_listeners_keep_apart(daemon):
    d = daemon(udp(name="loud"), udp(name="plain", service="echo"), tcp())
    assert udp_ask(d.listeners[0], b"a") == b"A"
    assert udp_ask(d.listeners[1], b"a") == b"a"


def test_peer_that_went_away_disturbs_nobody(daemon):
    """The port unreachable that comes back must not be taken for an error of the listener."""
    d = daemon(udp(), workers=1)
    for _ in range(20):
        with udp_socket(d.listeners[0]) as s:
            s.send(b"gone before the answer")
    assert udp_ask(d.listeners[0], b"still here") == b"STILL HERE"


UDP_SEGMENT, UDP_GRO = 103, 104


def send_segmented(s, data, size):
    """As one call, which the kernel makes datagrams of `size` bytes of; or skips."""
    try:
        s.sendmsg([data], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))])
    except OSError as error:
        pytest.skip(f"this kernel does not segment datagrams: {error}")


def cut(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)]


LETTERS = b"".join(b"%04d abc " % i for i in range(500))


@pytest.mark.parametrize("size, length", [(100, 4000), (100, 1037), (9, 360), (1300, 4000)])
def test_a_burst_in_one_piece_is_answered_one_by_one(daemon, size, length):
    d = daemon(udp())
    with udp_socket(d.listeners[0]) as s:
        send_segmented(s, LETTERS[:length], size)
        asked = cut(LETTERS[:length], size)
        assert [s.recv(65536) for _ in asked] == [one.upper() for one in asked]
        s.send(b"after")
        assert s.recv(65536) == b"AFTER"


def test_a_burst_whose_answers_differ_in_length(daemon):
    d = daemon(udp())
    asked = ["aaaa", "ŉaa", "ŉŉ", "aaaa", "ıaa", "ΐΐ", "aaaa", "aa"]
    with udp_socket(d.listeners[0]) as s:
        send_segmented(s, "".join(asked).encode(), 4)
        assert [s.recv(65536).decode() for _ in asked] == [one.upper() for one in asked]


def test_answers_to_a_burst_come_in_one_piece(daemon):
    d = daemon(udp())
    with udp_socket(d.listeners[0]) as s:
        try:
            s.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        except OSError as error:
            pytest.skip(f"this kernel does not join datagrams: {error}")
        send_segmented(s, LETTERS[:1000], 100)
        assert s.recv(65536) == LETTERS[:1000].upper()


def test_limits_count_each_datagram_of_a_burst(daemon):
    d = daemon(udp(), limits={"datagrams": 5, "exempt": []})
    with udp_socket(d.listeners[0]) as s:
        send_segmented(s, LETTERS[:4000], 100)
        assert [s.recv(65536) for _ in range(10)] == [one.upper() for one in cut(LETTERS, 100)[:10]]
        s.settimeout(0.3)
        with pytest.raises(TimeoutError):
            s.recv(65536)


def test_what_is_refused_in_a_burst_leaves_the_others(daemon):
    """Two come back unchanged and use up what there is for that; the other 38 between go nowhere."""
    d = daemon(udp(), limits={"unchanged": 1, "exempt": []})
    asked = [b"%s%03d" % (b"ABCDE" if i % 2 else b"abcde", i) for i in range(80)]
    expected = [one.upper() for i, one in enumerate(asked) if i % 2 == 0 or i <= 3]
    with udp_socket(d.listeners[0]) as s:
        for burst in asked[:40], asked[40:]:
            send_segmented(s, b"".join(burst), 8)
        assert [s.recv(65536) for _ in expected] == expected
        s.send(b"after")
        assert s.recv(65536) == b"AFTER"
    assert reasons_of(d)["unchanged"] == 38


def test_a_character_does_not_go_from_one_datagram_of_a_burst_to_the_next(daemon):
    d = daemon(udp(invalid="reject"))
    with udp_socket(d.listeners[0]) as s:
        send_segmented(s, b"fine" + "abcé".encode()[:4] + "é".encode()[1:] + b"abc" + b"fine", 4)
        assert [s.recv(65536) for _ in range(2)] == [b"FINE"] * 2
        s.send(b"after")
        assert s.recv(65536) == b"AFTER"


def test_a_loop_in_a_burst_is_silenced_within_the_burst(daemon):
    """Fifteen are answered, the sixteenth shows the loop, and what comes behind it is not heard."""
    d = daemon(udp())
    with udp_socket(d.listeners[0]) as s:
        send_segmented(s, b"SAME" * 20, 4)
        assert [s.recv(65536) for _ in range(15)] == [b"SAME"] * 15
        assert udp_ask(d.listeners[0], b"another") == b"ANOTHER"
    found = reasons_of(d)
    assert (found["loop"], found["silenced"]) == (1, 4)


# Answers of a batch


@contextlib.contextmanager
def one_batch(d):
    """What is sent meanwhile waits, and is received together."""
    (worker,) = d.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def test_answers_to_one_client_leave_in_one_piece(daemon):
    """However its datagrams came; a receiver that asks for it sees that."""
    d = daemon(udp(), workers=1)
    with udp_socket(d.listeners[0]) as s:
        s.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
        with one_batch(d):
            for i in range(16):
                s.send(b"hello %02d" % i)
        data, control, _, _ = s.recvmsg(65536, socket.CMSG_SPACE(4))
        assert data == b"".join(b"HELLO %02d" % i for i in range(16))
        assert [struct.unpack("i", value)[0] for _, _, value in control] == [8]


PIECES = ["a", "hello ", "straße", "\u0390", "ŉ", "日本", "я", "0123456789", "ﬃ", "x" * 400]


def test_answers_of_a_batch_keep_order_and_content(daemon):
    """Mixed peers, lengths and texts, each answer compared: no peer sees that others were answered with it,
    nor how its own were sent."""
    choose = random.Random(1)
    d = daemon(udp(), workers=1)
    sockets = [udp_socket(d.listeners[0]) for _ in range(5)]
    sent = 0
    while sent < 6000:
        expected = [[] for _ in sockets]
        text = ""
        with one_batch(d):
            for _ in range(60):
                n = choose.choice((0, 0, 0, 1, 2, 3, 4))
                if choose.random() < 0.6 or not text:
                    text = "q" + "".join(choose.choices(PIECES, k=choose.randrange(1, 5)))
                if sockets[n].send(text.encode()):
                    expected[n].append(text.upper().encode())
        for s, answers in zip(sockets, expected):
            assert [s.recv(65536) for _ in answers] == answers
        sent += 60
    assert not any(reasons_of(d).values())
    for s in sockets:
        s.close()


# How many; ten millions are minutes.
MIXED = os.environ.get("MIXED_DATAGRAMS", "300000")


@pytest.mark.parametrize("clients", [1, 7, 200])
def test_many_mixed_datagrams_are_answered_right(daemon, clients):
    d = daemon(udp(), workers=1)
    at = d.listeners[0]
    ran = subprocess.run([MIXED_DATAGRAMS, at["address"], str(at["port"]), str(clients), MIXED, "1"],
                         capture_output=True, text=True, timeout=1200)
    assert (ran.returncode, ran.stdout) == (0, f"{MIXED} right\n"), ran.stderr
