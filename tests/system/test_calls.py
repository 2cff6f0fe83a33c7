# SPDX-License-Identifier: Apache-2.0
"""The system calls of one message of each kind, as strace shows them: a table, so that one more is a failure and not
a matter of measuring."""

import collections
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import process
from secure import connect_tls, context_for, tls
from settings import tcp, udp
from wire import connect, read_exactly, udp_socket

TIMES = 40

# Each line is one round of the loop: from one wait to the next.
ALONE = {
    "udp": ["recvmmsg, sendmmsg"],
    "tcp": ["recvfrom, sendto"],
    "tls": ["recvfrom, sendto"],
    "connect": ["accept4, epoll_ctl", "recvfrom, sendto", "recvfrom, close"],
}


@pytest.fixture
def traced(looking):
    """The lines of strace about a process, of what is done inside of the block. Maps are left out: a sanitizer keeps
    what was freed, and makes some for each record."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")

    @contextlib.contextmanager
    def trace(pid, file):
        with subprocess.Popen(["strace", "-e", "trace=!mmap,munmap", "-o", str(file), "-p", str(pid)],
                              stderr=subprocess.PIPE, text=True) as strace:
            said = strace.stderr.readline()
            if "attached" not in said:
                pytest.skip(f"strace may not trace here: {said}")
            yield
            strace.terminate()
    return trace


def rounds_of(trace):
    """How often each round was made, but for the last one, which may not be over."""
    names = re.findall(r"^(\w+)\(", trace, re.M)
    rounds = re.split("epoll_p?wait", ", ".join(names))
    return collections.Counter(one.strip(", ") for one in rounds[:-1])


def waits_of(trace):
    """The time-outs of the waits."""
    return set(re.findall(r"^epoll_p?wait\(.*\], \d+, (-?\d+)(?:, NULL, \d+)?\) = ", trace, re.M))


def each_time(rounds):
    """The rounds that every message makes; less often, a timer goes off."""
    return sorted(one for one, times in rounds.items() if times > TIMES / 2)


def ask(s):
    s.sendall(b"hello")
    assert read_exactly(s, 5) == b"HELLO"


def one_by_one(s):
    for _ in range(TIMES):
        ask(s)


def connect_and_ask(at):
    """One after the other: the next connects when the one before is closed."""
    for _ in range(TIMES):
        with connect(at) as s:
            ask(s)
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""


def compare(kind, file):
    trace = file.read_text()
    assert each_time(rounds_of(trace)) == sorted(ALONE[kind]), trace
    assert waits_of(trace) == {"-1"}


def test_datagram_alone(daemon, traced, tmp_path):
    d = daemon(udp(), workers=1)
    with udp_socket(d.listeners[0]) as s, traced(d.workers()[0], tmp_path / "trace"):
        one_by_one(s)
    compare("udp", tmp_path / "trace")


def test_line_alone(daemon, traced, tmp_path):
    d = daemon(tcp(), workers=1)
    with connect(d.listeners[0]) as s:
        ask(s)
        with traced(d.workers()[0], tmp_path / "trace"):
            one_by_one(s)
    compare("tcp", tmp_path / "trace")


def test_record_alone(daemon, traced, tmp_path, with_tls, pair, authority):
    d = daemon(tls(pair), workers=1)
    with connect_tls(d.listeners[0], context_for(authority)) as s:
        ask(s)
        with traced(d.workers()[0], tmp_path / "trace"):
            one_by_one(s)
    compare("tls", tmp_path / "trace")


def test_connection_alone(daemon, traced, tmp_path):
    d = daemon(tcp(), workers=1)
    with traced(d.workers()[0], tmp_path / "trace"):
        connect_and_ask(d.listeners[0])
    compare("connect", tmp_path / "trace")


@pytest.fixture
def stopped():
    """Stops a process for a while, so that all that is sent meanwhile waits for it at once."""
    @contextlib.contextmanager
    def stop(pid):
        os.kill(pid, signal.SIGSTOP)
        try:
            process.wait_until(lambda: process.stat_of(pid)[0] == "T")
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
    return stop


def test_many_datagrams_are_taken_together(daemon, traced, stopped, tmp_path):
    d = daemon(udp(), workers=1)
    worker, many = d.workers()[0], 160
    with udp_socket(d.listeners[0]) as s, contextlib.ExitStack() as traces:
        with stopped(worker):
            for _ in range(many):
                s.send(b"hello")
            traces.enter_context(traced(worker, tmp_path / "trace"))
        assert [s.recv(9) for _ in range(many)] == [b"HELLO"] * many
    calls = (tmp_path / "trace").read_text()
    assert calls.count("recvmmsg(") <= many / 32 + 1


def test_many_connections_are_taken_together(daemon, traced, stopped, tmp_path):
    d = daemon(tcp(), workers=1)
    worker, many = d.workers()[0], 64
    with contextlib.ExitStack() as stack:
        with stopped(worker):
            waiting = [stack.enter_context(connect(d.listeners[0])) for _ in range(many)]
            stack.enter_context(traced(worker, tmp_path / "trace"))
        for s in waiting:
            ask(s)
    rounds = rounds_of((tmp_path / "trace").read_text())
    accepting = [times for one, times in rounds.items() if "accept4" in one]
    assert sum(accepting) <= 3, rounds
