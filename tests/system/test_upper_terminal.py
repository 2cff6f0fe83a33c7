# SPDX-License-Identifier: Apache-2.0
"""upper on a terminal: its prompt, its answers, and what becomes of it when a server goes away."""

import contextlib
import os
import pty
import re
import select
import subprocess
import termios
import time

import pytest

import peers
import process
from client import UPPER, peer  # noqa: F401
from dtls import dtls
from lossy import ALERT, PASS, records_of
from pki import Authority
from settings import free_port

CTRL_D = b"\x04"


class Terminal:
    """The other side of a terminal on which `upper` runs."""

    def __init__(self, *args, stdout=None, **env):
        self.fd, inner = pty.openpty()
        # Its own session, so that the inner side is its terminal.
        self.child = subprocess.Popen(
            ["setsid", "--ctty", "--wait", UPPER, *map(str, args)],
            stdin=inner, stdout=stdout or inner, stderr=inner,
            env={**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8", **env})
        os.close(inner)
        self.shown = b""

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        self.child.wait()
        os.close(self.fd)

    def type(self, data):
        os.write(self.fd, data)

    def expect(self, pattern, timeout=30):
        """Forgets what was shown up to the end of the match."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not appear; there is {self.shown!r}"
            try:
                self.shown += os.read(self.fd, 65536)
            except OSError:  # the other side is closed
                raise AssertionError(f"{pattern!r} never came; there is {self.shown!r}") from None
        self.shown = self.shown[match.end():]
        return match

    def end(self):
        self.type(CTRL_D)
        return self.child.wait(30)


@pytest.fixture
def terminal():
    with contextlib.ExitStack() as stack:
        def start(*args, **env):
            one = Terminal(*args, **env)
            stack.callback(one.close)
            return one

        yield start


@pytest.mark.parametrize("make", [peers.textbook_udp, peers.streaming_tcp])
def test_a_line_and_its_answer(terminal, peer, make):
    t = terminal(peer(make).url)
    for word in (b"quit", b"help me", b"/exit"):
        t.expect(b"> ")
        t.type(word + b"\n")
        t.expect(re.escape(word.upper()) + b"\r\n")
    t.expect(b"> ")
    assert t.end() == 0


def test_characters_beyond_ascii(terminal, peer):
    t = terminal(peer(peers.textbook_udp).url)
    t.expect(b"> ")
    t.type("groß é\n".encode())
    t.expect("GROSS É\r\n".encode())
    assert t.end() == 0


def is_edited(t):
    """Whether libedit has the terminal, and not the kernel."""
    return not termios.tcgetattr(t.fd)[3] & termios.ICANON


def test_ctrl_z_where_nobody_could_go_on(terminal, peer):
    """As in a container, where there is no shell. What is typed next may be lost with it."""
    t = terminal(peer(peers.streaming_tcp).url, TERM="xterm")
    t.expect(b"> ")
    with contextlib.suppress(AssertionError):  # without libedit, nobody does
        process.wait_until(lambda: is_edited(t), 10)
    t.type(b"x")
    t.expect(b"x")
    t.type(b"\x1a")
    with contextlib.suppress(AssertionError):  # the prompt comes again, unless all was too soon
        t.expect(b"> ", timeout=1)
    for _ in range(30):
        t.type(b"abc\n")
        with contextlib.suppress(AssertionError):
            t.expect(b"ABC\r\n", timeout=1)
            break
    assert t.end() == 0


def test_server_that_closes_after_each_answer(terminal, peer):
    t = terminal(peer(peers.textbook_tcp).url)
    t.expect(b"> ")
    t.type(b"one\n")
    t.expect(b"ONE\r\n")
    t.type(b"two\n")
    t.expect(b"connected again")
    t.expect(b"TWO\r\n")
    assert t.end() == 0


def test_session_of_dtls_that_the_server_ended(terminal, daemon, road, with_tls, tmp_path):
    authority = Authority(tmp_path / "pki")
    d = daemon(dtls(authority.issue("ec"), idle_timeout="1s"))
    relay = road(d.listeners[0], lambda datagram, is_question: PASS)
    t = terminal("--cafile", authority.file, f"dtls://localhost:{relay.at['port']}")
    t.expect(b"> ")
    t.type(b"one\n")
    t.expect(b"ONE\r\n")
    relay.wait_for(lambda: relay.count(lambda datagram: (ALERT, 1) in records_of(datagram), False),
                   "close_notify")
    t.type(b"two\n")
    t.expect(b"connected again")
    t.expect(b"TWO\r\n")
    assert t.end() == 0


def test_server_that_went_away_may_come_back(terminal, peer):
    server = peer(peers.streaming_tcp)
    t = terminal(server.url.replace(str(server.port), str(free_port())))
    t.expect(b"> ")
    t.type(b"one\n")
    t.expect(b"connection refused")
    t.expect(b"> ")
    assert t.end() == 4


def test_server_of_another_kind_is_heard_out(terminal, peer):
    """Its answer has no line end, and is not the one expected."""
    def acknowledge(connection, peer):
        while connection.recv(1000):
            connection.sendall(b"Message received.")

    t = terminal(peer(peers.tcp, acknowledge).url)
    t.expect(b"> ")
    t.type(b"one\n")
    t.expect(rb"Message received\.\r\n")
    assert t.end() == 0


def test_answers_alone_are_on_stdout(terminal, peer):
    """The prompt and the echo are the terminal's, and do not get into a redirected answer."""
    t = terminal(peer(peers.textbook_udp).url, stdout=subprocess.PIPE)
    t.expect(b"> ")
    t.type(b"abc\n")
    t.expect(b"> ")
    assert t.end() == 0
    assert t.child.stdout.read() == b"ABC\n"


@pytest.mark.parametrize("no_color, coloured", [("", True), ("1", False)])
def test_colour_and_its_absence(terminal, no_color, coloured):
    t = terminal("--no-such-option", NO_COLOR=no_color)
    assert (b"\x1b[31m" in t.expect(b".*no such option").group()) == coloured


def test_bench_shows_its_progress(terminal, peer):
    t = terminal("bench", "-d", "1", "-c", "1", peer(peers.textbook_udp).url)
    t.expect(rb"\r\x1b\[K +\d\.\d s .* answers .* p99")
    t.expect(rb"right answers in [1-9]\.\d+ s")
