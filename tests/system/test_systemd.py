# SPDX-License-Identifier: Apache-2.0
"""The units, under a real systemd: sockets by name, life and death of the service, what it may do."""

import contextlib
import os
import re
import signal
import shutil
import socket
import ssl
import time
from pathlib import Path

import pytest

import process
from dtls import Session
from machine import ROOT, settings_of_build
from pki import Authority
from settings import configuration
from wire import Background, read_all, read_exactly

pytestmark = pytest.mark.plain

SOCKETS = ("upperd.socket", "upperd-tcp.socket")
UDP = {"name": "udp", "transport": "udp", "port": 12000}
TCP = {"name": "tcp", "transport": "tcp", "port": 12000}
HOST = "127.0.0.1"
AT_MOST = {"upperd.service": 0.3, "upperd-bind.service": 1.2}
TIMEOUT = 30


class Service:
    """upperd.service in the machine, with the sockets that it is shipped with."""

    def __init__(self, machine):
        self.machine = machine
        self.config = settings_of_build()["sysconfdir"] / "upperd/upperd.conf"
        self.drop_ins = []
        self.shipped = machine.path(self.config).read_text()
        self.start = machine.cursor()

    def configure(self, *listeners, **settings):
        text = configuration(*(listeners or (UDP, TCP)), **settings)
        text = re.sub(r'^log =.*$', 'log = { level = "debug"; };', text, flags=re.M)
        self.write(re.sub(r'^(user|group) =.*\n', "", text, flags=re.M))

    def write(self, text):
        self.machine.path(self.config).write_text(text)

    def drop_in(self, unit, text, name="test"):
        folder = self.machine.path(f"/run/systemd/system/{unit}.d")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.conf").write_text(text)
        self.drop_ins.append(folder / f"{name}.conf")
        self.machine.systemctl("daemon-reload")

    def listen(self):
        self.machine.systemctl("start", *SOCKETS)

    def up(self):
        self.machine.systemctl("start", "upperd.service")

    def state(self):
        return self.machine.show("upperd.service", "ActiveState")

    def records(self, event):
        return [record for record in self.machine.journal("--after-cursor", self.start)
                if record.get("UPPERD_EVENT") == event]

    def restarts(self, unit="upperd.service"):
        return int(self.machine.show(unit, "NRestarts"))

    def status(self):
        return self.machine.show("upperd.service", "StatusText")

    def clear(self):
        """As it was; also after a test that left it broken."""
        self.machine.systemctl("stop", "upperd.service", "upperd-bind.service", *SOCKETS,
                               check=False)
        self.machine.systemctl("reset-failed", check=False)
        for path in self.drop_ins:
            path.unlink()
        self.write(self.shipped)
        self.machine.systemctl("daemon-reload")


@pytest.fixture
def service(machine):
    one = Service(machine)
    yield one
    print(machine.run("journalctl", "--no-pager", "--after-cursor", one.start, check=False).stdout)
    one.clear()


@pytest.fixture
def ask_udp(machine):
    def ask(data=b"straight", port=12000, seconds=TIMEOUT):
        with machine.network():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            s.settimeout(seconds)
            s.connect((HOST, port))
            s.send(data)
            answer = s.recv(65536)
        assert answer == data.upper()

    return ask


@pytest.fixture
def connect(machine):
    def open_connection(port=12000):
        with machine.network():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(TIMEOUT)
        s.connect((HOST, port))
        return s

    return open_connection


@pytest.fixture
def ask_tcp(connect):
    def ask(data=b"straight"):
        with connect() as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == data.upper()

    return ask


# Sockets


def test_first_datagram_starts_the_service(service, ask_udp):
    service.listen()
    assert service.state() == "inactive"
    ask_udp()
    assert service.state() == "active"


def test_first_connection_starts_the_service(service, ask_tcp):
    service.listen()
    assert service.state() == "inactive"
    ask_tcp()
    assert service.state() == "active"


def test_enabled_sockets_are_there_at_boot(machine):
    machine.systemctl("enable", "upperd.socket")
    wanted = machine.show("sockets.target", "Wants").split()
    machine.systemctl("disable", "upperd.socket", "upperd-tcp.socket")
    assert {"upperd.socket", "upperd-tcp.socket"} <= set(wanted)


def test_socket_that_no_listener_has_the_name_of_is_a_fault(service):
    service.configure(UDP)
    service.listen()
    assert service.machine.systemctl("start", "upperd.service", check=False).returncode != 0
    assert 'a socket named "tcp", and no listener' in service.records("start-failed")[0]["MESSAGE"]


