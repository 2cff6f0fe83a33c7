# SPDX-License-Identifier: Apache-2.0
"""What one client may have, and that others get theirs beside it."""

import collections
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import threading
import time

import pytest

import forge
import process
from ctl import reasons_of, upperctl
from settings import tcp, udp
from wire import Background, connect, read_exactly, udp_socket


def limits(**keys):
    return {"limits": {"exempt": [], **keys}}


def ask_many(d, n, text="hello %d"):
    """How many of `n` datagrams, sent at once from one socket, are answered, and how many seconds it
    took until each was either answered or refused."""
    begun, before = time.monotonic(), sum(reasons_of(d).values())
    with udp_socket(d.listeners[0]) as s:
        for i in range(n):
            s.send((text % i).encode())
        s.settimeout(0.1)
        answers = 0

        def are_all_decided():
            nonlocal answers
            refused = sum(reasons_of(d).values()) - before
            with contextlib.suppress(TimeoutError):
                while answers < n and s.recv(100):
                    answers += 1
            return answers == n or answers + refused >= n

        process.wait_until(are_all_decided, what="an end of each datagram")
        return answers, time.monotonic() - begun


def test_burst_is_twice_the_rate(daemon):
    d = daemon(udp(), **limits(datagrams=20))
    answered, took = ask_many(d, 200)
    assert 40 <= answered <= 40 + 20 * took + 1
    d.expect("peer-refused", reason="rate")


def test_unchanged_ones_have_a_rate_of_their_own(daemon):
    d = daemon(udp(), **limits(datagrams=1000))
    answered, took = ask_many(d, 500, "%d")
    assert 100 <= answered <= 100 + 50 * took + 1
    d.expect("peer-refused", reason="unchanged")


def test_a_pinger_with_numbered_lines_is_answered(daemon):
    """What has no lower case comes back as it was sent: digits, capitals, most of the world's writing."""
    d = daemon(udp(), **limits())
    with udp_socket(d.listeners[0]) as s:
        for i in range(60):
            s.send(b"%d" % i)
            assert s.recv(100) == b"%d" % i
    assert reasons_of(d)["unchanged"] == 0


def test_rate_holds_for_all_sockets_of_a_client(daemon):
    """Ten sockets, for which any of four workers may answer."""
    d = daemon(udp(), workers=4, **limits(datagrams=20))
    begun = time.monotonic()
    answered = sum(ask_many(d, 20)[0] for _ in range(10))
    assert 40 <= answered <= 40 + 20 * (time.monotonic() - begun) + 20


def test_exempt_clients_have_no_rate(daemon):
    d = daemon(udp(), limits={"datagrams": 1})
    assert ask_many(d, 100)[0] == 100


def test_dry_run_only_tells(daemon):
    d = daemon(udp(), **limits(datagrams=1, unchanged=1, dry_run=True))
    assert ask_many(d, 100)[0] == 100
    assert "would be" in d.expect("peer-refused", reason="rate")["message"]


