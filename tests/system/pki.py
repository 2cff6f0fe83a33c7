# SPDX-License-Identifier: Apache-2.0
"""Authorities, certificates and keys, made on the spot by openssl."""

import datetime
import hashlib
import subprocess
import time
from base64 import b64encode
from pathlib import Path

DAY = 86400
KINDS = {
    "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ec384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ed25519": ["-algorithm", "ED25519"],
}


def openssl(*args, cwd=None, stdin=b""):
    return subprocess.run(["openssl", *map(str, args)], cwd=cwd, input=stdin, check=True,
                          capture_output=True).stdout


def asn1_time(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


class Pair:
    """A certificate and its key, as the group that upperd.conf wants."""

    def __init__(self, certificate, key):
        self.certificate, self.key = Path(certificate), Path(key)

    def group(self, **more):
        return {"certificate": str(self.certificate), "key": str(self.key), **more}


class Authority:
    """Signs whatever it is asked to; `file` is what clients trust."""

    def __init__(self, folder, name="Test authority"):
        folder.mkdir(exist_ok=True)
        self.folder, self.file, self.key = folder, folder / "ca.pem", folder / "ca.key"
        self.n = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.file, "-days", 3650, "-subj", f"/CN={name}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def key_of(self, kind, file):
        openssl("genpkey", *KINDS[kind], "-out", file)
        file.chmod(0o600)
        return file

    def sign(self, key, file, name, sans, days=90, usage="serverAuth", until=None):
        """`until`, a time in seconds, ends it within the day. `sans` are DNS names, or general names in DER."""
        extensions = self.folder / f"extensions-{self.n}"
        lines = ["basicConstraints=critical,CA:FALSE",
                 "crlDistributionPoints=URI:http://authority.test/ca.crl"]
        if usage:
            lines.append(f"extendedKeyUsage={usage}")
        if isinstance(sans, bytes):
            lines.append("subjectAltName=DER:" + sans.hex(":"))
        elif sans:
            lines.append("subjectAltName=" + ",".join(f"DNS:{san}" for san in sans))
        extensions.write_text("\n".join(lines) + "\n")
        request = openssl("req", "-new", "-key", key, "-subj", f"/CN={name}")
        if days < 0:  # openssl x509 makes none that has ended before it began
            until = time.time() + days * DAY
        if until:
            self._sign_until(file, request, extensions, until)
            return
        file.write_bytes(openssl("x509", "-req", "-CA", self.file, "-CAkey", self.key,
                                 "-set_serial", 1000 + self.n, "-days", days,
                                 "-extfile", extensions, stdin=request))

    def _sign_until(self, file, request, extensions, until):
        (self.folder / "index.txt").write_text("")
        config = self.folder / "sign.cnf"
        config.write_text(f"[ca]\ndefault_ca=this\n[this]\ndatabase={self.folder}/index.txt\n"
                          f"rand_serial=yes\nnew_certs_dir={self.folder}\ndefault_md=sha256\n"
                          "policy=any\n[any]\ncommonName=supplied\n")
        openssl("ca", "-config", config, "-batch", "-notext", "-cert", self.file, "-keyfile", self.key,
                "-in", "/dev/stdin", "-out", file, "-extfile", extensions,
                "-startdate", asn1_time(min(time.time(), until - 90 * DAY)),
                "-enddate", asn1_time(until), stdin=request)

    def issue(self, kind="ec", sans=("localhost",), days=90, usage="serverAuth", key=None, until=None,
              name=None):
        self.n += 1
        stem = self.folder / f"{self.n}-{kind}"
        pair = Pair(stem.with_suffix(".pem"), key or stem.with_suffix(".key"))
        if not key:
            self.key_of(kind, pair.key)
        if not name:
            name = sans[0] if sans and not isinstance(sans, bytes) else "nobody"
        self.sign(pair.key, pair.certificate, name, sans, days, usage, until)
        return pair

    def issue_for(self, kind, days_before, days_after):
        """A certificate that began so many days ago and ends in so many."""
        pair = self.issue(kind)
        database = self.folder / "issued.txt"
        database.write_text("")
        config = self.folder / "issue.cnf"
        config.write_text(f"[ca]\ndefault_ca=this\n[this]\ndatabase={database}\n"
                          f"new_certs_dir={self.folder}\ndefault_md=sha256\nrand_serial=yes\n"
                          "policy=any\n[any]\ncommonName=supplied\n")
        request = self.folder / "request.pem"
        request.write_bytes(openssl("req", "-new", "-key", pair.key, "-subj", "/CN=localhost"))
        extensions = self.folder / f"extensions-{self.n}"
        dates = [(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days))
                 .strftime("%Y%m%d%H%M%SZ") for days in (-days_before, days_after)]
        openssl("ca", "-batch", "-config", config, "-cert", self.file, "-keyfile", self.key,
                "-in", request, "-out", pair.certificate, "-notext", "-extfile", extensions,
                "-startdate", dates[0], "-enddate", dates[1])
        return pair

    def revoke(self, *pairs, more=()):
        """A revocation list with these."""
        database = self.folder / "index.txt"
        database.write_text("")
        (self.folder / "crlnumber").write_text("01\n")
        config = self.folder / "ca.cnf"
        config.write_text(f"[ca]\ndefault_ca=this\n[this]\ndatabase={database}\n"
                          f"crlnumber={self.folder}/crlnumber\ndefault_md=sha256\n"
                          "default_crl_days=30\n")
        for pair in pairs:
            openssl("ca", "-config", config, "-cert", self.file, "-keyfile", self.key,
                    "-revoke", pair.certificate)
        crl = self.folder / "crl.pem"
        openssl("ca", "-config", config, "-cert", self.file, "-keyfile", self.key,
                "-gencrl", "-out", crl, *more)
        return crl


def der(tag, content):
    length = len(content)
    head = bytes([length]) if length < 128 else bytes([0x82, length >> 8, length & 255])
    return bytes([tag]) + head + content


def general_names(*names):
    """Subject alternative names as they are in a certificate, of any bytes: ("dns", b"a\\0b"), ("uri", …)."""
    tags = {"dns": 0x82, "uri": 0x86}
    return der(0x30, b"".join(der(tags[kind], text) for kind, text in names))


def self_signed(folder, kind="ec", name="me", days=90, more=()):
    """A certificate that no authority knows."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    openssl("genpkey", *KINDS[kind], "-out", pair.key)
    openssl("req", "-x509", "-new", "-key", pair.key, "-subj", f"/CN={name}", "-days", days,
            *more, "-out", pair.certificate)
    return pair


def pin(pair, base64=False):
    """An entry of client_names for its key."""
    public = openssl("pkey", "-in", pair.key, "-pubout", "-outform", "DER")
    digest = hashlib.sha256(public).digest()
    return "spki:sha256:" + (b64encode(digest).decode() if base64 else digest.hex())