def test_socket_with_another_port_is_a_fault(service):
    service.configure({**UDP, "port": 12001}, TCP)
    service.listen()
    assert service.machine.systemctl("start", "upperd.service", check=False).returncode != 0
    said = service.records("start-failed")[0]["MESSAGE"]
    assert "udp 127.0.0.1:12000" in said and "udp [::]:12001" in said


def test_socket_of_another_type_is_a_fault(service):
    service.configure({**UDP, "name": "tcp"}, {**TCP, "name": "udp"})
    service.listen()
    assert service.machine.systemctl("start", "upperd.service", check=False).returncode != 0
    assert "is tcp 127.0.0.1:12000, and the listener asks for udp" in service.records("start-failed")[0]["MESSAGE"]


def test_listener_without_a_socket_is_a_fault_where_none_can_be_made(service):
    service.configure(UDP, TCP, {**TCP, "name": "third", "port": 12003})
    service.listen()
    assert service.machine.systemctl("start", "upperd.service", check=False).returncode != 0
    said = service.records("start-failed")[0]["MESSAGE"]
    assert "listener third" in said and "FileDescriptorName=third" in said


def test_advice_for_a_listener_without_a_name_is_followed(service, connect):
    """Its default name has a colon, which systemd takes for the end of a name."""
    service.configure(UDP, TCP, {"transport": "tcp", "port": 12003})
    service.listen()
    checked = as_service(service)
    assert service.machine.systemctl("start", "upperd.service", check=False).returncode != 0
    said = service.records("start-failed")[0]["MESSAGE"]
    for text in (said, checked.stderr):
        name = re.search(r'name = "([^"]*)"', text)[1]
        assert re.search(r"FileDescriptorName=(\S+)", text)[1] == name
        assert ":" not in name
    service.configure(UDP, TCP, {"name": name, "transport": "tcp", "port": 12003})
    unit = service.machine.path("/run/systemd/system/upperd-advised.socket")
    service.machine.systemctl("stop", "upperd.service")
    unit.write_text(f"[Socket]\nListenStream=127.0.0.1:12003\nFileDescriptorName={name}\nService=upperd.service\n")
    try:
        service.machine.systemctl("daemon-reload")
        service.machine.systemctl("start", "upperd-advised.socket")
        service.up()
        with connect(12003) as s:
            s.sendall(b"advised")
            assert read_exactly(s, 7) == b"ADVISED"
    finally:
        service.machine.systemctl("stop", "upperd.service", "upperd-advised.socket", check=False)
        unit.unlink()


def test_fault_does_not_close_the_sockets_for_good(service, ask_udp):
    """Neither by a limit on starts nor by one on triggers; and it heals without a further step."""
    service.write("listeners = nonsense")
    service.listen()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        ask_udp(seconds=3)
    process.wait_until(lambda: service.restarts() >= 2, TIMEOUT, "two tries")
    assert service.restarts() <= 2 * (time.monotonic() - begun)
    service.write(service.shipped)
    ask_udp()


@pytest.mark.parametrize("unit", AT_MOST)
def test_unit_that_cannot_start_writes_little(service, unit):
    """For as long as its configuration is wrong, with the lines of the manager: four a second at most."""
    service.write("listeners = nonsense")
    begun = time.monotonic()
    assert service.machine.systemctl("start", unit, check=False).returncode != 0
    process.wait_until(lambda: time.monotonic() - begun > 30, 60, "half a minute")
    lines = service.machine.run("journalctl", "-o", "cat", "--no-pager", "--after-cursor", service.start,
                                "-u", unit).stdout.splitlines()
    tries = service.restarts(unit)
    print(f"{unit}: {len(lines)} lines, {tries} starts after the first, in {time.monotonic() - begun:.0f} s")
    assert tries >= 2 and service.machine.show(unit, "ActiveState") == "activating"
    assert len(lines) <= 4 * (time.monotonic() - begun)


# Start, stop, restart, reload


def test_stop_leaves_the_sockets_to_the_next_start(service, ask_tcp):
    service.listen()
    service.up()
    service.machine.systemctl("stop", "upperd.service")
    assert service.state() == "inactive"
    assert service.machine.show("upperd.service", "Result") == "success"
    ask_tcp()


def test_stop_takes_the_time_that_draining_needs(service, connect):
    """EXTEND_TIMEOUT_USEC: the unit alone would have it killed after two seconds."""
    service.drop_in("upperd.service", "[Service]\nTimeoutStopSec=2\n")
    service.configure(drain="4s")
    service.listen()
    service.up()
    with connect() as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        service.machine.systemctl("stop", "upperd.service")
    assert service.machine.show("upperd.service", "Result") == "success"


