# SPDX-License-Identifier: Apache-2.0
"""Before a cookie is shown: who is asked for one, how long the question is, and whom a cookie is good for."""

import os
import shutil
import threading

import pytest

import forge
import process
from ctl import reasons_of
from dtls import (CLIENT_HELLO, COOKIE, HANDSHAKE, Hello, Session, ask, client_socket, cookie_of, dtls,
                  message, record)
from pki import Authority

pytestmark = pytest.mark.usefixtures("with_tls")

SERVER_HELLO = 2
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki")).issue("ec")


@pytest.fixture
def server(daemon, pair):
    return lambda **keys: daemon(dtls(pair, **keys)).listeners[0]


def kind_of(answer):
    return answer[13] if answer and answer[0] == HANDSHAKE else None


def cookie_for(s, hello):
    return cookie_of(ask(s, hello.datagram()))


def test_the_question_is_as_it_has_to_be(server):
    with client_socket(server()) as s:
        answer = ask(s, Hello().datagram(sequence=0x010203))
    assert answer[:13] == bytes.fromhex("16feff" "0000" "000000010203") + (len(answer) - 13).to_bytes(2, "big")
    assert len(cookie_of(answer)) == COOKIE
    assert answer[25:27] == b"\xfe\xff"


def test_the_question_is_never_longer_than_the_shortest_hello(server):
    body = b"\xfe\xfd" + os.urandom(32) + b"\0" + b"\0" + b"\0\2\xc0\x2b" + b"\1\0"
    shortest = record(HANDSHAKE, message(CLIENT_HELLO, body))
    with client_socket(server()) as s:
        assert 0 < len(ask(s, shortest)) <= len(shortest)


def test_a_good_cookie_begins_a_session(server):
    hello = Hello()
    with client_socket(server()) as s:
        assert kind_of(ask(s, hello.datagram(cookie_for(s, hello)))) == SERVER_HELLO


@pytest.mark.parametrize("how", ["other-port", "other-random", "other-ciphers", "first-message",
                                 "garbled", "short", "long", "made-up"])
def test_a_cookie_is_good_for_one_client_and_one_hello(server, how):
    at, hello, number = server(), Hello(), None
    with client_socket(at) as s, client_socket(at) as other:
        cookie = cookie_for(s, hello)
        if how == "other-port":
            s = other
        elif how == "other-random":
            hello = Hello()
        elif how == "other-ciphers":
            hello = Hello(hello.random, suites=(0xc02b,))
        elif how == "first-message":
            number = 0
        elif how == "garbled":
            cookie = cookie[:-1] + bytes([cookie[-1] ^ 1])
        elif how == "short":
            cookie = cookie[:-1]
        elif how == "long":
            cookie += b"x"
        elif how == "made-up":
            cookie = bytes(COOKIE)
        again = cookie_of(ask(s, hello.datagram(cookie, number=number)))
        assert again
        assert kind_of(ask(s, hello.datagram(again))) == SERVER_HELLO


def test_a_cookie_is_not_good_for_another_address(server):
    at, hello = server(address="0.0.0.0"), Hello()
    to = {**at, "address": HERE}
    with client_socket(to, ("127.0.0.2", 0)) as s:
        cookie, port = cookie_for(s, hello), s.getsockname()[1]
    with client_socket(to, ("127.0.0.3", port)) as s:
        assert cookie_of(ask(s, hello.datagram(cookie)))


def test_a_cookie_is_good_across_a_reload(daemon, pair):
    running, hello = daemon(dtls(pair)), Hello()
    with client_socket(running.listeners[0]) as s:
        cookie = cookie_for(s, hello)
        running.reload()
        assert kind_of(ask(s, hello.datagram(cookie))) == SERVER_HELLO


@pytest.mark.parametrize("what", ["nothing", "text", "a-byte", "a-cut-hello", "data", "alert", "tls",
                                  "a-piece", "two-hellos", "ssl3"])
