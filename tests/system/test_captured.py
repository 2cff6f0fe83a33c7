# SPDX-License-Identifier: Apache-2.0
"""What a worker that was taken over leaves behind: nothing that keeps the others from serving."""

import os
import signal

import pytest

import captured
import process
from settings import tcp
from wire import connect, read_exactly, tcp_ask

pytestmark = pytest.mark.usefixtures("as_root")


def kill_worker(d):
    """And returns when another has been started."""
    since = d.mark()
    d.killed += 1
    os.kill(d.workers()[0], signal.SIGKILL)
    d.expect("child-started", since)


def test_number_of_connections_is_put_right(daemon):
    d = daemon(tcp(), workers=1)
    captured.SharedPage(d.pid).open = 1 << 63
    kill_worker(d)
    assert tcp_ask(d.listeners[0], b"a") == b"A"


def test_number_of_connections_is_what_is_open(daemon):
    d = daemon(tcp(), workers=2)
    page = captured.SharedPage(d.pid)
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        page.open = 1 << 63
        process.wait_until(lambda: page.open == 1, what="one open connection")
    process.wait_until(lambda: page.open == 0, what="no open connection")


def test_number_of_connections_never_falls_below_none(daemon):
    d = daemon(tcp(), workers=1)
    page = captured.SharedPage(d.pid)
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        page.open = 0
    for _ in range(3):
        assert tcp_ask(d.listeners[0], b"a") == b"A"
    assert not d.records("accept-paused")
