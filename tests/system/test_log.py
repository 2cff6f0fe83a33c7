# SPDX-License-Identifier: Apache-2.0
"""Records: how they look, and what the network cannot do to them."""

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import socket
import ssl
import tempfile
from pathlib import Path

import pytest

from pki import Authority
from process import wait_until
from rig import run_upperctl
from secure import connect_tls, context_for, s_client, tls
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


def test_access_record_is_made_of_typed_fields(daemon):
    d = daemon(tcp(framing="line"), log={"access": True})
    tcp_ask(d.listeners[0], b"a\nb\n\xc5\x89")  # one letter of two bytes becomes two of three
    record = d.expect("access")
    assert (record["bytes_in"], record["bytes_out"], record["messages"]) == (6, 7, 3)
    assert isinstance(record["duration_ms"], int) and record["duration_ms"] < 20000
    assert record["reason"] == "done" and record["message"] == "connection ended: the conversation was over"
    assert not {"one_of", "tls_version", "sni", "resumed"} & set(record)


def test_access_of_datagrams_is_made_of_typed_fields(daemon):
    d = daemon(udp(), workers=1, log={"access": True})
    assert udp_ask(d.listeners[0], b"abc") == b"ABC"
    d.stop()
    record = d.records("access")[0]
    assert {key: record[key] for key in ("bytes_in", "bytes_out", "messages", "replies")} == {
        "bytes_in": 3, "bytes_out": 3, "messages": 1, "replies": 1}


def test_access_is_sampled(daemon):
    d = daemon(tcp(), workers=1, log={"access": "1/10"})
    for _ in range(30):
        tcp_ask(d.listeners[0], b"a")
    d.stop()
    assert [record["one_of"] for record in d.records("access")] == [10] * 3


def test_connection_that_was_cut_is_told_of_beside_a_sample(daemon):
    """Sampling is for what is ordinary."""
    d = daemon(tcp(invalid="reject"), workers=1, log={"access": "1/1000"})
    for _ in range(2):
        with connect(d.listeners[0]) as s:
            s.sendall(b"\xff")
            s.recv(1)
    assert d.expect("access")["reason"] == d.expect("peer-ended")["reason"] == "invalid"


def test_access_is_off_unless_asked_for(daemon):
    d = daemon(tcp())
    tcp_ask(d.listeners[0], b"hello")
    d.stop()
    assert d.records("access") == []


def test_a_limit_is_named_with_the_prefix_that_it_holds_for(daemon):
    d = daemon(udp(), tcp(), workers=1, limits={"exempt": [], "datagrams": 3, "unchanged": 2, "per_client": 1})
    with udp_socket(d.listeners[0]) as s:
        for i in range(20):
            s.send(b"A" * (i + 1))  # no two alike, or it is a loop
        refused = d.expect("peer-refused", reason="unchanged")
        assert (refused["limit"], refused["prefix"]) == (2, "127.0.0.1/32")
        refused = d.expect("peer-refused", reason="rate")
        assert (refused["limit"], refused["prefix"]) == (3, "127.0.0.1/32")
    with connect(d.listeners[1]) as first, connect(d.listeners[1]) as second:
        assert second.recv(1) == b""
        refused = d.expect("peer-refused", reason="per_client")
        assert (refused["limit"], refused["prefix"]) == (1, "127.0.0.1/32")
        first.sendall(b"a")


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


# TLS


def test_access_tells_of_tls(daemon, with_tls, pair, authority):
    clients = authority.issue("ec", ("somebody",), usage="clientAuth")
    d = daemon(tls(pair, more={"client_auth": "required", "client_ca": str(authority.file)}),
               workers=1, log={"access": True})
    at, context = d.listeners[0], context_for(authority, certificate=clients)
    with connect_tls(at, context) as s:
        s.sendall(b"abc")
        assert read_exactly(s, 3) == b"ABC"
        session = s.session
    record = d.expect("access")
    assert {key: record[key] for key in ("tls_version", "sni", "client", "resumed", "bytes_in")} == {
        "tls_version": "TLSv1.3", "sni": "localhost", "client": "CN=somebody", "resumed": False, "bytes_in": 3}
    assert record["cipher"].startswith("TLS_") and record["group"]
    since = d.mark()
    with connect_tls(at, context, session=session) as s:
        s.sendall(b"abc")
        assert read_exactly(s, 3) == b"ABC"
    assert d.expect("access", since)["resumed"] is True
    assert d.records("access", since)[0]["client"] == "CN=somebody"


