# SPDX-License-Identifier: Apache-2.0
"""Upgrade in place: another binary, the same process, the same sockets, the same connections."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import faults
import process
import rig
from dtls import Session, dtls, many_clients
from secure import ask_tls, connect_tls, context_for, tls
from settings import tcp, udp
from wire import Background, connect, read_exactly, tcp_ask, udp_ask

UPPERCTL = Path(rig.UPPERD).parent / "ctl/upperctl"


class Installed:
    """A daemon run from a place where another binary can be put."""

    def __init__(self, daemon, folder, monkeypatch, *listeners):
        self.path = folder / "installed-upperd"
        self.install(Path(rig.UPPERD).read_bytes())
        monkeypatch.setattr(rig, "UPPERD", str(self.path))
        self.d = daemon(*listeners)
        monkeypatch.undo()

    def ask(self, verb):
        return subprocess.run([UPPERCTL, "-s", self.d.folder / "control", verb], text=True,
                              capture_output=True, timeout=rig.PATIENCE)

    def install(self, content):
        """As a package manager does: the old file is gone, but the process that runs it goes on."""
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.chmod(0o755)
        fresh.rename(self.path)

    def install_again(self):
        self.install(Path(rig.UPPERD).read_bytes())

    def upgrade(self):
        return self.ask("upgrade")

    def runs(self):
        """The inode of the program that the process is now."""
        return os.stat(f"/proc/{self.d.pid}/exe").st_ino


@pytest.fixture
def installed(daemon, tmp_path, monkeypatch):
    return lambda *listeners: Installed(daemon, tmp_path, monkeypatch, *listeners)


def test_new_binary_runs_in_the_same_process(installed):
    one = installed(tcp())
    one.install_again()
    before = one.runs()
    done = one.upgrade()
    assert (done.returncode, done.stdout) == (0, "upgraded\n")
    assert one.runs() == one.path.stat().st_ino != before
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"


def test_usr2_upgrades(installed):
    one = installed(tcp())
    one.install_again()
    one.d.signal(signal.SIGUSR2)
    one.d.expect("upgraded")
    assert one.runs() == one.path.stat().st_ino


def test_open_connection_outlives_the_upgrade(installed):
    one = installed(tcp())
    with connect(one.d.listeners[0]) as s:
        s.sendall(b"before")
        assert read_exactly(s, 6) == b"BEFORE"
        assert one.upgrade().returncode == 0
        s.sendall(b"after")
        assert read_exactly(s, 5) == b"AFTER"


def test_old_workers_drain_and_are_buried(installed):
    one = installed(tcp())
    old = one.d.workers()
    assert one.upgrade().returncode == 0
    for pid in old:
        one.d.expect("child-ended", pid=pid)
    assert len(one.d.workers()) == 2


def test_upgrade_during_a_drain_keeps_what_drains(installed):
    one = installed(tcp())
    with connect(one.d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        assert one.upgrade().returncode == 0
        assert one.upgrade().returncode == 0
        s.sendall(b"b")
        assert read_exactly(s, 1) == b"B"


def test_nothing_is_lost_under_load(installed):
    one = installed(tcp(), udp())
    stream, datagram = one.d.listeners
    with Background(lambda: tcp_ask(stream, b"a")) as on_tcp, \
            Background(lambda: udp_ask(datagram, b"a")) as on_udp:
        for _ in range(5):
            on_tcp.ask_more(5)
            on_udp.ask_more(5)
            assert one.upgrade().returncode == 0
    assert not on_tcp.failures and not on_udp.failures


def test_counters_go_on(installed):
    one = installed(tcp())
    for _ in range(3):
        tcp_ask(one.d.listeners[0], b"a")
        assert one.upgrade().returncode == 0
    assert 'upperd_messages_total{listener="tcp"} 3\n' in one.ask("metrics").stdout


def test_no_descriptor_stays_behind(installed):
    one = installed(tcp(), udp())
    assert one.upgrade().returncode == 0
    process.wait_until(lambda: len(one.d.workers()) == 2)
    before = process.descriptors_of(one.d.pid)
    for _ in range(3):
        old = one.d.workers()
        assert one.upgrade().returncode == 0
        process.wait_until(lambda: not set(old) & set(one.d.workers()), what="old workers")
    process.wait_until(lambda: process.descriptors_of(one.d.pid) <= before, what="fewer descriptors")


def test_upgrades_do_not_add_up(installed):
    """Filters of system calls stay over an exec, and the kernel takes only so many."""
    one = installed(tcp())
    for _ in range(20):
        assert one.upgrade().returncode == 0
    assert process.status_of(one.d.pid).get("Seccomp_filters", "1") == "1"


@pytest.mark.parametrize("content, why", [
    (b"\x7fELF and then nothing", "Exec format error"),
    (b"#!/bin/sh\necho not today >&2\nexit 3\n", "not today"),
    (b"#!/bin/sh\nkill -SEGV $$\n", "died when it was tried"),
    (b"#!/bin/sh\nexit 4\n", "exit code 4"),
    (b"#!/bin/sh\nexit 0\n", "is it upperd at all?"),
])
def test_binary_that_does_not_come_up_leaves_the_old_one(content, why, installed):
    one = installed(tcp())
    workers, program = one.d.workers(), one.runs()
    one.install(content)
    done = one.upgrade()
    assert done.returncode != 0 and why in done.stdout
    assert one.d.workers() == workers and one.runs() == program
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"
    assert one.d.expect("upgrade-failed")


def test_configuration_with_faults_stops_the_upgrade(installed):
    one = installed(tcp())
    workers = one.d.workers()
    one.d.reconfigure(text=one.d.config.read_text() + "nonsense = 1;\n")
    done = one.upgrade()
    assert done.returncode == 78 and "nonsense" in done.stdout
    assert one.d.workers() == workers


def test_new_listener_comes_with_the_upgrade(installed):
    one = installed(tcp())
    more = tcp(name="more")
    one.d.reconfigure(*one.d.listeners, more)
    assert one.upgrade().returncode == 0
    assert tcp_ask(more, b"a") == b"A"


def test_path_of_a_unix_socket_stays(installed, tmp_path):
    one = installed(tcp(path=str(tmp_path / "socket")))
    assert one.upgrade().returncode == 0
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"
    one.d.stop()
    assert not (tmp_path / "socket").exists()


# TLS


def test_tls_connection_outlives_the_upgrade(installed, authority, with_tls):
    one = installed(tls(authority.issue("ec")))
    with connect_tls(one.d.listeners[0], context_for(authority)) as s:
        assert one.upgrade().returncode == 0
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
    process.wait_until(lambda: len(one.d.children("keeper")) == 1, what="the end of the old keeper")


def test_tls_session_is_resumed_after_the_upgrade(installed, authority, with_tls):
    one = installed(tls(authority.issue("ec")))
    context = context_for(authority)
    with connect_tls(one.d.listeners[0], context) as s:
        s.sendall(b"a")
        read_exactly(s, 1)
        session = s.session
    assert one.upgrade().returncode == 0
    with connect_tls(one.d.listeners[0], context, session=session) as s:
        assert s.session_reused


def test_no_tls_request_is_lost_under_load(installed, authority, with_tls):
    one = installed(tls(authority.issue("ec")))
    context = context_for(authority)
    with Background(lambda: ask_tls(one.d.listeners[0], context)) as load:
        for _ in range(5):
            load.ask_more()
            assert one.upgrade().returncode == 0
        load.ask_more()
    assert not load.failures


def test_keeper_is_replaced_after_the_upgrade(installed, authority, with_tls):
    one = installed(tls(authority.issue("ec")))
    assert one.upgrade().returncode == 0
    process.wait_until(lambda: len(one.d.children("keeper")) == 1, what="one keeper")
    since = one.d.mark()
    one.d.killed += 1
    os.kill(one.d.children("keeper")[0], signal.SIGKILL)
    one.d.expect("child-started", since, role="keeper 0")
    context = context_for(authority)

    def is_answered():
        try:
            return ask_tls(one.d.listeners[0], context)
        except OSError:
            return False  # it has no keeper yet

    process.wait_until(is_answered, what="an answer")


# To a build that counts other things


LAYOUT = b"%zu %zu %zu %d %d %d\0"


@pytest.fixture
def foreign(installed):
    """Installs a program that says of itself, and believes, that it counts differently."""
    def install(*listeners):
        one = installed(*listeners)
        program = Path(rig.UPPERD).read_bytes()
        assert program.count(LAYOUT) == 1, "the layout is told in another way now"
        one.install(program.replace(LAYOUT, LAYOUT.replace(b" %d\0", b"_%d\0")))
        return one

    return install


def messages_of(one):
    return int(re.search(r'upperd_messages_total\{listener="tcp"\} (\d+)', one.ask("metrics").stdout)[1])


def test_other_layout_serves_and_counts_anew(foreign):
    one = foreign(tcp())
    for _ in range(3):
        tcp_ask(one.d.listeners[0], b"a")
    assert messages_of(one) == 3
    assert one.upgrade().returncode == 0
    assert messages_of(one) == 0
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"
    assert messages_of(one) == 1


def test_other_layout_loses_no_connection(foreign):
    """The old worker cannot be understood, but is let finish."""
    one = foreign(tcp(), udp())
    old = one.d.workers()
    with connect(one.d.listeners[0]) as s:
        s.sendall(b"before")
        assert read_exactly(s, 6) == b"BEFORE"
        assert one.upgrade().returncode == 0
        s.sendall(b"after")
        assert read_exactly(s, 5) == b"AFTER"
        assert udp_ask(one.d.listeners[1], b"a") == b"A"
    for pid in old:
        one.d.expect("child-ended", pid=pid)
    assert one.ask("status").returncode == 0


def test_other_layout_takes_nothing_of_the_limits_along(foreign):
    """What the old workers have open is not in the new table; their end must not be counted in it."""
    one = foreign(tcp())
    with connect(one.d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        assert one.upgrade().returncode == 0
        old = [r["pid"] for r in one.d.records("child-started")][:2]
    for pid in old:
        one.d.expect("child-ended", pid=pid)
    with connect(one.d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        process.wait_until(lambda: "\nupperd_open 1\n" in one.ask("metrics").stdout,
                           what="the one that is open")


def test_other_layout_with_tls(foreign, authority, with_tls):
    one = foreign(tls(authority.issue("ec")))
    context = context_for(authority)
    with connect_tls(one.d.listeners[0], context) as s:
        assert one.upgrade().returncode == 0
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        assert ask_tls(one.d.listeners[0], context) == b"STRASSE"
    process.wait_until(lambda: len(one.d.children("keeper")) == 1, what="the end of the old keeper")


def test_other_layout_with_dtls(foreign, authority, with_tls):
    """Old and new do not know each other: only one may read the socket, and sessions end with a word."""
    one = foreign(dtls(authority.issue("ec")))
    one.d.reconfigure(drain="60s")
    one.d.reload()
    with Session(one.d.listeners[0]) as session:
        session.ask("before")
        assert one.upgrade().returncode == 0
        assert session.wait_for_end() == 0
    many_clients(one.d.listeners[0], 50, 10)


# Where the end of a child is hard to learn of


def test_children_that_nobody_waits_for_by_inheritance(daemon):
    """SIGCHLD is ignored by whoever starts it, as some init systems of containers leave it."""
    d = daemon(tcp(), before=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert tcp_ask(d.listeners[0], b"a") == b"A"


@pytest.mark.plain
def test_end_of_the_trial_that_the_system_does_not_tell(daemon, as_root):
    why = faults.why_not()
    if why:
        pytest.skip(why)
    d = daemon(tcp())
    with faults.Tracer(d.pid, "-o", "/dev/null", *faults.injection("waitid", "ECHILD", "1+")):
        done = rig.run_upperctl(d, "upgrade")
        used = process.cpu_seconds_of(d.pid)
    assert done.returncode == 70 and "does not say how" in done.stdout
    assert used < 5
    assert tcp_ask(d.listeners[0], b"a") == b"A"
