# SPDX-License-Identifier: Apache-2.0
"""Things that fail although they never do: a part of what tests/faults/sweep does in full, memory that
runs out in the middle of a conversation, a clock that jumps, and a log that nobody takes."""

import mmap
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

import faults
import process
import rig
from settings import tcp, udp
from wire import connect, read_exactly, tcp_ask, udp_ask

NOMEM = os.environ.get("NOMEM", str(Path(rig.UPPERD).parents[1] / "tests/faults/nomem.so"))


@pytest.fixture(scope="module")
def injecting():
    why = faults.why_not()
    if why:
        pytest.skip(why)


AT_START = [("socket", "EMFILE", 1), ("bind", "EADDRINUSE", 1), ("listen", "EADDRINUSE", 1),
            ("clone", "EAGAIN", 1), ("memfd_create", "EMFILE", 1), ("socketpair", "EMFILE", 1),
            ("epoll_create1", "EMFILE", 1), ("signalfd4", "ENOMEM", 1), ("getrandom", "EINTR", 2),
            ("setresuid", "EPERM", 1), ("recvmsg", "ENOMEM", 1), ("pidfd_open", "ENOSYS", 1)]


@pytest.mark.plain
@pytest.mark.parametrize("call, error, when", AT_START)
def test_start_that_fails_says_so(tmp_path, as_root, injecting, call, error, when):
    outcome = faults.at_start(tmp_path / "run", call, error, str(when))
    assert faults.GOOD.match(outcome), outcome


# Refused while a child is made, told what it is, or says that it is ready.
IN_CHILDREN = [("dup2", "EMFILE", 1), ("close_range", "ENOMEM", 1),
               ("execve", "EACCES", 1), ("execve", "ENOMEM", 1),
               ("sendmsg", "ENOBUFS", 1), ("sendmsg", "ENOBUFS", 3), ("sendmsg", "EPIPE", 2)]


@pytest.mark.plain
@pytest.mark.parametrize("call, error, when", IN_CHILDREN)
def test_what_the_system_refuses_at_start_is_no_bug(tmp_path, as_root, injecting, call, error, when):
    assert faults.at_start(tmp_path / "run", call, error, str(when)) == "refuses with 71"


@pytest.mark.plain
def test_nothing_is_ready_that_does_not_serve(tmp_path, as_root, injecting):
    """The second in a worker is that of its listening socket."""
    assert faults.at_start(tmp_path / "run", "epoll_ctl", "ENOMEM", "2") == "refuses with 71"


IN_SERVICE = [("worker", "accept4", "EMFILE", "1+"), ("worker", "epoll_ctl", "ENOMEM", "1+"),
              ("worker", "recvmmsg", "ENOMEM", "1+"), ("worker", "sendmmsg", "ENOBUFS", "1+"),
              ("worker", "recvfrom", "ENOMEM", "1+"), ("worker", "sendto", "ENOBUFS", "1+"),
              ("supervisor", "accept4", "EMFILE", "1+"), ("supervisor", "write", "ENOSPC", "1+"),
              ("supervisor", "clone", "EAGAIN", "1+"), ("supervisor", "memfd_create", "EMFILE", "1+"),
              ("supervisor", "openat", "EMFILE", "1"), ("supervisor", "sendmsg", "ENOBUFS", "1")]


@pytest.fixture(scope="module")
def running(tmp_path_factory, injecting):
    run = faults.start(tmp_path_factory.mktemp("faults") / "run")
    yield run
    assert run.stop() == 0
    run.kill()


@pytest.mark.plain
@pytest.mark.parametrize("role, call, error, when", IN_SERVICE)
def test_failure_in_service_is_survived(running, as_root, looking, role, call, error, when):
    outcome = faults.in_service(running, role, call, error, when)
    assert faults.GOOD.match(outcome), outcome


class Wishes:
    """What nomem.so is to do; see there."""

    def __init__(self, folder):
        self.path = folder / "wishes"
        self.path.write_bytes(bytes(16))
        self.path.chmod(0o666)
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 16)

    def make(self, pid, left=-1, jump_s=0):
        self.page[:] = struct.pack("=iiii", 0, left, 0, jump_s)
        self.page[:4] = struct.pack("=i", pid)

    def failed(self):
        return struct.unpack_from("=i", self.page, 8)[0]

    def environment(self):
        return {"LD_PRELOAD": NOMEM, "UPPERD_WISHES": str(self.path)}


