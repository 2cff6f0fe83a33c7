# SPDX-License-Identifier: Apache-2.0
"""Which clients tls.client_names lets in: by names of an authority, and by pins of keys."""

import json
import os
import re
import ssl

import pytest

import rig
from dtls import Session, dtls
from pki import Authority, general_names, openssl, pin, self_signed
from secure import ask_tls, connect_tls, context_for, s_client, tls
from settings import configuration
from wire import read_exactly

pytestmark = pytest.mark.usefixtures("with_tls")

both_versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])

NAMES = ["dns:one.test", "uri:spiffe://corp.test/web", "uri:spiffe://corp.test/db/*"]


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"), "Clients' authority")


@pytest.fixture
def serve(daemon, pair, clients):
    def start(*names, auth="required", ca=True, **more):
        keys = {"client_auth": auth, "client_names": list(names)}
        if ca:
            keys["client_ca"] = str(clients.file)
        return daemon(tls(pair, more={**keys, **more}))
    return start


def refused(running, authority, certificate, version=None, reason="tls_client_name"):
    """The sentence of the log about a client that is refused."""
    since = running.mark()
    with pytest.raises(OSError):
        ask_tls(running.listeners[0], context_for(authority, version, certificate))
    return running.expect("peer-ended", since, reason=reason)["message"]


def let_in(running, authority, certificate, version=None):
    return ask_tls(running.listeners[0], context_for(authority, version, certificate)) == b"STRASSE"


def with_names(clients, *names, **more):
    return clients.issue("ec", general_names(*names), usage="clientAuth", **more)


# Names


@pytest.mark.parametrize("names", [
    [("dns", b"one.test")], [("dns", b"ONE.Test")], [("uri", b"spiffe://corp.test/web")],
    [("uri", b"spiffe://corp.test/db/a")], [("uri", b"spiffe://corp.test/db/a/b")],
    [("dns", b"other.test"), ("uri", b"spiffe://other.test/x"), ("dns", b"one.test")],
    [("dns", b"n%d.test" % n) for n in range(1000)] + [("dns", b"one.test")],
], ids=["dns", "case", "uri", "below", "far-below", "among-others", "among-thousand"])
def test_a_name_of_the_list_lets_a_client_in(serve, authority, clients, names):
    assert let_in(serve(*NAMES), authority, with_names(clients, *names))


@both_versions
@pytest.mark.parametrize(("name", "shown"), [
    (("dns", b"two.test"), '"dns:two.test"'),
    (("dns", b"one.test\0.evil.test"), r'"dns:one.test\x00.evil.test"'),
    (("dns", b"one.test\0"), r'"dns:one.test\x00"'),
    (("dns", b"x.one.test"), '"dns:x.one.test"'),
    (("dns", b"*.test"), '"dns:*.test"'),
    (("dns", b'a", "dns:one.test'), '''"dns:a', 'dns:one.test"'''),
    (("dns", b"\x1b[2J\nready"), r'"dns:\x1b[2J\x0aready"'),
    (("uri", b"one.test"), '"uri:one.test"'),
    (("dns", b"spiffe://corp.test/web"), '"dns:spiffe://corp.test/web"'),
    (("uri", b"spiffe://corp.test/webs"), '"uri:spiffe://corp.test/webs"'),
    (("uri", b"spiffe://corp.test/web/x"), '"uri:spiffe://corp.test/web/x"'),
    (("uri", b"spiffe://corp.test/WEB"), '"uri:spiffe://corp.test/WEB"'),
    (("uri", b"spiffe://CORP.test/web"), '"uri:spiffe://CORP.test/web"'),
    (("uri", b"SPIFFE://corp.test/web"), '"uri:SPIFFE://corp.test/web"'),
    (("uri", b"spiffe://corp.test/web\0"), r'"uri:spiffe://corp.test/web\x00"'),
    (("uri", b"spiffe://corp.test/db"), '"uri:spiffe://corp.test/db"'),
    (("uri", b"spiffe://corp.test/db/"), '"uri:spiffe://corp.test/db/"'),
    (("uri", b"spiffe://corp.test/dbx/a"), '"uri:spiffe://corp.test/dbx/a"'),
    (("uri", b"spiffe://corp.test/db/../root"), '"uri:spiffe://corp.test/db/../root"'),
    (("uri", b"spiffe://corp.test/db/%2e%2e/root"), '"uri:spiffe://corp.test/db/%2e%2e/root"'),
    (("uri", b"spiffe://corp.test/db//a"), '"uri:spiffe://corp.test/db//a"'),
    (("uri", b"spiffe://corp.test.evil/web"), '"uri:spiffe://corp.test.evil/web"'),
])
def test_any_other_name_is_refused_and_shown(serve, authority, clients, name, shown, version):
    running = serve(*NAMES)
    said = refused(running, authority, with_names(clients, name), version)
    assert f"a client certificate that has no name of tls.client_names: it has {shown}, " in said


def test_the_common_name_never_counts(serve, authority, clients):
    mine = clients.issue("ec", (), usage="clientAuth", name="one.test")
    said = refused(serve(*NAMES), authority, mine)
    assert f'it has "{pin(mine)}"' in said
    assert "one.test" not in said


