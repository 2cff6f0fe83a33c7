# SPDX-License-Identifier: Apache-2.0
"""What the tls group asks for: of clients, of ciphers, of files; and what --check says of it."""

import functools
import json
import math
import ssl
import subprocess

import pytest

import process
import rig
from pki import Authority, Pair, openssl
from secure import ask_tls, connect_tls, context_for, s_client, tls
from settings import configuration
from wire import read_exactly

pytestmark = pytest.mark.usefixtures("with_tls")

both_versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


# Clients and their certificates


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"), "Clients' authority")


@pytest.fixture
def serve(daemon, pair, clients):
    def start(auth, **more):
        more = {"client_auth": auth, "client_ca": str(clients.file), **more}
        return daemon(tls(pair, more=more))
    return start


@both_versions
def test_a_certificate_of_the_right_authority_is_let_in(serve, authority, clients, version):
    mine = clients.issue("ec", ("me",), usage="clientAuth")
    at = serve("required").listeners[0]
    assert ask_tls(at, context_for(authority, version, mine)) == b"STRASSE"


@both_versions
def test_none_is_refused_where_one_is_required(serve, authority, version):
    running = serve("required")
    with pytest.raises(OSError):
        ask_tls(running.listeners[0], context_for(authority, version))
    running.expect("peer-ended", reason="tls_no_certificate")


def test_none_is_fine_where_one_is_optional(serve, authority):
    assert ask_tls(serve("optional").listeners[0], context_for(authority)) == b"STRASSE"


@pytest.mark.parametrize("auth", ["optional", "required"])
def test_one_of_another_authority_is_refused(serve, authority, auth):
    running = serve(auth)
    other = authority.issue("ec", ("me",), usage="clientAuth")
    with pytest.raises(OSError):
        ask_tls(running.listeners[0], context_for(authority, certificate=other))
    running.expect("peer-ended", reason="tls_untrusted")


def test_a_revoked_one_is_refused(serve, authority, clients):
    good, bad = (clients.issue("ec", (name,), usage="clientAuth") for name in ("good", "bad"))
    running = serve("required", crl=str(clients.revoke(bad)))
    at = running.listeners[0]
    assert ask_tls(at, context_for(authority, certificate=good)) == b"STRASSE"
    with pytest.raises(OSError):
        ask_tls(at, context_for(authority, certificate=bad))
    running.expect("peer-ended", reason="tls_untrusted")


def test_a_revocation_list_that_is_out_of_date_is_told_of(serve, clients, authority, tmp_path):
    """It keeps everybody out, since nobody can tell who is revoked."""
    good = clients.issue("ec", ("good",), usage="clientAuth")
    over = str(clients.revoke(more=("-crl_lastupdate", "20200101000000Z",
                                    "-crl_nextupdate", "20200102000000Z")))
    running = serve("required", crl=over)
    assert over in running.expect("certificate-expires", listener="tls")["message"]
    with pytest.raises(OSError):
        ask_tls(running.listeners[0], context_for(authority, certificate=good))
    checked = rig.run_upperd("-c", running.config, "--check")
    assert checked.returncode == 0
    assert f"warning: listeners.tls.tls.crl: {over}: a revocation list is out of date" in checked.stderr


# Words of the configuration


def test_alpn_agrees_on_ours(daemon, authority, pair):
    at = daemon(tls(pair, more={"alpn": ["upper/2", "upper/1"]})).listeners[0]
    context = context_for(authority)
    context.set_alpn_protocols(["upper/1", "upper/2"])
    with connect_tls(at, context) as s:
        assert s.selected_alpn_protocol() == "upper/2"


def test_alpn_without_one_in_common_is_refused(daemon, authority, pair):
    running = daemon(tls(pair, more={"alpn": ["upper/2"]}))
    context = context_for(authority)
    context.set_alpn_protocols(["http/1.1"])
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        ask_tls(running.listeners[0], context)
    running.expect("peer-ended", reason="tls_nothing_shared")


