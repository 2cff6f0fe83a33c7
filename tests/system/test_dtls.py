# SPDX-License-Identifier: Apache-2.0
"""DTLS as clients see it: s_client gets its text, and certificates are those of TLS."""

import os
import shutil
import signal

import pytest

import process
import secure
from dtls import Session, Tap, dtls, many_clients, s_client
from hello import ask_datagrams
from lossy import Weather
from pki import Authority, Pair, openssl
from rig import run_upperd
from settings import configuration

pytestmark = pytest.mark.usefixtures("with_tls")

STRICT = ("-verify_return_error",)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("ec")


@pytest.fixture
def server(daemon, pair):
    return lambda **keys: daemon(dtls(pair, **keys)).listeners[0]


def test_s_client_gets_its_answer(server, authority):
    said = s_client(server(), "-quiet", "-CAfile", authority.file, *STRICT,
                    "-verify_hostname", "localhost")
    assert "HELLO\n" in said


@pytest.mark.parametrize("kind", ["ec", "ec384", "rsa"])
def test_keys_of_every_kind_sign_through_the_keeper(daemon, authority, kind):
    at = daemon(dtls(authority.issue(kind))).listeners[0]
    said = s_client(at, "-quiet", "-CAfile", authority.file, *STRICT)
    assert "HELLO\n" in said


def test_a_key_that_dtls_cannot_use_is_a_fault(authority, tmp_path):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(dtls(authority.issue("ed25519"))))
    checked = run_upperd("-c", config, "--check")
    assert checked.returncode == 78
    assert "cannot be spoken with Ed25519 alone" in checked.stdout + checked.stderr


def test_messages_of_one_byte_to_the_longest_record(server):
    many_clients(server(), 1, 1, 2, 3, 255, 1199, 1232, 1233, 1400, 1473, 4096, 8191, 12345, 16383, 16384)


def test_a_thousand_clients_at_once_get_each_its_own(daemon, pair):
    running = daemon(dtls(pair))
    many_clients(running.listeners[0], 1000, 10, 100)


def test_a_reply_that_would_be_too_long_is_dropped(daemon, pair):
    """Three times as long in upper case, and a record holds 16384 bytes; the session goes on."""
    running = daemon(dtls(pair))
    with Session(running.listeners[0]) as session:
        session.process.stdin.write("ΐ".encode() * 4000)
        session.process.stdin.flush()
        running.expect("peer-refused", reason="size")
        session.ask("and on")


def test_what_amplifies_too_much_is_dropped(daemon, pair):
    running = daemon(dtls(pair, amplification=1.0))
    with Session(running.listeners[0]) as session:
        session.process.stdin.write("ŉ".encode())
        session.process.stdin.flush()
        running.expect("peer-refused", reason="amplification")
        session.ask("and on")


def test_what_is_invalid_is_dropped_where_it_is_rejected(daemon, pair):
    running = daemon(dtls(pair, invalid="reject"))
    with Session(running.listeners[0]) as session:
        session.process.stdin.write(b"\xff")
        session.process.stdin.flush()
        running.expect("peer-refused", reason="invalid")
        session.ask("and on")


def test_an_acknowledged_message_is_told(daemon, pair):
    running = daemon(dtls(pair, service="acknowledge", amplification=10.0))
    said = s_client(running.listeners[0], "-quiet", text=b"hello\n", answer=b"Message received.")
    assert "Message received." in said
    assert running.expect("message")["message"] == "6 bytes"


def test_answers_leave_from_the_address_that_was_asked(daemon, pair):
    at = daemon(dtls(pair, address="0.0.0.0")).listeners[0]
    for address in ("127.0.0.1", "127.0.0.77"):
        with Session({**at, "address": address}) as session:
            session.ask("here")


def test_ipv6_and_ipv4_are_served_by_one_socket(daemon, pair):
    at = daemon(dtls(pair, address="::")).listeners[0]
    for address in ("127.0.0.1", "[::1]"):
        with Session({**at, "address": address}) as session:
            session.ask("here")


@pytest.mark.long
def test_loss_doubles_and_delays_only_cost_time(daemon, pair, road):
    """A tenth of the datagrams of fifty clients each, both ways."""
    running = daemon(dtls(pair, handshake_timeout="60s"), drain="1s")
    relay = road(running.listeners[0], Weather(seed=7))
    many_clients(relay.at, 50, 10, 1000, 16384)


# Certificates


def serial_shown(at, *args):
    said = s_client(at, *args)
    shown = said[said.index("-----BEGIN"):said.index("-----END")] + "-----END CERTIFICATE-----\n"
    return openssl("x509", "-noout", "-serial", stdin=shown.encode())


def serial_of(pair):
    return openssl("x509", "-noout", "-serial", "-in", pair.certificate)


def test_a_certificate_is_chosen_by_name(daemon, authority):
    one, two = authority.issue(sans=("one.test",)), authority.issue(sans=("two.test",))
    at = daemon(dtls(one, two)).listeners[0]
    for name, pair in (("one.test", one), ("two.test", two), ("other.test", one)):
        assert serial_shown(at, "-servername", name) == serial_of(pair)


def test_ecdsa_and_rsa_side_by_side(daemon, authority):
    ec, rsa = authority.issue("ec"), authority.issue("rsa")
    at = daemon(dtls(ec, rsa)).listeners[0]
    for signature, pair in (("ECDSA+SHA256", ec), ("RSA-PSS+SHA256", rsa)):
        assert serial_shown(at, "-sigalgs", signature) == serial_of(pair)


