# SPDX-License-Identifier: Apache-2.0
"""upper over DTLS: what it trusts, what it says when it does not, and the text in between. What it
makes of a bad road: test_dtls_road.py."""

import json

import pytest

import peers
from client import (FINE, LOST, UNREACHABLE, USAGE, peer, upper, upper_knowing)  # noqa: F401
from dtls import dtls
from lossy import PASS
from pki import Authority, Pair, openssl
from settings import free_port

pytestmark = pytest.mark.usefixtures("with_tls")

UNTRUSTED, TLS_FAILED = 6, 7


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def url_of(daemon, authority):
    def serve(pair=None, host="localhost", **more):
        at = daemon(dtls(pair or authority.issue("ec"), **more)).listeners[0]
        return f"dtls://{host}:{at['port']}"
    return serve


@pytest.fixture
def other_url(peer, authority):  # noqa: F811
    """A server of another make."""
    return lambda *args: f"dtls://localhost:{peer(peers.Dtls, authority.issue('ec'), *args).port}"


def test_it_answers_a_question(url_of, authority):
    said = upper("--cafile", authority.file, url_of(), "straße")
    assert (said.returncode, said.stdout, said.stderr) == (FINE, b"STRASSE\n", b"")


def test_it_filters_many_bytes(url_of, authority):
    text = ("ŉ straße, and more of it to a line\n" * 5000).encode()
    said = upper("--cafile", authority.file, url_of(), stdin=text)
    assert (said.returncode, said.stdout == text.decode().upper().encode()) == (FINE, True)


def test_it_filters_bytes_that_are_no_text(url_of, authority):
    text = bytes(range(256)) * 400
    said = upper("--cafile", authority.file, url_of(), stdin=text)
    assert (said.returncode, said.stdout == text.upper()) == (FINE, True)


def test_answers_may_be_three_times_as_long(url_of, authority):
    text = "\u0390" * 20_000
    said = upper("--cafile", authority.file, url_of(), stdin=text.encode())
    assert (said.returncode, said.stdout == text.upper().encode()) == (FINE, True)


def test_it_talks_to_a_server_of_another_make(other_url, authority):
    text = b"a line of some length\n" * 3000
    said = upper("--cafile", authority.file, other_url(), stdin=text)
    assert (said.returncode, said.stdout == text.upper()) == (FINE, True)


@pytest.mark.parametrize("form", [["ping", "-c", "2", "-i", "10ms"], ["check"],
                                  ["bench", "-n", "200", "-c", "5", "-p", "4"]])
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
    assert (code, "is self-signed" in words) == (UNTRUSTED, True)


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


def test_a_certificate_that_is_not_for_servers(url_of, authority):
    code, words = refusal("--cafile", authority.file,
                          url_of(authority.issue("ec", usage="clientAuth")))
    assert (code, "is not one for servers" in words) == (UNTRUSTED, True)


def test_an_address_is_no_name(url_of, authority):
    code, words = refusal("--cafile", authority.file, url_of(host="127.0.0.1"))
    assert (code, "not for 127.0.0.1 but for localhost" in words) == (UNTRUSTED, True)


def test_insecure_trusts_anybody(url_of):
    assert upper("--insecure", url_of(host="127.0.0.1"), "a").stdout == b"A\n"


def test_failure_as_json(url_of):
    said = upper("--json", url_of(), "text")
    assert (said.returncode, json.loads(said.stdout)["exit"], said.stderr) == (UNTRUSTED, UNTRUSTED, b"")


# Our own certificate


@pytest.fixture
def strict_url(url_of, authority):
    return url_of(more={"client_auth": "required", "client_ca": str(authority.file)})


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
    url = f"dtls://127.0.0.1:{free_port()}"
    code, words = refusal("--insecure", url)
    assert code == UNREACHABLE
    assert f"upper: {url}: connection refused (127.0.0.1)" in words


def test_refusing_address_is_passed_over(url_of, authority, tmp_path):
    url = url_of(authority.issue("ec", ("two.test",)), host="two.test")
    said = upper_knowing("::1 two.test\n127.0.0.1 two.test\n", tmp_path, "--cafile",
                         str(authority.file), url, "a")
    assert (said.returncode, said.stdout) == (FINE, b"A\n")


def test_all_addresses_tried_are_named(tmp_path):
    url = f"dtls://two.test:{free_port()}"
    said = upper_knowing("::1 two.test\n127.0.0.1 two.test\n", tmp_path, url, "a")
    assert said.returncode == UNREACHABLE
    assert b"connection refused ([::1] and 127.0.0.1)" in said.stderr


def test_the_longest_message(url_of, authority):
    words = "x" * 16384
    said = upper("--cafile", authority.file, url_of(), words)
    assert said.stdout.decode() == words.upper() + "\n"


def test_an_answer_that_no_datagram_holds(url_of):
    code, words = refusal("--insecure", "--timeout", "3s", "--retries", "0", url_of(), "\u0390" * 3000)
    assert code == LOST
    assert "it would have 18005 bytes, and a datagram holds at most 16384" in words


def test_more_than_a_record_is_no_message(url_of):
    code, words = refusal("--insecure", url_of(), "x" * 16384)  # and " text"
    assert (code, "longer than a datagram can be: 16384 bytes" in words) == (USAGE, True)


def test_a_long_name_is_asked_for_in_the_smallest_datagram(url_of, authority):
    """The server takes a ClientHello in one datagram only, also the second, which has a cookie in it."""
    name = "a-server-with-a-long-name.example"
    said = upper("--mtu", 256, "--cafile", authority.file, "--servername", name,
                 url_of(authority.issue("ec", (name,))), "a")
    assert said.stdout == b"A\n"


@pytest.mark.parametrize("size", range(256, 316, 12))
def test_a_handshake_in_small_datagrams(strict_url, road, authority, size):
    """Our certificate is larger than one; what is left for the last message depends on all before."""
    mine = authority.issue("rsa", ("me",), usage="clientAuth")
    relay = road({"address": "127.0.0.1", "port": int(strict_url.rpartition(":")[2])},
                 lambda datagram, is_question: PASS)
    said = upper("--mtu", size, "--cafile", authority.file, "--cert", mine.certificate, "--key",
                 mine.key, f"dtls://localhost:{relay.at['port']}", "a")
    assert said.stdout == b"A\n"
    assert max(len(datagram) for datagram, is_question in relay.seen if is_question) <= size
