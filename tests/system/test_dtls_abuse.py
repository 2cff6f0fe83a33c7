# SPDX-License-Identifier: Apache-2.0
"""What is done to sessions of DTLS: replays, garbage, forgeries, silence, crowds; and who comes again."""

import contextlib
import os
import socket

import pytest

import forge
import process
from ctl import reasons_of, status_of
from dtls import Hello, Session, Tap, ask, client_socket, cookie_of, dtls, many_clients, message, record
from pki import Authority
from secure import tls
from settings import free_port

pytestmark = pytest.mark.usefixtures("with_tls")

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki")).issue("ec")


def count(running, name):
    return status_of(running)["listeners"][0].get(name, 0)


def begin(at, hello=None, source=None):
    """A client that has shown its cookie, has heard the first of the answer, and says no more."""
    hello = hello or Hello()
    s = client_socket(at, source)
    answer = ask(s, hello.datagram(cookie_of(ask(s, hello.datagram()))))
    assert answer is None or answer[13] == 2
    return s


# Replays and garbage


def test_replayed_records_change_nothing(daemon, pair):
    running = daemon(dtls(pair))
    tap = Tap(running.listeners[0])
    with Session(tap.at) as session:
        session.ask("one")
        session.ask("two")
        before = count(running, "messages")
        tap.replay(*tap.sent, *reversed(tap.sent))
        session.ask("three")
        assert count(running, "messages") == before + 1
        assert count(running, "connections") == 1
    assert reasons_of(running)["dtls_replayed"] >= 2
    assert count(running, "closed") == 1
    tap.close()


@pytest.mark.parametrize("kind", [20, 21, 22, 23])
@pytest.mark.parametrize("suite", [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES256-CCM", "ECDHE-ECDSA-AES256-CCM8:@SECLEVEL=0", "ECDHE-ECDSA-ARIA128-GCM-SHA256",
    "ECDHE-ECDSA-ARIA256-GCM-SHA384"])
def test_records_that_no_peer_can_have_sent_never_reach_the_library(daemon, pair, kind, suite):
    """Too short for the cipher, or of an epoch that there is no way to: anybody can forge them."""
    running = daemon(dtls(pair, more={"ciphers": suite}))
    tap = Tap(running.listeners[0])
    shortest = 16 if "CHACHA20" in suite or "CCM8" in suite else 24
    with Session(tap.at, "-cipher", suite) as session:
        session.ask("one")
        short = [record(kind, b"x" * n, 1000 + n, 1, 0xfefd) for n in range(shortest)]
        later = [record(kind, b"x" * 64, n, epoch, 0xfefd) for n, epoch in enumerate((2, 3, 255, 65535))]
        tap.replay(*short, *later)
        tap.replay(b"".join(short[1:]))
        session.ask("two", times=3)
        assert count(running, "connections") == 1
        reasons = reasons_of(running)
        # The empty one is refused before it comes to a session, and what comes behind it.
        assert reasons["dtls_forged"] == 2 * (len(short) - 1) + len(later)
        assert reasons["tls_garbage"] == 1
    tap.close()


def test_a_forged_record_beside_an_honest_one_takes_nothing_along(daemon, pair):
    running = daemon(dtls(pair))
    tap = Tap(running.listeners[0], before=record(23, b"xxx", 7, 1, 0xfefd))
    with Session(tap.at) as session:
        session.ask("one")
        session.ask("two")
    assert count(running, "messages") == 2
    assert reasons_of(running)["dtls_forged"] >= 2
    tap.close()


def test_a_hello_that_is_replayed_in_a_reload_steals_no_session(daemon, pair):
    running = daemon(dtls(pair), drain="60s")
    tap = Tap(running.listeners[0])
    with Session(tap.at) as session:
        session.ask("one")
        running.reload()
        for _ in range(3):
            tap.replay(*tap.sent)
            session.ask("again")
    assert count(running, "connections") == 1
    tap.close()


def garbled(datagram):
    """With each byte of it changed, each end of it cut, and something behind it."""
    for i in range(len(datagram)):
        yield datagram[:i] + bytes([datagram[i] ^ 0xff]) + datagram[i + 1:]
        yield datagram[:i + 1]
    yield datagram + b"\0"
    yield datagram + os.urandom(100)


def test_garbled_records_change_nothing(daemon, pair):
    running = daemon(dtls(pair))
    tap = Tap(running.listeners[0])
    with Session(tap.at) as session:
        session.ask("one")
        before = count(running, "messages")
        tap.replay(*garbled(tap.sent[-1]))
        tap.replay(*(os.urandom(n) for n in range(1, 200)))
        tap.replay(*(record(kind, os.urandom(60), sequence=1000 + kind, epoch=epoch, version=0xfefd)
                     for kind in range(18, 26) for epoch in range(3)))
        session.ask("two")
        assert count(running, "messages") == before + 1
        assert count(running, "connections") == 1
        assert count(running, "closed") == 0
    tap.close()


def test_forged_datagrams_do_not_end_a_session(daemon, pair, as_root):
    """A hello, an alert and garbage in the name of a client that has a session."""
    running, port = daemon(dtls(pair)), free_port()
    at = running.listeners[0]
    to = (HERE, at["port"])
    with Session(at, "-bind", f"{HERE}:{port}") as session, forge.raw_socket() as raw:
        session.ask("one")
        for data in (Hello().datagram(), Hello().datagram(bytes(32)), record(21, b"\2\x28"),
                     record(21, b"\1\0"), record(21, b"\2\x28", epoch=1), b"x"):
            forge.forge(raw, (HERE, port), to, data)
        session.ask("two")
    assert reasons_of(running)["done"] == 1


