# SPDX-License-Identifier: Apache-2.0
"""Records: how they look, and what the network cannot do to them."""

import ctypes
import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from process import wait_until
from rig import run_upperctl
from settings import tcp, udp
from wire import connect, read_all, read_exactly, tcp_ask, udp_ask, udp_socket

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18

TEXT_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "
    r"(error|warning|notice|info|debug) [a-z-]+: .*")


def test_every_line_is_one_json_object(daemon):
    d = daemon(udp(), tcp(), log={"access": True})
    tcp_ask(d.listeners[1], b"hello")
    d.reload()
    for line in d.ears.lines:
        record = json.loads(line)
        assert {"time", "level", "event", "message"} <= set(record)


def test_every_line_of_text_looks_alike(daemon):
    d = daemon(udp(), tcp(), log={"format": "text"})
    assert d.ears.lines
    assert [line for line in d.ears.lines if not TEXT_LINE.fullmatch(line)] == []


def test_level_holds_back_what_is_below(daemon):
    d = daemon(tcp(), log={"level": "error"})
    tcp_ask(d.listeners[0], b"hello")
    d.stop()
    assert d.records() == []


def test_each_socket_is_told_of_when_it_is_bound(daemon, tmp_path):
    here, unix = tcp(), tcp(name="unix", path=str(tmp_path / "socket"))
    d = daemon(here, unix)
    d.reload()
    d.reconfigure(here, unix, udp())
    d.reload()
    said = [(record["listener"], record["message"]) for record in d.records("listening")]
    assert said == [("tcp", f"on 127.0.0.1:{here['port']}"), ("unix", f"on {unix['path']}"),
                    ("udp", f"on 127.0.0.1:{d.listeners[2]['port']}")]


def test_access_is_one_record_per_connection(daemon):
    d = daemon(tcp(), log={"access": True})
    tcp_ask(d.listeners[0], b"hello")
    record = d.expect("access")
    assert record["listener"] == "tcp"
    assert record["peer"].startswith("127.0.0.1:")
    assert len(d.records("access")) == 1


def test_access_is_off_unless_asked_for(daemon):
    d = daemon(tcp())
    tcp_ask(d.listeners[0], b"hello")
    d.stop()
    assert d.records("access") == []


def test_acknowledged_message_is_logged_by_size_and_sender(daemon):
    d = daemon(udp(service="acknowledge", amplification=100.0))
    with udp_socket(d.listeners[0]) as s:
        s.send(b"x" * 123)
        s.recv(100)
        host, port = s.getsockname()
    record = d.expect("message")
    assert record["peer"] == f"{host}:{port}"
    assert "123" in record["message"]


def test_each_acknowledged_line_is_logged_by_itself(daemon):
    d = daemon(tcp(service="acknowledge", framing="line"))
    assert tcp_ask(d.listeners[0], b"a\n\nlonger\r\nlast") == b"Message received." * 4
    d.wait_for(lambda: len(d.records("message")) == 4, "a record of each")
    assert [r["message"] for r in d.records("message")] == [
        "2 bytes", "1 bytes", "8 bytes", "4 bytes"]


def test_payload_is_never_logged(daemon):
    d = daemon(udp(invalid="reject"), tcp(invalid="reject", service="uppercase"),
               log={"level": "debug", "access": True})
    with udp_socket(d.listeners[0]) as s:
        s.send(b"secretword\xff")
        s.send(b"ok")
        assert s.recv(100) == b"OK"
    with connect(d.listeners[1]) as s:
        s.sendall(b"secretword")
        assert read_exactly(s, 10) == b"SECRETWORD"
        s.sendall(b"secretword\xff")
        try:
            read_all(s)
        except ConnectionResetError:
            pass
    d.stop()
    assert "secretword" not in d.log().lower()


def test_flood_of_one_kind_is_held_back_and_counted(daemon):
    d = daemon(udp(service="acknowledge", amplification=100.0), workers=1)
    with udp_socket(d.listeners[0]) as s:
        for _ in range(200):
            s.send(b"x")
            s.recv(100)
    d.expect("message")  # records take a way of their own, and may come after the replies
    assert len(d.records("message")) < 50
    d.wait_for(lambda: sum(1 + r.get("suppressed", 0) for r in d.records("message")) >= 200,
            "a count of what was held back")