def test_a_refusal_is_short_however_many_names_there_are(serve, authority, clients):
    running = serve(*NAMES)
    said = refused(running, authority,
                   with_names(clients, *[("dns", b"x" * 200 + b"%d" % n) for n in range(150)]))
    assert "and more" in said
    assert len(said) < 900


def test_a_refusal_is_counted_by_itself(serve, authority, clients):
    running = serve(*NAMES)
    refused(running, authority, with_names(clients, ("dns", b"two.test")))
    text = rig.run_upperctl(running, "metrics").stdout
    assert re.search(r'reason="tls_client_name"[^\n]*\} 1$', text, re.M)


def test_the_right_name_of_another_authority_is_not_trusted(serve, authority):
    mine = authority.issue("ec", ("one.test",), usage="clientAuth")
    refused(serve(*NAMES), authority, mine, reason="tls_untrusted")


@pytest.mark.parametrize("auth", ["optional", "required"])
def test_where_a_certificate_is_optional_the_list_holds_for_those_shown(
        serve, authority, clients, auth):
    running = serve(*NAMES, auth=auth)
    refused(running, authority, with_names(clients, ("dns", b"two.test")))
    if auth == "optional":
        assert let_in(running, authority, None)
    else:
        refused(running, authority, None, reason="tls_no_certificate")


def test_dtls_has_the_list_too(daemon, authority, clients, pair):
    running = daemon(dtls(pair, more={
        "client_auth": "required", "client_ca": str(clients.file), "client_names": NAMES}))
    at = running.listeners[0]
    good, bad = (with_names(clients, ("dns", name)) for name in (b"one.test", b"two.test"))
    with Session(at, "-cert", good.certificate, "-key", good.key) as client:
        client.ask("a")
    with Session(at, "-cert", bad.certificate, "-key", bad.key):
        said = running.expect("peer-ended", reason="tls_client_name")["message"]
    assert '"dns:two.test"' in said


# Pins


@both_versions
@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_pins_alone_need_no_authority(serve, authority, tmp_path, kind, version):
    mine, other = (self_signed(tmp_path, kind, name) for name in ("mine", "other"))
    running = serve(pin(mine), ca=False)
    assert let_in(running, authority, mine, version)
    said = refused(running, authority, other, version)
    assert f'it has "{pin(other)}"' in said


def test_a_pin_in_base64_is_the_same(serve, authority, tmp_path):
    mine = self_signed(tmp_path)
    assert let_in(serve(pin(mine, base64=True), ca=False), authority, mine)


def test_a_pinned_key_may_be_certified_by_any_authority(serve, authority):
    mine = authority.issue("ec", ("x.test",), usage="clientAuth")
    assert let_in(serve(pin(mine), ca=False), authority, mine)


def test_without_an_authority_an_issuer_counts_for_nothing(serve, authority, tmp_path):
    """The pinned key has signed another certificate, and sends its own along."""
    top = Authority(tmp_path / "top")
    below = top.issue("ec", ("x.test",), usage="clientAuth")
    below.certificate.write_bytes(below.certificate.read_bytes() + top.file.read_bytes())
    top.certificate = top.file
    refused(serve(pin(top), ca=False), authority, below)


@pytest.mark.parametrize(("more", "words"), [
    (["-addext", "extendedKeyUsage=serverAuth"], "clientAuth"),
    (["-addext", "keyUsage=critical,keyCertSign"], "unsuitable certificate purpose"),
], ids=["extended", "plain"])
def test_a_pinned_certificate_has_to_be_for_clients(serve, authority, tmp_path, more, words):
    mine = self_signed(tmp_path, more=more)
    said = refused(serve(pin(mine), ca=False), authority, mine, reason="tls_untrusted")
    assert words in said


def test_a_pinned_certificate_has_to_be_valid_now(serve, authority, clients):
    mine = clients.issue("ec", ("x.test",), usage="clientAuth", days=-1)
    said = refused(serve(pin(mine), ca=False), authority, mine, reason="tls_untrusted")
    assert "expired" in said


def test_with_an_authority_a_pin_still_wants_its_word(serve, authority, clients, tmp_path):
    mine, theirs = self_signed(tmp_path), with_names(clients, ("dns", b"two.test"))
    running = serve(pin(mine), pin(theirs))
    assert let_in(running, authority, theirs)
    refused(running, authority, mine, reason="tls_untrusted")


def test_a_stolen_certificate_is_nothing_without_its_key(serve, authority, tmp_path):
    """Its key signs nothing here: another one does."""
    mine, other = (self_signed(tmp_path, "ec", name) for name in ("mine", "other"))
    running = serve(pin(mine), ca=False)
    with pytest.raises(ssl.SSLError, match="key values mismatch"):
        context_for(authority, certificate=type(mine)(mine.certificate, other.key))
    said = s_client(running.listeners[0], "-CAfile", authority.file, "-cert", other.certificate,
                    "-key", other.key, "-cert_chain", mine.certificate)
    assert "HELLO" not in said


