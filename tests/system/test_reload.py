# SPDX-License-Identifier: Apache-2.0
"""What a reload takes up, and what serves meanwhile."""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

import process
from dtls import Session, dtls
from secure import ask_tls, context_for, tls
from settings import configuration, free_port, listener, tcp, udp
from wire import Background, tcp_ask, udp_ask

# Every kind of value, in the strictest sandbox


@pytest.fixture
def rich(tmp_path, authority, pair):
    """Listeners with all that a configuration can name: files, users, interfaces, and numbers with units."""
    tickets = tmp_path / "tickets"
    tickets.write_bytes(os.urandom(80))
    tickets.chmod(0o600)
    named = {"address": "::1%lo", "interface": "lo"} if os.getuid() == 0 else {"address": "::1%lo"}
    people = {"owner": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    return [
        udp(**named, amplification=1.5, v6only=True, charset="ascii", invalid="replace"),
        tcp(**named, backlog=100, connections=10, idle_timeout="2m", write_timeout="1500ms"),
        tcp(name="line", framing="line", max_line="64k", proxy_protocol="optional",
            proxy_from=["127.0.0.0/8", "::1"]),
        listener("tcp", name="path", path=str(tmp_path / "socket"), mode="0660", **people),
        listener("tcp", name="abstract", path=f"@upperd-test-{os.getpid()}-{free_port()}"),
        tls(pair, more={
            "min_version": "1.3", "groups": "X25519:P-256", "alpn": ["upper"],
            "ciphersuites": "TLS_AES_128_GCM_SHA256", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256",
            "client_auth": "optional", "client_ca": str(authority.file), "crl": str(authority.revoke()),
            "ticket_lifetime": "1h", "ticket_keys": str(tickets)}),
        dtls(pair, handshake_timeout="5s"),
    ]


def test_every_kind_of_value_is_taken_up_in_the_strictest_sandbox(daemon, rich, authority, tmp_path):
    """The supervisor does then what it did at its start without a sandbox."""
    d = daemon(tcp(), sandbox="strict")
    (tmp_path / "more.conf").write_text('limits = { exempt = [ "127.0.0.0/8", "fe80::/10" ]; };\n')
    people = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    d.reconfigure(text=configuration(
        *rich, sandbox="strict", **people, workers=3, log={"level": "debug", "access": True},
        control={"path": str(d.folder / "elsewhere")}, metrics={"path": str(tmp_path / "metrics")})
        + '@include "' + str(tmp_path / "more.conf") + '"\n')
    d.listeners = rich
    for _ in range(2):
        d.reload()
        for one in rich:
            ask(one, authority)


def ask(one, authority):
    address = one.get("address", "").partition("%")[0]
    if one["transport"] == "udp":
        assert udp_ask(one, b"a", address) == b"A"
    elif one["transport"] == "tcp":
        assert tcp_ask(one, b"a", address) == b"A"
    elif one["transport"] == "tls":
        assert ask_tls(one, context_for(authority), b"a") == b"A"
    else:
        with Session(one) as session:
            session.ask("a")


# A build that does not come to serve takes nothing away


UNREACHABLE = {"address": "192.0.2.1"}


def all_answer(*listeners, n=60):
    """So many that each socket of the kernel's group has had its share."""
    for one in listeners:
        for _ in range(n):
            ask(one, None)


def test_failed_reload_with_more_workers_takes_no_traffic_away(daemon):
    d = daemon(udp(), tcp(), workers=2)
    serving = d.listeners
    d.reconfigure(*serving, tcp(name="elsewhere", **UNREACHABLE), workers=8)
    d.reload("reload-failed")
    all_answer(*serving)
    d.reconfigure(*serving, workers=8)
    d.reload()
    all_answer(*serving)


def test_configuration_that_is_gone_fails_the_reload_and_has_no_line(daemon):
    d = daemon(tcp())
    d.config.rename(d.folder / "away")
    d.reload("reload-failed")
    assert d.expect("config-fault")["message"] == f"{d.config}: cannot be read: No such file or directory"
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    (d.folder / "away").rename(d.config)


def test_build_that_fails_in_a_child_takes_no_traffic_away(daemon, authority, with_tls):
    """The sockets of the new workers are with them already."""
    d = daemon(udp(), tcp(), workers=2)
    serving = d.listeners
    mismatched = {**authority.issue("ec").group(), "key": str(authority.issue("ec").key)}
    d.reconfigure(*serving, tls(mismatched), workers=8)
    d.reload("reload-failed")
    all_answer(*serving)


class HeldBuild:
    """A reload from one worker to many, whose new workers stand still before they are ready. A build that was
    quicker than that is tried once more, with another daemon."""

    N = 16

    def __init__(self, daemon):
        for _ in range(20):
            self.d = daemon(udp(), tcp(), workers=1)
            if self._is_held():
                return
        raise AssertionError("all builds were quicker than this test")

    def _is_held(self):
        d, self.fresh = self.d, set()
        self.serving, self.old, self.since = d.listeners, d.workers(), d.mark()
        d.reconfigure(*d.listeners, workers=self.N)
        d.signal(signal.SIGHUP)
        while len(self.fresh) < self.N and not d.records("reloaded", self.since):
            for pid in self._children() - set(self.old) - self.fresh:
                os.kill(pid, signal.SIGSTOP)
                self.fresh.add(pid)
        time.sleep(0.3)
        if not d.records("reloaded", self.since):
            return True
        self.release()
        return False

    def _children(self):
        """At once: a search through all processes takes longer than a build."""
        return set(map(int, Path(f"/proc/{self.d.pid}/task/{self.d.pid}/children").read_text().split()))

    def release(self):
        for pid in self.fresh:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.d.expect("reloaded", self.since)


def test_traffic_is_served_while_a_build_takes_its_time(daemon):
    build = HeldBuild(daemon)
    all_answer(*build.serving)
    build.release()
    all_answer(*build.serving)


def test_worker_that_dies_during_a_build_is_replaced_with_what_serves(daemon):
    """And not with the sockets of the build, which nothing can come to yet."""
    build = HeldBuild(daemon)
    d = build.d
    d.killed += 1
    os.kill(build.old[0], signal.SIGKILL)
    d.expect("child-died", build.since, pid=build.old[0])
    replaced = process.wait_until(
        lambda: set(d.workers()) - set(build.old) - build.fresh, what="another")
    all_answer(*build.serving)
    before = sum(map(process.cpu_seconds_of, replaced))
    time.sleep(1)
    assert sum(map(process.cpu_seconds_of, replaced)) - before < 0.5, "a worker spins"
    build.release()
    all_answer(*build.serving)


# Another address on the same port


ADDRESSES = [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "::"),
             ("::", "127.0.0.1"), ("0.0.0.0", "::"), ("::", "0.0.0.0")]


