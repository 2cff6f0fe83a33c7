# SPDX-License-Identifier: Apache-2.0
"""Records: how they look, and what the network cannot do to them."""

import ctypes
import json
import os
import re
import socket

import pytest

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


@pytest.fixture
def journal(tmp_path, as_root, unsharing):
    """A socket that takes records, and what puts it where a process looks for the journal."""
    folder = tmp_path / "journal"
    folder.mkdir()

    def put_in_place():
        empty_run()
        os.makedirs("/run/systemd/journal")
        assert ctypes.CDLL(None).mount(bytes(folder), b"/run/systemd/journal", None, MS_BIND, None) == 0

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(folder / "socket"))
        yield put_in_place


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