def test_reload_that_fails_says_so_and_changes_nothing(service, ask_tcp):
    service.listen()
    service.up()
    pid = service.machine.show("upperd.service", "MainPID")
    service.write(service.shipped + "\nlisteneres = 3;\n")
    done = service.machine.systemctl("reload", "upperd.service", check=False)
    assert done.returncode != 0
    assert service.state() == "active"
    assert service.machine.show("upperd.service", "MainPID") == pid
    ask_tcp()
    assert "listeneres" in service.records("config-fault")[0]["MESSAGE"]
    assert service.records("reload-failed")
    # At first with its reason, and after a second with what else there is to say.
    assert "reload failed" in service.status().lower()


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_nothing_is_lost_under_load_by(verb, service, ask_tcp, ask_udp):
    """Each question is a connection or a datagram of its own, and each is answered."""
    service.listen()
    service.up()
    with Background(ask_tcp) as tcp, Background(ask_udp) as udp:
        for _ in range(5):
            tcp.ask_more(5)
            udp.ask_more(5)
            service.machine.systemctl(verb, "upperd.service")
        tcp.ask_more(5)
        udp.ask_more(5)
    assert not tcp.failures and not udp.failures


def test_nothing_is_lost_under_load_by_an_upgrade(service, ask_tcp, ask_udp):
    """Of the installed program, which a copy has replaced; it stays the same process."""
    program = settings_of_build()["sbindir"] / "upperd"
    service.listen()
    service.up()
    pid = service.machine.show("upperd.service", "MainPID")
    service.machine.run("cp", program, "/run/upperd.new")
    service.machine.run("mv", "/run/upperd.new", program)
    with Background(ask_tcp) as tcp, Background(ask_udp) as udp:
        for _ in range(5):
            tcp.ask_more(5)
            udp.ask_more(5)
            said = service.machine.run("upperctl", "upgrade").stdout
            assert said == "upgraded\n"
    assert not tcp.failures and not udp.failures
    assert service.machine.show("upperd.service", "MainPID") == pid
    assert service.machine.show("upperd.service", "NRestarts") == "0"
    assert len(service.records("upgraded")) == 5


def test_watchdog_is_fed_after_an_upgrade(service, ask_tcp):
    service.drop_in("upperd.service", "[Service]\nWatchdogSec=5\n")
    service.listen()
    service.up()
    service.machine.run("upperctl", "upgrade")
    fed = service.machine.show("upperd.service", "WatchdogTimestampMonotonic")
    process.wait_until(lambda: int(service.machine.show(
        "upperd.service", "WatchdogTimestampMonotonic")) > int(fed) + 4_000_000, what="food")
    assert service.machine.show("upperd.service", "NRestarts") == "0"
    ask_tcp()


# Death


def test_killed_worker_costs_what_it_had_in_flight(service, ask_tcp, ask_udp):
    service.write(service.shipped + 'log = { level = "debug"; };\n')
    service.listen()
    service.up()
    with Background(ask_tcp) as tcp, Background(lambda: ask_udp(seconds=5)) as udp:
        tcp.ask_more(5)
        udp.ask_more(5)
        os.kill(service.machine.workers()[0], signal.SIGKILL)
        process.wait_until(lambda: len(service.records("child-started")) >= 3, what="another worker")
        tcp.ask_more(20)
        udp.ask_more(20)
    assert len(tcp.failures) <= 1 and len(udp.failures) <= 1


def test_killed_supervisor_is_started_again_and_the_sockets_wait(service, ask_tcp, ask_udp):
    service.listen()
    service.up()
    with Background(ask_tcp) as tcp, Background(lambda: ask_udp(seconds=5)) as udp:
        tcp.ask_more(20)
        udp.ask_more(20)
        old = service.machine.supervisor()
        os.kill(old, signal.SIGKILL)
        process.wait_until(lambda: service.machine.show("upperd.service", "NRestarts") == "1",
                           what="another start")
        tcp.ask_more(20)
        udp.ask_more(20)
    assert len(tcp.failures) <= 1 and len(udp.failures) <= 1


def test_stopped_worker_is_replaced(service, ask_tcp):
    service.listen()
    service.up()
    stuck = service.machine.workers()[0]
    os.kill(stuck, signal.SIGSTOP)
    process.wait_until(lambda: stuck not in service.machine.workers()
                       and len(service.machine.workers()) == 2, 60, "another worker")
    assert service.records("child-stuck")
    assert service.machine.show("upperd.service", "NRestarts") == "0"
    ask_tcp()


def test_stopped_supervisor_is_restarted_by_the_watchdog(service, ask_tcp):
    service.drop_in("upperd.service", "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n")
    service.listen()
    service.up()
    os.kill(service.machine.supervisor(), signal.SIGSTOP)
    process.wait_until(lambda: service.machine.show("upperd.service", "NRestarts") == "1",
                       what="another start")
    ask_tcp()