def test_name_in_the_configuration_cannot_forge_a_line(start):
    d = start(text='user = "x\\nnotice ready: forged";\nlisteners = ( { transport = "tcp"; '
                   'address = "127.0.0.1"; port = 20; prot = 1; } );\n')
    d.wait()
    assert not any(line.startswith("notice ready") for line in d.ears.lines)


def empty_run():
    """Before the exec: a /run of its own, where no log is listening."""
    libc = ctypes.CDLL(None)
    assert libc.unshare(CLONE_NEWNS) == 0
    assert libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
    assert libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, None) == 0


def bind_mount(what, where):
    assert ctypes.CDLL(None).mount(bytes(what), bytes(where), None, MS_BIND | MS_REC, None) == 0


@pytest.fixture
def journal(tmp_path, as_root, unsharing):
    """A socket that takes records, and a function that puts it where a process looks for the journal."""
    folder = tmp_path / "journal"
    folder.mkdir()

    def put_in_place():
        empty_run()
        os.makedirs("/run/systemd/journal")
        bind_mount(folder, Path("/run/systemd/journal"))

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(folder / "socket"))
        put_in_place.socket = s
        yield put_in_place


@pytest.fixture(params=[socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["datagrams", "stream"])
def syslog(request, tmp_path, as_root, unsharing):
    """The same for syslog: a /dev with a log in it, and a few devices that any program needs."""
    folder = tmp_path / "dev"
    folder.mkdir()
    for name in ("null", "zero", "random", "urandom"):
        (folder / name).touch()
    (folder / "shm").mkdir()

    def put_in_place():
        empty_run()
        for name in ("null", "zero", "random", "urandom", "shm"):
            bind_mount(Path("/dev") / name, folder / name)
        bind_mount(folder, Path("/dev"))

    with socket.socket(socket.AF_UNIX, request.param) as s:
        s.bind(str(folder / "log"))
        if request.param == socket.SOCK_STREAM:
            s.listen(1)
        put_in_place.socket = s
        yield put_in_place


def fill(server):
    """Until a socket takes no more: as when its service hangs. Returns what holds it full."""
    clients = []
    while len(clients) < 1000:
        client = socket.socket(socket.AF_UNIX, server.type)
        client.setblocking(False)
        clients.append(client)
        try:
            client.connect(server.getsockname())
            while server.type == socket.SOCK_DGRAM:
                client.send(b"x")
        except BlockingIOError:
            return clients
    raise AssertionError("the socket never became full")


def read_out(server):
    server.setblocking(False)
    while True:
        try:
            yield server.recv(65536)
        except BlockingIOError:
            return


def check_that_it_lives(d):
    """Whatever the supervisor has to do is done, although each step makes records."""
    worker = d.workers()[0]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: d.workers() and worker not in d.workers(), 15, "a new worker")
    assert run_upperctl(d, "reload").returncode == 0
    assert run_upperctl(d, "status").returncode == 0
    assert tcp_ask(d.listeners[0], b"a") == b"A"


def test_journal_that_is_not_read_stops_nothing(daemon, journal, with_systemd):
    held = fill(journal.socket)
    d = daemon(tcp(), workers=1, log={"target": "journal"}, before=journal)
    check_that_it_lives(d)
    assert [x for x in read_out(journal.socket) if x != b"x"] == []
    assert run_upperctl(d, "reload").returncode == 0
    records = list(read_out(journal.socket))
    assert b"records could not be written" in records[0]
    lost = re.search(rb"UPPERD_SUPPRESSED\n\x02\x00{7}(\d\d)\n", records[0])
    assert lost and int(lost[1]) >= 10
    assert d.stop(15) == 0
    assert held


def test_syslog_that_is_not_read_stops_nothing(daemon, syslog):
    held = fill(syslog.socket)
    d = daemon(tcp(), workers=1, log={"target": "syslog"}, before=syslog)
    check_that_it_lives(d)
    assert d.stop(15) == 0
    assert held


