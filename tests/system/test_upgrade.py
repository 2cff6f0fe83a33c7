# SPDX-License-Identifier: Apache-2.0
"""Upgrade in place: another binary, the same process, the same sockets, the same connections."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import faults
import process
import rig
from dtls import Session, dtls, many_clients
from secure import ask_tls, connect_tls, context_for, tls
from settings import SANDBOX, tcp, udp
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

    def open_at(self, name):
        status = json.loads(subprocess.run(
            [UPPERCTL, "-s", self.d.folder / "control", "--json", "status"], text=True,
            capture_output=True, timeout=rig.PATIENCE).stdout)
        at, = (listener.get("open", 0) for listener in status["listeners"] if listener["name"] == name)
        assert at == status["connections"] or len(status["listeners"]) > 1
        return at

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


def counts(one):
    """All numbers that only grow, by their series."""
    text = one.ask("metrics").stdout
    return {series: float(value) for series, value in
            re.findall(r"^(\w+_(?:total|count|sum|bucket)(?:\{.*\})?) (\S+)$", text, re.M)}


class Watched:
    """Asks for all counts again and again; none of them may ever shrink."""

    def __init__(self, one):
        self.one, self.before, self.shrunk = one, {}, []

    def look(self):
        now = counts(self.one)
        assert now
        self.shrunk += [(series, self.before[series], now.get(series)) for series in self.before
                        if not now.get(series, -1) >= self.before[series]
                        # a process of its own in each program
                        and not series.startswith("upperd_process_")]
        self.before = now


class Held:
    """Connections that stay open, and what they have sent."""

    def __init__(self, *ways):
        self.ways, self.open, self.sent, self.ever = ways, [], 0, 0

    def add(self):
        self.open += [way() for way in self.ways]
        self.ever += len(self.ways)
        self.ask()

    def ask(self):
        for s in self.open:
            s.sendall(b"count me")
            assert read_exactly(s, 8) == b"COUNT ME"
        self.sent += len(self.open)

    def close(self, n):
        for s in self.open[:n]:
            s.close()
        del self.open[:n]

    def expected(self, counter):
        return {"messages": self.sent, "replies": self.sent, "bytes_in": 8 * self.sent, "bytes_out": 8 * self.sent,
                "connections": self.ever, "closed": self.ever - len(self.open)}[counter]


def wait_counted(one, held, name):
    def counted():
        found = {word: counts(one)[f'upperd_{word}_total{{listener="{name}"}}'] for word in
                 ("messages", "replies", "bytes_in", "bytes_out", "connections", "closed")}
        return found == {word: held.expected(word) for word in found} or False

    process.wait_until(counted, what=f"counts of {name}")
    service = f'upperd_service_seconds_count{{listener="{name}"}}'
    assert counts(one)[service] == held.sent
    assert one.open_at(name) == len(held.open)


def test_old_workers_are_counted_to_their_end(installed):
    """Connections of each of four programs are open at once, and each goes on being counted."""
    one = installed(tcp())
    watched, held = Watched(one), Held(lambda: connect(one.d.listeners[0]))
    with Background(watched.look) as looks:
        for _ in range(4):
            held.add()
            wait_counted(one, held, "tcp")
            one.install_again()
            assert one.upgrade().returncode == 0
            held.ask()
            held.add()
            wait_counted(one, held, "tcp")
            held.close(1)
            wait_counted(one, held, "tcp")
            looks.ask_more(2)
        held.ask()
        held.close(len(held.open))
        process.wait_until(lambda: len(one.d.workers()) == 2, what="the end of the old workers")
        wait_counted(one, held, "tcp")
        looks.ask_more(2)
    assert (watched.shrunk, looks.failures) == ([], [])


def test_old_worker_that_dies_has_nothing_open(installed):
    one = installed(tcp())
    held = Held(lambda: connect(one.d.listeners[0]))
    held.add()
    old = one.d.workers()
    assert one.upgrade().returncode == 0
    held.ask()
    wait_counted(one, held, "tcp")
    for pid in old:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait_until(lambda: not set(old) & set(one.d.workers()), what="the end of the old workers")
    held.open.pop().close()
    wait_counted(one, held, "tcp")
    one.d.killed = len(one.d.records("child-died"))


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


# Sessions of datagrams


def test_sessions_of_datagrams_end_with_a_word(installed, authority, with_tls):
    """Also those of generations that drained before; a client that comes back is served at once."""
    one = installed(dtls(authority.issue("ec")))
    at = one.d.listeners[0]
    one.d.reconfigure(drain="60s")
    one.d.reload()
    with Session(at) as older:
        older.ask("one")
        one.d.reload()
        with Session(at) as newer:
            older.ask("two")
            newer.ask("two")
            assert one.upgrade().returncode == 0
            assert newer.wait_for_end() == 0
            assert older.wait_for_end() == 0
    many_clients(at, 50, 10)


# What is left of the program before


def busy_worker(one, s):
    """The old worker that has this connection, and the others."""
    s.sendall(b"a")
    assert read_exactly(s, 1) == b"A"


def test_old_worker_that_dies_is_not_replaced(installed):
    one = installed(tcp())
    one.d.reconfigure(drain="60s")
    one.d.reload()
    old = one.d.workers()
    with connect(one.d.listeners[0]) as s:
        busy_worker(one, s)
        assert one.upgrade().returncode == 0
        left = process.wait_until(lambda: [pid for pid in old if process.is_alive(pid)] or None)
        left = process.wait_until(
            lambda: (alive := [pid for pid in old if process.is_alive(pid)]) and len(alive) == 1 and alive)
        since = one.d.mark()
        one.d.killed += 1
        os.kill(left[0], signal.SIGKILL)
        assert "not replaced" in one.d.expect("child-died", since, pid=left[0])["message"]
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"
    assert not one.d.records("child-started", since)
    assert len(one.d.workers()) == 2


def test_old_keeper_stays_while_old_workers_drain(installed, authority, with_tls):
    one = installed(tls(authority.issue("ec")))
    one.d.reconfigure(drain="60s")
    one.d.reload()
    keeper, = process.wait_until(
        lambda: (all_of := one.d.children("keeper")) and len(all_of) == 1 and all_of)
    context = context_for(authority)
    plain = connect(one.d.listeners[0])  # its handshake is still to come
    with connect_tls(one.d.listeners[0], context) as s:
        busy_worker(one, s)
        assert one.upgrade().returncode == 0
        busy_worker(one, s)
        assert process.is_alive(keeper)
        with context.wrap_socket(plain, server_hostname="localhost") as late:
            busy_worker(one, late)
    one.d.expect("child-ended", pid=keeper)


def test_old_worker_that_stands_still_holds_up_no_upgrade(installed):
    """It is not waited for, and it ends with the time that it had."""
    one = installed(tcp())
    old = one.d.workers()
    one.d.reconfigure(drain="3s")
    one.d.reload()
    old = process.wait_until(lambda: not set(old) & set(one.d.workers()) and one.d.workers())
    one.d.killed += 1
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    one.d.killed += len(old) - 1
    start = time.monotonic()
    assert one.upgrade().returncode == 0
    assert time.monotonic() - start < 20
    for pid in old:
        one.d.expect("child-died", pid=pid)
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"


def test_stop_waits_for_what_is_left(installed):
    one = installed(tcp(framing="line"))
    with connect(one.d.listeners[0]) as s:
        busy_line(s)
        assert one.upgrade().returncode == 0
        since = one.d.mark()
        one.d.signal(signal.SIGTERM)
        one.d.expect("stopping", since)
        busy_line(s)
    assert one.d.wait() == 0


def busy_line(s):
    s.sendall(b"a\n")
    assert read_exactly(s, 2) == b"A\n"


def test_second_stop_ends_what_is_left(installed):
    one = installed(tcp())
    one.d.reconfigure(drain="60s")
    one.d.reload()
    with connect(one.d.listeners[0]) as s:
        busy_worker(one, s)
        assert one.upgrade().returncode == 0
        since = one.d.mark()
        one.d.signal(signal.SIGTERM)
        one.d.expect("stopping", since)
        one.d.signal(signal.SIGTERM)
        assert one.d.wait(20) == 0


# When the new program comes up on trial, and then does not


@pytest.fixture
def stumbling(installed, tmp_path):
    """Installs a program that finds another configuration once it has taken over."""
    def install(*listeners):
        one = installed(*listeners)
        one.install(f"""#!/bin/sh
