# SPDX-License-Identifier: Apache-2.0
"""Memory that is short: what is idle is given back, handshakes wait, and nobody is killed."""

import base64
import contextlib
import os
import ssl
import threading
import time
from pathlib import Path

import pytest

import process
import rig
from secure import ask_tls, connect_tls, context_for, tls
from settings import tcp
from wire import connect, read_exactly, tcp_ask

MIB = 1 << 20
# In mounts of its own, its control group has the files of a folder.
WITH_FILES = 'mount --bind "$1" /sys/fs/cgroup; shift; exec "$@"'


class Group:
    """The files of a control group, written as the kernel would."""

    def __init__(self, folder):
        self.root = folder
        line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        self.folder = folder / line.removeprefix("0::").lstrip("/")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.put("memory.max", 64 * MIB)
        self.put("memory.high", "max")
        self.use(10 * MIB)

    def put(self, name, text):
        """Nobody sees half of it."""
        (self.root / "new").write_text(f"{text}\n")
        (self.root / "new").rename(self.folder / name)

    def use(self, used, files=0):
        self.put("memory.stat", f"anon {used - files}\nfile {files}\ninactive_file {files}\nactive_file 0\n"
                                "slab_reclaimable 0")
        self.put("memory.current", used)

    @property
    def inside(self):
        return ["unshare", "--mount", "sh", "-euc", WITH_FILES, "group", self.root]


@pytest.fixture
def group(tmp_path, unsharing, as_root):
    (tmp_path / "group").mkdir()
    return Group(tmp_path / "group")


def times_short(d):
    text = rig.run_upperctl(d, "metrics").stdout
    return int(next(line for line in text.splitlines() if line.startswith("upperd_memory_short_total")).split()[1])


def test_handshakes_wait_and_all_else_goes_on(daemon, group, with_tls, authority, pair):
    d = daemon(tls(pair), tcp(), inside=group.inside)
    context = context_for(authority)
    with connect_tls(d.listeners[0], context) as before:
        group.use(60 * MIB)
        assert "60 of 64 MB" in d.expect("memory-short")["message"]
        assert rig.run_upperctl(d, "status", "--check").stdout.startswith("not well: memory is short, and handshakes")
        with connect(d.listeners[0]) as waiting:
            waiting.settimeout(1)
            with pytest.raises(TimeoutError):
                context.wrap_socket(waiting, server_hostname="localhost")
        before.sendall(b"a")
        assert read_exactly(before, 1) == b"A"
        assert tcp_ask(d.listeners[1], b"a") == b"A"
        group.use(50 * MIB)
        assert ask_tls(d.listeners[0], context, b"a") == b"A"
        assert rig.run_upperctl(d, "status", "--check").stdout.startswith("well")
    assert times_short(d) == 1
    group.use(60 * MIB)
    d.wait_for(lambda: times_short(d) == 2, "another time")


@pytest.mark.parametrize("limit", ["max", "high"])
def test_pages_of_files_do_not_count(daemon, group, with_tls, authority, pair, limit):
    d = daemon(tls(pair), inside=group.inside)
    group.put("memory.max", "max")
    group.put(f"memory.{limit}", 64 * MIB)
    group.use(63 * MIB, files=20 * MIB)
    assert ask_tls(d.listeners[0], context_for(authority), b"a") == b"A"
    assert not d.records("memory-short")
    group.use(63 * MIB)
    d.expect("memory-short")


def test_without_a_limit_none_is_short(daemon, group, with_tls, authority, pair):
    group.put("memory.max", "max")
    group.use(1 << 40)
    d = daemon(tls(pair), inside=group.inside)
    assert ask_tls(d.listeners[0], context_for(authority), b"a") == b"A"
    assert times_short(d) == 0


def test_the_manager_has_it_watched(daemon, tmp_path, with_tls, authority, pair):
    fifo = tmp_path / "pressure"
    os.mkfifo(fifo)
    tell = os.open(fifo, os.O_RDWR)
    d = daemon(tls(pair), env={"MEMORY_PRESSURE_WATCH": str(fifo)})
    assert ask_tls(d.listeners[0], context_for(authority), b"a") == b"A"
    os.write(tell, b"!")
    assert "waiting for memory" in d.expect("memory-short")["message"]
    assert ask_tls(d.listeners[0], context_for(authority), b"a") == b"A"  # when it is over
    os.close(tell)
    assert times_short(d) == 1


