# SPDX-License-Identifier: Apache-2.0
"""upper check as a monitoring plugin: its letters, ranges and performance data, what it says of sessions
and certificates, and whether a server is sound."""

import contextlib
import json
import os
import re
import ssl
import time
import warnings

import pytest

import peers
from client import peer, upper  # noqa: F401
from dtls import dtls
from secure import tls
from settings import udp

OK, WARNING, CRITICAL, UNKNOWN = range(4)
# 'label'=value[UOM];[warn];[crit];[min];[max]
PERFORMANCE = re.compile(r"(\w+)=(-?[\d.]+)(s|%|)((?:;[-@~:.\d]*){0,4})$")


def check(*args):
    result = upper("check", *args)
    text = result.stdout.decode()
    line = text.splitlines()[0]
    assert re.match(r"UPPER (OK|WARNING|CRITICAL|UNKNOWN) - ", line), text
    data = {}
    for word in line.partition(" | ")[2].split():
        match = PERFORMANCE.match(word)
        assert match, f"{word} is no performance data"
        data[match[1]] = (float(match[2]), match[3], match[4].split(";")[1:])
    return result.returncode, line, data


def test_letters_of_plugins(peer):
    server = peer(peers.textbook_udp)
    code, line, data = check("-H", "127.0.0.1", "-p", server.port, "-w", "20000", "-c", "30s", "-t", "5", "-v")
    assert code == OK and f"udp://127.0.0.1:{server.port}" in line
    assert data["time"][1:] == ("s", ["20", "30", "0"])
    assert data["loss"] == (0, "%", ["", "0", "0", "100"])


def test_scheme_and_an_address_of_ipv6():
    _, line, _ = check("-H", "::1", "-S", "tcp", "-p", "1")
    assert "tcp://[::1]:1: " in line


@pytest.mark.parametrize("limit, code", [
    ("10000", OK), ("50", CRITICAL), ("200:", CRITICAL), ("50:", OK), ("@50:10000", CRITICAL),
    ("@0:50", OK), ("~:50", CRITICAL), ("50:10s", OK)])
def test_ranges(peer, limit, code):
    slow = peer(peers.udp, lambda number, data: [time.sleep(0.1), data.upper()][1:])
    assert check("-c", limit, slow.url)[0] == code


@pytest.mark.parametrize("limit", ["", "x", "5:3", "1:2:3", "@"])
def test_ranges_that_are_none(limit):
    code, line, _ = check("-w", limit, "udp://localhost")
    assert (code, "a range of times" in line or "wants a value" in line) == (UNKNOWN, True)


def test_loss(peer):
    """Every fourth question is lost, each from a port of its own."""
    server = peer(peers.udp, lambda number, data: [] if number % 4 == 0 else [data.upper()])
    code, line, data = check("-n", "20", "-t", "1s", server.url)
    assert (code, "5 of 20 questions" in line, data["loss"][0]) == (CRITICAL, True, 25)
    assert check("-n", "20", "-t", "1s", "--loss-critical", "30", "--loss-warning", "20", server.url)[0] == WARNING
    assert check("-n", "20", "-t", "1s", "--loss-critical", "30", server.url)[0] == OK


def test_session_and_certificate(daemon, authority, with_tls):
    url = f"tls://localhost:{daemon(tls(authority.issue('ec'))).listeners[0]['port']}"
    trusting = ["--cafile", authority.file]
    code, line, data = check(*trusting, url)
    assert code == OK and data["days"][0] > 0
    days = data["days"][0]
    assert check(*trusting, "--days-warning", f"{days + 5:.0f}:", url)[0] == WARNING
    assert check(*trusting, "--days-critical", f"{days + 5:.0f}:", url)[0] == CRITICAL
    assert check(*trusting, "--min-tls", "1.3", "--group", "x25519", url)[0] in (OK, CRITICAL)
    code, line, _ = check(*trusting, "--group", "secp521r1", url)
    assert code == CRITICAL and "keys are exchanged with" in line
    assert check(url)[0] == CRITICAL, "an authority that is not trusted"
    assert "not trusted" in upper("check", "-k", "-v", url).stdout.decode()


def test_least_version(daemon, authority, with_tls):
    """DTLS has no 1.3 here."""
    d = daemon(dtls(authority.issue("ec")))
    url = f"dtls://localhost:{d.listeners[0]['port']}"
    assert check("-4", "--cafile", authority.file, url)[0] == OK
    code, line, _ = check("-4", "--cafile", authority.file, "--min-tls", "1.3", url)
    assert code == CRITICAL and "the server speaks DTLSv1.2" in line


def test_no_session_to_judge(peer):
    assert check("--group", "x25519", peer(peers.textbook_tcp).url)[0] == UNKNOWN


# Soundness.

def probes(*args):
    result = json.loads(upper("check", "--json", "--probe", *args).stdout)
    return result["status"], result["probes"]


def test_upperd_is_sound_over_udp(daemon):
    status, found = probes(f"udp://127.0.0.1:{daemon(udp()).listeners[0]['port']}")
    assert (status, set(found)) == ("OK", {"empty_datagram", "low_source_port", "unchanged_burst",
                                           "threefold_expansion"})
    assert found["low_source_port"] == ("sound" if os.geteuid() == 0 else "unknown")
    assert set(found.values()) <= {"sound", "unknown"}


def test_upperd_is_sound_over_tls(daemon, authority, with_tls):
    d = daemon(tls(authority.issue("ec")), dtls(authority.issue("ec")))
    for scheme, at, names in (("tls", 0, {"old_version", "renegotiation"}),
                              ("dtls", 1, {"old_version", "empty_datagram"})):
        url = f"{scheme}://localhost:{d.listeners[at]['port']}"
        assert probes("-4", "--cafile", authority.file, url) == ("OK", dict.fromkeys(names, "sound"))


def test_textbook_is_not(peer):
    """It answers everybody everything, and reads 2,048 bytes at most."""
    def cut(number, data):
        return [data.decode().upper().encode()[:2048]]

    status, found = probes(peer(peers.udp, cut).url)
    low = "unsound" if os.geteuid() == 0 else "unknown"
    assert (status, found) == ("WARNING", {"empty_datagram": "unsound", "low_source_port": low,
                                           "unchanged_burst": "unsound", "threefold_expansion": "unsound"})
    code, line, data = check("--probe", peer(peers.udp, cut).url)
    assert code == WARNING and "answers an empty datagram, and it " in line and data["unsound"][0] >= 3


ALLOW_CLIENT_RENEGOTIATION = 1 << 8  # of OpenSSL 3, which Python has no name for


def test_old_server_of_tls_is_not(peer, authority, with_tls):
    pair = authority.issue("rsa")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(pair.certificate), str(pair.key))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.options |= ALLOW_CLIENT_RENEGOTIATION

    def answer(connection, peer):
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as s:
            while data := s.recv(1024):
                s.sendall(data.upper())

    url = peer(peers.tcp, answer).url.replace("tcp", "tls").replace("127.0.0.1", "localhost")
    status, found = probes("-4", "--cafile", authority.file, url)
    assert (status, found) == ("WARNING", {"old_version": "unsound", "renegotiation": "unsound"})
