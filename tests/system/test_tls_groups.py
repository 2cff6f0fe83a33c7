# SPDX-License-Identifier: Apache-2.0
"""Key exchange: which groups are offered, agreed on, refused and shown; and hellos as long as those of
post-quantum groups are, in pieces."""

import json
import re
import socket
import ssl
import subprocess

import pytest

import rig
from dtls import dtls
from secure import context_for, s_client, tls
from settings import configuration

pytestmark = pytest.mark.usefixtures("with_tls")

PQ = "X25519MLKEM768"
CLASSICAL = "X25519:P-256:P-384"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def library():
    libraries = json.loads(rig.run_upperd("--version", "--json").stdout)["libraries"]
    return next(one["runs_with"] for one in libraries if one["name"] == "libssl")


def has_pq():
    return tuple(map(int, library().split(".")[:2])) >= (3, 5)


@pytest.fixture
def post_quantum():
    if not has_pq():
        pytest.skip(f"OpenSSL {library()} has no {PQ}")


def groups_counted(running):
    text = rig.run_upperctl(running, "metrics").stdout
    return {group: int(n) for group, n in
            re.findall(r'^upperd_\w*groups?\w*\{[^}]*group="([^"]+)"[^}]*\} (\d+)$', text, re.M) if int(n)}


# What is agreed on


def test_the_best_group_of_the_library_is_agreed_on_and_counted(daemon, pair):
    running = daemon(tls(pair))
    said = s_client(running.listeners[0], "-tls1_3")
    if has_pq():
        assert f"Negotiated TLS1.3 group: {PQ}" in said
    else:
        assert "Server Temp Key: X25519" in said
    assert groups_counted(running) == {PQ if has_pq() else "x25519": 1}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize(("group", "counted"), [("P-256", "secp256r1"), ("P-384", "secp384r1")])
def test_an_older_client_gets_what_it_has(daemon, authority, version, group, counted):
    """With RSA: TLS 1.2 has one list for the exchange and for the curves of certificates."""
    running = daemon(tls(authority.issue("rsa")))
    assert "HELLO\n" in s_client(running.listeners[0], version, "-groups", group)
    assert groups_counted(running) == {counted: 1}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_group_in_common_has_a_reason_of_its_own(daemon, pair, version):
    running = daemon(tls(pair, more={"groups": "P-384"}))
    assert "HELLO" not in s_client(running.listeners[0], version, "-groups", "X25519:P-256")
    running.expect("peer-ended", reason="tls_group")
    metrics = rig.run_upperctl(running, "metrics").stdout
    assert re.search(r'reason="tls_group"[^\n]*\} 1$', metrics, re.M)


def test_no_cipher_in_common_is_another_reason(daemon, pair):
    running = daemon(tls(pair))
    s_client(running.listeners[0], "-tls1_2", "-cipher", "AES128-GCM-SHA256")
    running.expect("peer-ended", reason="tls_nothing_shared")


@pytest.mark.parametrize("args", [["-tls1_3", "-groups", "X25519:P-256"], ["-tls1_2"]],
                         ids=["classical", "1.2"])
def test_a_listener_with_a_post_quantum_group_alone_refuses_others(daemon, pair, post_quantum, args):
    running = daemon(tls(pair, more={"groups": PQ}))
    assert f"Negotiated TLS1.3 group: {PQ}" in s_client(running.listeners[0], "-tls1_3")
    assert "HELLO" not in s_client(running.listeners[0], *args)
    assert "no group for the key exchange" in running.expect("peer-ended", reason="tls_group")["message"]


def test_a_client_that_guessed_wrong_is_asked_again(daemon, pair, post_quantum):
    """Its first key share is of another group that it offers too: one more round trip, and no refusal."""
    running = daemon(tls(pair, more={"groups": PQ}))
    said = s_client(running.listeners[0], "-tls1_3", "-groups", f"*X25519:{PQ}")
    assert f"Negotiated TLS1.3 group: {PQ}" in said


# What is shown


def test_upper_shows_the_group(daemon, pair, authority, tmp_path):
    at = daemon(tls(pair)).listeners[0]
    url = f"tls://{at['address']}:{at['port']}"
    best = PQ if has_pq() else "x25519"
    args = ["--cafile", authority.file, "--servername", "localhost"]

    def upper(*words):
        ran = subprocess.run([rig.UPPER, *map(str, words)], capture_output=True, text=True, timeout=60,
                             stdin=subprocess.DEVNULL)
        return ran.stdout + ran.stderr

    assert best in upper("-v", *args, url, "hello")
    assert best in upper("check", "-v", "--group", best, *args, url)
    assert "CRITICAL" in upper("check", "--group", "secp384r1", *args, url)
    assert f'group="{best}"' in upper("probe", *args, url)
    assert best in upper("bench", "--duration", "0.2", *args, url)
    assert json.loads(upper("bench", "--json", "--duration", "0.2", *args, url))["tls"]["group"] == best


