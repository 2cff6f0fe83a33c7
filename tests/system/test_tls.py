# SPDX-License-Identifier: Apache-2.0
"""TLS as clients see it: versions, certificates, what is refused, and the stream inside."""

import os
import pathlib
import random
import re
import signal
import socket
import ssl
import time

import pytest

import process
from pki import openssl
from rig import run_upperctl
from secure import HalfClosing, ask_tls, connect_tls, context_for, s_client, tls
from wire import read_exactly

pytestmark = pytest.mark.usefixtures("with_tls")

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
DAY = 86400
WIDE = "ΐ straße\n".encode()


@pytest.fixture
def server(daemon, pair):
    return lambda **keys: daemon(tls(pair, **keys)).listeners[0]


# With openssl, as a person would try it


def test_s_client_as_readme_calls_it_sends_every_line(server):
    """Left alone, it takes lines that begin with Q, R or K for commands of its own."""
    readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    options = re.search(r"openssl s_client (-quiet .*) -connect", readme)[1].split()
    said = s_client(server(), *options, text=b"Ready\nkept\nQuite\n", answer=b"QUITE\n")
    assert "READY\nKEPT\nQUITE\n" in said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client_gets_its_answer(server, authority, version):
    said = s_client(server(), "-quiet", version, "-CAfile", authority.file,
                    "-verify_return_error", "-verify_hostname", "localhost")
    assert "HELLO\n" in said


