# SPDX-License-Identifier: Apache-2.0
"""From start to stop: readiness, reload, drain, crashes, and what each process may still do."""

import os
import signal
import sys
import time

import pytest

import faults
import process
import rig
from settings import tcp, udp
from wire import Background, connect, read_exactly, tcp_ask, udp_ask

NOBODY = 65534


def kill_worker(d, pid):
    """Returns when the supervisor has noticed."""
    since = d.mark()
    d.killed += 1
    os.kill(pid, signal.SIGKILL)
    return d.expect("child-died", since, pid=pid)


def wait_workers(d, n, without=()):
    """Until there are n, none of them among `without`."""
    def enough():
        workers = d.workers()
        return workers if len(workers) == n and not set(workers) & set(without) else None

    return process.wait_until(enough, what=f"{n} workers")


# Start


def test_ready_is_told_to_the_service_manager(daemon, with_systemd):
    assert daemon(tcp()).notices("READY=1")


def test_ready_means_that_it_serves(daemon):
    d = daemon(udp(), tcp())
    assert udp_ask(d.listeners[0], b"a") == b"A"
    assert tcp_ask(d.listeners[1], b"a") == b"A"


@pytest.mark.parametrize("n", [1, 3])
def test_as_many_workers_as_asked_for(daemon, n):
    assert len(daemon(tcp(), workers=n).workers()) == n


def test_zero_workers_is_one_per_cpu(daemon):
    assert len(daemon(tcp(), workers=0).workers()) == len(os.sched_getaffinity(0))


# In mounts of its own, the control group that it is in has a quota of its time.
WITH_QUOTA = """
mount -t tmpfs none /sys/fs/cgroup
group=$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir -p "/sys/fs/cgroup$group"
echo "$1 100000" >"/sys/fs/cgroup$group/cpu.max"
shift
exec "$@"
"""


@pytest.mark.parametrize(("quota", "most"), [(100000, 1), (50000, 1), ("max", None)])
def test_zero_workers_are_no_more_than_the_quota_allows(daemon, unsharing, as_root, quota, most):
    inside = ["unshare", "--mount", "sh", "-euc", WITH_QUOTA, "quota", quota]
    running = daemon(tcp(), workers=0, inside=inside)
    assert len(running.workers()) == (most or len(os.sched_getaffinity(0)))


# A manager that gives a service processes of its own passes numbers of those outside.
IN_A_NAMESPACE = """
import os, socket, sys
passed = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(passed.fileno(), 4)
os.dup2(4, 3)
os.close(4)
os.environ.update(LISTEN_PID="4711", LISTEN_FDS="1", LISTEN_FDNAMES="tcp", WATCHDOG_PID="4711",
                  WATCHDOG_USEC="20000000",
                  ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")  # wants a /proc of the namespace
os.execvp("unshare", ["unshare", "--pid", "--fork", "--kill-child", *sys.argv[2:]])
"""


def test_first_process_of_a_namespace_takes_what_is_meant_for_it(start, unsharing, as_root, with_systemd):
    at = tcp(name="tcp", address="127.0.0.1")
    d = start(at, inside=[sys.executable, "-c", IN_A_NAMESPACE, at["port"]]).wait_ready()
    supervisor, = process.children_of(d.pid)
    try:
        assert not d.notices("MAINPID=")
        d.wait_for(lambda: d.notices("WATCHDOG=1"), "WATCHDOG=1")
        assert tcp_ask(at, b"a") == b"A"
        assert not d.records("listening")  # or it would have made a socket
    finally:
        os.kill(supervisor, signal.SIGTERM)
    assert d.wait() == 0


def test_every_worker_answers_under_either_socket(daemon):
    """As many connections as make it certain that both workers have their share."""
    d = daemon(tcp(), workers=2)
    for _ in range(40):
        assert tcp_ask(d.listeners[0], b"a") == b"A"


def test_failed_start_says_why_to_the_service_manager(start, with_systemd):
    d = start(tcp(address="192.0.2.1"))
    assert d.wait() != 0
    process.wait_until(lambda: d.notices("STATUS="), what="STATUS=")
    assert not d.notices("READY=1")


@pytest.mark.parametrize(("text", "words"), [
    ("workers = 1;\nlisteners = ({ prot = 1; });", "upperd.conf:2: listeners[0].prot: unknown key"),
    ("nonsense", "upperd.conf:1: nonsense: '=' is missing"),
])
def test_a_fault_of_the_configuration_is_told_to_the_service_manager(
        start, with_systemd, text, words):
    d = start(text=text)
    assert d.wait() == 78
    process.wait_until(lambda: d.notices("STATUS="), what="STATUS=")
    assert words in d.notices("STATUS=Cannot start: ")[0]


