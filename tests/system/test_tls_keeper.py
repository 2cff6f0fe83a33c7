# SPDX-License-Identifier: Apache-2.0
"""The keeper when it is killed, and when what it hears does not come from a worker of ours."""

import contextlib
import os
import re
import signal
import socket
import ssl
import struct
import time

import pytest

import process
import rig
from captured import steal
from pki import openssl
from secure import ask_tls, connect_tls, context_for, tls
from settings import tcp
from wire import Background, connect, read_exactly, tcp_ask

pytestmark = pytest.mark.usefixtures("with_tls")

SIGN, SHA256 = 1, 1
DATA = 512  # at most, in a question
HANDSHAKE = (struct.pack("=6I", SIGN, 1, 0, SHA256, 0, 64 + 34 + 32) +
             64 * b" " + b"TLS 1.3, server CertificateVerify\0" + bytes(32))
PATIENT = {"handshake_timeout": "60s", "idle_timeout": "60s"}


def kill_keeper(d, keeper):
    """Returns the one that took its place."""
    d.killed += 1
    others = set(d.children("keeper")) - {keeper}
    os.kill(keeper, signal.SIGKILL)
    found = process.wait_until(lambda: set(d.children("keeper")) - {keeper, *others},
                               rig.PATIENCE, "another keeper")
    return found.pop()


def channels_of(pid):
    """Its descriptors that are sockets, but for the channel to the supervisor."""
    folder = f"/proc/{pid}/fd"
    return [int(fd) for fd in os.listdir(folder)
            if int(fd) > 3 and os.readlink(f"{folder}/{fd}").startswith("socket:")]


def to_keeper(worker):
    """A copy of the worker's end of its channel, which code that runs in it could use as well."""
    for fd in channels_of(worker):
        s = socket.socket(fileno=steal(worker, fd))
        if s.type == socket.SOCK_SEQPACKET:
            return s
        s.close()
    raise LookupError(f"worker {worker} has no channel to the keeper")


# When it dies


def test_handshakes_recover_under_load(daemon, authority, pair):
    d = daemon(tls(pair))
    at, context = d.listeners[0], context_for(authority)
    with Background(lambda: ask_tls(at, context)) as load:
        for _ in range(3):
            kill_keeper(d, d.children("keeper")[0])
            before = load.asked - len(load.failures)
            process.wait_until(lambda n=before: load.asked - len(load.failures) >= n + 10,
                               rig.PATIENCE, "handshakes that succeed again")
    for _ in range(10):
        assert ask_tls(at, context) == b"STRASSE"


def test_open_connections_do_not_notice(daemon, authority, pair):
    d = daemon(tls(pair))
    with connect_tls(d.listeners[0], context_for(authority)) as s:
        kill_keeper(d, d.children("keeper")[0])
        s.sendall(b"after")
        assert read_exactly(s, 5) == b"AFTER"


def shakes_hands(plain, context):
    try:
        with context.wrap_socket(plain, server_hostname="localhost") as s:
            s.sendall(b"a")
            return read_exactly(s, 1) == b"A"
    except OSError:
        return False


def client_hello(context):
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