def test_check_and_dump_say_which_list_is_in_effect(pair, tmp_path):
    config = tmp_path / "one.conf"
    config.write_text(configuration(tls(pair, name="plain"), dtls(pair, name="datagrams"),
                                    tls(pair, name="own", more={"groups": "P-384"})))
    best = f"{PQ}:{CLASSICAL}" if has_pq() else CLASSICAL
    checked = rig.run_upperd("-c", config, "--check").stdout
    assert f"listeners.plain: groups {best} (default, OpenSSL {library()})\n" in checked
    assert f"listeners.datagrams: groups {CLASSICAL} (default, OpenSSL {library()})\n" in checked
    assert f"listeners.own: groups P-384 (as set, OpenSSL {library()})\n" in checked
    dumped = rig.run_upperd("-c", config, "--dump").stdout
    assert f"# Groups where none are set, with OpenSSL {library()}: {best}, {CLASSICAL} for DTLS\n" in dumped
    again = tmp_path / "two.conf"
    again.write_text(dumped)
    assert rig.run_upperd("-c", again, "--dump").stdout == dumped


@pytest.mark.parametrize(("list_", "words"), [
    ("X25519:P-999", 'has no group "P-999"'), ("nothing", 'has no group "nothing"')])
def test_a_group_that_the_library_lacks_is_named(pair, tmp_path, list_, words):
    config = tmp_path / "one.conf"
    config.write_text(configuration(tls(pair, more={"groups": list_, "min_version": "1.3"})))
    checked = rig.run_upperd("-c", config, "--check")
    assert checked.returncode == 78
    assert words in checked.stderr


ONCE = '"LIST" is not a list that OpenSSL 3.0'


@pytest.mark.parametrize(("list_", "words"), [
    ("X25519:X25519", ONCE), ("secp256r1:prime256v1", ONCE), ("X25519::P-256", ONCE), (":", ONCE),
    ("X25519/P-256", ONCE), ("x25519:p-256", 'no group "p-256"; did you mean "P-256"?'),
    ("X25519,P-256", 'between two groups stands ":"'), ("*X25519", '"X25519" will do')])
def test_a_list_that_the_library_refuses_is_explained(pair, tmp_path, list_, words):
    if not library().startswith("3.0"):
        pytest.skip("this OpenSSL takes some of them")
    config = tmp_path / "one.conf"
    config.write_text(configuration(tls(pair, more={"groups": list_})))
    checked = rig.run_upperd("-c", config, "--check")
    assert checked.returncode == 78
    assert words.replace("LIST", list_) in checked.stderr.splitlines()[0]


def test_dtls_has_no_post_quantum_group(pair, tmp_path):
    config = tmp_path / "one.conf"
    config.write_text(configuration(dtls(pair, more={"groups": PQ})))
    checked = rig.run_upperd("-c", config, "--check")
    assert checked.returncode == 78
    assert ("leaves DTLS 1.2 no group; X25519, P-256 and P-384 will do" if has_pq()
            else f'has no group "{PQ}"; version 3.5 has it') in checked.stderr


# Long hellos


def shake_hands(at, context, cut):
    """A handshake whose ClientHello goes out in these pieces; returns its length."""
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(come, go, server_hostname="localhost")
    with socket.create_connection((at["address"], at["port"]), timeout=20) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        hello = go.read()
        for piece in cut(hello):
            plain.sendall(piece)

        def until(do):
            while True:
                try:
                    result = do()
                    plain.sendall(go.read())
                    return result
                except ssl.SSLWantReadError:
                    plain.sendall(go.read())
                    some = plain.recv(65536)
                    assert some, "the server has hung up"
                    come.write(some)

        until(session.do_handshake)
        until(lambda: session.write(b"stra\xc3\x9fe"))
        assert until(lambda: session.read(7)) == b"STRASSE"
    return len(hello)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cut", [
    lambda hello: [hello[:1460], hello[1460:]],
    lambda hello: [hello[:5], hello[5:]],
    lambda hello: [hello[:-1], hello[-1:]],
    lambda hello: [hello[i:i + 100] for i in range(0, len(hello), 100)],
    lambda hello: [hello[i:i + 1] for i in range(len(hello))],
], ids=["two", "behind-head", "before-end", "hundreds", "bytes"])
def test_a_long_hello_may_come_in_pieces(daemon, authority, pair, cut, version):
    """As long as one with X25519MLKEM768, or as that with a long list of protocols besides."""
    running = daemon(tls(pair))
    context = context_for(authority, VERSIONS[version])
    context.set_alpn_protocols(["p" * 200 + str(n) for n in range(7)])
    assert 1600 < shake_hands(running.listeners[0], context, cut) < 4000


def test_the_real_hello_is_that_long(daemon, authority, pair, post_quantum):
    running = daemon(tls(pair))
    length = shake_hands(running.listeners[0], context_for(authority),
                         lambda hello: [hello[:800], hello[800:]])
    assert length > 1400
    assert groups_counted(running) == {PQ: 1}


def test_check_tells_of_known_faults_of_the_library(pair, tmp_path):
    """The table itself is tested with all versions, in the unit test known-faults."""
    config = tmp_path / "one.conf"
    config.write_text(configuration(tls(pair), dtls(pair)))
    checked = rig.run_upperd("-c", config, "--check")
    numbers = tuple(map(int, library().split("-")[0].split(".")))
    assert ("CVE-2026-75806" in checked.stdout) == (numbers <= (3, 5, 8))
    assert ("CVE-2026-72897" in checked.stdout) == ((3, 2, 0) <= numbers <= (3, 5, 8))
    assert ("warning: " in checked.stderr) == ((3, 5, 0) <= numbers <= (3, 5, 8))
