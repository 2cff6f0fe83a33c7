# SPDX-License-Identifier: Apache-2.0
"""upper over DTLS: what it trusts, what it says when it does not, and the text in between. What it
makes of a bad road: test_dtls_road.py."""

import json
import socket

import pytest

import peers
from client import FINE, UNREACHABLE, USAGE, peer, upper  # noqa: F401
from pki import Authority, Pair, openssl

pytestmark = pytest.mark.usefixtures("with_tls")

UNTRUSTED, TLS_FAILED = 6, 7


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


def url_to(at, host="localhost"):
    return f"dtls://{host}:{at['port']}"


@pytest.fixture
def url_of(peer, authority):  # noqa: F811
    def serve(pair=None, *args, host="localhost"):
        return url_to(peer(peers.Dtls, pair or authority.issue("ec"), *args).at, host)
    return serve


def test_it_answers_a_question(url_of, authority):
    said = upper("--cafile", authority.file, url_of(), "text")
    assert (said.returncode, said.stdout, said.stderr) == (FINE, b"TEXT\n", b"")


def test_it_filters_many_bytes(url_of, authority):
    text = b"a line of some length, number %d\n" * 3000
    said = upper("--cafile", authority.file, url_of(), stdin=text)
    assert (said.returncode, said.stdout == text.upper()) == (FINE, True)


@pytest.mark.parametrize("form", [["ping", "-c", "2", "-i", "10ms"], ["check"],
                                  ["bench", "-n", "50", "-c", "1"]])
def test_every_form_speaks_it(url_of, authority, form):
    assert upper(*form, "-t", "20s", "--cafile", authority.file, url_of()).returncode == FINE


# Each way in which trust fails, in words


def refusal(*args):
    said = upper("-t", "20s", *args, "text")
    assert said.stdout == b""
    return said.returncode, said.stderr.decode()


def test_an_authority_it_does_not_know(url_of):
    code, words = refusal(url_of())
    assert code == UNTRUSTED
    assert "authority that is not trusted here; --cafile" in words


def test_a_certificate_that_nobody_signed(url_of, authority, tmp_path):
    own = Pair(tmp_path / "own.pem", authority.key_of("ec", tmp_path / "own.key"))
    openssl("req", "-x509", "-key", own.key, "-subj", "/CN=own", "-out", own.certificate)
    code, words = refusal(url_of(own))
    assert (code, "signed by nobody but itself" in words) == (UNTRUSTED, True)


def test_another_name(url_of, authority):
    code, words = refusal("--cafile", authority.file, url_of(authority.issue("ec", ("one.test",))))
    assert (code, "not for localhost but for one.test" in words) == (UNTRUSTED, True)


def test_a_name_to_ask_for_instead(url_of, authority):
    url = url_of(authority.issue("ec", ("one.test",)))
    said = upper("--cafile", authority.file, "--servername", "one.test", url, "a")
    assert said.stdout == b"A\n"


def test_a_certificate_that_has_expired(url_of, authority):
    code, words = refusal("--cafile", authority.file, url_of(authority.issue("ec", days=-1)))
    assert (code, "has expired" in words) == (UNTRUSTED, True)


def test_insecure_trusts_anybody(url_of):
    assert upper("--insecure", url_of(host="127.0.0.1"), "a").stdout == b"A\n"


def test_failure_as_json(url_of):
    said = upper("--json", url_of(), "text")
    assert (said.returncode, json.loads(said.stdout)["exit"], said.stderr) == (UNTRUSTED, UNTRUSTED, b"")


# Our own certificate


@pytest.fixture
def strict_url(url_of, authority):
    return url_of(None, "-Verify", 1, "-CAfile", authority.file, "-verify_return_error")


def test_a_client_certificate_lets_us_in(strict_url, authority):
    mine = authority.issue("rsa", ("me",), usage="clientAuth")
    said = upper("--cafile", authority.file, "--cert", mine.certificate, "--key", mine.key,
                 strict_url, "a")
    assert said.stdout == b"A\n"


def test_without_one_it_says_what_is_missing(strict_url, authority):
    code, words = refusal("--cafile", authority.file, strict_url)
    assert code == TLS_FAILED
    assert "wants a certificate of ours; --cert" in words


# A server that is not there, or silent


def test_refused():
    url = f"dtls://127.0.0.1:{peers.unused_port(socket.SOCK_DGRAM)}"
    code, words = refusal("--insecure", url)
    assert code == UNREACHABLE
    assert f"upper: {url}: connection refused (127.0.0.1)" in words


def test_more_than_a_record_is_no_message(url_of):
    code, words = refusal("--insecure", url_of(), "x" * 16384)  # and " text"
    assert (code, "longer than a datagram can be: 16384 bytes" in words) == (USAGE, True)


def test_a_handshake_in_small_datagrams(url_of, authority):
    """Our certificate is larger than that."""
    mine = authority.issue("rsa", ("me",), usage="clientAuth")
    url = url_of(None, "-verify", 1)
    said = upper("--mtu", 256, "--cafile", authority.file, "--cert", mine.certificate, "--key",
                 mine.key, url, "a")
    assert said.stdout == b"A\n"