# Metrics


def test_metrics_socket_goes_by_its_name(service, connect):
    """The service has no network of its own, so that it could not have made it."""
    service.configure(UDP, TCP, metrics={"address": HOST, "port": 12090})
    service.listen()
    service.machine.systemctl("start", "upperd-metrics.socket")
    with connect(12090) as s:
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = read_all(s)
    service.machine.systemctl("stop", "upperd.service", "upperd-metrics.socket")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"\nupperd_build_info{" in answer


# TLS


@pytest.fixture
def secure(service, with_tls, tmp_path, connect):
    """A service with TLS, whose key is a credential; returns what asks it."""
    authority = Authority(tmp_path / "pki")
    pair = authority.issue("ec")
    shutil.copy(pair.certificate, service.machine.path("/etc/upperd-test.pem"))
    shutil.copy(pair.key, service.machine.path("/etc/upperd-test.key"))
    service.machine.path("/etc/upperd-test.key").chmod(0o600)
    service.drop_in("upperd.service", "[Service]\nLoadCredential=test.key:/etc/upperd-test.key\n")
    service.configure(UDP, TCP, {
        "name": "tls", "transport": "tls", "port": 12443,
        "tls": {"certificates": [{"certificate": "/etc/upperd-test.pem",
                                  "key": "credential:test.key"}]}})
    service.listen()
    service.machine.systemctl("start", "upperd-tls.socket")
    context = ssl.create_default_context(cafile=str(authority.file))

    def ask():
        with context.wrap_socket(connect(12443), server_hostname="localhost") as s:
            s.sendall(b"straight")
            assert read_exactly(s, 8) == b"STRAIGHT"

    yield ask
    service.machine.systemctl("stop", "upperd.service", "upperd-tls.socket")


@pytest.fixture
def secure_datagrams(service, secure):
    """The same with DTLS beside it."""
    tls = {"certificates": [{"certificate": "/etc/upperd-test.pem", "key": "credential:test.key"}]}
    service.configure(UDP, TCP, {"name": "tls", "transport": "tls", "port": 12443, "tls": tls},
                      {"name": "dtls", "transport": "dtls", "port": 12443, "tls": tls}, drain="30s")
    service.machine.systemctl("start", "upperd-dtls.socket")

    def open_session():
        with service.machine.network():
            return Session({"address": HOST, "port": 12443})

    yield open_session
    service.machine.systemctl("stop", "upperd.service", "upperd-dtls.socket")


def test_first_hello_starts_the_service_and_a_session_outlives_a_reload(service, secure_datagrams):
    """By a socket that it was given, in a network where there is nothing, with no right to bind."""
    assert service.state() == "inactive"
    with secure_datagrams() as session:
        session.ask("one")
        service.machine.systemctl("reload", "upperd.service")
        session.ask("two")
        with secure_datagrams() as other:
            other.ask("three")
    assert service.machine.show("upperd.service", "PrivateNetwork") == "yes"


def test_first_tls_connection_starts_the_service(service, secure):
    assert service.state() == "inactive"
    secure()
    assert service.state() == "active"


@pytest.mark.parametrize("command", [
    ["systemctl", "reload", "upperd.service"], ["systemctl", "restart", "upperd.service"],
    ["upperctl", "upgrade"]], ids=" ".join)
def test_no_tls_request_is_lost_under_load_by(command, service, secure):
    service.up()
    with Background(secure) as load:
        for _ in range(3):
            load.ask_more(2)
            service.machine.run(*command)
        load.ask_more(2)
    assert not load.failures


def test_killed_keeper_is_replaced(service, secure):
    service.up()
    keepers = [pid for pid in process.children_of(service.machine.supervisor())
               if "--role=keeper" in process.arguments_of(pid)]
    os.kill(keepers[0], signal.SIGKILL)
    process.wait_until(lambda: service.records("child-died"), what="its death")
    process.wait_until(lambda: len([record for record in service.records("child-started")
                                    if record["UPPERD_ROLE"] == "keeper 0"]) == 2, what="another")
    secure()


def test_memory_that_is_short_is_seen_from_within_the_unit(service, secure):
    """Through all that the unit closes: the files of its control group, as a kernel with that controller has them."""
    machine, group = service.machine, "/run/upperd-test-group"
    machine.run("mkdir", "-p", group)
    for name, text in (("memory.max", 64 << 20), ("memory.high", "max"), ("memory.current", 10 << 20),
                       ("memory.stat", "inactive_file 0"), ("memory.pressure", "some total=0")):
        machine.path(f"{group}/{name}").write_text(f"{text}\n")
    service.drop_in("upperd.service", "[Service]\nProtectControlGroups=yes\n"
                    f"BindReadOnlyPaths={group}:/sys/fs/cgroup/system.slice/upperd.service\n", "zz-group")
    service.up()
    secure()
    machine.path(f"{group}/memory.current").write_text(f"{60 << 20}\n")
    process.wait_until(lambda: service.records("memory-short"), what="memory to be short")
    assert machine.run("upperctl", "status").stdout.startswith("not well: memory is short")
    machine.path(f"{group}/memory.current").write_text(f"{10 << 20}\n")
    secure()
    assert machine.run("upperctl", "status").stdout.startswith("well")


