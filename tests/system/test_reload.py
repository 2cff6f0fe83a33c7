# SPDX-License-Identifier: Apache-2.0
"""What a reload takes up, and what serves meanwhile."""

import os

import pytest

from dtls import Session, dtls
from secure import ask_tls, context_for, tls
from settings import configuration, free_port, listener, tcp, udp
from wire import tcp_ask, udp_ask

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