@pytest.fixture
def wishes(tmp_path):
    if not os.path.exists(NOMEM):
        pytest.skip(f"{NOMEM} was not built")
    tmp_path.chmod(0o755)
    return Wishes(tmp_path)


def converse(d):
    """All that makes a worker keep something: answers that are not taken, lines that do not end, a header
    that is still to come."""
    for listener, data in ((d.listeners[0], b"x" * 3000000), (d.listeners[1], b"no end"),
                           (d.listeners[2], b"PROXY TCP4 ")):
        with connect(listener) as s:
            s.setblocking(False)
            try:
                for _ in range(10):
                    s.send(data)
            except OSError:
                pass
            time.sleep(0.02)  # for the worker to run into it; a busy one does later
    try:
        udp_ask(d.listeners[3], b"hello")
    except TimeoutError:
        pass


def failed_soon(wishes):
    """Only the last one is waited for, which does not fail."""
    deadline = time.monotonic() + 2
    while not (failed := wishes.failed()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return failed


@pytest.mark.plain
def test_memory_may_run_out_at_any_call(daemon, wishes):
    d = daemon(tcp(name="a"), tcp(name="b", framing="line"),
               tcp(name="c", proxy_protocol="required", proxy_from=["127.0.0.0/8"]), udp(),
               workers=1, env=wishes.environment())
    worker, failures = d.workers()[0], 0
    for n in range(100):
        wishes.make(worker, left=n)
        converse(d)
        if not failed_soon(wishes):
            break
        failures += 1
    wishes.make(0)
    print(f"{failures} allocations failed, one at a time")
    assert 3 <= failures < 100
    assert d.workers() == [worker]
    assert tcp_ask(d.listeners[0], b"hello") == b"HELLO"
    assert udp_ask(d.listeners[3], b"hello") == b"HELLO"


@pytest.mark.plain
def test_memory_that_runs_out_in_a_reload_leaves_the_old_one(daemon, wishes):
    d = daemon(udp(), workers=1, env=wishes.environment())
    for n in range(0, 400, 3):
        wishes.make(d.pid, left=n)
        since = d.mark()
        d.signal(signal.SIGHUP)
        d.wait_for(lambda: any(d.records(event, since) for event in rig.ENDS_OF_RELOAD),
                   f"end of reload {n}")
        assert udp_ask(d.listeners[0], b"hello") == b"HELLO"
    wishes.make(0)
    d.reload()


@pytest.mark.plain
def test_clock_may_jump(daemon, wishes):
    d = daemon(tcp(idle_timeout="10m"), udp(), workers=1, env=wishes.environment())
    worker = d.workers()[0]
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        wishes.make(worker, jump_s=3600)
        assert s.recv(10) == b""
    wishes.make(worker, jump_s=-3600)
    assert udp_ask(d.listeners[1], b"hello") == b"HELLO"
    assert tcp_ask(d.listeners[0], b"hello") == b"HELLO"
    wishes.make(0)
    assert d.workers() == [worker]


@pytest.mark.plain
def test_supervisor_that_stands_still_holds_up_nobody(daemon):
    """Its channel fills up with records, which are lost and counted."""
    d = daemon(tcp(), log={"access": True}, workers=1)
    worker = d.workers()[0]
    os.kill(d.pid, signal.SIGSTOP)
    try:
        for _ in range(3000):
            assert tcp_ask(d.listeners[0], b"hello") == b"HELLO"
    finally:
        os.kill(d.pid, signal.SIGCONT)
    assert d.workers() == [worker]


@pytest.mark.parametrize("sink", ["/dev/full", "closed", "stuck"])
def test_log_that_nobody_takes(tmp_path, sink):
    """A disk that is full, a reader that has gone, a pipe that nobody empties."""
    reader, writer = os.pipe()
    stderr = os.open("/dev/full", os.O_WRONLY) if sink == "/dev/full" else writer
    listener = tcp()
    config = tmp_path / "upperd.conf"
    config.write_text(rig.configuration(listener, log={"access": True}, workers=1,
                                        control={"path": str(tmp_path / "control")}))
    with subprocess.Popen([rig.UPPERD, "-c", str(config)], stderr=stderr) as daemon:
        os.close(writer)
        if sink == "closed":
            os.close(reader)

        def is_there():
            with socket.socket() as s:
                return s.connect_ex((listener["address"], listener["port"])) == 0

        process.wait_until(is_there, what="a daemon")
        for _ in range(2000):
            assert tcp_ask(listener, b"hello") == b"HELLO"
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
    if sink != "closed":
        os.close(reader)