if [ -e {tmp_path}/tried ]; then echo 'nonsense = 1;' >> {one.d.config}; fi
: > {tmp_path}/tried
exec {rig.UPPERD} "$@"
""".encode())
        return one
    return install


@pytest.mark.long
def test_program_that_cannot_read_its_configuration_leaves_the_old_workers(stumbling):
    one = stumbling(tcp(), udp())
    old, good = one.d.workers(), one.d.config.read_text()
    with connect(one.d.listeners[0]) as s:
        busy_worker(one, s)
        done = one.upgrade()
        assert done.returncode == 78 and "nonsense" in done.stdout
        busy_worker(one, s)
        for _ in range(20):
            assert tcp_ask(one.d.listeners[0], b"a") == b"A"
            assert udp_ask(one.d.listeners[1], b"a") == b"A"
        assert one.d.workers() == old
        status = one.ask("status")
        assert "before the upgrade" in status.stdout
        one.d.config.write_text(good)
        since = one.d.mark()
        one.d.expect("upgraded", since)  # it tries again by itself
        busy_worker(one, s)
    for pid in old:
        one.d.expect("child-ended", pid=pid)
    assert one.ask("status").returncode == 0
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"


def test_reload_repairs_what_an_upgrade_has_left(stumbling):
    one = stumbling(tcp())
    good = one.d.config.read_text()
    assert one.upgrade().returncode == 78
    one.d.config.write_text(good)
    assert one.ask("reload").returncode == 0
    assert len(process.wait_until(lambda: len(w := one.d.workers()) == 2 and w)) == 2
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"


def test_stop_while_only_old_workers_serve(stumbling):
    one = stumbling(tcp())
    assert one.upgrade().returncode == 78
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"
    one.d.signal(signal.SIGTERM)
    assert one.d.wait(20) == 0


# To another build


LAYOUT, FORMAT = b"%zu/%d\0", b"format 1\n"


def other_build(one):
    """A program that believes that it keeps the keys of tickets in another way."""
    program = Path(rig.UPPERD).read_bytes()
    assert program.count(LAYOUT) == 1, "the layout is told in another way now"
    one.install(program.replace(LAYOUT, LAYOUT.replace(b"/", b"_")))


def test_other_build_makes_keys_of_tickets_anew(installed, authority, with_tls):
    one = installed(tls(authority.issue("ec")))
    context = context_for(authority)
    with connect_tls(one.d.listeners[0], context) as s:
        busy_worker(one, s)
        session = s.session
    other_build(one)
    assert one.upgrade().returncode == 0
    with connect_tls(one.d.listeners[0], context, session=session) as s:
        assert not s.session_reused
        busy_worker(one, s)


def test_limits_begin_anew_with_each_program(installed):
    """What the old workers have open is not in the new table; their end must not be counted in it."""
    one = installed(tcp())
    with connect(one.d.listeners[0]) as s:
        busy_worker(one, s)
        assert one.upgrade().returncode == 0
        old = [r["pid"] for r in one.d.records("child-started")][:2]
    for pid in old:
        one.d.expect("child-ended", pid=pid)
    with connect(one.d.listeners[0]) as s:
        busy_worker(one, s)
        process.wait_until(lambda: "\nupperd_open 1\n" in one.ask("metrics").stdout,
                           what="the one that is open")


def test_program_that_takes_over_in_another_way_is_refused(installed, monkeypatch):
    """The one that runs hands over what the new one does not read: it says so while it is tried."""
    one = installed(tcp())
    program = Path(rig.UPPERD).read_bytes()
    assert program.count(FORMAT) == 1, "the format is told in another way now"
    one.install(program.replace(FORMAT, FORMAT.replace(b"1", b"9")))
    assert one.upgrade().returncode == 0  # from here on, it hands over differently
    workers = process.wait_until(lambda: len(w := one.d.workers()) == 2 and w)
    one.install_again()
    done = one.upgrade()
    assert done.returncode == 78 and "restart" in done.stdout
    assert one.d.workers() == workers
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"


# Where the end of a child is hard to learn of


def test_children_that_nobody_waits_for_by_inheritance(daemon):
    """SIGCHLD is ignored by whoever starts it, as some init systems of containers leave it."""
    d = daemon(tcp(), before=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert tcp_ask(d.listeners[0], b"a") == b"A"


@pytest.mark.plain
@pytest.mark.skipif(SANDBOX.get("sandbox") == "strict", reason="a call that is replaced by none is not on the list")
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