def close_standard():
    for fd in range(3):
        os.close(fd)


def test_closed_descriptors_are_taken_by_nothing(daemon, with_systemd):
    """Or the log would be written into memory that all workers share."""
    d = daemon(udp(), tcp(), before=close_standard, log={"level": "debug"})
    assert {os.readlink(f"/proc/{d.pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    assert udp_ask(d.listeners[0], b"a") == b"A"
    d.reload()
    assert tcp_ask(d.listeners[1], b"a") == b"A"


# Reload


def test_reload_replaces_the_workers(daemon):
    d = daemon(tcp())
    old = d.workers()
    d.reload()
    wait_workers(d, 2, without=old)
    assert tcp_ask(d.listeners[0], b"new") == b"NEW"


def test_reload_is_told_to_the_service_manager(daemon, with_systemd):
    d = daemon(tcp())
    since = len(d.ears.notices)
    d.reload()
    d.wait_for(lambda: d.notices("READY=1", since), "READY=1")
    begun, = d.notices("RELOADING=1", since)
    assert "MONOTONIC_USEC=" in begun
    assert d.ears.notices.index(begun) < d.ears.notices.index(d.notices("READY=1", since)[0], since)


def test_reload_takes_up_the_new_configuration(daemon):
    d = daemon(tcp())
    d.reconfigure({**d.listeners[0], "service": "echo"}, udp())
    d.reload()
    assert tcp_ask(d.listeners[0], b"as is") == b"as is"
    assert udp_ask(d.listeners[1], b"new") == b"NEW"


def test_reload_gives_up_a_listener_that_is_gone(daemon):
    d = daemon(tcp(name="stays"), tcp(name="goes"))
    goes = d.listeners[1]
    d.reconfigure(d.listeners[0])
    d.reload()
    process.wait_until(lambda: is_refused(goes), what="a refusal")


def is_refused(one):
    try:
        connect(one).close()
    except ConnectionRefusedError:
        return True
    return False


def test_reload_lets_open_connections_finish(daemon):
    d = daemon(tcp(framing="line"))
    with connect(d.listeners[0]) as s:
        s.sendall(b"begun before")
        d.reload()
        s.sendall(b" and ended after\n")
        assert read_exactly(s, 29) == b"BEGUN BEFORE AND ENDED AFTER\n"


def test_reload_cuts_what_does_not_finish(daemon):
    d = daemon(tcp(), drain="500ms")
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        d.reload()
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass


def test_reload_with_faults_changes_nothing(daemon):
    d = daemon(tcp())
    before = d.workers()
    with connect(d.listeners[0]) as s:
        d.reconfigure(tcp(prot=1))
        d.reload("reload-failed")
        s.sendall(b"still")
        assert read_exactly(s, 5) == b"STILL"
    assert d.workers() == before
    assert "did you mean" in d.expect("config-fault")["message"]


def test_reload_that_cannot_bind_changes_nothing(daemon):
    d = daemon(tcp())
    before, one = d.workers(), d.listeners[0]
    d.reconfigure(one, tcp(name="elsewhere", address="192.0.2.1"))
    d.reload("reload-failed")
    assert d.workers() == before
    assert tcp_ask(one, b"still") == b"STILL"


def test_reload_makes_a_file_that_was_removed(daemon, tmp_path):
    path = tmp_path / "socket"
    d = daemon(tcp(path=str(path)))
    path.unlink()
    d.reload()
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    d.reload()
    assert tcp_ask(d.listeners[0], b"b") == b"B"
    d.stop()
    assert not path.exists()


def test_file_that_was_removed_and_cannot_be_made_fails_the_reload(daemon, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    d = daemon(tcp(path=str(folder / "socket")))
    (folder / "socket").unlink()
    folder.rmdir()
    d.reload("reload-failed")
    folder.mkdir()
    d.reload()
    assert tcp_ask(d.listeners[0], b"a") == b"A"


def test_reload_that_fails_makes_no_file_that_nobody_serves(daemon, tmp_path):
    path = tmp_path / "socket"
    d = daemon(tcp(path=str(path)))
    path.unlink()
    one = d.listeners[0]
    d.reconfigure(one, tcp(name="other", address="192.0.2.1"))
    d.reload("reload-failed")
    assert not path.exists()
    d.reconfigure(one)
    d.reload()
    assert tcp_ask(one, b"a") == b"A"


@pytest.mark.plain
def test_reload_that_is_ready_but_does_not_serve_changes_nothing(daemon, as_root):
    """With so many listeners, only a worker ever watches as many descriptors."""
    why = faults.why_not()
    if why:
        pytest.skip(why)
    d = daemon(tcp(), *(udp(name=f"udp-{i}") for i in range(30)), workers=1)
    before = d.workers()
    with connect(d.listeners[0]) as s:
        with faults.Tracer(d.pid, "-f", "-o", "/dev/null", *faults.injection("epoll_ctl", "ENOMEM", "31")):
            d.reload("reload-failed")
        s.sendall(b"still")
        assert read_exactly(s, 5) == b"STILL"
    assert d.workers() == before
    d.killed = len(d.records("child-died"))


def test_reload_works_after_one_that_failed(daemon):
    d = daemon(tcp())
    one = d.listeners[0]
    d.reconfigure(text="listeners = (")
    d.reload("reload-failed")
    d.reconfigure(one)
    d.reload()
    assert tcp_ask(one, b"well") == b"WELL"


def test_many_reloads_at_once_are_taken_one_by_one(daemon):
    d = daemon(tcp())
    for _ in range(20):
        d.signal(signal.SIGHUP)
    d.reload()
    process.wait_until(lambda: len(d.workers()) == 2, what="two workers")
    assert tcp_ask(d.listeners[0], b"well") == b"WELL"


def test_reload_leaves_nothing_behind(daemon):
    d = daemon(udp(), tcp())
    d.reload()
    wait_workers(d, 2)
    before = process.descriptors_of(d.pid)
    for _ in range(5):
        old = d.workers()
        d.reload()
        wait_workers(d, 2, without=old)
    process.wait_until(lambda: process.descriptors_of(d.pid) <= before,
                       what="as many descriptors as before")


# Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_when_asked(daemon, number):
    d = daemon(tcp())
    d.signal(number)
    assert d.wait() == 0


def test_stop_is_told_to_the_service_manager(daemon, with_systemd):
    d = daemon(tcp())
    assert d.stop() == 0
    process.wait_until(lambda: d.notices("STOPPING=1"), what="STOPPING=1")


def test_stop_answers_what_has_been_received(daemon):
    d = daemon(tcp(framing="line"))
    with connect(d.listeners[0]) as s:
        s.sendall(b"asked and ")
        since = d.mark()
        d.signal(signal.SIGTERM)
        d.expect("stopping", since)
        s.sendall(b"answered\n")
        assert read_exactly(s, 19) == b"ASKED AND ANSWERED\n"
    assert d.wait() == 0


def test_stop_accepts_no_more(daemon):
    d = daemon(tcp())
    with connect(d.listeners[0]) as held:
        d.signal(signal.SIGTERM)
        process.wait_until(lambda: is_refused(d.listeners[0]), what="a refusal")
        held.sendall(b"held")
        assert read_exactly(held, 4) == b"HELD"
    assert d.wait() == 0


def test_stop_cuts_what_does_not_finish(daemon):
    d = daemon(tcp(idle_timeout="10m"), drain="500ms")
    with connect(d.listeners[0]):
        start = time.monotonic()
        assert d.stop(20) == 0  # which is less than it would be without being told
        assert time.monotonic() - start > 0.4


def test_second_stop_is_at_once(daemon):
    d = daemon(tcp(idle_timeout="1h"), drain="1h")
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        since = d.mark()
        d.signal(signal.SIGTERM)
        d.expect("stopping", since)
        d.signal(signal.SIGTERM)
        d.wait()


def test_hangup_while_stopping_is_not_a_second_life(daemon):
    d = daemon(tcp(), drain="1s")
    with connect(d.listeners[0]):
        d.signal(signal.SIGTERM)
        d.signal(signal.SIGHUP)
        assert d.wait() == 0


def hold_new_workers(d, old):
    """Stops the workers of a reload before they are ready; None when they were too quick."""
    since = d.mark()
    d.signal(signal.SIGHUP)
    new = []
    while len(new) < len(old) and not d.records("reloaded", since):
        for pid in set(d.workers()) - {*old, *new}:
            os.kill(pid, signal.SIGSTOP)
            new.append(pid)
    if len(new) == len(old) and not d.records("reloaded", since):
        return new
    for pid in new:
        os.kill(pid, signal.SIGCONT)
    d.expect("reloaded", since)
    old[:] = wait_workers(d, len(old), without=old)
    return None


def rests(pid):
    """Whether it waits for something, and goes on doing so."""
    def is_idle():
        stat = process.stat_of(pid)
        return stat and stat[0] == "S"

    return all(is_idle() for _ in range(20) if not time.sleep(0.02))  # to be sure of it


@pytest.mark.parametrize("first", ["stop", "children"])
def test_stop_in_the_very_round_in_which_children_report(daemon, first):
    """The supervisor finds both at once, in either order, when it goes on."""
    d = daemon(tcp())
    old = d.workers()
    new = process.wait_until(lambda: hold_new_workers(d, old), what="a reload that waits")
    d.signal(signal.SIGSTOP)
    process.wait_until(lambda: process.stat_of(d.pid)[0] == "T", what="a supervisor that waits")
    if first == "stop":
        d.signal(signal.SIGTERM)
    for pid in new:
        os.kill(pid, signal.SIGCONT)
    process.wait_until(lambda: all(map(rests, new)), what="workers that are ready")
    if first == "children":
        d.signal(signal.SIGTERM)
    d.signal(signal.SIGCONT)
    assert d.wait() == 0


# Crashes


def test_killed_worker_is_replaced_within_a_second(daemon):
    """Or on a busy machine later, but not again and again."""
    def is_replaced_in_time():
        d = daemon(tcp())
        victim = d.workers()[0]
        start = time.monotonic()
        record = kill_worker(d, victim)
        assert "signal 9" in record["message"]
        wait_workers(d, 2, without=[victim])
        return time.monotonic() - start < 1

    assert any(is_replaced_in_time() for _ in range(5))


def test_the_others_go_on_when_a_worker_is_killed(daemon):
    """A connection of the one that lives does not notice."""
    d = daemon(tcp())
    clients = [connect(d.listeners[0]) for _ in range(20)]
    for s in clients:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
    kill_worker(d, d.workers()[0])
    alive = [s for s in clients if lives(s)]
    assert 0 < len(alive) < 20


def lives(s):
    try:
        s.sendall(b"b")
        return s.recv(1) == b"B"
    except ConnectionError:
        return False


def test_killing_workers_under_load_loses_only_their_own(daemon):
    """A datagram that a killed worker held is lost; what is asked after its replacement is not."""
    d = daemon(tcp(), udp())
    with Background(lambda: tcp_ask(d.listeners[0], b"a")) as load:
        for _ in range(3):
            load.ask_more(5)
            victim = d.workers()[0]
            kill_worker(d, victim)
            wait_workers(d, 2, without=[victim])
            load.ask_more(5)
    assert len(load.failures) < load.asked / 4
    assert all(tcp_ask(d.listeners[0], b"a") == b"A" for _ in range(20))


def test_worker_that_keeps_dying_is_replaced_more_slowly(daemon):
    """At once, and then after 100, 200, 400 and 800 ms."""
    d = daemon(tcp(), workers=1)
    for least in (0, 0.1, 0.2, 0.4, 0.8):
        victim = wait_workers(d, 1)[0]
        start = time.monotonic()
        kill_worker(d, victim)
        wait_workers(d, 1, without=[victim])
        assert time.monotonic() - start > 0.9 * least


@pytest.mark.long
def test_worker_that_stands_still_is_replaced(daemon):
    d = daemon(tcp())
    victim = d.workers()[0]
    d.killed += 1
    os.kill(victim, signal.SIGSTOP)
    d.expect("child-stuck", pid=victim)
    wait_workers(d, 2, without=[victim])


def test_worker_that_stands_still_holds_up_no_drain(daemon):
    """A reload does not wait for the end of `drain` to learn that nobody is there."""
    d = daemon(tcp(), drain="120s")
    old = d.workers()
    d.killed += 1
    os.kill(old[0], signal.SIGSTOP)
    d.reload()
    d.expect("child-stuck", pid=old[0])
    process.wait_until(lambda: not any(map(process.is_alive, old)), what="the end of the old ones")
    assert tcp_ask(d.listeners[0], b"a") == b"A"


@pytest.mark.parametrize("text", [b"\n", b"\n" * 1000, b"x\n"], ids=["slow", "fast", "lines"])
def test_child_that_writes_without_end_is_not_read_any_more(daemon, as_root, looking, text):
    d = daemon(tcp(), workers=1)
    with open(f"/proc/{d.workers()[0]}/fd/2", "wb", buffering=0) as stderr, pytest.raises(BrokenPipeError):
        for _ in range(4 << 20):
            stderr.write(text)
    assert len(d.records("child-said")) <= 256
    assert tcp_ask(d.listeners[0], b"a") == b"A"


def test_workers_do_not_outlive_the_supervisor(start):
    d = start(tcp()).wait_ready()
    workers = d.workers()
    d.asked_to_stop = True
    d.process.kill()
    d.process.wait()
    process.wait_until(lambda: not any(map(process.is_alive, workers)), what="the end of its workers")


@pytest.mark.long
def test_all_standing_still_together_is_nobodys_fault(daemon):
    """As with docker pause, a frozen cgroup, or a terminal's stop; the supervisor wakes first."""
    d = daemon(tcp())
    all_of_them = [d.pid, *d.children()]
    for pid in all_of_them:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(12)  # longer than a loop that does not turn is waited for
    os.kill(d.pid, signal.SIGCONT)
    time.sleep(1.5)  # in which it looks at its children
    for pid in all_of_them:
        os.kill(pid, signal.SIGCONT)
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    assert sorted(d.children()) == sorted(all_of_them[1:])


@pytest.mark.plain
def test_worker_that_goes_on_listening_holds_up_no_reload(daemon, as_root):
    """It drains, but does not say that it takes nothing new, as one that was taken over might."""
    why = faults.why_not()
    if why:
        pytest.skip(why)
    d = daemon(tcp(idle_timeout="1h"), workers=1, drain="60s")
    worker, = d.workers()
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        with faults.Tracer(worker, "-o", "/dev/null", *faults.injection("sendto", "ENOBUFS", "1+")):
            start = time.monotonic()
            assert rig.run_upperctl(d, "reload").returncode == 0
            assert time.monotonic() - start < 20
    d.killed += 1
    d.expect("child-stuck", pid=worker)
    d.expect("child-died", pid=worker)


@pytest.mark.plain
def test_workers_that_cannot_be_replaced_are_told_of(daemon, as_root, with_systemd):
    """In the log, in both kinds of status, and by no word to the watchdog; and all of that ends with it."""
    why = faults.why_not()
    if why:
        pytest.skip(why)
    d = daemon(tcp(), env={"WATCHDOG_USEC": "600000000"})
    assert rig.run_upperctl(d, "status", "--check").returncode == 0
    with faults.Tracer(d.pid, "-o", "/dev/null", *faults.injection("clone", "EAGAIN", "1+")):
        for pid in d.workers():
            kill_worker(d, pid)
        assert "cannot start a worker: Resource temporarily unavailable" in d.expect("child-missing")["message"]
        d.wait_for(lambda: d.notices("STATUS=2 of 2 workers are missing"), "STATUS=")
        since = len(d.ears.notices)
        status = rig.run_upperctl(d, "status", "--check")
        assert status.returncode == 1
        assert status.stdout.startswith("not well: 2 of 2 workers are missing: cannot start a worker")
        time.sleep(3)  # in which the watchdog would have heard of us
        assert not d.notices("WATCHDOG=1", since)
    wait_workers(d, 2)
    d.wait_for(lambda: d.notices("WATCHDOG=1", since), "WATCHDOG=1")
    assert rig.run_upperctl(d, "status", "--check").returncode == 0
    assert tcp_ask(d.listeners[0], b"a") == b"A"


# Privileges


@pytest.fixture
def worker(daemon, as_root):
    """The /proc status of a worker that was started as root."""
    return process.status_of(daemon(udp(), tcp()).workers()[0])


def test_worker_is_nobody(worker):
    assert set(worker["Uid"].split()) == {str(NOBODY)}
    assert set(worker["Gid"].split()) == {str(NOBODY)}


def test_worker_has_no_other_groups(worker):
    assert set(worker["Groups"].split()) <= {str(NOBODY)}


@pytest.mark.parametrize("which", ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
def test_worker_has_no_capability(worker, which):
    assert int(worker[which], 16) == 0


def test_worker_can_gain_no_privilege(worker):
    assert worker["NoNewPrivs"] == "1"


def test_worker_holds_no_descriptor_that_it_has_no_use_for(daemon, looking):
    """Sockets, memory and events; no file, and nothing of its parent's."""
    pid = daemon(udp(), tcp(), workers=1).workers()[0]
    targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    known = ("socket:", "anon_inode:", "/memfd:", "/dev/null", "pipe:")
    assert [target for target in targets if not target.startswith(known)] == []