def test_failed_handshake_names_the_alert_and_the_name_asked_for(daemon, with_tls, pair, authority, tmp_path):
    d = daemon(tls(pair))
    other = Authority(tmp_path / "other")
    with pytest.raises(ssl.SSLError):  # the client is the one that gives up
        connect_tls(d.listeners[0], context_for(other), "localhost")
    record = d.expect("peer-ended", reason="tls_refused")
    assert (record["alert_received"], record["sni"]) == ("unknown_ca", "localhost")
    assert "alert_sent" not in record
    s_client(d.listeners[0], "-servername", "an.example", "-tls1_2", "-cipher", "AES128-SHA", text=b"")
    record = d.expect("peer-ended", reason="tls_nothing_shared")
    assert (record["alert_sent"], record["sni"]) == ("handshake_failure", "an.example")
    assert "alert_received" not in record


# Anything from the network, and what reads the log


HOSTILE = (b"x\n2026-01-01T00:00:00.000+00:00 error child-died: worker 0[1] tcp 192.0.2.9:1: refused:"
           b"\r\x1b[2J\x07\" reason=forged \\ \x7f \xc2\x9b1m \xe2\x80\xae \xe2\x81\xa6 \xff\xfe \xc0\x8a")
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def ask_for_a_hostile_name(at):
    s_client(at, "-servername", HOSTILE.decode("utf-8", "surrogateescape"), "-tls1_2", "-cipher", "AES128-SHA",
             text=b"")


def connect_from_a_hostile_path(at, is_abstract):
    """A client of a unix socket that has bound itself to a name of its own choice; a folder of tests is too long for
    one."""
    with socket.socket(socket.AF_UNIX) as s, tempfile.TemporaryDirectory() as folder:
        name = HOSTILE[:100].replace(b"/", b"_")
        s.bind(b"\0" + name if is_abstract else os.fsencode(folder) + b"/" + name[:40])
        s.settimeout(20)
        s.connect(at["path"])
        s.sendall(b"\xff")
        with contextlib.suppress(ConnectionResetError):
            s.recv(1)


@pytest.fixture
def attacked(daemon, with_tls, pair, tmp_path):
    """Starts a daemon, and gives it names that try to leave the place that they have in a record."""
    def attack(**more):
        d = daemon(tls(pair), tcp(name="unix", path=str(tmp_path / "s"), invalid="reject"),
                   tcp(name="proxied", proxy_protocol="required", proxy_from=["127.0.0.0/8"]), workers=1, **more)
        ask_for_a_hostile_name(d.listeners[0])
        connect_from_a_hostile_path(d.listeners[1], True)
        connect_from_a_hostile_path(d.listeners[1], False)
        for header in (b"PROXY TCP4 192.0.2.1\n\x1b[2J 192.0.2.2 1 2\r\n", b"PROXY " + HOSTILE + b"\r\n"):
            with connect(d.listeners[2]) as s:
                s.sendall(header)
                with contextlib.suppress(ConnectionResetError):
                    s.recv(1)
        return d
    return attack


def test_names_from_the_network_cannot_leave_their_field_in_json(attacked):
    d = attacked()
    sni = d.expect("peer-ended", reason="tls_nothing_shared")["sni"]
    assert sni.startswith("x\n2026") and "\\xff\\xfe" in sni  # JSON's own escapes; a byte that is no text as \xff
    d.expect("peer-refused", reason="proxy")
    d.wait_for(lambda: len(d.records("peer-ended", reason="invalid")) == 2, "both unix clients")
    d.stop()
    for line in d.ears.lines:
        assert not RAW.search(line) and isinstance(json.loads(line), dict)


