# SPDX-License-Identifier: Apache-2.0
"""When all connections are in use, the one that has been idle longest gives way to a new one."""

import contextlib
import select
import socket
import ssl
import statistics
import threading
import time

import pytest

from ctl import reasons_of, status_of
from dtls import Session, dtls
from secure import connect_tls, context_for, tls
from settings import tcp
from wire import connect, read_exactly

LEAST = 10  # seconds that a connection must have been idle for


def is_served(s, word=b"hello"):
    s.sendall(word)
    return read_exactly(s, len(word)) == word.upper()


def served_after(listener, stack):
    """Seconds until a newcomer has its answer; it stays."""
    begun = time.monotonic()
    assert is_served(stack.enter_context(connect(listener)))
    return time.monotonic() - begun


def has_ended(s):
    """Its end is here; newcomers were served after it was sent."""
    return bool(select.select([s], [], [], 0.2)[0]) and s.recv(10) == b""


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 3])
def test_newcomers_are_served_when_all_slots_are_idle(daemon, workers):
    """One after the other takes the place of the one that has been idle longest, in whichever worker that is;
    no other is ended. Workers learn of each other's with a delay: among several, one that has been idle
    less long by a few hundredths of a second may go first."""
    d = daemon(tcp(), limits={"connections": 40}, workers=workers)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(40):
            clients.append(stack.enter_context(connect(d.listeners[0])))
            assert is_served(clients[-1])
            time.sleep(0.02)  # so that each has been idle for another time
        time.sleep(LEAST + 1)
        times = [served_after(d.listeners[0], stack) for _ in range(20)]
        print(f"served after {statistics.median(times) * 1000:.1f} ms, {max(times) * 1000:.1f} ms at most")
        assert statistics.median(times) < 0.1
        ended = [i for i, s in enumerate(clients) if has_ended(s)]
        assert len(ended) == 20 and ended[-1] < (20 if workers == 1 else 24), ended
        assert all(is_served(s) for i, s in enumerate(clients) if i not in ended)
        assert reasons_of(d)["displaced"] == 20
        assert status_of(d)["connections"] == 40
        assert not d.records("accept-paused")


@pytest.mark.long
def test_no_connection_gives_way_that_is_in_use(daemon):
    """Nor one that was so a moment ago: newcomers wait until one of them has been idle for long enough."""
    d = daemon(tcp(), limits={"connections": 8}, workers=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(d.listeners[0])) for _ in range(8)]
        assert all(is_served(s) for s in clients)
        stop = threading.Event()

        def chat():
            while not stop.wait(1):
                for s in clients[1:]:
                    assert is_served(s, b"a")

        busy = threading.Thread(target=chat, daemon=True)
        busy.start()
        begun = time.monotonic()
        late = stack.enter_context(connect(d.listeners[0]))
        assert is_served(late)
        took = time.monotonic() - begun
        stop.set()
        busy.join()
        assert LEAST - 1 < took < LEAST + 5
        d.expect("accept-paused", reason="limit")
        d.expect("accept-resumed")
        assert clients[0].recv(10) == b""
        assert all(is_served(s) for s in clients[1:])
        assert reasons_of(d)["displaced"] == 1


@pytest.mark.long
def test_they_end_in_order_over_tls_and_dtls(daemon, authority, with_tls):
    pair = authority.issue("ec")
    d = daemon(tls(pair), dtls(pair), tcp(), limits={"connections": 2})
    context = context_for(authority)
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    plain = socket.create_connection((d.listeners[0]["address"], d.listeners[0]["port"]), 20)
    with Session(d.listeners[1]) as session, \
            context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as one:
        assert is_served(one)
        session.ask("hello")
        time.sleep(LEAST + 1)
        with connect(d.listeners[2]) as other, connect_tls(d.listeners[0], context) as third:
            assert is_served(other) and is_served(third)
            assert one.recv(10) == b""
            session.wait_for_end()
    assert reasons_of(d)["displaced"] == 2