# Added while it runs


METRICS = {"address": HOST, "port": 12090}


@pytest.fixture
def unsecured(service, with_tls, tmp_path):
    """A service without TLS that runs, and what it takes to have TLS, too; all added sockets are gone afterwards."""
    authority = Authority(tmp_path / "pki")
    pair = authority.issue("ec")
    for source, target in ((pair.certificate, "/etc/upperd-test.pem"), (pair.key, "/etc/upperd-test.key")):
        shutil.copy(source, service.machine.path(target))
    service.machine.run("chown", "upperd", "/etc/upperd-test.key")
    service.machine.run("chmod", "0600", "/etc/upperd-test.key")
    service.context = ssl.create_default_context(cafile=str(authority.file))
    service.tls = {"certificates": [{"certificate": "/etc/upperd-test.pem", "key": "/etc/upperd-test.key"}]}
    service.configure(UDP, TCP, drain="30s")
    service.listen()
    service.up()
    yield service
    service.machine.systemctl("stop", "upperd.service", check=False)
    for name in ("tls", "dtls", "metrics"):
        service.machine.systemctl("disable", "--now", f"upperd-{name}.socket", check=False)


def ask_secure(service, connect):
    with service.context.wrap_socket(connect(12443), server_hostname="localhost") as s:
        s.sendall(b"straight")
        assert read_exactly(s, 8) == b"STRAIGHT"


def scrape(connect):
    with connect(12090) as s:
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert read_all(s).startswith(b"HTTP/1.1 200 OK\r\n")


def nothing_is_left_of_the_handing_over(service, name):
    assert service.machine.show(f"upperd-{name}.socket", "Triggers") == "upperd.service"
    assert service.machine.show(f"upperd-attach@{name}.service", "ActiveState") == "inactive"
    assert not service.machine.path(f"/run/systemd/system/upperd-{name}.socket.d").exists()
    assert not service.machine.path(f"/run/upperd-attach-{name}").exists()


def test_sockets_are_added_to_a_running_service(unsecured, connect, ask_tcp, ask_udp):
    """TLS, DTLS and metrics, each by two commands; no request is lost, no connection, and nothing restarts."""
    machine, pid = unsecured.machine, unsecured.machine.show("upperd.service", "MainPID")
    tls = {"name": "tls", "transport": "tls", "port": 12443, "tls": unsecured.tls}
    dtls = {**tls, "name": "dtls", "transport": "dtls"}
    steps = [("tls", (UDP, TCP, tls), {}), ("dtls", (UDP, TCP, tls, dtls), {}),
             ("metrics", (UDP, TCP, tls, dtls), {"metrics": METRICS})]
    with connect() as held, Background(ask_tcp) as on_tcp, Background(ask_udp) as on_udp:
        for name, listeners, settings in steps:
            on_tcp.ask_more(3)
            on_udp.ask_more(3)
            unsecured.configure(*listeners, drain="30s", **settings)
            machine.systemctl("enable", f"upperd-{name}.socket")
            done = machine.run("upperctl", "attach", name)
            assert done.stdout == "reloaded\n"
            nothing_is_left_of_the_handing_over(unsecured, name)
            ask_secure(unsecured, connect)
        held.sendall(b"held all the while")
        assert read_exactly(held, 18) == b"HELD ALL THE WHILE"
        with machine.network():
            session = Session({"address": HOST, "port": 12443})
        with session:
            session.ask("datagrams")
        scrape(connect)
        on_tcp.ask_more(3)
        on_udp.ask_more(3)
    assert not on_tcp.failures and not on_udp.failures
    assert machine.show("upperd.service", "MainPID") == pid


@pytest.mark.parametrize("command", [["systemctl", "restart", "upperd.service"], ["upperctl", "upgrade"],
                                     ["systemctl", "reload", "upperd.service"]], ids=" ".join)
def test_added_socket_is_there_after(command, unsecured, connect):
    unsecured.configure(UDP, TCP, {"name": "tls", "transport": "tls", "port": 12443, "tls": unsecured.tls})
    unsecured.machine.systemctl("enable", "upperd-tls.socket")
    unsecured.machine.run("upperctl", "attach", "upperd-tls.socket")
    with Background(lambda: ask_secure(unsecured, connect)) as load:
        for _ in range(2):
            load.ask_more(2)
            unsecured.machine.run(*command)
        load.ask_more(2)
    assert not load.failures


