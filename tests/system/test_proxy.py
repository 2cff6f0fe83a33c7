# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol: whom it names is the peer, and only those who may are believed."""

import contextlib
import json
import shutil
import socket
import struct
import subprocess

import pytest

import process
from ctl import upperctl
from settings import free_port, tcp, udp
from wire import connect, read_exactly, udp_socket

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = ["127.0.0.0/8"]
ELSEWHERE = ["192.0.2.0/24"]
TEXT = b"PROXY TCP4 203.0.113.7 192.0.2.2 4242 12000\r\n"


def binary(transport=1, source="203.0.113.7", port=4242, command=1, extra=b""):
    ends = socket.inet_aton(source) + socket.inet_aton("192.0.2.2") + struct.pack("!HH", port, 12000)
    body = ends + extra
    return SIGNATURE + bytes([0x20 | command, 0x10 | transport]) + struct.pack("!H", len(body)) + body


def proxied(mode="required", source=LOCAL, **keys):
    return tcp(proxy_protocol=mode, proxy_from=source, **keys)


def clients_open(d):
    """How many connections are counted for one client or another."""
    return sum(row["open"] for row in json.loads(upperctl(d, "clients"))["clients"])


def is_refused(listener, data):
    """Nothing comes back but the end."""
    with connect(listener) as s:
        s.settimeout(8)  # and before anything else would end it
        try:
            s.sendall(data)
            return s.recv(100) == b""
        except ConnectionError:
            return True


@pytest.mark.parametrize("header", [TEXT, binary(), binary(extra=b"\x04\0\x03abc")])
@pytest.mark.parametrize("mode", ["required", "optional"])
def test_peer_is_whom_the_header_names(daemon, header, mode):
    d = daemon(proxied(mode), log={"access": True})
    with connect(d.listeners[0]) as s:
        s.sendall(header + b"hello")
        assert read_exactly(s, 5) == b"HELLO"
    assert d.expect("access")["peer"] == "203.0.113.7:4242"


@pytest.mark.parametrize("header", [TEXT, binary()])
def test_header_may_come_in_pieces(daemon, header):
    d = daemon(proxied(), log={"access": True})
    with connect(d.listeners[0]) as s:
        for i in range(len(header)):
            s.sendall(header[i:i + 1])
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"HELLO"
    assert d.expect("access")["peer"] == "203.0.113.7:4242"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", binary(command=0)])
def test_proxy_that_names_nobody_is_the_peer(daemon, header):
    d = daemon(proxied(), log={"access": True})
    with connect(d.listeners[0]) as s:
        s.sendall(header + b"hello")
        assert read_exactly(s, 5) == b"HELLO"
    assert d.expect("access")["peer"].startswith("127.0.0.1:")


def test_optional_header_may_be_left_out(daemon):
    d = daemon(proxied("optional"), log={"access": True})
    with connect(d.listeners[0]) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"HELLO"
    assert d.expect("access")["peer"].startswith("127.0.0.1:")


def test_required_header_may_not_be_left_out(daemon):
    d = daemon(proxied())
    assert is_refused(d.listeners[0], b"hello")
    d.expect("peer-refused", reason="proxy")


@pytest.mark.parametrize("header", [TEXT, binary()])
@pytest.mark.parametrize("mode", ["required", "optional"])
def test_header_of_a_stranger_is_refused(daemon, mode, header):
    d = daemon(proxied(mode, ELSEWHERE))
    assert is_refused(d.listeners[0], header + b"hello")
    d.expect("peer-refused", reason="proxy")


def test_stranger_without_a_header_is_served_where_it_is_optional(daemon):
    d = daemon(proxied("optional", ELSEWHERE))
    for words in (b"hello", b"P", b"PRO"):
        with connect(d.listeners[0]) as s:
            s.sendall(words)
            assert read_exactly(s, len(words)) == words.upper()


def test_header_is_text_where_it_is_off(daemon):
    d = daemon(tcp())
    with connect(d.listeners[0]) as s:
        s.sendall(TEXT)
        assert read_exactly(s, len(TEXT)) == TEXT.upper()


MALFORMED = [
    b"PROXY TCP4 203.0.113.7 192.0.2.2 4242\r\n", b"PROXY TCP4 203.0.113.256 192.0.2.2 1 2\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.2 4242 65536\r\n", b"PROXY TCP6 203.0.113.7 ::1 1 2\r\n",
    b"PROXY TCP4  203.0.113.7 192.0.2.2 4242 1\r\n", b"PROXY UDP4 203.0.113.7 192.0.2.2 1 2\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.2 4242 1\n", b"PROXY " + b"x" * 120, b"PROXY \r\n",
    SIGNATURE + b"\x11\x11\0\x0c" + bytes(12), SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\0\x0b" + bytes(11), SIGNATURE + b"\x21\x41\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\xff\xff" + bytes(100), binary(transport=2), binary(extra=b"\x04\0\x09abc"),
    binary(extra=b"\x03\0\x04abcd")]


def test_malformed_headers_are_refused(daemon):
    d = daemon(proxied())
    for header in MALFORMED:
        assert is_refused(d.listeners[0], header), header


def test_header_has_a_deadline(daemon):
    d = daemon(proxied(handshake_timeout="300ms"))
    assert is_refused(d.listeners[0], TEXT[:10])
    d.expect("peer-refused", reason="handshake")


def test_waiting_for_a_header_does_not_outlive_the_drain(daemon):
    d = daemon(proxied(), drain="300ms")
    with connect(d.listeners[0]) as s:
        s.sendall(TEXT[:10])
        assert d.stop(8) == 0


