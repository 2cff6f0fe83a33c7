# SPDX-License-Identifier: Apache-2.0
"""upper over TLS: what it trusts, what it says when it does not, and the bytes in between."""

import re
import subprocess

import pytest

import peers
from client import FINE, USAGE, peer, upper  # noqa: F401
from pki import Pair, openssl
from secure import tls
from settings import free_port

pytestmark = pytest.mark.usefixtures("with_tls")

UNTRUSTED, TLS_FAILED = 6, 7


@pytest.fixture
def url_of(daemon, authority):
    def serve(pair=None, host="localhost", **more):
        at = daemon(tls(pair or authority.issue("ec"), **more)).listeners[0]
        return f"tls://{host}:{at['port']}"
    return serve


def test_it_answers_a_question(url_of, authority):
    said = upper("--cafile", authority.file, url_of(), "straße")
    assert (said.returncode, said.stdout) == (FINE, b"STRASSE\n")


def test_it_filters_many_bytes(url_of, authority):
    text = ("ŉ straße\n" * 300_000).encode()
    said = upper("--cafile", authority.file, url_of(), stdin=text)
    assert (said.returncode, said.stdout == text.decode().upper().encode()) == (FINE, True)


@pytest.mark.parametrize("form", [["ping", "-c", "2"], ["check"], ["bench", "-n", "50"]])
def test_every_form_speaks_it(url_of, authority, form):
    assert upper(*form, "--cafile", authority.file, url_of()).returncode == FINE


def test_keys_are_logged_when_asked_for(url_of, authority, tmp_path):
    """In NSS's format, as Wireshark reads it: appended, and for the user alone."""
    url, path = url_of(), tmp_path / "keys"
    for n in (1, 2):
        upper("--cafile", authority.file, url, "a", env={"SSLKEYLOGFILE": str(path)})
        lines = path.read_text().splitlines()
        assert all(re.fullmatch(r"\w+ [0-9a-f]{64} [0-9a-f]{64,96}", line) for line in lines)
        assert len([line for line in lines if line.startswith("CLIENT_TRAFFIC_SECRET_0 ")]) == n
    assert path.stat().st_mode & 0o777 == 0o600
    assert upper("--cafile", authority.file, url, "a", env={"SSLKEYLOGFILE": "/no/such/folder/x"}).returncode == FINE


# Each way in which trust fails, in words


def refusal(*args):
    said = upper(*args, "text")
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
    code, words = refusal("--cafile", authority.file,
                          url_of(authority.issue("ec", ("one.test", "two.test"))))
    assert code == UNTRUSTED
    assert "not for localhost but for one.test, two.test" in words


def test_a_name_that_a_terminal_would_obey_is_escaped(url_of, authority, tmp_path):
    """Names are compared before signatures are: so what is shown may be anybody's."""
    own = Pair(tmp_path / "own.pem", authority.key_of("ec", tmp_path / "own.key"))
    openssl("req", "-x509", "-key", own.key, "-subj", "/CN=own", "-out", own.certificate,
            "-addext", "subjectAltName=DNS:one\x1b[2Jtwo")
    code, words = refusal("--cafile", own.certificate, url_of(own))
    assert code == UNTRUSTED
    assert "but for one\\x1b[2Jtwo;" in words


def test_a_name_to_ask_for_instead(url_of, authority):
    url = url_of(authority.issue("ec", ("one.test",)))
    said = upper("--cafile", authority.file, "--servername", "one.test", url, "a")
    assert said.returncode == FINE


@pytest.mark.parametrize("sans", [(), ("DNS:other.test",), ("IP:127.0.0.1",), ("email:a@b.test",)])
def test_the_common_name_is_no_name(url_of, authority, tmp_path, sans):
    own = Pair(tmp_path / "own.pem", authority.key_of("ec", tmp_path / "own.key"))
    more = ["-addext", "subjectAltName=" + ",".join(sans)] if sans else []
    openssl("req", "-x509", "-key", own.key, "-subj", "/CN=localhost", "-out", own.certificate, *more)
    code, words = refusal("--cafile", own.certificate, url_of(own))
    assert code == UNTRUSTED
    assert ("but for other.test" if "DNS:other.test" in sans else
            "its common name does not count") in words


def test_an_address_is_no_name(url_of, authority):
    code, words = refusal("--cafile", authority.file, url_of(host="127.0.0.1"))
    assert (code, "not for 127.0.0.1 but for localhost" in words) == (UNTRUSTED, True)


def test_a_certificate_that_has_expired(url_of, authority):
    code, words = refusal("--cafile", authority.file, url_of(authority.issue("ec", days=-1)))
    assert (code, "has expired" in words) == (UNTRUSTED, True)


def test_a_certificate_that_is_not_for_servers(url_of, authority):
    pair = authority.issue("ec", usage="clientAuth")
    code, words = refusal("--cafile", authority.file, url_of(pair))
    assert (code, "is not one for servers" in words) == (UNTRUSTED, True)


def test_insecure_trusts_anybody(url_of):
    assert upper("--insecure", url_of(host="127.0.0.1"), "a").stdout == b"A\n"


def test_a_server_without_tls(peer):  # noqa: F811
    plain = peer(peers.tcp, lambda connection, _: connection.sendall(b"not a word of TLS\n"))
    code, words = refusal("--insecure", f"tls://localhost:{plain.port}")
    assert code == TLS_FAILED
    assert "TLS" in words or "handshake" in words


def test_a_server_that_upper_cases_the_handshake(peer):  # noqa: F811
    code, words = refusal(f"tls://localhost:{peer(peers.streaming_tcp).port}")
    assert (code, "is not TLS; is that the right port?" in words) == (TLS_FAILED, True)


# Our own certificate


@pytest.fixture
def strict_url(url_of, authority):
    return url_of(more={"client_auth": "required", "client_ca": str(authority.file)})


def test_a_client_certificate_lets_us_in(strict_url, authority):
    mine = authority.issue("ec", ("me",), usage="clientAuth")
    said = upper("--cafile", authority.file, "--cert", mine.certificate, "--key", mine.key,
                 strict_url, "a")
    assert said.stdout == b"A\n"


def test_without_one_it_says_what_is_missing(strict_url, authority):
    code, words = refusal("--cafile", authority.file, strict_url)
    assert code == TLS_FAILED
    assert "wants a certificate of ours; --cert" in words


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_server_that_names_no_authority_says_what_is_missing(pair, authority, version):
    port = free_port()
    with subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", version, "-cert",
                           pair.certificate, "-key", pair.key, "-Verify", "1"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            while b"ACCEPT" not in server.stdout.readline():
                assert server.poll() is None
            code, words = refusal("--cafile", authority.file, "-4", f"tls://localhost:{port}")
        finally:
            server.kill()
    assert code == TLS_FAILED
    assert "wants a certificate of ours; --cert" in words


def test_a_file_that_is_none_is_a_mistake_in_the_command(strict_url, tmp_path):
    code, words = refusal("--cafile", tmp_path / "nothing", strict_url)
    assert (code, "nothing: No such file" in words) == (USAGE, True)
    (tmp_path / "words").write_text("no certificate\n")
    code, words = refusal("--cafile", tmp_path / "words", strict_url)
    assert (code, "words: no certificates in PEM form" in words) == (USAGE, True)


@pytest.mark.parametrize("name, words", [("", "wants a value"), ("x" * 256, "at most 255")])
def test_a_name_that_is_none_is_a_mistake_in_the_command(url_of, name, words):
    code, said = refusal("--insecure", "--servername", name, url_of())
    assert (code, words in said) == (USAGE, True)