def test_only_tls_1_3_is_spoken_when_asked_for(daemon, authority, pair):
    running = daemon(tls(pair, more={"min_version": "1.3"}))
    with pytest.raises(ssl.SSLError):
        ask_tls(running.listeners[0], context_for(authority, ssl.TLSVersion.TLSv1_2))
    assert ask_tls(running.listeners[0], context_for(authority)) == b"STRASSE"


def test_groups_and_ciphers_are_those_named(daemon, pair):
    at = daemon(tls(pair, more={"groups": "P-384", "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384",
                                "ciphersuites": "TLS_CHACHA20_POLY1305_SHA256"})).listeners[0]
    assert "TLS_CHACHA20_POLY1305_SHA256" in s_client(at, "-tls1_3")
    said = s_client(at, "-tls1_2")
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" in said
    assert "secp384r1" in said


@functools.cache
def has_mlkem():
    """Whether the library has it, which the openssl of the same machine tells."""
    return "X25519MLKEM768" in subprocess.run(["openssl", "list", "-kem-algorithms"], text=True,
                                              capture_output=True).stdout


def test_key_exchange_is_post_quantum_where_the_library_has_it(daemon, pair):
    said = s_client(daemon(tls(pair)).listeners[0], "-tls1_3")
    assert ("Negotiated TLS1.3 group: X25519MLKEM768" if has_mlkem() else
            "Server Temp Key: X25519") in said


@pytest.mark.parametrize("group", ["X25519", "P-256", "P-384"])
def test_who_has_no_post_quantum_group_is_served(daemon, pair, group):
    at = daemon(tls(pair)).listeners[0]
    for version in ("-tls1_2", "-tls1_3"):
        assert "Verify return code" in s_client(at, version, "-groups", f"{group}:P-256"
                                                if group != "P-256" else group)


@pytest.mark.parametrize("name", ["P-521", "secp521r1", "X448"])
def test_a_group_that_the_keeper_does_not_sign_is_for_1_3(daemon, pair, tmp_path, name):
    """Its handshakes of TLS 1.2 would all fail."""
    groups = {"groups": f"X25519:{name}"}
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(tls(pair, more=groups)))
    checked = rig.run_upperd("-c", config, "--check")
    assert checked.returncode == 78
    assert f"listeners.tls.tls.groups: {name} is not used with TLS 1.2" in checked.stderr
    at = daemon(tls(pair, more={**groups, "min_version": "1.3"})).listeners[0]
    assert "Verify return code" in s_client(at, "-tls1_3", "-groups", name)


def test_a_response_is_stapled(daemon, authority, tmp_path):
    pair = authority.issue("ec")
    index = tmp_path / "index.txt"
    serial = openssl("x509", "-in", pair.certificate, "-noout", "-serial").decode().strip()
    index.write_text(f"V\t{'491231235959Z'}\t\t{serial.split('=')[1]}\tunknown\t/CN=localhost\n")
    request, response = tmp_path / "request", tmp_path / "response"
    openssl("ocsp", "-issuer", authority.file, "-cert", pair.certificate, "-reqout", request)
    openssl("ocsp", "-index", index, "-rsigner", authority.file, "-rkey", authority.key,
            "-CA", authority.file, "-reqin", request, "-respout", response, "-ndays", 7)
    at = daemon(tls(pair.group(ocsp=str(response)))).listeners[0]
    assert "OCSP Response Status: successful" in s_client(at, "-status")


def put_credentials(folder, pair, mode):
    for source, name in ((pair.certificate, "chain"), (pair.key, "key")):
        (folder / name).write_bytes(source.read_bytes())
        (folder / name).chmod(mode)


@pytest.mark.parametrize("mode", [0o600, 0o440])
def test_a_credential_of_the_service_manager(daemon, authority, pair, tmp_path, mode):
    """systemd of version 254 and later gives them an access list, whose mask is where the group's bits are."""
    put_credentials(tmp_path, pair, mode)
    at = daemon(tls(Pair("credential:chain", "credential:key")),
                env={"CREDENTIALS_DIRECTORY": str(tmp_path)}).listeners[0]
    assert ask_tls(at, context_for(authority)) == b"STRASSE"