def test_names_from_the_network_cannot_forge_a_line_of_text(attacked):
    d = attacked(log={"format": "text"})
    d.wait_for(lambda: "tls_nothing_shared" in d.log() and d.log().count("reason=invalid") == 2 and
               "reason=proxy" in d.log(), "all records")
    d.stop()
    for line in d.ears.lines:
        assert TEXT_LINE.fullmatch(line) and not RAW.search(line)
        assert not re.search(r" reason=forged", re.sub(r'"(\\.|[^"\\])*"', '""', line)), line
    assert not any("192.0.2.9" in line.split("connection ended")[0] for line in d.ears.lines)


def test_names_from_the_network_are_escaped_in_the_journal(attacked, journal, with_systemd):
    d = attacked(log={"target": "journal", "level": "info"}, before=journal)
    got = []
    d.wait_for(lambda: got.extend(read_out(journal.socket)) or
               sum(b"UPPERD_EVENT\n\x0a\0\0\0\0\0\0\0peer-ended" in x for x in got) == 3, "all records")
    d.stop()
    sni = [x for x in got if b"UPPERD_SNI" in x]
    assert len(sni) == 1 and len([x for x in got if b"UPPERD_REASON\n\x07\0\0\0\0\0\0\0invalid\n" in x]) == 2
    for record in got:
        for name, value in fields_of(record):
            assert b"\n" not in value and not RAW.search(value.decode()), (name, value)
    fields = dict(fields_of(sni[0]))
    assert fields[b"UPPERD_SNI"].startswith(b"x\\x0a2026") and b"\\xff\\xfe" in fields[b"UPPERD_SNI"]
    assert fields[b"UPPERD_ALERT_SENT"] == b"handshake_failure"
    assert re.match(rb"worker 0\[\d+\] tls 127\.0\.0\.1:\d+: connection ended: ", fields[b"MESSAGE"])


def fields_of(record):
    """A record as it is sent to the journal: name, length, value."""
    while record:
        name, _, rest = record.partition(b"\n")
        size = int.from_bytes(rest[:8], "little")
        yield name, rest[8:8 + size]
        record = rest[8 + size + 1:]


def test_names_from_the_network_are_escaped_in_the_system_log(attacked, syslog):
    d = attacked(log={"target": "syslog"}, before=syslog)
    d.stop()
    if syslog.socket.type == socket.SOCK_STREAM:
        stream, _ = syslog.socket.accept()
        with stream:
            got = read_all(stream).split(b"\0")[:-1]
    else:
        got = list(read_out(syslog.socket))  # of those, as many as its queue holds
    assert any(b"tls_nothing_shared" in line for line in got)
    for line in got:
        assert b"\n" not in line and not RAW.search(line.decode()), line


def test_message_of_the_journal_says_who(daemon, journal, with_systemd):
    """Readers of MESSAGE alone see the process, the listener and the peer, always at the same place."""
    d = daemon(tcp(invalid="reject"), log={"target": "journal"}, before=journal)
    with connect(d.listeners[0]) as s:
        host, port = s.getsockname()
        s.sendall(b"\xff")
        with contextlib.suppress(ConnectionResetError):
            s.recv(1)
    d.stop()
    said = [fields for fields in map(dict, map(fields_of, read_out(journal.socket)))
            if fields[b"UPPERD_EVENT"] == b"peer-ended"]
    assert re.fullmatch(rb"worker (\d)\[%s\] tcp %s:%d: connection ended: bytes that are not UTF-8, .* "
                        rb"reason=invalid" % (said[0][b"UPPERD_PID"], host.encode(), port), said[0][b"MESSAGE"])


# A night


LOUD = ("notice", "warning", "error")


