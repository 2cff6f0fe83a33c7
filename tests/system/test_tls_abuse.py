# SPDX-License-Identifier: Apache-2.0
"""What an attacker can make of TLS, and where it ends: each within its bound, each with its reason,
and somebody else is served all the while."""

import contextlib
import json
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

import process
import rawtls
import rig
from ctl import status_of
from secure import ask_tls, context_for, tls
from settings import tcp
from wire import tcp_ask

pytestmark = pytest.mark.usefixtures("with_tls")


UPPERCTL = Path(rig.UPPERD).parent / "ctl/upperctl"


@pytest.fixture
def running(daemon, authority):
    return daemon(tls(authority.issue("ec"), more={"ciphersuites": rawtls.SUITE}), workers=1)


@pytest.fixture
def hasty(daemon, authority):
    """Its second listener has no patience; the first is for who is honest, and may be slow."""
    pair = authority.issue("ec")
    return daemon(tls(pair), tls(pair, name="hasty", handshake_timeout="700ms"), workers=1)


@pytest.fixture
def raw(running, authority, tmp_path):
    return rawtls.RawClient(running.listeners[0], context_for(authority), tmp_path)


def plain_connect(running, n=0):
    at = running.listeners[n]
    return socket.create_connection((at["address"], at["port"]), timeout=30)


def ended_for(running, authority, reason):
    """The record that says so, after which somebody else is served as ever."""
    record = running.expect("peer-ended", reason=reason)
    assert ask_tls(running.listeners[0], context_for(authority)) == b"STRASSE"
    return record


def hello(length=512, version=0x0303):
    body = struct.pack(">H", version) + bytes(length)
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


# Before the handshake is over


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02", hello()[:100]],
                         ids=["nothing", "a-header", "half-a-hello"])
def test_a_handshake_that_stops_ends_in_time(hasty, authority, first):
    with plain_connect(hasty, 1) as s:
        s.sendall(first)
        begun = time.monotonic()
        assert s.recv(100) == b""
        assert time.monotonic() - begun < 8, "that is nearly the usual patience"
    ended_for(hasty, authority, "handshake")


def test_a_byte_now_and_then_gains_no_time(hasty, authority):
    begun = time.monotonic()
    with plain_connect(hasty, 1) as s, pytest.raises(OSError):
        for byte in hello():
            s.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - begun < 8, "that is nearly the usual patience"
    ended_for(hasty, authority, "handshake")


@pytest.mark.parametrize(("sent", "reason"), [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "tls_garbage"),
    (b"hello upper, are you there?\n" * 10, "tls_garbage"),
    (hello(), "tls_garbage"),
    (bytes(range(256)) * 8, "tls_garbage"),
    (b"\x16\x03\x01\xff\xff" + bytes(70000), "tls_oversize"),
    (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380), "tls_oversize"),
], ids=["http", "text", "zeros-in-a-hello", "any-bytes", "long-record", "long-hello"])
def test_what_is_no_hello_ends_at_once(running, authority, sent, reason):
    with plain_connect(running) as s:
        try:
            s.sendall(sent)
            while s.recv(100):
                pass
        except ConnectionError:
            pass
    ended_for(running, authority, reason)


def test_handshakes_in_flight_are_bounded(daemon, authority):
    """Who has waited longest goes; who comes later, and is honest, is served."""
    running = daemon(tls(authority.issue("ec"), handshake_timeout="30s"), tcp(),
                     limits={"handshakes": 8}, workers=1)
    sockets = [plain_connect(running) for _ in range(20)]
    try:
        assert tcp_ask(running.listeners[1], b"others") == b"OTHERS"
        assert ask_tls(running.listeners[0], context_for(authority)) == b"STRASSE"
        ended_for(running, authority, "tls_crowded")
    finally:
        for s in sockets:
            s.close()


def test_a_crowd_at_one_listener_does_not_lock_the_others_out(daemon, authority):
    """The oldest handshake of all gives way, although it is another listener's."""
    pair = authority.issue("ec")
    running = daemon(tls(pair), tls(pair, name="crowded", handshake_timeout="60s"),
                     limits={"handshakes": 8}, workers=1)
    sockets = [plain_connect(running, 1) for _ in range(8)]
    process.wait_until(lambda: status_of(running)["connections"] == 8, what="the crowd")
    try:
        for _ in range(4):
            assert ask_tls(running.listeners[0], context_for(authority)) == b"STRASSE"
        assert running.expect("peer-ended", reason="tls_crowded")["listener"] == "crowded"
    finally:
        for s in sockets:
            s.close()


def test_one_who_crowds_again_and_again_is_turned_away(daemon, authority):
    running = daemon(tls(authority.issue("ec"), handshake_timeout="60s"),
                     limits={"handshakes": 4, "exempt": []}, workers=1)
    sockets = []
    try:
        with contextlib.suppress(OSError):
            for _ in range(20):
                sockets.append(plain_connect(running))
        running.expect("peer-refused", reason="penalty")
        clients = json.loads(subprocess.run(
            [UPPERCTL, "-s", running.folder / "control", "--json", "clients"],
            stdout=subprocess.PIPE, check=True, timeout=60).stdout)
        assert clients["clients"][0]["offences"] >= 4
    finally:
        for s in sockets:
            s.close()


# After it


@pytest.mark.parametrize("answer", [False, True], ids=["plain", "answer-wanted"])
def test_key_updates_without_data_end_it(raw, running, authority, answer):
    raw.send_many(20, lambda: raw.update_key(answer))
    assert raw.is_ended()
    ended_for(running, authority, "tls_keyupdates")


def test_key_updates_with_data_between_are_fine(raw, running):
    for _ in range(60):
        raw.update_key()
        raw.send(rawtls.DATA, b"a")
    raw.send(rawtls.ALERT, b"\x01\x00")  # close_notify
    assert raw.is_ended()
    assert not running.records("peer-ended")


def test_empty_records_without_data_end_it(raw, running, authority):
    raw.send_many(40, lambda: raw.send(rawtls.DATA, b""))
    assert raw.is_ended()
    ended_for(running, authority, "tls_empty_records")


def test_warnings_without_data_end_it(raw, running, authority):
    raw.send_many(8, lambda: raw.send(rawtls.ALERT, b"\x01\x5a"))  # user_canceled
    assert raw.is_ended()
    ended_for(running, authority, "tls_alerts")


def test_a_record_that_was_tampered_with_ends_it(raw, running, authority):
    raw.key = bytes(32)
    raw.send(rawtls.DATA, b"hello")
    assert raw.is_ended()
    ended_for(running, authority, "tls_failed")


# The counters say the same


def test_reasons_are_counted(running):
    with plain_connect(running) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            s.recv(100)
    running.expect("peer-ended", reason="tls_garbage")
    status = json.loads(subprocess.run(
        [UPPERCTL, "-s", str(running.folder / "control"), "--json", "status"],
        capture_output=True, check=True).stdout)
    (listener,) = status["listeners"]
    assert listener["reasons"]["tls_garbage"] == 1