def test_a_credential_for_everybody_is_a_fault(pair, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    put_credentials(tmp_path, pair, 0o444)
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(tls(Pair("credential:chain", "credential:key"))))
    ended = rig.run_upperd("-c", config, "--check")
    assert "its mode is 0444, so that everybody may read it" in ended.stderr
    assert ended.returncode == 78


def test_a_credential_without_a_service_manager_is_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(tls(Pair("credential:chain", "credential:key"))))
    ended = rig.run_upperd("-c", config, "--check")
    assert ended.returncode == 78
    assert ended.stderr.count("there are no credentials; the service manager passes them") == 2


# What --check finds, and a start and a reload with it


@pytest.mark.parametrize(("name", "words"), [
    ("credential:key", "there are no credentials; the service manager passes them"),
    ("credential:../key", "a name without a slash"), ("credential:", "a name without a slash")])
def test_a_credential_that_cannot_be(pair, tmp_path, name, words):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(tls(Pair(pair.certificate, name))))
    ended = rig.run_upperd("-c", config, "--check")
    assert ended.returncode == 78 and f"certificates[0].key: {name}: {words}" in ended.stderr


def spoil(how, authority, pair, folder):
    """A tls group with a fault of this kind."""
    mine = Pair(folder / "certificate.pem", folder / "key.pem")
    mine.certificate.write_bytes(pair.certificate.read_bytes())
    mine.key.write_bytes(pair.key.read_bytes())
    mine.key.chmod(0o600)
    more = {}
    if how == "missing":
        mine.key.unlink()
    elif how == "folder":
        mine.key.unlink()
        mine.key.mkdir()
    elif how == "mismatched":
        mine.certificate.write_bytes(authority.issue("ec").certificate.read_bytes())
    elif how == "encrypted":
        openssl("pkey", "-in", pair.key, "-aes128", "-passout", "pass:x", "-out", mine.key)
        mine.key.chmod(0o600)
    elif how == "for-everybody":
        mine.key.chmod(0o644)
    elif how == "for-the-group":
        mine.key.chmod(0o640)
    elif how == "no-certificate":
        mine.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
    elif how == "no-key":
        mine.key.write_text("hello")
        mine.key.chmod(0o600)
    elif how == "empty-ca":
        (folder / "ca.pem").write_text("")
        more = {"client_auth": "required", "client_ca": str(folder / "ca.pem")}
    elif how == "weak-cipher":
        more = {"ciphers": "AES128-SHA"}
    elif how == "odd-tickets":
        (folder / "tickets").write_bytes(bytes(79))
        (folder / "tickets").chmod(0o600)
        more = {"ticket_keys": str(folder / "tickets")}
    return tls(mine, more=more)


faults = pytest.mark.parametrize(("how", "key", "words"), [
    ("missing", "certificates[0].key", "key.pem: No such file"),
    ("folder", "certificates[0].key", "key.pem: not a file"),
    ("mismatched", "certificates[0].certificate", "private key is not that of"),
    ("encrypted", "certificates[0].key", "key.pem: the key is encrypted"),
    ("for-everybody", "certificates[0].key", "key.pem: its mode is 0644, so that everybody"),
    ("for-the-group", "certificates[0].key", "key.pem: its mode is 0640, so that its group"),
    ("no-certificate", "certificates[0].certificate", "certificate.pem: no certificate"),
    ("no-key", "certificates[0].key", "key.pem: no private key in PEM form"),
    ("empty-ca", "tls.client_ca", "ca.pem: no certificate of an authority"),
    ("weak-cipher", "tls.ciphers", "AES128-SHA is not spoken"),
    ("odd-tickets", "tls.ticket_keys", "tickets: 79 bytes; one to 3 keys of 80 bytes"),
])