@pytest.mark.parametrize("args", [
    ["-tls1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    ["-tls1_2", "-cipher", "AES128-SHA"],
    ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
], ids=lambda args: " ".join(args).replace("-", ""))
def test_what_is_weak_is_refused(server, args):
    said = s_client(server(), *args)
    assert "HELLO" not in said
    assert "alert" in said


def test_nothing_is_renegotiated(server):
    said = s_client(server(), "-tls1_2", text=b"R\n", answer=b"error")
    assert "no renegotiation" in said


def test_nothing_is_compressed_and_no_data_comes_early(server):
    said = s_client(server(), "-tls1_3", "-comp")
    assert "Compression: NONE" in said
    assert "Max Early Data: 0" in said


# Keys of every kind, through the keeper


@pytest.mark.parametrize("kind", ["ec", "ec384", "rsa", "ed25519"])
@both_versions
def test_every_kind_of_key_signs(daemon, authority, kind, version):
    at = daemon(tls(authority.issue(kind))).listeners[0]
    assert ask_tls(at, context_for(authority, version)) == b"STRASSE"


@pytest.mark.parametrize("scheme", ["RSA+SHA256", "RSA+SHA512", "RSA-PSS+SHA256", "RSA-PSS+SHA384"])
def test_rsa_signs_in_both_ways_with_tls_1_2(daemon, authority, scheme):
    at = daemon(tls(authority.issue("rsa"))).listeners[0]
    assert "HELLO\n" in s_client(at, "-tls1_2", "-sigalgs", scheme)


def signature_type(at, *args):
    """OpenSSL 3.0 says ECDSA or RSA-PSS, and 3.5 names the whole scheme, as ecdsa_secp256r1_sha256."""
    said = s_client(at, "-tls1_3", *args)
    return re.search(r"Peer signature type: ([A-Za-z]+)", said)[1].lower()


def test_ecdsa_and_rsa_stand_side_by_side(daemon, authority):
    at = daemon(tls(authority.issue("ec"), authority.issue("rsa"))).listeners[0]
    assert signature_type(at, "-sigalgs", "ECDSA+SHA256") == "ecdsa"
    assert signature_type(at, "-sigalgs", "RSA-PSS+SHA256") == "rsa"
    assert signature_type(at) == "ecdsa"


# Which certificate


@pytest.mark.parametrize(("name", "shown"), [
    ("one.test", "one.test"), ("ONE.TEST", "one.test"), ("any.two.test", "*.two.test"),
    ("exact.two.test", "exact.two.test"), ("a.b.two.test", "one.test"), ("two.test", "one.test"),
    ("nobody.test", "one.test"), (None, "one.test"),
])
def test_the_name_asked_for_chooses_the_certificate(daemon, authority, name, shown):
    pairs = [authority.issue("ec", (san,)) for san in ("one.test", "*.two.test", "exact.two.test")]
    at = daemon(tls(*pairs)).listeners[0]
    with connect_tls(at, context_for(authority, check_hostname=False), name) as s:
        assert dict(s.getpeercert()["subject"][0])["commonName"] == shown


# The stream inside


@both_versions
def test_any_size_of_record_gives_the_same(server, authority, version):
    dice = random.Random(12)
    with connect_tls(server(), context_for(authority, version)) as s:
        for size in [1, 2, 3, 5, 15, 16, 17, 255, 256, 1000, 4096, 16383, 16384] + [
                dice.randrange(1, 16385) for _ in range(40)]:
            text = (WIDE * (size // len(WIDE) + 1))[:size].decode(errors="ignore").encode()
            text = text or b"a"
            s.sendall(text)
            answer = text.decode().upper().encode()
            assert read_exactly(s, len(answer)) == answer


def records_of(text, size, dice):
    """The text in pieces of this size, or of any."""
    at = 0
    while at < len(text):
        n = size or dice.randrange(1, 16385)
        yield text[at:at + n]
        at += n


@pytest.mark.plain
@pytest.mark.parametrize("size", [1, 100, 16384, None], ids=["1", "100", "16384", "random"])
def test_records_of_any_size_come_back_exact(server, authority, size):
    """Ten megabytes in windows that fit into the buffers of the system, so that one thread can do both."""
    window = WIDE * 2048
    wanted = window.decode().upper().encode()
    dice = random.Random(7)
    with connect_tls(server(), context_for(authority)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(10_000_000 // len(window) if size != 1 else 10):  # a record a byte is slow
            for record in records_of(window, size, dice):
                s.sendall(record)
            assert read_exactly(s, len(wanted)) == wanted


@both_versions
def test_the_end_of_the_question_is_answered_before_the_end(server, authority, version):
    """close_notify is what half-close is in TLS: the unfinished line is answered, then all ends."""
    with HalfClosing(server(framing="line"), context_for(authority, version)) as s:
        s.send(b"one\ntwo")
        s.end()
        assert s.read_all() == b"ONE\nTWO"


def test_a_peer_that_does_not_read_is_not_read_from(daemon, authority, pair):
    running = daemon(tls(pair, write_timeout="1s"))
    with connect_tls(running.listeners[0], context_for(authority)) as s:
        s.settimeout(1)
        with pytest.raises((TimeoutError, ssl.SSLError, OSError)):
            for _ in range(10_000):
                s.sendall(b"x" * 16384)
        running.expect("peer-ended", reason="write")  # before we hang up, which would be a reset


# The keeper


def search_memory(pid, needles):
    """Which of the needles are anywhere in the memory of a process."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                text = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            found |= {name for name, needle in needles.items() if needle in text}
    return found


@pytest.mark.plain
def test_a_worker_does_not_have_the_private_key(daemon, authority, looking):
    pair = authority.issue("ec")
    running = daemon(tls(pair))
    for _ in range(20):
        ask_tls(running.listeners[0], context_for(authority))
    text = openssl("pkey", "-in", pair.key, "-noout", "-text").decode()
    digits = text.split("priv:")[1].split("pub:")[0].replace(":", "").split()
    secret = bytes.fromhex("".join(digits))[-32:]
    needles = {"big-endian": secret, "little-endian": secret[::-1],
               "pem": pair.key.read_bytes().splitlines()[1][:40]}
    for worker in running.workers():
        assert search_memory(worker, needles) == set()
    (keeper,) = running.children("keeper")
    assert search_memory(keeper, {"little-endian": secret[::-1]}), "the search itself is blind"


def test_a_keeper_that_dies_is_replaced(daemon, authority, pair):
    running = daemon(tls(pair))
    (keeper,) = running.children("keeper")
    running.killed += 1
    since = running.mark()
    os.kill(keeper, signal.SIGKILL)
    running.expect("child-started", since, role="keeper 0")

    def recovers():
        """Every worker: either may be the one that is asked."""
        try:
            return all(ask_tls(running.listeners[0], context_for(authority)) == b"STRASSE"
                       for _ in range(10))
        except OSError:
            return False
    process.wait_until(recovers, what="ten answers in a row")


def test_the_keeper_has_channels_and_nothing_else(daemon, pair, looking):
    running = daemon(tls(pair))
    (keeper,) = running.children("keeper")
    kinds = {int(fd): os.readlink(f"/proc/{keeper}/fd/{fd}").split(":")[0]
             for fd in os.listdir(f"/proc/{keeper}/fd")}
    assert {kinds.pop(n) for n in (0, 1)} == {"/dev/null"}
    assert kinds.pop(2) == "pipe"
    assert set(kinds.values()) <= {"socket", "anon_inode"}
    with open(f"/proc/{keeper}/net/unix", encoding="ascii") as all_unix:
        inodes = {line.split()[6] for line in all_unix.readlines()[1:]}
    sockets = [os.readlink(f"/proc/{keeper}/fd/{fd}") for fd, kind in kinds.items()
               if kind == "socket"]
    assert all(link[8:-1] in inodes for link in sockets), "a socket that is not a unix socket"


# How long it lasts


def test_metrics_say_when_the_certificate_expires(daemon, authority):
    running = daemon(tls(authority.issue("ec", days=60)))
    text = run_upperctl(running, "metrics").stdout
    expires = int(re.search(r"^upperd_certificate_expires_seconds (\d+)$", text, re.M)[1])
    assert 59 * DAY < expires - time.time() <= 60 * DAY


def test_status_says_how_long_the_certificate_lasts(daemon, authority, with_systemd):
    running = daemon(tls(authority.issue("ec", days=60)))
    running.wait_for(lambda: [n for n in running.notices("STATUS=") if "certificate 59 d" in n],
                     "the days in the status")