# Purpose


@both_versions
def test_a_certificate_that_is_not_for_clients_is_told_of(serve, authority, clients, version):
    running = serve("dns:one.test")
    mine = clients.issue("ec", ("one.test",), usage="serverAuth")
    said = refused(running, authority, mine, version, reason="tls_untrusted")
    assert "its extended key usage does not have clientAuth" in said
    assert "extendedKeyUsage = clientAuth will do, or without that extension" in said


@pytest.mark.parametrize("usage", ["clientAuth", None, "serverAuth,clientAuth"])
def test_what_the_sentence_says_will_do(serve, authority, clients, usage):
    assert let_in(serve("dns:one.test"), authority, clients.issue("ec", ("one.test",), usage=usage))


# Resumption


def visit(at, context, session=None):
    with connect_tls(at, context, session=session) as s:
        s.sendall(b"a")
        read_exactly(s, 1)
        return s.session, s.session_reused


@both_versions
def test_a_ticket_lets_in_no_client_that_the_list_has_lost(serve, authority, clients, pair, version):
    running = serve("dns:one.test", "dns:two.test")
    context = context_for(authority, version, with_names(clients, ("dns", b"two.test")))
    session, _ = visit(running.listeners[0], context)
    assert visit(running.listeners[0], context, session)[1]

    running.reconfigure(tls(pair, port=running.listeners[0]["port"], more={
        "client_auth": "required", "client_ca": str(clients.file), "client_names": ["dns:one.test"]}))
    running.reload()
    since = running.mark()
    with pytest.raises(OSError):
        visit(running.listeners[0], context, session)
    running.expect("peer-ended", since, reason="tls_client_name")

    mine = context_for(authority, version, with_names(clients, ("dns", b"one.test")))
    session, _ = visit(running.listeners[0], mine)
    assert visit(running.listeners[0], mine, session)[1]


def test_of_two_listeners_with_shared_keys_each_asks_by_itself(
        daemon, authority, clients, pair, tmp_path):
    keys = tmp_path / "keys"
    keys.write_bytes(os.urandom(80))
    keys.chmod(0o600)
    more = {"client_auth": "required", "client_ca": str(clients.file), "ticket_keys": str(keys)}
    running = daemon(tls(pair, name="wide", more={**more, "client_names": ["dns:two.test"]}),
                     tls(pair, name="narrow", more={**more, "client_names": ["dns:one.test"]}))
    context = context_for(authority, certificate=with_names(clients, ("dns", b"two.test")))
    session, _ = visit(running.listeners[0], context)
    with pytest.raises(OSError):
        visit(running.listeners[1], context, session)
    running.expect("peer-ended", listener="narrow", reason="tls_client_name")


# Words of the configuration


def check(tmp_path, listener):
    config = tmp_path / "checked.conf"
    config.write_text(configuration(listener))
    return rig.run_upperd("-c", config, "--check")


@pytest.mark.parametrize(("keys", "words"), [
    ({"client_names": ["dns:*.one.test"]}, "a wildcard is taken at the end of a URI alone"),
    ({"client_names": ["uri:spiffe://a/*/b"]}, "the wildcard is out of place"),
    ({"client_names": ["spki:sha256:beef"]}, "64 hexadecimal digits"),
    ({"client_names": ["email:me@one.test"]}, '"dns:NAME", "uri:spiffe://DOMAIN/PATH"'),
    ({"client_names": ["dns:a"], "client_auth": "none"}, "needs client_auth"),
    ({"client_names": ["dns:a"], "client_ca": None}, "missing; names of client_names are believed"),
    ({"client_names": [], "client_ca": None}, "missing; client_auth needs it, or client_names"),
], ids=lambda value: None if isinstance(value, str) else " ".join(map(str, value.values())))
def test_mistakes_are_told(pair, clients, tmp_path, keys, words):
    keys = {"client_auth": "required", "client_ca": str(clients.file), **keys}
    said = check(tmp_path, tls(pair, more={k: v for k, v in keys.items() if v is not None}))
    assert said.returncode == 78
    assert words in said.stderr


def test_a_dump_with_names_is_a_configuration(pair, clients, tmp_path):
    config = tmp_path / "one.conf"
    names = [*NAMES, "spki:sha256:" + "ab" * 32]
    config.write_text(configuration(tls(pair, more={
        "client_auth": "required", "client_ca": str(clients.file), "client_names": names})))
    first = rig.run_upperd("-c", config, "--dump").stdout
    again = tmp_path / "two.conf"
    again.write_text(first)
    assert rig.run_upperd("-c", again, "--dump").stdout == first
    assert all(json.dumps(name) in first for name in names)


def test_the_manuals_way_to_a_pin_is_right(tmp_path):
    mine = self_signed(tmp_path)
    public = openssl("x509", "-in", mine.certificate, "-noout", "-pubkey")
    printed = openssl("dgst", "-sha256", stdin=openssl("pkey", "-pubin", "-outform", "DER", stdin=public))
    assert printed.decode().split()[-1] == pin(mine).rpartition(":")[2]