def test_socket_that_no_listener_wants_is_not_added(unsecured, ask_tcp):
    """The answer says what is wrong, and everything is as it was."""
    machine = unsecured.machine
    done = machine.run("upperctl", "attach", "tls", check=False)
    assert done.returncode != 0
    assert "no listener has that name" in done.stderr
    assert machine.show("upperd-tls.socket", "ActiveState") == "inactive"
    nothing_is_left_of_the_handing_over(unsecured, "tls")
    ask_tcp()
    machine.systemctl("reload", "upperd.service")
    unsecured.configure(UDP, TCP, {"name": "tls", "transport": "tls", "port": 12443, "tls": unsecured.tls})
    assert machine.run("upperctl", "attach", "tls").stdout == "reloaded\n"


def test_socket_that_is_there_is_not_added_again(unsecured):
    done = unsecured.machine.run("upperctl", "attach", "tcp", check=False)
    assert done.returncode != 0 and "active already" in done.stderr


def test_socket_that_upperd_still_holds_is_explained_and_the_advice_works(unsecured, connect):
    machine = unsecured.machine
    unsecured.configure(UDP, TCP, {"name": "tls", "transport": "tls", "port": 12443, "tls": unsecured.tls})
    machine.run("upperctl", "attach", "tls")
    machine.systemctl("stop", "upperd-tls.socket")
    done = machine.run("upperctl", "attach", "tls", check=False)
    assert done.returncode != 0 and "'systemctl restart upperd.service' takes up the unit" in done.stderr
    machine.systemctl("enable", "upperd-tls.socket")
    try:
        machine.systemctl("restart", "upperd.service")
        ask_secure(unsecured, connect)
        assert machine.show("upperd-tls.socket", "ActiveState") == "active"
    finally:
        machine.systemctl("disable", "upperd-tls.socket")


@pytest.mark.parametrize("name", ["nothing", "../tls", "", "tls tls"])
def test_no_unit_of_that_name(name, unsecured):
    done = unsecured.machine.run("upperctl", "attach", name, check=False)
    assert done.returncode != 0 and done.stderr.startswith("upperctl: ")


def test_socket_of_a_service_that_does_not_run_is_opened(unsecured, connect):
    machine = unsecured.machine
    machine.systemctl("stop", "upperd.service")
    unsecured.configure(UDP, TCP, {"name": "tls", "transport": "tls", "port": 12443, "tls": unsecured.tls})
    assert "does not run" in machine.run("upperctl", "attach", "tls").stdout
    ask_secure(unsecured, connect)


def test_variant_that_binds_takes_up_listeners_by_a_reload(unsecured, connect, ask_tcp, ask_udp):
    machine = unsecured.machine
    machine.systemctl("stop", "upperd.service", *SOCKETS)
    machine.systemctl("start", "upperd-bind.service")
    with connect() as held, Background(ask_tcp) as on_tcp, Background(ask_udp) as on_udp:
        on_tcp.ask_more(3)
        on_udp.ask_more(3)
        unsecured.configure(UDP, TCP, {"name": "tls", "transport": "tls", "port": 12443, "tls": unsecured.tls},
                            {"name": "second", "transport": "tcp", "port": 12001}, drain="30s",
                            metrics=METRICS)
        machine.systemctl("reload", "upperd-bind.service")
        ask_secure(unsecured, connect)
        scrape(connect)
        with connect(12001) as second:
            second.sendall(b"second")
            assert read_exactly(second, 6) == b"SECOND"
        held.sendall(b"held")
        assert read_exactly(held, 4) == b"HELD"
        on_tcp.ask_more(3)
        on_udp.ask_more(3)
    assert not on_tcp.failures and not on_udp.failures


# What is seen of it


def test_status_tells_how_it_is(service, connect):
    service.listen()
    service.up()
    with connect() as s:
        s.sendall(b"a")
        assert read_exactly(s, 1) == b"A"
        process.wait_until(lambda: "2 workers, 1 connection," in service.status(), what="a status")


def test_journal_has_fields(service, ask_tcp):
    service.write(service.shipped + 'log = { level = "debug"; };\n')
    service.listen()
    service.up()
    ready = service.records("ready")[0]
    assert re.fullmatch("[0-9a-f]{32}", ready["MESSAGE_ID"])
    assert ready["PRIORITY"] == "5" and ready["_SYSTEMD_UNIT"] == "upperd.service"
    started = service.records("child-started")[0]
    assert started["UPPERD_ROLE"] == "worker 0" and int(started["UPPERD_PID"]) > 0


