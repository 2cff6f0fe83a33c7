# SPDX-License-Identifier: Apache-2.0
"""What a worker that was taken over leaves behind: nothing that keeps the others from serving."""

import os
import signal
import socket
import time

import pytest

import captured
import process
from settings import tcp, udp
from wire import connect, read_exactly, tcp_ask, udp_ask

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
        process.wait_until(lambda: page.open == 1, what=lambda: f"one connection, not {page.open}")
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


def shut_down(pid, how):
    """As the worker could, if its sandbox let it."""
    if not process.may_look():
        pytest.skip("needs CAP_SYS_PTRACE, to take sockets from a worker")
    for s in captured.listeners_of(pid):
        with s:
            try:
                s.shutdown(how)
            except OSError:  # it is not connected, and shut down all the same
                pass


def test_stream_that_was_shut_down_listens_again(daemon):
    d = daemon(tcp(), tcp(name="tcp6", address="::1"), workers=1)
    shut_down(d.workers()[0], socket.SHUT_RDWR)
    kill_worker(d)
    for listener in d.listeners:
        assert tcp_ask(listener, b"a") == b"A"
    assert len(d.records("socket-shut")) == 2


def test_path_that_was_shut_down_is_made_again(daemon, tmp_path):
    d = daemon(tcp(path=str(tmp_path / "socket")), workers=1)
    shut_down(d.workers()[0], socket.SHUT_RD)
    kill_worker(d)
    assert tcp_ask(d.listeners[0], b"a") == b"A"


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_datagram_socket_that_was_shut_down_is_made_again(daemon, how, address):
    d = daemon(udp(address=address), workers=1)
    shut_down(d.workers()[0], how)
    kill_worker(d)
    assert udp_ask(d.listeners[0], b"a") == b"A"
    assert len(d.records("socket-shut")) == 1


def test_reload_opens_again_what_was_shut_down(daemon):
    d = daemon(tcp(), udp(), workers=1)
    shut_down(d.workers()[0], socket.SHUT_RDWR)
    d.reload()
    assert (tcp_ask(d.listeners[0], b"a"), udp_ask(d.listeners[1], b"a")) == (b"A", b"A")


def test_sockets_that_are_well_are_left_alone(daemon):
    """What is queued in them is for the next worker."""
    d = daemon(tcp(), udp(), workers=1)
    kill_worker(d)
    assert (tcp_ask(d.listeners[0], b"a"), udp_ask(d.listeners[1], b"a")) == (b"A", b"A")
    assert not d.records("socket-shut")


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
def test_nobody_spins_on_what_was_shut_down(daemon, how):
    d = daemon(tcp(), udp(), workers=1)
    worker = d.workers()[0]
    shut_down(worker, how)
    before = process.cpu_seconds_of(worker)
    time.sleep(1)  # what is measured is how little happens in it
    assert process.cpu_seconds_of(worker) - before < 0.3