def test_syslog_gets_lines_as_syslog_writes_them(daemon, syslog):
    d = daemon(tcp(), log={"target": "syslog"}, before=syslog)
    if syslog.socket.type == socket.SOCK_STREAM:
        stream, _ = syslog.socket.accept()
        with stream:
            line = stream.recv(65536).partition(b"\0")[0]
    else:
        line = syslog.socket.recv(65536)
    assert re.fullmatch(rb"<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d upperd\[%d\]: notice [a-z-]+: .*" % d.pid,
                        line)


def test_records_in_the_journal_have_fields(daemon, journal, with_systemd):
    daemon(tcp(), log={"target": "journal"}, before=journal)
    ready = next(x for x in read_out(journal.socket) if b"UPPERD_EVENT\n\x05\0\0\0\0\0\0\0ready\n" in x)
    assert b"PRIORITY\n\x01\0\0\0\0\0\0\x005\n" in ready
    assert b"MESSAGE_ID\n \0\0\0\0\0\0\0ef04b1680dfe20962611a2b7e572d9ba\n" in ready


def test_service_manager_that_does_not_read_stops_nothing(start, with_systemd):
    name = f"upperd-test-{os.getpid()}-{id(start)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        held = fill(manager)
        d = start(tcp(), workers=1, env={"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "20000000"})
        d.expect("ready")
        d.killed = 1
        check_that_it_lives(d)
        for _ in range(5):  # more states than are kept
            assert run_upperctl(d, "reload").returncode == 0
        told = [x for x in read_out(manager) if x != b"x"]
        assert told == []
        d.wait_for(lambda: told.extend(read_out(manager)) or any(b"READY=1" in x for x in told),
                   "a READY=1 that was kept", 15)
        d.expect("notifications-lost")
        assert d.stop(15) == 0
        assert held


@pytest.mark.parametrize("target", ["journal", "syslog"])
def test_failed_start_says_why_without_a_log(start, target, as_root, unsharing):
    d = start(tcp(address="192.0.2.1"), log={"target": target}, before=empty_run)
    assert d.wait() != 0
    assert "192.0.2.1" in d.log()


def test_failed_start_says_why_beside_the_journal(start, journal, with_systemd):
    d = start(tcp(address="192.0.2.1"), log={"target": "journal"}, before=journal)
    assert d.wait() != 0
    assert "192.0.2.1" in d.log()


def test_stderr_is_left_alone_once_it_serves(daemon, journal, with_systemd):
    d = daemon(tcp(), log={"target": "journal"}, before=journal)
    d.reconfigure(tcp(prot=1), log={"target": "journal"})
    d.reload("reload-failed")
    assert d.log() == ""


def test_configuration_that_works_is_quiet(daemon):
    """Nothing in an ordinary life is a warning."""
    d = daemon(udp(), tcp())
    assert udp_ask(d.listeners[0], b"a") == b"A"
    assert tcp_ask(d.listeners[1], b"a") == b"A"
    d.reload()
    d.stop()
    assert [r for r in d.records() if r.get("level") in ("warning", "error")] == []


# upperctl log


def test_level_of_a_running_daemon(daemon):
    """For the supervisor and its children, those that are started later too, until the next reload."""
    d = daemon(tcp(), workers=1, log={"level": "warning", "access": True})
    tcp_ask(d.listeners[0], b"a")
    assert d.records("access") == []
    assert run_upperctl(d, "log", "info").stdout == "level info until the next reload\n"
    tcp_ask(d.listeners[0], b"a")
    d.expect("access")
    d.killed += 1
    since = d.mark()
    os.kill(d.workers()[0], signal.SIGKILL)
    d.expect("child-started", since)
    d.wait_for(lambda: tcp_ask(d.listeners[0], b"a") and d.records("access", since), "a record of the new one")
    run_upperctl(d, "reload")
    since = d.mark()
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    d.stop()
    assert d.records("access", since) == []


def test_level_that_is_none(daemon):
    d = daemon(tcp())
    done = run_upperctl(d, "log", "loud")
    assert done.returncode == 64 and "error, warning, notice, info or debug" in done.stdout
    assert run_upperctl(d, "log").returncode == 64