def test_a_handshake_that_is_spoilt_is_not_held_against_the_client(daemon, pair):
    """Whoever can forge a datagram in its name can spoil it."""
    running = daemon(dtls(pair), limits={"exempt": [], "datagrams": 1000})
    at = running.listeners[0]
    for _ in range(8):
        with begin(at) as s:
            s.send(record(22, message(16, b"rubbish", 2), sequence=2, version=0xfefd))
    running.wait_for(lambda: count(running, "closed") == 8, "the end of all")
    with Session(at) as session:
        session.ask("and still")
    assert not running.records("peer-refused", reason="penalty")


# Who comes again, and who goes


def test_who_comes_again_from_the_same_port_takes_its_own_place(daemon, pair):
    running, port = daemon(dtls(pair), log={"access": True}), free_port()
    at, source = running.listeners[0], ("-bind", f"{HERE}:{port}")
    with Session(at, *source) as first:
        first.ask("one")
        first.vanish()
    with Session(at, *source) as second:
        second.ask("two")
        assert running.expect("access")["reason"] == "dtls_replaced"
        second.ask("three")
    assert status_of(running)["connections"] == 0


def test_a_goodbye_is_answered(daemon, pair):
    running = daemon(dtls(pair), log={"access": True})
    tap = Tap(running.listeners[0])
    session = Session(tap.at)
    session.ask("one")
    before = len(tap.lengths)
    assert session.end() == 0
    assert running.expect("access")["reason"] == "done"
    running.wait_for(lambda: len(tap.lengths) > before, "a goodbye")
    tap.close()


def test_who_goes_without_a_word_is_idle_in_the_end(daemon, pair):
    """And nothing but itself keeps it alive."""
    running = daemon(dtls(pair, idle_timeout="1s"), log={"access": True})
    tap = Tap(running.listeners[0])
    with Session(tap.at) as session:
        session.ask("one")
        session.vanish()
    while not running.records("access"):
        tap.replay(tap.sent[-1], os.urandom(50))
        running.ears.heard.acquire()
        running.ears.heard.wait(0.1)
        running.ears.heard.release()
    ended = running.expect("access")
    assert ended["reason"] == "idle"
    tap.close()


def test_who_begins_and_says_no_more_is_reminded_and_then_forgotten(daemon, pair):
    running = daemon(dtls(pair, handshake_timeout="2500ms"), log={"access": True})
    with begin(running.listeners[0]) as s:
        flights = 0
        s.settimeout(0.2)
        while not running.records("access"):
            try:
                flights += s.recv(65536)[13] == 2
            except TimeoutError:
                pass
        assert flights >= 1
    assert running.expect("access")["reason"] == "handshake"
    assert status_of(running)["connections"] == 0


# Crowds


def test_a_crowd_that_never_finishes_makes_room(daemon, pair):
    running = daemon(dtls(pair), limits={"handshakes": 4}, workers=1)
    at = running.listeners[0]
    crowd = [begin(at) for _ in range(4)]
    with Session(at) as session:
        session.ask("in the end")
    assert reasons_of(running)["tls_crowded"] >= 1
    assert reasons_of(running)["dtls_full"] >= 1
    for s in crowd:
        s.close()


def test_a_crowd_over_tls_makes_room_for_dtls(daemon, pair):
    running = daemon(dtls(pair), tls(pair, handshake_timeout="60s"), limits={"handshakes": 4}, workers=1)
    at, crowded = running.listeners
    crowd = [socket.create_connection((crowded["address"], crowded["port"]), timeout=30)
             for _ in range(4)]
    process.wait_until(lambda: status_of(running)["connections"] == 4, what="the crowd")
    with Session(at) as session:
        session.ask("in the end")
    assert running.expect("peer-ended", reason="tls_crowded")["listener"] == "tls"
    for s in crowd:
        s.close()


@pytest.mark.long
def test_one_who_crowds_over_dtls_again_and_again_is_turned_away(daemon, pair):
    running = daemon(dtls(pair, handshake_timeout="60s"),
                     limits={"handshakes": 1, "exempt": []}, workers=1)
    crowd = []

    def is_turned_away():
        with contextlib.suppress(AssertionError, TimeoutError):
            crowd.append(begin(running.listeners[0]))
        return reasons_of(running)["penalty"] > 0

    process.wait_until(is_turned_away, 60, what="a penalty")
    assert reasons_of(running)["tls_crowded"] >= 4
    for s in crowd:
        s.close()


@pytest.mark.parametrize("own", [False, True], ids=["all-listeners", "its-own"])
def test_no_more_are_open_than_may_be(daemon, pair, own):
    running = daemon(dtls(pair, connections=2)) if own else daemon(dtls(pair), limits={"connections": 2})
    at = running.listeners[0]
    with Session(at) as one, Session(at) as two:
        one.ask("one")
        two.ask("two")
        begin(at).close()
        running.expect("peer-refused", reason="dtls_full")
    many_clients(at, 1, 10)


def test_no_client_has_more_than_its_share(daemon, pair):
    running = daemon(dtls(pair), limits={"exempt": [], "per_client": 2, "datagrams": 1000})
    at = running.listeners[0]
    with Session(at) as one, Session(at) as two:
        one.ask("one")
        two.ask("two")
        begin(at).close()
        running.expect("peer-refused", reason="per_client")
    running.wait_for(lambda: status_of(running)["connections"] == 0, "the end of both")
    many_clients(at, 2, 10)