# A hello's suites of both kinds and its signatures, and those that it is to be answered with.
SIGNATURES = {
    "RSA alone": ([0x0804, 0x0401], (0xc02f, 0x0804)),
    "RSA of the old form alone": ([0x0401], (0xc02f, 0x0401)),
    "ECDSA with SHA-1": ([0x0203, 0x0401], (0xc02f, 0x0401)),
    "ECDSA alone": ([0x0403], (0xc02b, 0x0403)),
    "both": ([0x0804, 0x0403], (0xc02b, 0x0403)),
    "none that is signed with": ([0x0203, 0x0201], (None, None)),
}


@pytest.mark.parametrize("first", ["ec", "rsa"])
@pytest.mark.parametrize("case", SIGNATURES)
def test_the_certificate_is_one_whose_signature_the_client_knows(daemon, authority, case, first):
    """The library has the signatures decide over TLS, and over DTLS is indifferent to them."""
    pairs = [authority.issue(kind) for kind in sorted(("ec", "rsa"), key=lambda kind: kind != first)]
    signatures, expected = SIGNATURES[case]
    answer = ask_datagrams(daemon(dtls(*pairs), drain="0s").listeners[0], suites=[0xc02b, 0xc02f],
                           groups=[29, 23], signatures=signatures)
    assert (answer.suite, answer.signature) == expected


def test_a_client_shows_its_certificate(daemon, authority, pair):
    more = {"client_auth": "required", "client_ca": str(authority.file)}
    running = daemon(dtls(pair, more=more), log={"access": True})
    mine = authority.issue("rsa", ("me",), usage="clientAuth")
    said = s_client(running.listeners[0], "-quiet", "-cert", mine.certificate, "-key", mine.key)
    assert "HELLO" in said
    assert running.expect("access")["reason"] == "done"


def test_who_shows_none_or_a_strange_one_is_refused(daemon, authority, pair, tmp_path):
    more = {"client_auth": "required", "client_ca": str(authority.file)}
    running = daemon(dtls(pair, more=more), log={"access": True})
    assert "HELLO\n" not in s_client(running.listeners[0], "-quiet")
    running.expect("access", reason="tls_no_certificate")
    strange = Authority(tmp_path / "strange").issue("ec", ("me",), usage="clientAuth")
    said = s_client(running.listeners[0], "-quiet", "-cert", strange.certificate, "-key", strange.key)
    assert "HELLO\n" not in said
    running.expect("access", reason="tls_untrusted")


def test_a_version_that_is_not_spoken_is_refused(daemon, pair):
    running = daemon(dtls(pair), log={"access": True})
    said = secure.s_client(running.listeners[0], "-dtls1", "-cipher", "ALL:@SECLEVEL=0")
    assert "HELLO\n" not in said
    assert running.expect("access")["reason"] == "tls_version"


def test_nothing_is_renegotiated(server):
    assert "no renegotiation" in s_client(server(), text=b"R\n", answer=b"error")


def test_a_session_is_resumed(server, tmp_path):
    at, file = server(), tmp_path / "session"
    assert "New, " in s_client(at, "-sess_out", file)
    assert "Reused, " in s_client(at, "-sess_in", file)


def test_a_handshake_is_in_datagrams_of_the_mtu(daemon, authority):
    at = daemon(dtls(authority.issue("rsa"), more={"mtu": 300})).listeners[0]
    tap = Tap(at)
    with Session(tap.at) as session:
        session.ask("hello")
    assert 200 < max(tap.lengths) <= 300
    tap.close()


def test_what_is_sealed_of_a_handshake_fits_too(daemon, authority):
    """Our last message of it: how much of a datagram is left for that depends on all before."""
    pair, sizes = authority.issue(), (256, 264, 270, 280, 290)
    running = daemon(*(dtls(pair, name=f"mtu-{size}", more={"mtu": size}) for size in sizes))
    for at, size in zip(running.listeners, sizes):
        tap = Tap(at)
        with Session(tap.at) as session:
            session.ask("hello")
        assert max(tap.lengths) <= size
        tap.close()


def test_a_certificate_that_is_replaced_is_taken_up(daemon, authority, tmp_path):
    """A session that is open goes on, with the keeper that it began with."""
    live = Pair(tmp_path / "certificate.pem", tmp_path / "key.pem")

    def put(pair):
        for source, to in ((pair.certificate, live.certificate), (pair.key, live.key)):
            shutil.copy2(source, to.with_suffix(".new"))
            to.with_suffix(".new").rename(to)

    put(authority.issue())
    running = daemon(dtls(live), drain="60s")
    newer = authority.issue("rsa")
    with Session(running.listeners[0]) as session:
        session.ask("one")
        put(newer)
        running.expect("reloaded")
        session.ask("two")
        assert serial_shown(running.listeners[0]) == serial_of(newer)


def test_the_death_of_the_keeper_costs_no_session(daemon, pair):
    running = daemon(dtls(pair))
    with Session(running.listeners[0]) as session:
        session.ask("one")
        mark = running.mark()
        os.kill(running.children("keeper")[0], signal.SIGKILL)
        running.killed += 1
        session.ask("two")
        running.expect("child-started", mark)
        process.wait_until(lambda: "HELLO\n" in s_client(running.listeners[0], "-quiet"), 20)
        session.ask("three")


def test_an_answer_longer_than_its_client_takes_is_not_the_end(daemon, pair):
    """One that asked for records of 512 bytes; its text grows to three times its length."""
    running = daemon(dtls(pair))
    with Session(running.listeners[0], "-maxfraglen", 512) as session:
        session.ask("before")
        session.process.stdin.write("\u0390".encode() * 200 + b"\n")
        session.process.stdin.flush()
        running.expect("peer-refused", reason="size")  # or both would be one record
        session.ask("after")