@pytest.mark.parametrize("before, after", ADDRESSES)
def test_address_changes_on_the_same_port(daemon, before, after):
    d = daemon(udp(address=before), tcp(address=before))
    for address in (after, before, after):
        d.reconfigure(*({**one, "address": address} for one in d.listeners))
        with Background(lambda: udp_ask(d.listeners[0], b"a", "127.0.0.1")) as on_udp, \
                Background(lambda: tcp_ask(d.listeners[1], b"a", "127.0.0.1")) as on_tcp:
            on_udp.ask_more(5)
            on_tcp.ask_more(5)
            d.reload()
            on_udp.ask_more(5)
            on_tcp.ask_more(5)
        assert not on_udp.failures and not on_tcp.failures
        assert tcp_answers(d.listeners[1], "127.0.0.2") == (address != "127.0.0.1")


def tcp_answers(one, address):
    try:
        return tcp_ask(one, b"a", address) == b"A"
    except ConnectionRefusedError:
        return False


def test_address_changes_with_sessions_of_datagrams(daemon, pair, authority, with_tls):
    """The narrower socket must not keep new clients to itself while it drains."""
    d = daemon(dtls(pair, address="127.0.0.1"), drain="60s")
    with Session(d.listeners[0]) as session:
        session.ask("before")
        d.reconfigure({**d.listeners[0], "address": "0.0.0.0"}, drain="60s")
        d.reload()
        assert session.wait_for_end() == 0
    here = {**d.listeners[0], "address": "127.0.0.1"}
    for _ in range(3):
        with Session(here) as session:
            session.ask("after")


def test_address_that_somebody_else_has_fails_the_reload(daemon):
    """Only when the build is ready is it known, and then it is not too late."""
    d = daemon(udp(), tcp())
    serving = d.listeners
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        datagram.bind(("127.0.0.2", serving[0]["port"]))
        stream.bind(("127.0.0.2", serving[1]["port"]))
        stream.listen()
        for one in serving:
            wider = [{**other, "address": "0.0.0.0"} if other is one else other for other in serving]
            d.reconfigure(*wider, workers=4)
            since = d.mark()
            d.reload("reload-failed")
            assert "already in use" in d.expect("config-fault", since)["message"]
            all_answer(*serving)
    d.reconfigure(*wider)
    d.reload()


def test_two_listeners_on_addresses_that_overlap_are_refused_by_a_reload_too(daemon):
    """As by a start, which could not come up with them."""
    d = daemon(tcp())
    d.reconfigure(d.listeners[0], {**d.listeners[0], "name": "wider", "address": "0.0.0.0"})
    d.reload("reload-failed")