def test_reload_that_works_is_two_records(daemon):
    """What begins, and what came of it; the children are for debugging."""
    here, there = tcp(), udp()
    d = daemon(here, there)
    since = d.mark()
    d.reconfigure({**here, "max_line": 99, "framing": "line"}, limits={"per_client": 7})
    d.reload()
    d.expect("reloaded", since)
    loud = [record for record in d.records(since=since) if record["level"] in LOUD]
    assert [record["event"] for record in loud] == ["reloading", "reloaded"]
    assert loud[1]["duration_ms"] < 60000
    changed = loud[1]["message"].partition("; changed: ")[2]
    assert {"limits.per_client", 'listeners."tcp".max_line', 'listeners."udp" removed'} <= set(changed.split(", "))
    assert changed.count("udp") == 1
    assert {record["level"] for record in d.records() if record["event"] in ("child-started", "child-ended")} == {"debug"}
    since = d.mark()
    d.reload()
    assert d.expect("reloaded", since)["message"].endswith("; nothing changed")
    since = d.mark()
    d.reconfigure({**here, "max_line": 99, "framing": "line"}, udp(name="added"), limits={"per_client": 7})
    d.reload()
    assert d.expect("reloaded", since)["message"].endswith('; changed: listeners."added" added')


def test_limit_that_comes_from_open_files_says_so(daemon):
    d = daemon(tcp())
    assert "(LimitNOFILE, the limit on open files, less 64)" in d.expect("ready")["message"]
    d.stop()


def test_pause_names_the_limit_on_open_files(daemon):
    d = daemon(tcp(), workers=1, limits={"per_client": 100},
               before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)))
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connect(d.listeners[0]))
        assert "LimitNOFILE=" in d.expect("accept-paused", reason="limit")["message"]


def test_certificate_is_warned_of_once_a_day(daemon, with_tls, authority):
    """However many workers, reloads and respawns there are, and two listeners with it."""
    d = daemon(tls(authority.issue_for("ec", 80, 10)), workers=2)
    d.expect("certificate-expires")
    for _ in range(2):
        d.reload()
    d.killed += 1
    since = d.mark()
    os.kill(d.workers()[0], signal.SIGKILL)
    d.expect("child-started", since, role=d.expect("child-died", since)["role"])
    d.reload()
    d.stop()
    assert len(d.records("certificate-expires")) == 1


def aside(pair):
    return pair.key.with_suffix(".aside")


def write_garbage(file, _):
    file.write_text("garbage")


def write_half_of_a_certificate(file, pair):
    whole = pair.certificate.read_bytes()
    file.write_bytes(whole[:len(whole) // 2])


def write_certificate_of_another_key(file, pair):
    file.write_bytes(Authority(pair.certificate.parent / "other").issue("ec").certificate.read_bytes())


def write_certificate_without_its_key(file, pair):
    """As of a renewal that is written key last, and stops in between."""
    file.write_bytes(pair.certificate.read_bytes())
    pair.key.rename(aside(pair))


@pytest.mark.parametrize("spoil", [write_garbage, write_half_of_a_certificate, write_certificate_of_another_key,
                                   write_certificate_without_its_key])
def test_refused_renewal_says_what_goes_on_and_for_how_long(daemon, with_tls, authority, spoil):
    pair = authority.issue("ec", days=50)
    d = daemon(tls(pair))
    new = pair.certificate.with_suffix(".new")
    spoil(new, pair)
    new.rename(pair.certificate)
    verdict = d.expect("reload-failed")
    assert re.search(r"go on serving; still shown: localhost, valid for (49|50) more day", verdict["message"])
    assert not d.records("certificate-renewed")
    with context_for(authority).wrap_socket(connect(d.listeners[0]), server_hostname="localhost") as s:
        s.sendall(b"on")
        assert read_exactly(s, 2) == b"ON"
    if aside(pair).exists():
        aside(pair).rename(pair.key)
    authority.sign(pair.key, new, "localhost", ["localhost"])
    new.rename(pair.certificate)
    d.expect("certificate-renewed")


def test_sandbox_leaves_its_verdict(daemon):
    d = daemon(tcp())
    held = run_upperctl(d, "sandbox").returncode == 0
    said = d.expect("sandbox-tried")
    assert said["message"].endswith(": everything was stopped") == held and said["level"] == "notice"


# upperctl log


def test_level_of_a_running_daemon(daemon):
    """For the supervisor and its children, those that are started later too, until the next reload."""
    d = daemon(tcp(), workers=1, log={"level": "warning", "access": True})
    tcp_ask(d.listeners[0], b"a")
    assert d.records("access") == []
    assert run_upperctl(d, "log", "debug").stdout == "level debug until the next reload\n"
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