def test_listener_has_a_limit_of_its_own(daemon):
    """In all workers together; who comes too many waits, and other listeners take no notice."""
    d = daemon(tcp(name="small", connections=3), tcp(), workers=2)
    inside = [connect(d.listeners[0]) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for s in inside:
            stack.enter_context(s)
            assert answers(s)
        waiting = stack.enter_context(connect(d.listeners[0]))
        waiting.sendall(b"hello")
        paused = d.expect("accept-paused", reason="limit")
        assert paused["listener"] == "small"
        with connect(d.listeners[1]) as other:
            assert answers(other)
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(5)
        assert all(answers(s) for s in inside)
        assert not [name for name in clients_of(d) if name.startswith("ff")]

        inside[1].close()
        waiting.settimeout(20)
        assert read_exactly(waiting, 5) == b"HELLO"
        assert all(answers(s) for s in (inside[0], inside[2]))


def test_listener_is_counted_right_when_a_worker_dies(daemon):
    d = daemon(tcp(connections=2), workers=1)
    for _ in range(3):
        with connect(d.listeners[0]) as one, connect(d.listeners[0]) as other:
            assert answers(one) and answers(other)
            since = d.mark()
            os.kill(d.workers()[0], signal.SIGKILL)
            d.killed += 1
            d.expect("child-started", since=since)


def clients_of(d):
    return {row["client"]: row for row in json.loads(upperctl(d, "clients"))["clients"]}


def answers(s, word=b"a"):
    s.sendall(word)
    return read_exactly(s, len(word)) == word.upper()


def is_turned_away(listener):
    with connect(listener) as s:
        try:
            s.sendall(b"a")
            return s.recv(10) == b""
        except ConnectionError:
            return True


def test_client_has_so_many_connections_over_all_workers(daemon):
    d = daemon(tcp(), workers=4, **limits(per_client=8))
    with contextlib.ExitStack() as open_ones:
        for _ in range(8):
            assert answers(open_ones.enter_context(connect(d.listeners[0])))
        for _ in range(20):
            assert is_turned_away(d.listeners[0])
        assert clients_of(d)["127.0.0.1/32"]["open"] == 8
    process.wait_until(lambda: not clients_of(d), what="the end of its connections")
    assert not is_turned_away(d.listeners[0])
    d.expect("peer-refused", reason="per_client")


def test_exempt_clients_have_as_many_as_they_like(daemon):
    d = daemon(tcp(), limits={"per_client": 1})
    with connect(d.listeners[0]) as one, connect(d.listeners[0]) as two:
        assert answers(one) and answers(two)


def test_dry_run_lets_everybody_in(daemon):
    d = daemon(tcp(), **limits(per_client=1, dry_run=True))
    with connect(d.listeners[0]) as one, connect(d.listeners[0]) as two:
        assert answers(one) and answers(two)
    assert "would be" in d.expect("peer-refused", reason="per_client")["message"]


def test_worker_that_dies_takes_its_count_with_it(daemon):
    d = daemon(tcp(), workers=1, **limits(per_client=4))
    with contextlib.ExitStack() as open_ones:
        for _ in range(4):
            assert answers(open_ones.enter_context(connect(d.listeners[0])))
        since = d.mark()
        os.kill(d.workers()[0], signal.SIGKILL)
        d.killed += 1
        d.expect("child-started", since)
        assert not clients_of(d)
        process.wait_until(lambda: not is_turned_away(d.listeners[0]), what="a new worker")


def test_who_breaks_the_rules_again_and_again_is_turned_away(daemon):
    d = daemon(tcp(framing="line", max_line=10), **limits())

    def offend():
        with connect(d.listeners[0]) as s, contextlib.suppress(ConnectionError):
            s.sendall(b"a" * 100)
            s.recv(10)

    for _ in range(6):
        offend()  # each may be judged a moment after its end, and the next be let in
    process.wait_until(lambda: is_turned_away(d.listeners[0]), what="a penalty")
    d.expect("peer-refused", reason="penalty")
    assert clients_of(d)["127.0.0.1/32"]["offences"] >= 4
    assert json.loads(upperctl(d, "clients", "clear")) == {"forgiven": 1}
    with connect(d.listeners[0]) as s:
        assert answers(s, b"a\n")


@pytest.mark.plain
def test_flood_from_a_network_is_answered_within_its_bounds(start, as_root, unsharing):
    if not shutil.which("ip"):
        pytest.skip("iproute2 is not installed")
    d = start(udp(address="0.0.0.0"), before=forge.new_network, **limits(datagrams=10))
    d.expect("ready")
    port, seconds = d.listeners[0]["port"], 3
    choose = random.Random(1)
    sources = [(f"10.9.{choose.randrange(1, 255)}.{choose.randrange(1, 255)}",
                choose.randrange(1024, 65536)) for _ in range(20000)]
    with forge.network_of(d.pid):
        raw, wire = forge.raw_socket(), forge.Wire("d0")
        honest = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    honest.bind(("10.10.0.1", 0))
    honest.settimeout(5)

    def ask():
        honest.sendto(b"hello", ("10.10.0.1", port))
        assert honest.recv(100) == b"HELLO"
        honest_waits.wait(0.125)

    honest_waits = threading.Event()
    with Background(ask) as background:
        sent, took = forge.flood(raw, sources, ("10.9.0.1", port), b"hello", 100000, seconds)
    answered = collections.Counter(
        tuple(map(int, host.split(".")))[2] for _, _, host in wire.settle())
    by_20 = collections.Counter()
    for third, n in answered.items():
        by_20[third // 16] += n
    lost = reasons_of(d)["overflow"]
    print(f"{sent} sent in {took:.1f} s, {lost} lost by the system, {sum(answered.values())} answered, at most {max(answered.values())} of a "
          f"/24 and {max(by_20.values())} of a /20; honest: {background.asked} asked, "
          f"failed: {background.failures}")
    assert sent > 10000
    assert 0 < max(answered.values()) <= 4 * 10 * (took + 1 + 2)
    assert max(by_20.values()) <= 16 * 10 * (took + 1 + 2)
    # What the system loses because the machine is busy with something else was never the daemon's.
    assert background.asked > seconds and (lost or not background.failures)
