# SPDX-License-Identifier: Apache-2.0
"""upper on a terminal: its prompt, its answers, and what becomes of it when a server goes away."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
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
from secure import tls
from settings import free_port

CTRL_D = b"\x04"


class Terminal:
    """The other side of a terminal on which `upper` runs."""

    def __init__(self, *args, stdout=None, width=80, **env):
        self.fd, inner = pty.openpty()
        resize(self.fd, width)
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


UP = b"\x1b[A"


def kept(tmp_path):
    return tmp_path / "state" / "upper" / "history"


def test_history_is_kept_for_the_user_alone(terminal, peer, tmp_path):
    server, env = peer(peers.textbook_udp), {"TERM": "xterm", "XDG_STATE_HOME": str(tmp_path / "state")}
    t = terminal(server.url, **env)
    t.expect(b"> ")
    with contextlib.suppress(AssertionError):
        process.wait_until(lambda: is_edited(t), 10)
    if not is_edited(t):
        pytest.skip("this build has no libedit")
    t.type("groß and small\n".encode())
    t.expect("GROSS AND SMALL".encode())
    assert t.end() == 0
    assert kept(tmp_path).stat().st_mode & 0o777 == 0o600
    assert kept(tmp_path).parent.stat().st_mode & 0o777 == 0o700

    again = terminal(server.url, **env)
    again.expect(b"> ")
    process.wait_until(lambda: is_edited(again), 10)
    again.type(UP)
    again.expect("groß and small".encode())
    again.type(b"\n")
    again.expect("GROSS AND SMALL".encode())
    assert again.end() == 0


def test_history_that_others_could_read_is_closed_to_them(terminal, peer, tmp_path):
    kept(tmp_path).parent.mkdir(parents=True)
    kept(tmp_path).write_text("_HiStOrY_V2_\nold\n")
    kept(tmp_path).chmod(0o644)
    t = terminal(peer(peers.textbook_udp).url, TERM="xterm", XDG_STATE_HOME=str(tmp_path / "state"))
    t.expect(b"> ")
    t.type(b"new\n")
    t.expect(b"NEW")
    assert t.end() == 0
    if "new" in kept(tmp_path).read_text():
        assert kept(tmp_path).stat().st_mode & 0o777 == 0o600


def test_no_history(terminal, peer, tmp_path):
    t = terminal("--no-history", peer(peers.textbook_udp).url, TERM="xterm", XDG_STATE_HOME=str(tmp_path / "state"))
    t.expect(b"> ")
    t.type(b"secret\n")
    t.expect(b"SECRET")
    assert t.end() == 0
    assert not kept(tmp_path).exists()


def test_round_trip_is_dim_and_notices_are_no_errors(terminal, peer):
    t = terminal(peer(peers.textbook_tcp).url)
    assert b"\x1b[31m" not in t.expect(rb"[^\n]*Ctrl-D ends").group()
    t.expect(b"> ")
    t.type(b"one\n")
    t.expect(rb"ONE\r\n\x1b\[2m\d+\.\d+ ms\x1b\[0m")
    t.type(b"two\n")
    assert b"\x1b[31m" not in t.expect(rb"[^\n]*connected again").group()
    t.expect(rb"TWO")
    assert t.end() == 0


def test_ctrl_d_leaves_a_clean_line(terminal, peer):
    t = terminal(peer(peers.textbook_udp).url)
    t.expect(b"> ")
    assert t.end() == 0
    t.expect(rb"\r?\n$")


def test_connection_is_described(terminal, daemon, authority, with_tls):
    d = daemon(tls(authority.issue("ec")))
    t = terminal("--verbose", "-4", "--cafile", authority.file, f"tls://localhost:{d.listeners[0]['port']}")
    t.expect(b"> ")
    t.type(b"one\n")
    t.expect(rb"tls://localhost:\d+, at 127\.0\.0\.1:\d+: TLSv1\.3, TLS_\w+, \w+, new session")
    t.expect(rb"certificate for localhost until \d{4}-\d\d-\d\d, trusted; key [0-9a-f]{64}")
    t.expect(b"ONE")
    assert t.end() == 0


class Screen:
    """What a terminal of some width shows: as much of its language as upper speaks."""

    CONTROL = re.compile(r"\x1b\[(\d*)([AKJm])|\x1b\[\?\d+[hl]|[\r\n\b]|[^\x1b\r\n\b]+")

    def __init__(self, width):
        self.width, self.rows, self.y, self.x = width, [""], 0, 0

    def feed(self, text):
        for match in self.CONTROL.finditer(text):
            self._do(match)

    def _do(self, match):
        what = match.group()
        if match[2] == "A":
            self.y = max(0, self.y - int(match[1] or 1))
        elif match[2] == "K":
            self.rows[self.y] = self.rows[self.y][:self.x]
        elif match[2] == "J":
            self.rows[self.y:] = [self.rows[self.y][:self.x]]
        elif what == "\r":
            self.x = 0
        elif what == "\n":
            self.y += 1
            self.x = 0
            self.rows += [""] * (self.y + 1 - len(self.rows))
        elif not what.startswith("\x1b"):
            for letter in what:
                self._put(letter)

    def _put(self, letter):
        if self.x == self.width:
            self._do(self.CONTROL.match("\n"))
        row = self.rows[self.y].ljust(self.x)
        self.rows[self.y] = row[:self.x] + letter + row[self.x + 1:]
        self.x += 1


def resize(fd, width):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))


def shown_by_bench(t, width, seconds):
    """The screens, as they are after each redraw."""
    screen, screens = Screen(width), []
    end = time.monotonic() + seconds
    while time.monotonic() < end and select.select([t.fd], [], [], 0.1)[0] is not None:
        with contextlib.suppress(OSError):
            if select.select([t.fd], [], [], 0.1)[0]:
                screen.feed(os.read(t.fd, 65536).decode())
                screens.append([row.rstrip() for row in screen.rows])
        if t.child.poll() is not None:
            break
    return screens


@pytest.mark.parametrize("width", [40, 80, 200])
def test_bench_draws_its_progress(terminal, peer, width):
    t = terminal("bench", "-d", "2", "-c", "1", peer(peers.textbook_udp).url, TERM="xterm", width=width)
    screens = shown_by_bench(t, width, 20)
    live = [screen for screen in screens if screen[0].startswith("[") and len(screen) > 3]
    assert live, screens[-3:]
    last = live[-1]
    assert max(map(len, last)) < width, "no line reaches the last column, and none is broken"
    assert re.match(r"\[#+ *\] +\d\.\d s", last[0]) and re.match(r"\d+/s, \d+ right", last[1])
    assert last[2].startswith("ms p50 ") and re.match(r" +\d+\.\d+ #", last[3])
    assert live[0][0].count("#") < last[0].count("#"), "the bar does not grow"
    assert re.match(r"udp://\S+ \d+ right ", screens[-1][0]), "the display has not gone"


def test_bench_is_redrawn_when_resized(terminal, peer):
    t = terminal("bench", "-d", "3", "-c", "1", peer(peers.textbook_udp).url, TERM="xterm", width=100)
    t.expect(rb"\[#+ *\] +0\.\d s")
    resize(t.fd, 50)
    t.expect(rb"\x1b\[J\[")
    drawn = t.expect(rb"#* *\] +\d\.\d s").group()
    assert len(drawn) < 50
    assert t.child.wait(30) == 0


def test_bench_without_a_screen_prints_lines(terminal, peer):
    t = terminal("bench", "-d", "2500ms", "-c", "1", peer(peers.textbook_udp).url)
    t.expect(rb"\n? +1\.\d s .* answers .* p99")
    t.expect(rb"right answers in [1-9]\.\d+ s")


def test_ping_on_a_terminal(terminal, peer):
    """^\\ sums up and goes on; ^C sums up and ends."""
    t = terminal("ping", "-i", "100ms", peer(peers.textbook_udp).url, NO_COLOR="1")
    t.expect(rb"seq=2 .*\r\n")
    t.type(b"\x1c")
    t.expect(rb"--- udp://\S+ ---\r\n\d+ sent, \d+ answered, 0 wrong, 0% lost\r\nround trip min/avg/max/mdev")
    t.expect(rb"seq=\d+ ")
    t.type(b"\x03")
    t.expect(rb"--- udp://")
    assert t.child.wait(30) == 0
    assert b"\x1b" not in t.shown


@pytest.mark.parametrize("no_color, coloured", [("", True), ("1", False)])
def test_colour_of_a_loss(terminal, peer, no_color, coloured):
    t = terminal("ping", "-c", "1", "-W", "100ms", peer(peers.silent_udp).url, NO_COLOR=no_color)
    assert (b"\x1b[31m" in t.expect(rb"[^\n]*seq=1 no answer").group()) == coloured