def test_limits_are_for_whom_the_header_names(daemon):
    d = daemon(proxied(), limits={"per_client": 1})
    with connect(d.listeners[0]) as first:
        first.sendall(TEXT + b"a")
        assert read_exactly(first, 1) == b"A"
        assert is_refused(d.listeners[0], TEXT + b"b")
        with connect(d.listeners[0]) as other:
            other.sendall(binary(source="203.0.113.8") + b"c")
            assert read_exactly(other, 1) == b"C"
    assert d.expect("peer-refused", reason="per_client")["peer"] == "203.0.113.7:4242"


def is_closed(s):
    """By the server, without a word."""
    try:
        return s.recv(10) == b""
    except ConnectionError:
        return True


def test_silent_strangers_are_counted(daemon):
    """Whether they would send a header or not: from them it would not be believed."""
    d = daemon(proxied("optional", ELSEWHERE), workers=2,
               limits={"exempt": [], "per_client": 4})
    with contextlib.ExitStack() as open_ones:
        for n in range(4):
            open_ones.enter_context(connect(d.listeners[0]))
            process.wait_until(lambda n=n: clients_open(d) == n + 1, what="one more")
        for _ in range(10):
            with connect(d.listeners[0]) as s:
                assert is_closed(s)
    process.wait_until(lambda: clients_open(d) == 0, what="the end of its connections")
    d.expect("peer-refused", reason="per_client")


def test_so_many_wait_for_the_header_of_a_proxy(daemon):
    """The one that has waited longest makes room, and is not held against the proxy."""
    d = daemon(proxied(), workers=1, limits={"exempt": [], "per_client": 4})
    with contextlib.ExitStack() as open_ones:
        first = open_ones.enter_context(connect(d.listeners[0]))
        for _ in range(1024):
            last = open_ones.enter_context(connect(d.listeners[0]))
        assert is_closed(first)
        last.sendall(TEXT + b"hello")
        assert read_exactly(last, 5) == b"HELLO"


def test_stranger_counts_once(daemon):
    """Silent or not, it is the same connection; and its end is the end of it."""
    d = daemon(proxied("optional", ELSEWHERE), limits={"exempt": [], "per_client": 1})
    for _ in range(3):
        with connect(d.listeners[0]) as s:
            s.sendall(b"hello")
            assert read_exactly(s, 5) == b"HELLO"
            assert clients_open(d) == 1
        process.wait_until(lambda: clients_open(d) == 0, what="the end of the connection")


def test_strangers_that_were_refused_are_not_counted(daemon):
    d = daemon(proxied("required", ELSEWHERE), limits={"exempt": [], "per_client": 1})
    for _ in range(3):
        assert is_refused(d.listeners[0], TEXT)
    process.wait_until(lambda: clients_open(d) == 0, what="the end of the connections")


def test_datagrams_may_have_a_header(daemon):
    d = daemon(udp(proxy_protocol="required", proxy_from=LOCAL, service="acknowledge",
                   amplification=10.0))
    with udp_socket(d.listeners[0]) as s:
        s.send(binary(transport=2) + b"hello")
        assert s.recv(100) == b"Message received."
    assert d.expect("message")["peer"] == "203.0.113.7:4242"


@pytest.mark.parametrize("data", [b"hello", binary() + b"hello", SIGNATURE + b"\x21\x12\0\x0c",
                                  binary(transport=2), binary(transport=2, port=53) + b"hello"])
def test_datagrams_with_a_wrong_header_are_not_answered(daemon, data):
    d = daemon(udp(proxy_protocol="required", proxy_from=LOCAL))
    with udp_socket(d.listeners[0]) as s:
        s.send(data)
        s.send(binary(transport=2) + b"after")
        assert s.recv(100) == b"AFTER"


def test_datagram_header_of_a_stranger_is_refused(daemon):
    d = daemon(udp(proxy_protocol="optional", proxy_from=ELSEWHERE))
    with udp_socket(d.listeners[0]) as s:
        s.send(binary(transport=2) + b"hello")
        s.send(b"after")
        assert s.recv(100) == b"AFTER"
    d.expect("peer-refused", reason="proxy")


HAPROXY = """
global
    stats socket {folder}/haproxy
defaults
    mode tcp
    timeout connect 20s
    timeout client 20s
    timeout server 20s
listen front
    bind {address}:{front}
    server back 127.0.0.1:{back} {option}
"""


@pytest.fixture
def haproxy(tmp_path):
    if not shutil.which("haproxy", path="/usr/sbin:/usr/bin"):
        pytest.skip("haproxy is not installed")
    running = []

    def start(back, option):
        front = free_port()
        config = tmp_path / "haproxy.cfg"
        config.write_text(HAPROXY.format(folder=tmp_path, address="127.0.0.1", front=front,
                                         back=back, option=option))
        path = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        running.append(subprocess.Popen([path, "-db", "-f", str(config)]))

        def is_there():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", front)) == 0

        process.wait_until(is_there, what="haproxy")
        return front

    yield start
    for one in running:
        one.terminate()
        one.wait()


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"])
def test_haproxy_names_its_client(daemon, haproxy, option):
    d = daemon(proxied(), log={"access": True})
    front = haproxy(d.listeners[0]["port"], option)
    with socket.create_connection(("127.0.0.1", front), 20, ("127.0.0.9", 0)) as s:
        name = s.getsockname()
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"HELLO"
    d.expect("access", peer=f"{name[0]}:{name[1]}")
