# SPDX-License-Identifier: Apache-2.0
"""The policy of default listeners, as found out from outside, against the text in tests/policy for the
version of OpenSSL that runs. A change of policy or of library is a difference there, to be reviewed:

    WRITE_POLICY=1 /usr/bin/python3 -m pytest -q tests/system/test_tls_snapshot.py
"""

import os
import re

import pytest

from dtls import dtls
from hello import ask_datagrams, ask_stream, counted, extension, hello_body
from rig import ROOT
from secure import s_client, tls
from test_tls_groups import library

pytestmark = pytest.mark.usefixtures("with_tls")

VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3",
            0xfeff: "DTLS 1.0", 0xfefd: "DTLS 1.2"}
GROUPS = {23: "secp256r1", 24: "secp384r1", 25: "secp521r1", 29: "x25519", 30: "x448", 0x11eb:
          "SecP256r1MLKEM768", 0x11ec: "X25519MLKEM768", 0x11ed: "SecP384r1MLKEM1024", 0x0200: "MLKEM512",
          0x0201: "MLKEM768", 0x0202: "MLKEM1024"}
ALL_GROUPS = [*range(1, 42), *range(256, 261), 0x0200, 0x0201, 0x0202, 0x11eb, 0x11ec, 0x11ed]
SIGNATURES = {0x0201: "rsa_pkcs1_sha1", 0x0202: "dsa_sha1", 0x0203: "ecdsa_sha1", 0x0301: "rsa_pkcs1_sha224",
              0x0303: "ecdsa_sha224", 0x0401: "rsa_pkcs1_sha256", 0x0402: "dsa_sha256",
              0x0403: "ecdsa_secp256r1_sha256", 0x0501: "rsa_pkcs1_sha384", 0x0503: "ecdsa_secp384r1_sha384",
              0x0601: "rsa_pkcs1_sha512", 0x0603: "ecdsa_secp521r1_sha512", 0x0804: "rsa_pss_rsae_sha256",
              0x0805: "rsa_pss_rsae_sha384", 0x0806: "rsa_pss_rsae_sha512", 0x0807: "ed25519", 0x0808: "ed448",
              0x0809: "rsa_pss_pss_sha256", 0x080a: "rsa_pss_pss_sha384", 0x080b: "rsa_pss_pss_sha512",
              0x081a: "ecdsa_brainpoolP256r1tls13_sha256", 0x0904: "mldsa44", 0x0905: "mldsa65",
              0x0906: "mldsa87"}
SUITES = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384",
          0x1303: "TLS_CHACHA20_POLY1305_SHA256", 0xc02b: "ECDHE-ECDSA-AES128-GCM-SHA256",
          0xc02c: "ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02f: "ECDHE-RSA-AES128-GCM-SHA256",
          0xc030: "ECDHE-RSA-AES256-GCM-SHA384", 0xcca8: "ECDHE-RSA-CHACHA20-POLY1305",
          0xcca9: "ECDHE-ECDSA-CHACHA20-POLY1305"}
# Fallback and renegotiation (0x00ff) are signals, and no suites.
ALL_SUITES = [*range(0x0001, 0x00ff), *range(0xc001, 0xc100), *range(0xcca8, 0xccaf)]
ALL_SUITES_1_3 = [*range(0x1301, 0x1308)]
EXTENSIONS = {0: "server_name", 1: "max_fragment_length", 5: "status_request", 10: "supported_groups",
              11: "ec_point_formats", 13: "signature_algorithms", 16: "alpn", 18:
              "signed_certificate_timestamp", 22: "encrypt_then_mac", 23: "extended_master_secret",
              27: "compress_certificate", 28: "record_size_limit", 35: "session_ticket", 42: "early_data",
              43: "supported_versions", 45: "psk_key_exchange_modes", 49: "post_handshake_auth",
              51: "key_share", 0xff01: "renegotiation_info"}
# With every extension that a server may answer.
OFFERS = b"".join([
    extension(1, b"\2"), extension(5, b"\1\0\0\0\0"), extension(16, counted(counted(b"x", 1))),
    extension(18), extension(22), extension(23), extension(27, counted(b"\0\1\0\2\0\3", 1)),
    extension(28, b"\x40\1"), extension(35), extension(45, b"\1\1"), extension(49),
    extension(0xff01, b"\0")])


def name(table, number):
    return table.get(number, f"{number:#06x}")


def accepted(candidates, ask):
    """In the order of the server: all are offered, and what it takes is left out the next time."""
    left, found = list(candidates), []
    while left and (taken := ask(left)) is not None:
        assert taken in left
        left.remove(taken)
        found.append(taken)
    return found


