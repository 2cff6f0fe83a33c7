# SPDX-License-Identifier: Apache-2.0
"""No reflector and no loop: which datagrams are never answered, and where a conversation of two servers
ends. Everything forged stays in a network namespace that the daemon has to itself."""

import collections
import os
import shutil
import signal
import socket
import threading

import pytest

import forge
import process
from ctl import reasons_of
from settings import udp
from wire import udp_ask, udp_socket

HERE = "127.0.0.1"


@pytest.fixture
def forged(start, as_root, unsharing):
    """Starts a daemon in a network of its own; returns it, a raw socket there, and what goes over lo."""
    if not shutil.which("ip"):
        pytest.skip("iproute2 is not installed")

    def start_there(*listeners, **settings):
        d = start(*listeners, before=forge.new_network, **settings)
        d.expect("ready")  # the abstract address of the manager is not in that network
        with forge.network_of(d.pid):
            return d, forge.raw_socket(), forge.Wire()

    return start_there


def answers(wire, port):
    return [packet for packet in wire.settle() if packet[0] == port]


def reasons(*daemons):
    return {found.get("reason") for d in daemons for found in d.records("peer-refused")}


def is_refused_for(d, *expected):
    """For these reasons and no other; the log is heard a moment later than the wire."""
    d.wait_for(lambda: reasons(d) >= set(expected), f"refusal for {expected}")
    return reasons(d) == set(expected)


@pytest.mark.parametrize("port", [0, 7, 19, 53, 1023])
def test_ports_of_services_are_not_answered(forged, port):
    d, raw, wire = forged(udp())
    here = (HERE, d.listeners[0]["port"])
    forge.forge(raw, (HERE, port), here, b"hello")
    assert is_refused_for(d, "port")
    assert not answers(wire, here[1])


def test_next_port_is_answered(forged):
    d, raw, wire = forged(udp())
    here = (HERE, d.listeners[0]["port"])
    forge.forge(raw, (HERE, 1024), here, b"hello")
    wire.wait_for(2)
    assert answers(wire, here[1]) == [(here[1], 1024, b"HELLO")]


def test_own_ports_are_not_answered(forged):
    d, raw, wire = forged(udp(name="a"), udp(name="b"))
    one, two = (listener["port"] for listener in d.listeners)
    forge.forge(raw, (HERE, one), (HERE, one), b"to itself")
    forge.forge(raw, (HERE, one), (HERE, two), b"to its brother")
    assert is_refused_for(d, "port")
    assert len(wire.settle()) == 2


@pytest.mark.parametrize("source", ["224.0.0.1", "239.1.2.3", "255.255.255.255", "10.9.255.255"])
def test_sources_that_are_many_are_not_answered(forged, source):
    d, raw, wire = forged(udp(address="0.0.0.0"))
    here = ("10.9.0.1", d.listeners[0]["port"])
    forge.forge(raw, (source, 5000), here, b"hello")
    assert not answers(wire, here[1])


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
@pytest.mark.parametrize("target", ["10.9.255.255", "255.255.255.255", "224.0.0.1"])
def test_what_is_sent_to_many_is_not_answered(forged, address, target):
    d, _, wire = forged(udp(address=address))
    port = d.listeners[0]["port"]
    with forge.network_of(d.pid), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.9.0.1"))
        s.bind(("10.9.0.1", 0))
        s.sendto(b"hello", (target, port))
        s.sendto(b"after", ("10.9.0.1", port))
        s.settimeout(5)
        assert s.recv(100) == b"AFTER"
        s.settimeout(0.3)
        with pytest.raises(TimeoutError):
            s.recv(100)
    if target != "224.0.0.1":  # which the kernel gives to members alone
        assert is_refused_for(d, "multicast")
    assert not answers(wire, port)[1:]


@pytest.mark.parametrize("words", [b"ECHO", b"echo", "stra\u00dfe".encode()])
def test_two_daemons_fall_silent(forged, start, words):
    one, raw, wire = forged(udp())
    two = start(udp(), before=lambda: forge.join_network(one.pid))
    two.expect("ready")
    a, b = ((HERE, d.listeners[0]["port"]) for d in (one, two))
    forge.forge(raw, a, b, words)
    process.wait_until(lambda: "loop" in reasons(one, two), what="the end of the loop")
    assert 3 < len(wire.settle(seconds=3)) <= 32


def test_an_echo_server_is_left_alone(forged):
    d, raw, wire = forged(udp())
    here = (HERE, d.listeners[0]["port"])
    with forge.network_of(d.pid):
        echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind((HERE, 5007))
    echo.settimeout(20)

    def serve():
        while True:
            try:
                data, peer = echo.recvfrom(100)
            except OSError:
                return
            echo.sendto(data, peer)

    threading.Thread(target=serve, daemon=True).start()
    forge.forge(raw, (HERE, 5007), here, b"ECHO")
    assert is_refused_for(d, "loop")
    assert 3 < len(wire.settle(seconds=3)) <= 32