def test_nothing_else_is_answered(server, what):
    hello = Hello().datagram()
    data = {
        "nothing": b"",
        "text": b"hello",
        "a-byte": b"\x16",
        "a-cut-hello": hello[:-1],
        "data": record(23, os.urandom(40), epoch=1, version=0xfefd),
        "alert": record(21, b"\1\0"),
        "tls": b"\x16\3\1" + hello[11:],
        "a-piece": record(HANDSHAKE, message(CLIENT_HELLO, Hello().body()[:60], length=120)),
        "two-hellos": hello + hello,
        "ssl3": b"\x80\x2e\1\3\1" + bytes(60),
    }[what]
    with client_socket(server()) as s:
        assert ask(s, data, seconds=0.3) is None
        assert cookie_for(s, Hello())


def test_a_hello_in_pieces_is_counted(daemon, pair):
    running = daemon(dtls(pair))
    with client_socket(running.listeners[0]) as s:
        s.send(record(HANDSHAKE, message(CLIENT_HELLO, Hello().body()[:60], length=120)))
        running.expect("peer-refused", reason="dtls_piece")
        assert cookie_for(s, Hello())


def test_who_asks_too_often_is_not_answered_and_sessions_are(daemon, pair):
    """The rate is for those who have shown nothing; who has a session is held to none."""
    running = daemon(dtls(pair), limits={"exempt": [], "datagrams": 10})
    at = running.listeners[0]
    with Session(at) as session, client_socket(at) as s:
        session.ask("first")
        for _ in range(60):
            s.send(Hello().datagram())
        running.expect("peer-refused", reason="rate")
        for number in range(60):
            session.ask(f"line {number}")
    assert reasons_of(running)["rate"] >= 20


def test_dry_run_only_tells(daemon, pair):
    running = daemon(dtls(pair), limits={"exempt": [], "datagrams": 1, "dry_run": True})
    with client_socket(running.listeners[0]) as s:
        for _ in range(30):
            assert cookie_for(s, Hello())
    assert reasons_of(running)["rate"] > 10


# From forged addresses, in a network of their own


@pytest.fixture
def forged(start, as_root, pair):
    if not shutil.which("ip"):
        pytest.skip("iproute2 is not installed")

    def start_there(device="lo", **settings):
        running = start(dtls(pair, address="0.0.0.0"), before=forge.new_network, **settings)
        running.expect("ready")
        with forge.network_of(running.pid):
            return running, forge.raw_socket(), forge.Wire(device)

    return start_there


@pytest.mark.parametrize("source", [0, 7, 53, 1023, "its own"])
def test_ports_of_services_are_not_answered(forged, source):
    running, raw, wire = forged()
    port = running.listeners[0]["port"]
    forge.forge(raw, (HERE, port if source == "its own" else source), (HERE, port), Hello().datagram())
    forge.forge(raw, (HERE, 1024), (HERE, port), Hello().datagram())
    answered = [packet[1] for packet in wire.settle() if packet[0] == port and packet[1] != port]
    assert answered == [1024]
    assert {found.get("reason") for found in running.records("peer-refused")} == {"port"}


@pytest.mark.plain
def test_a_flood_from_forged_addresses_costs_no_memory(forged):
    """Answers are no longer than what was sent, and an honest client goes on."""
    running, raw, wire = forged("d0", workers=1, limits={"datagrams": 1000000})
    port, worker = running.listeners[0]["port"], running.workers()[0]
    sources = [(f"10.9.{i // 200 + 1}.{i % 200 + 1}", 2000 + i) for i in range(10000)]
    hello = Hello().datagram()
    with forge.network_of(running.pid):
        # Each with a cookie that is not good, which costs the most.
        forge.flood(raw, sources, ("10.9.0.1", port), Hello().datagram(bytes(COOKIE)), 20000, 1)
        before = process.memory_of(worker)
        end = threading.Event()
        asked = []

        def be_honest():
            with forge.network_of(running.pid):
                with Session({"address": HERE, "port": port}) as session:
                    while not end.is_set():
                        session.ask(f"line {len(asked)}", times=20)
                        asked.append(1)

        honest = threading.Thread(target=be_honest)
        honest.start()
        sent, _ = forge.flood(raw, sources, ("10.9.0.1", port), hello, 20000, 3)
        end.set()
        honest.join()
    after = process.memory_of(worker)
    print(f"{sent} hellos, memory {before} -> {after}, {len(asked)} honest lines")
    assert sent > 1000
    assert asked
    assert after - before < 1 << 20
    assert running.children("worker")[0] == worker
