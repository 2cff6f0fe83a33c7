# SPDX-License-Identifier: Apache-2.0
"""Records: how they look, and what the network cannot do to them."""

import json
import re

from settings import tcp, udp
from wire import connect, read_all, read_exactly, tcp_ask, udp_ask, udp_socket

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
    assert 0 < len(d.records("message")) < 50
    d.expect("message")
    d.wait_for(lambda: sum(1 + r.get("suppressed", 0) for r in d.records("message")) >= 200,
            "a count of what was held back")


def test_name_in_the_configuration_cannot_forge_a_line(start):
    d = start(text='user = "x\\nnotice ready: forged";\nlisteners = ( { transport = "tcp"; '
                   'address = "127.0.0.1"; port = 20; prot = 1; } );\n')
    d.wait()
    assert not any(line.startswith("notice ready") for line in d.ears.lines)


def test_configuration_that_works_is_quiet(daemon):
    """Nothing in an ordinary life is a warning."""
    d = daemon(udp(), tcp())
    assert udp_ask(d.listeners[0], b"a") == b"A"
    assert tcp_ask(d.listeners[1], b"a") == b"A"
    d.reload()
    d.stop()
    assert [r for r in d.records() if r.get("level") in ("warning", "error")] == []