def test_syslog_gets_the_records_when_it_is_asked_for(service):
    service.write(service.shipped + 'log = { target = "syslog"; };\n')
    service.listen()
    service.up()
    said = [record["MESSAGE"] for record in service.machine.journal("--after-cursor", service.start)
            if record["_TRANSPORT"] == "syslog"]
    assert any("ready: serving" in message for message in said), said


def test_journal_explains_a_record(service):
    service.listen()
    service.up()
    os.kill(service.machine.workers()[0], signal.SIGKILL)
    died = process.wait_until(lambda: service.records("child-died"), 5)[0]
    said = service.machine.run("journalctl", "-x", "--no-pager",
                               "--after-cursor", service.start).stdout
    assert "Subject: A process of upperd has died" in said
    assert f"{died['UPPERD_ROLE']}, process {died['UPPERD_PID']}, ended without" in said


def test_fail2ban_finds_offences_in_the_journal(service, connect):
    """As the jail that is shipped would, by the filter's own match for the journal."""
    if not shutil.which("fail2ban-regex"):
        pytest.skip("fail2ban is not installed")
    rules = "/run/upperd-filter.conf"
    shutil.copy(ROOT / "conf/fail2ban/filter.d/upperd.conf", service.machine.path(rules))
    service.configure(UDP, {**TCP, "invalid": "reject"})
    service.listen()
    ports = []
    for data in (b"\xff", b"fine"):
        with connect() as s:
            ports.append(s.getsockname()[1])
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                s.recv(4)
    process.wait_until(lambda: service.records("peer-ended"), what="its end")
    service.machine.run("journalctl", "--sync")
    found = service.machine.run("fail2ban-regex", "--print-all-matched", "systemd-journal", rules).stdout
    matched = found.partition("Matched line(s)")[2].partition("`-")[0]
    assert f":{ports[0]}: connection ended" in matched and f":{ports[1]}:" not in matched, found


# What it may do


def test_sandbox_holds_inside_of_the_unit(service):
    service.listen()
    service.up()
    done = service.machine.run("upperctl", "sandbox", check=False)
    assert done.returncode == 0 and "All of it held" in done.stdout, done.stdout


# By the first version of systemd that knows them.
OF_VERSION = {
    254: {"RestartUSec": "1s", "RestartSteps": "5", "RestartMaxDelayUSec": "10s", "MemoryPressureWatch": "yes"},
    257: {"ProtectControlGroupsEx": "strict"},
}


@pytest.mark.parametrize("unit", AT_MOST)
def test_drop_ins_are_those_that_the_manager_knows(unit, machine):
    version = int(machine.systemctl("--version").stdout.split()[1])
    known = [first for first in OF_VERSION if version >= first]
    names = [Path(path).name for path in machine.show(unit, "DropInPaths").split()]
    assert names == [f"systemd-{first}.conf" for first in known]
    for first in known:
        assert {name: machine.show(unit, name) for name in OF_VERSION[first]} == OF_VERSION[first]
    said = machine.run("journalctl", "--no-pager", "_PID=1").stdout
    assert not re.search(r"upperd\S*: .*(Unknown key|Failed to parse|ignoring)", said), said


@pytest.mark.parametrize("unit", AT_MOST)
def test_exposure(unit, machine):
    said = machine.run("systemd-analyze", "security", "--no-pager", unit).stdout
    level = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said)[1])
    print(f"{unit}: {level}, at most {AT_MOST[unit]}")
    assert level <= AT_MOST[unit], said


def test_variant_that_binds_its_own_sockets_serves(service, ask_tcp, ask_udp):
    service.machine.systemctl("start", "upperd-bind.service")
    ask_tcp()
    ask_udp()
    service.machine.systemctl("reload", "upperd-bind.service")
    ask_tcp()


def test_service_cannot_connect_out(service):
    """Its own program is not one that tries, so another takes its place in the same unit."""
    service.drop_in("upperd.service",
                    "[Service]\nType=oneshot\nRestart=no\nRemainAfterExit=no\nWatchdogSec=0\nExecStart=\n"
                    "ExecStart=/usr/bin/python3 -c 'import socket; "
                    "socket.create_connection((\"127.0.0.1\", 22))'\n")
    service.machine.systemctl("start", "upperd.service", check=False)
    said = service.machine.run("journalctl", "--no-pager", "--after-cursor", service.start).stdout
    assert "Address family not supported by protocol" in said


# --check --as-service: the same verdict as that of a start


def as_service(service, *args):
    return service.machine.run(settings_of_build()["sbindir"] / "upperd", "--check", "--as-service",
                               *args, check=False)