class Listener:
    def __init__(self, at, is_datagram=False):
        self.at, self.is_datagram = at, is_datagram

    def ask(self, suites=ALL_SUITES, groups=(29, 23, 24), signatures=tuple(SIGNATURES), **more):
        if self.is_datagram:
            return ask_datagrams(self.at, suites=suites, groups=groups, signatures=signatures, **more)
        return ask_stream(self.at, hello_body(suites, groups, signatures, **more))

    def ask_1_3(self, suites=ALL_SUITES_1_3, share=29, **more):
        return self.ask(suites, versions=(0x0304,), share=share, **more)

    # A section of the text for each version

    def of_1_2(self):
        """Signatures with suites of their own kind of key: over DTLS, OpenSSL chooses the suite without
        looking at the signatures that the client can check."""
        yield "suites", [name(SUITES, one) for one in accepted(
            ALL_SUITES, lambda left: self.ask(suites=left).suite)]
        yield "groups", [name(GROUPS, one) for one in accepted(
            ALL_GROUPS, lambda left: self.ask(groups=left).group)]
        yield "signatures", [name(SIGNATURES, one) for one in SIGNATURES
                             if any(self.ask(suites=suites, signatures=[one]).signature == one
                                    for suites in ([0xc02b], [0xc02f]))]
        yield "extensions answered", [name(EXTENSIONS, one) for one in sorted(self.ask(more=OFFERS).extensions)]

    def of_1_3(self):
        yield "suites", [name(SUITES, one) for one in accepted(
            ALL_SUITES_1_3, lambda left: self.ask_1_3(suites=left).suite)]
        yield "groups", [name(GROUPS, one) for one in accepted(
            ALL_GROUPS, lambda left: self.ask_1_3(groups=left, share=None).group)]
        yield "signatures", [name(SIGNATURES, one) for one in SIGNATURES
                             if self.ask_1_3(signatures=[one]).suite]
        yield "extensions answered", [name(EXTENSIONS, one) for one in sorted(
            self.ask_1_3(more=OFFERS).extensions)] + self._sealed()

    def _sealed(self):
        """Those behind the ServerHello, which are sealed, as OpenSSL's client traces them."""
        said = s_client(self.at, "-trace", "-tls1_3", "-status", "-alpn", "x", "-maxfraglen", "1024",
                        "-servername", "localhost")
        parts = [part for part in re.split(r"^(?=Received |Sent )", said, flags=re.M)
                 if part.startswith("Received ")]
        inside = re.compile(r"extension_type=(\w+)")
        return [f"{message}: {', '.join(inside.findall(part)) or 'none'}"
                for message in ("EncryptedExtensions", "CertificateRequest", "CompressedCertificate",
                                "NewSessionTicket")
                for part in parts if re.search(rf"^\s+{message}, Length=", part, re.M)]

    def versions(self):
        if self.is_datagram:
            return [VERSIONS[one] for one in [self.ask().version] if one]
        wanted = [VERSIONS[one] for one in (0x0300, 0x0301, 0x0302, 0x0303)
                  if self.ask(legacy=one).version == one]
        return wanted + [VERSIONS[self.ask_1_3().version]]


def describe(stream, datagrams):
    """The text of a snapshot."""
    yield "Default listeners, with certificates of ECDSA on P-256, RSA and Ed25519, as seen by clients that"
    yield "offer everything. What has an order is in that of the server."
    for title, listener in (("tls", stream), ("dtls", datagrams)):
        yield f"\n{title}\n    versions\n        " + "\n        ".join(listener.versions())
        for version, parts in (("1.2", listener.of_1_2), ("1.3", listener.of_1_3)):
            if version == "1.3" and listener.is_datagram:
                continue
            for part, found in parts():
                yield f"    {version}: {part}\n        " + "\n        ".join(found or ["none"])


def test_the_policy_is_the_one_on_record(daemon, authority):
    pairs = [authority.issue(kind) for kind in ("ec", "rsa", "ed25519")]
    running = daemon(tls(*pairs), dtls(*pairs))
    found = "\n".join(describe(Listener(running.listeners[0]), Listener(running.listeners[1], True))) + "\n"
    series = ".".join(library().split(".")[:2])
    record = ROOT / "tests/policy" / f"openssl-{series}.txt"
    if os.environ.get("WRITE_POLICY"):
        record.write_text(found)
    write = "WRITE_POLICY=1 /usr/bin/python3 -m pytest -q tests/system/test_tls_snapshot.py"
    assert record.is_file(), (
        f"no policy is on record for OpenSSL {series}; this writes {record.name}, to be read and committed:"
        f"\n{write}\n{found}")
    assert found == record.read_text(), f"the policy has changed; this writes what it is now:\n{write}"