@pytest.mark.parametrize(("write", "refused"), [(b"some 200000 2000000\0", False), (b"nonsense\0", True)])
def test_the_kernel_is_asked_as_the_manager_says(daemon, as_root, write, refused):
    if not Path("/proc/pressure/memory").exists():
        pytest.skip("this kernel does not know of pressure")
    d = daemon(tcp(), env={"MEMORY_PRESSURE_WATCH": "/proc/pressure/memory",
                           "MEMORY_PRESSURE_WRITE": base64.b64encode(write).decode()})
    said = [record["message"] for record in d.records("system-refused")]
    assert any("pressure on memory is not watched" in message for message in said) == refused
    assert tcp_ask(d.listeners[0], b"a") == b"A"


# A limit that is real


class Limited:
    """A group whose limit the kernel holds. Where it has the older hierarchy alone, the figures of that are
    handed to `group`, as those of the other would be."""

    def __init__(self, group, most):
        self.group, self.older = group, Path("/sys/fs/cgroup/memory")
        self.over = threading.Event()
        self.folder = self.older / f"upperd-test-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / "memory.limit_in_bytes").write_text(str(most))
        group.put("memory.max", most)
        self.feeder = threading.Thread(target=self._feed)
        self.feeder.start()

    def _feed(self):
        while not self.over.wait(0.02):
            self.group.use(self.used())

    def used(self):
        return int((self.folder / "memory.usage_in_bytes").read_text())

    def enter(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def killed(self):
        rows = dict(line.split() for line in (self.folder / "memory.oom_control").read_text().splitlines())
        return int(rows["oom_kill"])

    def end(self):
        self.over.set()
        self.feeder.join()
        process.wait_until(self._is_gone, what="the end of the group")

    def _is_gone(self):
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        return not self.folder.exists()


@pytest.fixture
def limited(group):
    """limited(bytes), for one daemon, which is to be named behind it and ends before."""
    if not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists():
        pytest.skip("no hierarchy of control groups here that a test may set limits in")
    made = []

    def limit(most):
        made.append(Limited(group, most))
        return made[0]

    yield limit
    for one in made:
        one.end()


def idle_connections(at, context, most):
    """As many as are had, and whether the next one waits."""
    had = []
    for _ in range(most):
        plain = connect(at)
        plain.settimeout(2)
        try:
            had.append(context.wrap_socket(plain, server_hostname="localhost"))
        except TimeoutError:
            plain.close()
            return had, True
    return had, False


def all_answer(connections):
    for s in connections:
        s.sendall(b"a")
    return all(read_exactly(s, 1) == b"A" for s in connections)


@pytest.mark.plain
@pytest.mark.parametrize(("most", "clients"), [(64 * MIB, 2000), (40 * MIB, 6000)])
def test_nothing_is_killed_at_the_limit(limited, daemon, group, with_tls, authority, pair, most, clients):
    """Two thousand are held in 64 MiB; six thousand are not in 40, and then the rest waits."""
    one = limited(most)
    d = daemon(tls(pair, idle_timeout="10m"), inside=group.inside, before=one.enter,
               limits={"per_client": 100000})
    had, waits = idle_connections(d.listeners[0], context_for(authority), clients)
    with contextlib.ExitStack() as stack:
        for s in had:
            stack.enter_context(s)
        assert waits == (clients > 2000), len(had)
        assert len(had) >= min(clients, 1000)
        crowd = [stack.enter_context(connect(d.listeners[0])) for _ in range(300)]
        for s in crowd:
            s.sendall(b"\x16\x03\x01")  # and no more of its handshake
        held = time.monotonic() + 10
        while time.monotonic() < held:
            assert one.killed() == 0, f"{one.used()} bytes"
            assert all_answer(had)
        assert one.killed() == 0
        print(f"{len(had)} connections in {one.used() / MIB:.1f} MiB, short {times_short(d)} times")
        if waits:
            assert times_short(d) > 0
            for s in had[:len(had) // 2]:
                s.close()
            assert ask_tls(d.listeners[0], context_for(authority), b"a") == b"A"


@pytest.mark.plain
def test_idle_buffers_are_given_back(daemon, group):
    d = daemon(tcp(), workers=1, inside=group.inside)
    with connect(d.listeners[0]) as s:
        writer = threading.Thread(target=lambda: s.sendall(b"a" * (8 * MIB)))
        writer.start()
        read_exactly(s, 8 * MIB)
        writer.join()
        worker, = d.workers()
        before = process.memory_of(worker)
        group.use(60 * MIB)
        process.wait_until(lambda: process.memory_of(worker) < before - MIB // 4, what="less memory")
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