@pytest.mark.long
def test_one_that_stands_still_holds_up_nothing_else(daemon, authority, pair):
    """Each handshake would wait a second for it, and all that a worker serves with them."""
    d = daemon(tls(pair), tcp(), workers=1)
    at, plain = d.listeners
    context = context_for(authority)
    worker, keeper = d.workers()[0], d.children("keeper")[0]
    d.killed += 1  # it is ended for not turning its loop, after ten seconds
    answered = 0
    os.kill(keeper, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        for _ in range(32):
            stack.enter_context(connect(at)).sendall(client_hello(context))
        while keeper in d.children("keeper"):
            with connect(plain) as s:
                s.sendall(b"a")
                assert read_exactly(s, 1) == b"A"
            answered += 1
    assert answered > 5
    process.wait_until(lambda: shakes_hands(connect(at), context), rig.PATIENCE,
                       "handshakes that succeed again")
    assert d.workers() == [worker]


class Parked:
    """Handshakes that are all in the middle of their signature: their hellos are sent, and the keeper stands still."""

    def __init__(self, stack, d, authority, count):
        self.context = context_for(authority)
        self.sides = []
        for _ in range(count):
            plain = stack.enter_context(connect(d.listeners[0]))
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            side = self.context.wrap_bio(into, out, server_hostname="localhost")
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            plain.sendall(out.read())
            self.sides.append((plain, side, into, out))

    def complete(self):
        """How many of them end well, each with an answer of its own."""
        return sum(self.complete_one(*one) for one in self.sides)

    @staticmethod
    def complete_one(plain, side, into, out):
        def until(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    if not (data := plain.recv(65536)):
                        raise EOFError from None
                    into.write(data)

        try:
            until(side.do_handshake)
            side.write(b"parked")
            plain.sendall(out.read())
            return until(lambda: side.read(64)) == b"PARKED"
        except (OSError, EOFError):
            return False


def within_patience(what):
    """A keeper that stands still is waited for a second; a machine that is busy may have needed that by itself."""
    for _ in range(20):
        began = time.monotonic()
        found = what()
        if time.monotonic() - began < 0.8:
            return found
    pytest.fail("it takes as long as the keeper is waited for")


@pytest.mark.parametrize("count", [1, 40, 100])
def test_handshakes_wait_side_by_side(daemon, authority, pair, count):
    """The worker goes on with what it serves besides, and all of them are signed when the keeper goes on. Beyond 64, it
    waits itself."""
    d = daemon(tls(pair, **PATIENT), tcp(), workers=1)
    keeper, = d.children("keeper")

    def try_it():
        with contextlib.ExitStack() as stack:
            with process.standing_still(keeper):
                parked = Parked(stack, d, authority, count)
                answer = tcp_ask(d.listeners[1], b"meanwhile") if count < 64 else b"MEANWHILE"
            return answer, parked.complete()

    assert within_patience(try_it) == (b"MEANWHILE", count)
    assert ask_tls(d.listeners[0], context_for(authority)) == b"STRASSE"


def test_a_handshake_that_ends_while_it_waits_takes_no_other_ones_signature(daemon, authority, pair):
    """By its time-out, or since its peer is gone."""
    d = daemon(tls(pair, name="hurried", handshake_timeout="100ms"), tls(pair, **PATIENT), workers=1)
    keeper, = d.children("keeper")
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            with process.standing_still(keeper):
                hurried = Parked(stack, d, authority, 10)
                with contextlib.ExitStack() as gone:
                    Parked(gone, d, authority, 10)
                for plain, *_ in hurried.sides:
                    while plain.recv(4096):
                        pass
            assert hurried.complete() == 0
        assert ask_tls(d.listeners[1], context_for(authority)) == b"STRASSE"
    assert len(d.workers()) == 1


def test_a_keeper_that_dies_fails_what_waits_for_it(daemon, authority, pair):
    d = daemon(tls(pair, **PATIENT), workers=1)
    worker, = d.workers()
    keeper, = d.children("keeper")
    with contextlib.ExitStack() as stack:
        os.kill(keeper, signal.SIGSTOP)
        parked = Parked(stack, d, authority, 20)
        kill_keeper(d, keeper)
        failed = 20 - parked.complete()  # a hello that came late is signed by the next one
    assert failed > 0
    counted = re.search(r'reason="tls_keeper"[^\n]*\} (\d+)$', rig.run_upperctl(d, "metrics").stdout, re.M)
    assert int(counted[1]) == failed
    process.wait_until(lambda: answered(d.listeners[0], authority), what="an answer")
    assert d.workers() == [worker]


def test_a_reload_lets_waiting_handshakes_end(daemon, authority, pair):
    d = daemon(tls(pair, **PATIENT), workers=1, drain="60s")
    keeper, = d.children("keeper")
    with contextlib.ExitStack() as stack:
        with process.standing_still(keeper):
            parked = Parked(stack, d, authority, 5)
        d.reload()
        assert parked.complete() == 5


def test_it_is_replaced_while_its_generation_drains(daemon, authority, pair, as_root):
    """A client that had connected before the reload can still shake hands."""
    d = daemon(tls(pair, **PATIENT), workers=1, drain="60s")
    old, = d.children("keeper")
    waiting = [connect(d.listeners[0]) for _ in range(10)]
    d.reload()
    new = kill_keeper(d, old)
    process.wait_until(lambda: channels_of(new), rig.PATIENCE, "its channel to the worker")
    # The worker may hear of the first handshake before it hears of the keeper.
    assert any(shakes_hands(plain, context_for(authority)) for plain in waiting)
    for plain in waiting:
        plain.close()


def test_who_drains_to_the_end_lets_go_of_it(daemon, authority, pair, as_root):
    d = daemon(tls(pair, **PATIENT), workers=1, drain="60s")
    old, = d.children("keeper")
    with connect(d.listeners[0]):
        d.reload()
        new = kill_keeper(d, old)
    d.expect("child-ended", role="keeper 0", pid=new)
    assert len(d.children("keeper")) == 1


# When a worker has ended


@pytest.mark.parametrize("also", [None, "reload"], ids=["", "while-draining"])
def test_the_channel_of_a_worker_ends_with_it(daemon, authority, pair, as_root, also):
    """A copy of it elsewhere is worth nothing, from the moment that the worker is dead."""
    d = daemon(tls(pair, **PATIENT), workers=1, drain="60s")
    worker, = d.workers()
    keeper, = d.children("keeper")
    with to_keeper(worker) as stolen, connect_tls(d.listeners[0], context_for(authority)):
        stolen.settimeout(rig.PATIENCE)
        with process.standing_still(worker):  # it reads its channel whenever something comes
            stolen.send(HANDSHAKE)
            assert len(stolen.recv(4096)) > 8
        if also:
            d.reload()
            with process.standing_still(worker):
                stolen.send(HANDSHAKE)
                assert len(stolen.recv(4096)) > 8
        d.killed += 1
        os.kill(worker, signal.SIGKILL)
        assert stolen.recv(4096) == b""
    if not also:
        assert d.children("keeper") == [keeper]
    process.wait_until(lambda: answered(d.listeners[0], authority), what="an answer")


def answered(at, authority):
    try:
        return ask_tls(at, context_for(authority)) == b"STRASSE"
    except OSError:  # the worker is being replaced
        return False


# When it hears nonsense


@pytest.mark.parametrize("question", [
    b"junk", b"x" * 4096,
    struct.pack("=6I", 9, 0, 0, 0, 0, 0),  # what
    struct.pack("=6I", SIGN, 0, 99, 0, 0, 1) + b"x",  # whose key
    struct.pack("=6I", SIGN, 0, 0, 9, 0, 1) + b"x",  # the digest
    struct.pack("=6I", SIGN, 0, 0, 0, 0, 2) + b"x",  # how long
    struct.pack("=6I", SIGN, 0, 0, 0, 0, DATA + 1) + (DATA + 1) * b"x",
], ids=["short", "long", "what", "key", "digest", "length", "most"])
def test_who_asks_what_is_no_question_is_cut_off(daemon, authority, pair, as_root, question):
    d = daemon(tls(pair), workers=2)
    keeper, = d.children("keeper")
    captured, other = d.workers()
    with to_keeper(captured) as channel:
        channel.settimeout(rig.PATIENCE)
        channel.send(question)
        assert channel.recv(4096) == b""
    d.expect("keeper-cut", role="keeper 0")
    assert d.children("keeper") == [keeper] and len(channels_of(keeper)) == 1


def der(tag, *parts):
    content = b"".join(parts)
    n = len(content)
    length = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else b"\x82" + n.to_bytes(2, "big")
    return bytes([tag]) + length + content


def forged_certificate(issuer):
    """What is signed of a certificate, for a key that nobody has asked an authority about. Its serial
    number covers the bytes by which a key share of TLS 1.2 is known."""
    ecdsa = bytes.fromhex("300a06082a8648ce3d040302")
    key = der(0x30, bytes.fromhex("300506032b6570"), der(3, b"\0" + bytes(range(32))))
    validity = der(0x30, der(0x17, b"260101000000Z"), der(0x17, b"360101000000Z"))

    def certificate(name):
        subject = der(0x30, der(0x31, der(0x30, bytes.fromhex("0603550403"), der(0x0c, name))))
        return bytearray(der(0x30, bytes.fromhex("a003020102"), der(2, b"Z" * 58), ecdsa, issuer,
                             validity, subject, key))

    short = 266 - len(certificate(b""))
    text = next(text for n in range(short + 1) if len(text := certificate(b"x" * n)) == 266)
    text[64], text[67] = 3, len(text) - 68
    return bytes(text)


def test_a_certificate_is_not_signed(daemon, authority, pair, as_root):
    d = daemon(tls(pair), workers=1)
    issuer = der(0x30, der(0x31, der(0x30, bytes.fromhex("0603550403"), der(0x0c, b"localhost"))))
    text = forged_certificate(issuer)
    with to_keeper(d.workers()[0]) as channel:
        channel.settimeout(rig.PATIENCE)
        channel.send(struct.pack("=6I", SIGN, 1, 0, SHA256, 0, len(text)) + text)
        answer = channel.recv(4096)
    if answer:  # shows what it is good for
        signature = answer[8:]
        outer = der(0x30, text, bytes.fromhex("300a06082a8648ce3d040302"), der(3, b"\0" + signature))
        print(openssl("x509", "-inform", "DER", "-text", stdin=outer).decode())
    assert answer == b""


@pytest.mark.parametrize("first", ["X25519", "P-256", "P-384"])
@pytest.mark.parametrize("kind", ["ec", "ec384", "rsa", "ed25519"])
def test_every_handshake_is_signed(daemon, authority, kind, first):
    groups = [first, *(g for g in ("X25519", "P-256", "P-384") if g != first)]
    d = daemon(tls(authority.issue(kind), more={"groups": ":".join(groups)}))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert ask_tls(d.listeners[0], context_for(authority, version)) == b"STRASSE"
    assert not d.records("keeper-cut")


def test_who_is_cut_off_harms_nobody_else(daemon, authority, pair, as_root):
    d = daemon(tls(pair), workers=2)
    with to_keeper(d.workers()[0]) as channel:
        channel.send(b"junk")
    d.expect("keeper-cut")

    def succeeds():
        try:
            return ask_tls(d.listeners[0], context_for(authority)) == b"STRASSE"
        except OSError:
            return False

    served = sum(succeeds() for _ in range(40))
    assert served > 0
    since = d.mark()
    d.reload()  # and with it he is gone
    assert all(succeeds() for _ in range(10)) and not d.records("keeper-cut", since)