@pytest.mark.parametrize("n", [2, 50, 1000])
def test_many_loops_at_once_are_all_ended(forged, start, n):
    """Of different contents, between the same two; each has its own row, and the first row that is full
    silences the pair."""
    one, raw, wire = forged(udp())
    two = start(udp(), before=lambda: forge.join_network(one.pid))
    two.expect("ready")
    a, b = ((HERE, d.listeners[0]["port"]) for d in (one, two))
    for i in range(n):
        forge.forge(raw, a, b, b"LOOP %d" % i)
    process.wait_until(lambda: "loop" in reasons(one, two), what="the end of a loop")
    seen = list(wire.settle(seconds=5))
    rounds = collections.Counter(text for _, _, text in seen)
    print(f"{len(seen)} datagrams, at most {max(rounds.values())} of a loop")
    assert max(rounds.values()) > 3 and max(rounds.values()) <= 32
    assert len(wire.settle(seconds=1)) == len(seen)


def test_an_acknowledging_and_an_upper_casing_server_fall_silent(forged, start):
    one, raw, wire = forged(udp(service="acknowledge", amplification=10.0))
    two = start(udp(), before=lambda: forge.join_network(one.pid))
    two.expect("ready")
    a, b = ((HERE, d.listeners[0]["port"]) for d in (one, two))
    forge.forge(raw, b, a, b"hello there")
    wire.wait_for(4)
    assert 3 < len(wire.settle(seconds=3)) <= 40


def test_a_silenced_pair_hears_nothing_and_others_do(daemon):
    d = daemon(udp())
    with udp_socket(d.listeners[0]) as s:
        for i in range(15):
            s.send(b"SAME")
            assert s.recv(100) == b"SAME"
        s.send(b"SAME")
        s.send(b"different")
        assert udp_ask(d.listeners[0], b"another") == b"ANOTHER"
        s.settimeout(0.3)
        with pytest.raises(TimeoutError):
            s.recv(100)
    assert is_refused_for(d, "loop", "silenced")


def test_different_ones_are_no_loop(daemon):
    d = daemon(udp())
    with udp_socket(d.listeners[0]) as s:
        for i in range(100):
            s.send(b"%d" % i)
            assert s.recv(100) == b"%d" % i


GROWING = [chr(c) for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000
           and len(chr(c).upper().encode()) > len(chr(c).encode())]
STEADY = [chr(c) for c in range(0x20, 0x110000) if not 0xD800 <= c < 0xE000
          and len(chr(c).upper().encode()) <= len(chr(c).encode())]


def answer_or_none(s, text):
    """What comes back for `text`, or None when what is asked after it comes first."""
    s.send(text.encode())
    s.send(b"after")
    answer = s.recv(65536).decode()
    if answer == "AFTER":
        return None
    assert s.recv(100) == b"AFTER"
    return answer


@pytest.mark.parametrize("most", [1.0, 1.5, 3.0])
def test_every_character_that_grows_is_held_to_amplification(daemon, most):
    d = daemon(udp(amplification=most), limits={"unchanged": 1000000})
    refused = 0
    with udp_socket(d.listeners[0]) as s:
        for c in GROWING:
            for text in (c, "aa" + c, 10 * c):
                is_within = len(text.upper().encode()) <= int(most * len(text.encode()))
                assert answer_or_none(s, text) == (text.upper() if is_within else None), repr(text)
                refused += not is_within
    print(f"{len(GROWING)} characters grow; {refused} of {3 * len(GROWING)} texts refused at {most}")
    assert (refused == 0) == (most == 3.0)


def test_no_other_character_grows(daemon):
    d = daemon(udp(amplification=1.0))
    text = "".join(STEADY)
    with udp_socket(d.listeners[0]) as s:
        for at in range(0, len(text), 10000):
            s.send(text[at:at + 10000].encode())
            assert s.recv(65536).decode() == text[at:at + 10000].upper()


def is_answered(listener):
    """Now: while the buffer is full, the system loses what is asked."""
    with udp_socket(listener) as s:
        s.settimeout(0.5)
        s.send(b"next")
        try:
            return s.recv(100) == b"NEXT"
        except TimeoutError:
            return False


def test_what_the_system_loses_is_counted_once(daemon):
    d = daemon(udp(), workers=1)
    worker = d.workers()[0]
    with udp_socket(d.listeners[0]) as s:
        os.kill(worker, signal.SIGSTOP)
        for _ in range(200):
            s.send(b"x" * 60000)
        os.kill(worker, signal.SIGCONT)
    process.wait_until(lambda: is_answered(d.listeners[0]), what="an answer")
    d.expect("peer-refused", reason="overflow")
    lost = reasons_of(d)["overflow"]
    assert 0 < lost < 200
    d.reload()
    assert udp_ask(d.listeners[0], b"hello") == b"HELLO"
    assert reasons_of(d)["overflow"] == lost


@pytest.mark.long
def test_refusals_are_one_record_each_way(daemon):
    d = daemon(udp())
    with udp_socket(d.listeners[0]) as s:
        for i in range(100):
            s.send(b"")
        s.send(b"after")
        assert s.recv(100) == b"AFTER"
    assert "100 refused" in d.expect("peers-served", reason="empty")["message"]
    assert len(d.records("peer-refused")) == 1