def pair_in(service, mode, credential):
    """A certificate that all may read, and its key with this mode, in the machine."""
    folder = Path("/root/pki") if credential == "closed" else Path("/etc/upperd-test")
    inside = service.machine.path(folder)
    inside.mkdir(parents=True, exist_ok=True)
    inside.chmod(0o700 if credential == "closed" else 0o755)
    one = Authority(service.machine.folder / f"pki-{credential}").issue("ec")
    for name, path in (("cert.pem", one.certificate), ("key.pem", one.key)):
        shutil.copy(path, inside / name)
        (inside / name).chmod(mode if name == "key.pem" else 0o644)
    return str(folder / "cert.pem"), str(folder / "key.pem")


def secure_listener(certificate, key):
    return {"name": "tcp", "transport": "tls", "port": 12000,
            "tls": {"certificates": [{"certificate": certificate, "key": key}]}}


def case_sound(service):
    service.configure(UDP, TCP)


def case_file_of_root(service):
    service.configure(UDP, secure_listener(*pair_in(service, 0o600, "open")))


def case_folder_of_root(service):
    service.configure(UDP, secure_listener(*pair_in(service, 0o600, "closed")))


def case_credential(service):
    certificate, key = pair_in(service, 0o600, "open")
    service.drop_in("upperd.service", f"[Service]\nLoadCredential=test.key:{key}\n")
    service.configure(UDP, secure_listener(certificate, "credential:test.key"))


def case_credential_that_is_not_passed(service):
    service.configure(UDP, secure_listener(pair_in(service, 0o600, "open")[0], "credential:test.key"))


def case_credential_without_a_file(service):
    service.drop_in("upperd.service", "[Service]\nLoadCredential=test.key:/etc/no-such-key\n")
    service.configure(UDP, TCP)


def case_socket_without_a_listener(service):
    service.configure(UDP)


def case_listener_without_a_socket(service):
    service.configure(UDP, TCP, {**TCP, "name": "third", "port": 12003})


def case_socket_with_another_port(service):
    service.configure({**UDP, "port": 12001}, TCP)


def case_socket_of_another_type(service):
    service.configure({**UDP, "name": "tcp"}, {**TCP, "name": "udp"})


def case_user_that_is_not_there(service):
    service.configure(UDP, TCP)
    service.write('user = "no-such-user";\n' + service.machine.path(service.config).read_text())


def case_configuration_that_only_root_may_read(service):
    service.configure(UDP, TCP)
    service.machine.path(service.config).chmod(0o600)


def case_unit_without_its_program(service):
    service.configure(UDP, TCP)
    service.drop_in("upperd.service", "[Service]\nExecStart=\nExecStart=/usr/sbin/no-such-program\n")


CASES = {name.removeprefix("case_"): function for name, function in list(globals().items())
         if name.startswith("case_")}


SOUND = {"sound", "credential", "user_that_is_not_there"}


@pytest.mark.parametrize("case", CASES)
def test_check_as_service_agrees_with_a_start(case, service):
    CASES[case](service)
    service.listen()
    try:
        checked = as_service(service)
        started = service.machine.systemctl("start", "upperd.service", check=False)
    finally:
        service.machine.path(service.config).chmod(0o644)
    assert (checked.returncode == 0) == (started.returncode == 0), \
        f"{checked.stdout}{checked.stderr}---{started.stderr}"
    assert "Traceback" not in checked.stderr and "Sanitizer" not in checked.stderr
    assert (started.returncode == 0) == (case in SOUND), started.stderr
    assert ("looked as user upperd" in checked.stderr) == (checked.returncode == 0 or "of_root" in case
                                                          or "socket" in case or "not_passed" in case
                                                          or "root_may_read" in case)
    assert checked.returncode == 0 or "error" in checked.stderr
    assert ("upperd-certificate@NAME" in checked.stderr) == case.endswith("of_root")


def test_check_as_service_of_a_low_port_that_the_unit_may_not_bind(service):
    service.configure({**TCP, "port": 81})
    service.machine.systemctl("enable", "upperd-bind.service")
    try:
        refused = as_service(service)
        assert refused.returncode == 78 and "CAP_NET_BIND_SERVICE" in refused.stderr
        assert service.machine.systemctl("start", "upperd-bind.service", check=False).returncode != 0
        service.machine.systemctl("stop", "upperd-bind.service", check=False)
        service.drop_in("upperd-bind.service", "[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
                        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nPrivateUsers=no\n")
        allowed = as_service(service)
        started = service.machine.systemctl("start", "upperd-bind.service", check=False)
        assert (allowed.returncode, started.returncode) == (0, 0), allowed.stderr + started.stderr
    finally:
        service.machine.systemctl("disable", "--now", "upperd-bind.service", check=False)