@faults
def test_check_names_the_file_and_the_key(authority, pair, tmp_path, how, key, words):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(spoil(how, authority, pair, tmp_path)))
    ended = rig.run_upperd("-c", config, "--check", "--json")
    (fault,) = json.loads(ended.stdout)
    assert ended.returncode == 78
    assert fault["key"].startswith("listeners.tls.tls") and fault["key"].endswith(key)
    assert words in fault["message"]
    line = config.read_text().splitlines()[fault["line"] - 1]
    assert line[fault["column"] - 1:].startswith(key.split(".")[-1] + " = ")


@faults
def test_a_start_says_the_same(start, authority, pair, tmp_path, how, key, words):
    running = start(spoil(how, authority, pair, tmp_path))
    assert running.wait() == 78
    assert words in running.log()


def spoil_many(hows, authority, pair, folder):
    """A listener for each, spoilt in its way."""
    for n, how in enumerate(hows):
        (folder / f"papers-{n}").mkdir()
        yield {**spoil(how, authority, pair, folder / f"papers-{n}"), "name": f"tls-{n}"}


def names_of(faults):
    return sorted(fault["key"].split(".")[1] for fault in faults)


# What cannot be opened, what is no key, and what does not fit together: each hides what comes after.
STAGES = [["missing", "for-everybody", "folder"], ["encrypted", "no-key", "encrypted"],
          ["mismatched", "no-certificate", "weak-cipher", "empty-ca"]]
stages = pytest.mark.parametrize("hows", STAGES, ids=["open", "keys", "fit"])


@stages
def test_a_start_says_all_of_it(start, authority, pair, tmp_path, hows):
    running = start(*spoil_many(hows, authority, pair, tmp_path))
    assert running.wait() == 78
    said = [record["message"] for record in running.records("config-fault")]
    assert len(said) == len(hows)
    for n in range(len(hows)):
        assert any(f".conf:{line_of(running, n)}: listeners.tls-{n}.tls" in one for one in said)


def line_of(running, n):
    lines = running.config.read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if f'"tls-{n}"' in line)


@stages
def test_a_reload_says_all_of_it(daemon, authority, pair, tmp_path, hows):
    """To whoever asked for it, as --check would."""
    running = daemon(tls(pair))
    running.reconfigure(*spoil_many(hows, authority, pair, tmp_path))
    done = rig.run_upperctl(running, "--json", "reload")
    faults = json.loads(done.stdout)
    assert done.returncode == 78
    assert names_of(faults) == [f"tls-{n}" for n in range(len(hows))]
    checked = json.loads(rig.run_upperd("-c", running.config, "--check", "--json").stdout)
    assert faults == checked


def test_a_reload_names_each_bad_certificate_of_a_listener(daemon, authority, pair, tmp_path):
    running = daemon(tls(pair))
    bad = []
    for n, how in enumerate(["mismatched", "no-certificate"]):
        (tmp_path / f"papers-{n}").mkdir()
        bad += spoil(how, authority, pair, tmp_path / f"papers-{n}")["tls"]["certificates"]
    running.reconfigure(tls(pair, *bad))
    done = rig.run_upperctl(running, "reload")
    assert done.returncode == 78
    assert [f"{tmp_path}/papers-{n}/" in done.stdout for n in (0, 1)] == [True, True]
    assert done.stdout.count("error:") == 2


@faults
def test_a_reload_says_the_same_and_changes_nothing(daemon, authority, pair, tmp_path, how, key,
                                                    words):
    running = daemon(tls(pair))
    workers = running.workers()
    with connect_tls(running.listeners[0], context_for(authority)) as s:
        running.reconfigure(spoil(how, authority, pair, tmp_path))
        running.reload("reload-failed")
        running.wait_for(lambda: words in running.log(), words)
        s.sendall(b"still")
        assert read_exactly(s, 5) == b"STILL"
    process.wait_until(lambda: running.workers() == workers, what="the old workers alone")


