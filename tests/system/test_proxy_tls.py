# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol in front of TLS: the header is taken off, and not a byte of the handshake with it;
and what becomes of those who begin a handshake and go no further."""

import contextlib
import socket
import ssl
import time

import pytest

import process
from ctl import reasons_of
from secure import context_for, tls
from test_proxy import LOCAL, TEXT, binary, haproxy
from wire import connect, read_exactly

pytestmark = pytest.mark.usefixtures("with_tls")
__all__ = ["haproxy"]  # the fixture


@pytest.fixture
def proxied(daemon, pair):
    return lambda **keys: daemon(tls(pair, proxy_protocol="required", proxy_from=LOCAL, **keys),
                                 log={"access": True})


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_haproxy_names_its_client(proxied, authority, haproxy, option):
    d = proxied()
    front = haproxy(d.listeners[0]["port"], option)
    with socket.create_connection(("127.0.0.1", front), 20, ("127.0.0.9", 0)) as plain:
        name = plain.getsockname()
        with context_for(authority).wrap_socket(plain, server_hostname="localhost") as s:
            s.sendall(b"hello")
            assert read_exactly(s, 5) == b"HELLO"
    d.expect("access", peer=f"{name[0]}:{name[1]}")


@pytest.mark.parametrize("header", [TEXT, binary()])
def test_header_and_handshake_may_come_in_one_piece(proxied, authority, header):
    d = proxied()

    context = context_for(authority)
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(come, go, server_hostname="localhost")
    go.write(header)  # and then what the handshake adds
    with connect(d.listeners[0]) as s:
        def until(do):
            while True:
                try:
                    return do()
                except ssl.SSLWantReadError:
                    s.sendall(go.read())
                    come.write(s.recv(65536))

        until(session.do_handshake)
        session.write(b"hello")
        assert until(lambda: session.read(5)) == b"HELLO"
    assert d.expect("access")["peer"] == "203.0.113.7:4242"


def test_header_and_handshake_have_one_deadline(proxied):
    d = proxied(handshake_timeout="2s")
    with connect(d.listeners[0]) as s:
        time.sleep(1.6)
        s.sendall(TEXT)
        begun = time.monotonic()
        assert s.recv(100) == b""
        assert time.monotonic() - begun < 1.6, "the header gained the handshake time"
    assert d.expect("access")["reason"] == "handshake"


def test_who_fails_handshakes_again_and_again_is_turned_away(daemon, pair):
    d = daemon(tls(pair), limits={"exempt": []})

    def offend():
        with connect(d.listeners[0]) as s, contextlib.suppress(ConnectionError):
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            s.recv(100)
        return reasons_of(d)["penalty"] > 0

    process.wait_until(offend, what="a penalty")