def test_check_names_every_fault(authority, pair, tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one = spoil("encrypted", authority, pair, folders[0])
    two = {**spoil("for-everybody", authority, pair, folders[1]), "name": "other"}
    (tmp_path / "upperd.conf").write_text(configuration(one, two))
    ended = rig.run_upperd("-c", tmp_path / "upperd.conf", "--check", "--json")
    assert len(json.loads(ended.stdout)) == 2


def test_fault_of_a_later_certificate_is_on_its_line(authority, pair, tmp_path):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(tls(pair, spoil("mismatched", authority, pair, tmp_path)
                                        ["tls"]["certificates"][0])))
    said = rig.run_upperd("-c", config, "--check").stderr.splitlines()
    line = next(n for n, line in enumerate(config.read_text().splitlines(), 1)
                if f"{tmp_path}/certificate.pem" in line)
    assert said[0].startswith(f"{config}:{line}:") and "certificates[1].certificate" in said[0]
    assert said[2].index("^") == said[1].index("certificate = ")


def test_check_finds_faults_of_keys_and_of_files_at_once(authority, pair, tmp_path):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(spoil("mismatched", authority, pair, tmp_path), wokers=1))
    ended = rig.run_upperd("-c", config, "--check", "--json")
    assert [fault["key"] for fault in json.loads(ended.stdout)] == [
        "wokers", "listeners.tls.tls.certificates[0].certificate"]


# What is wrong with a group is no reason to look at a file that it does not name, or to fall over it.
@pytest.mark.parametrize("more", [
    {"client_auth": "required"}, {"client_auth": "required", "client_ca": 1}, {"ticket_keys": 1},
    {"alpn": [""]}, {"ticket_lifetime": "never"}, {"min_version": "1.1"}, {"ciphers": 1}, {"mtu": 1},
    {"certificates": []}, {"certificates": [{"certificate": "one.pem"}]}, {"certificates": 1}])
def test_check_of_a_group_that_lacks_something(pair, tmp_path, more):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(tls(pair, more=more)))
    said = rig.run_upperd("-c", config, "--check").stderr
    assert all(next(iter(more)) in line or "client_ca" in line or "one.pem" in line
               for line in said.splitlines() if "error:" in line) and "error:" in said


def test_what_has_expired_is_a_warning_and_an_error_when_strict(authority, tmp_path):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(tls(authority.issue("ec", days=-1))))
    fine, strict = (rig.run_upperd("-c", config, check) for check in ("--check", "--check=strict"))
    assert "warning" in fine.stderr and "has expired" in fine.stderr
    assert "error" in strict.stderr and "warning" not in strict.stderr
    assert (fine.returncode, strict.returncode) == (0, 78)
    assert "warning" not in strict.stderr and "error: listeners.tls.tls" in strict.stderr


@pytest.mark.parametrize(("lifetime", "left", "said"), [
    (90, 90, False), (90, 31, False), (90, 29, True), (90, 14, True), (90, 7, True), (90, 0.5, True),
    (45, 29, False), (45, 16, False), (45, 14, True), (6, 5.9, False), (6, 2.1, False), (6, 1.9, True),
    (1, 0.9, False), (1, 0.3, True), (90, -1, True), (6, -1, True)])
def test_expiry_is_told_as_a_part_of_the_lifetime(daemon, authority, lifetime, left, said):
    pair = authority.issue_for("ec", lifetime - left, left)
    running = daemon(tls(pair))
    if said:
        record = running.expect("certificate-expires", listener="tls")
        assert ("has expired" if left < 0 else f"in {math.ceil(left)} day(s)") in record["message"]
    assert len(running.records("certificate-expires")) == said


def flags_of(pid, name):
    """What the kernel says of the memory that is mapped under this name."""
    inside = False
    for line in open(f"/proc/{pid}/smaps", encoding="ascii"):
        if "-" in line.split()[0]:
            inside = name in line
        elif inside and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    return None


def test_the_keys_of_tickets_are_neither_swapped_nor_dumped(daemon, pair, as_root):
    """Memory that not even root can read, or where the kernel has none, memory that stays put."""
    running = daemon(tls(pair))
    for pid in running.workers() + [running.pid]:
        flags = flags_of(pid, "secretmem") or flags_of(pid, "upperd-tickets")
        assert {"lo", "dd"} <= flags
