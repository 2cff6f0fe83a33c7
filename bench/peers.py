# SPDX-License-Identifier: Apache-2.0
"""Who is measured: a table of servers, each with how it is started and, where it is not ours, the
Debian package that has it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

BENCH = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("BUILD", BENCH.parent / "build-bench"))
PROGRAMS = BUILD / "bench"
BEFORE = "upperd before"


@dataclass
class Place:
    """Where a server serves, and what it may need for that."""
    kind: str
    port: int
    folder: Path
    behind: int = 0  # the port of what answers for one who only ends TLS

    @property
    def certificate(self):
        return self.folder / "certificate.pem"

    @property
    def key(self):
        return self.folder / "key.pem"

    @property
    def both(self):
        return self.folder / "both.pem"

    def write(self, name, text):
        path = self.folder / f"{name}-{self.port}.conf"
        path.write_text(text)
        return path


def make_certificate(folder):
    """ECDSA on P-256, as everybody has it today."""
    place = Place("tls", 0, folder)
    subprocess.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", place.key, "-out", place.certificate], check=True, capture_output=True)
    place.both.write_text(place.key.read_text() + place.certificate.read_text())
    for path in place.key, place.both:
        path.chmod(0o600)


def upperd(sandbox="required", workers=1, others=0, program=BUILD / "src/upperd"):
    """OTHERS is how many listeners it has besides the one that is loaded."""
    def command(place):
        address = f"127.1.{place.port >> 8}.{place.port & 255}"  # no other server has it
        more = "".join(f', {{ transport = "{place.kind}"; address = "{address}"; port = {20000 + n}; }}'
                       for n in range(others))
        pair = f'{{ certificate = "{place.certificate}"; key = "{place.key}"; }}'
        tls = f"tls = {{ certificates = ( {pair} ); }};" if place.kind == "tls" else ""
        return [program, "-c", place.write("upperd", f"""
workers = {workers};
sandbox = "{sandbox}";
user = "nobody";
group = "nogroup";
control = {{ path = "{place.folder}/control{place.port}"; }};
log = {{ target = "stderr"; level = "warning"; }};
listeners = (
    {{ name = "it"; transport = "{place.kind}"; address = "127.0.0.1"; port = {place.port}; {tls} }}{more}
);
""")]
    return command


def own(name, *words):
    """A program of this folder; PORT, CERTIFICATE and KEY among its words are filled in."""
    def command(place):
        values = {"PORT": place.port, "CERTIFICATE": place.certificate, "KEY": place.key}
        return [PROGRAMS / name, *(values.get(word, word) for word in words)]
    return command


def textbook(place):
    return [sys.executable, BENCH / "peers/textbook.py", place.kind, place.port]


def hitch(place):
    return ["/usr/sbin/hitch", "--config=" + str(place.write("hitch", f"""
frontend = "[127.0.0.1]:{place.port}"
backend = "[127.0.0.1]:{place.behind}"
pem-file = "{place.both}"
workers = 1
backlog = 4096
tls-protos = TLSv1.3
log-level = 0
user = "nobody"
group = "nogroup"
"""))]


def haproxy(place):
    return ["/usr/sbin/haproxy", "-db", "-q", "-f", place.write("haproxy", f"""
global
    nbthread 1
    maxconn 9000
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend it
    bind 127.0.0.1:{place.port} ssl crt {place.both} backlog 4096
    default_backend behind
backend behind
    server behind 127.0.0.1:{place.behind}
""")]


def nginx(place):
    return ["/usr/sbin/nginx", "-e", "stderr", "-p", place.folder, "-c", place.write("nginx", f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user nobody nogroup;
worker_processes 1;
pid {place.folder}/nginx-{place.port}.pid;
error_log stderr crit;
events {{ worker_connections 18000; }}
stream {{
    server {{
        listen 127.0.0.1:{place.port} ssl backlog=4096;
        ssl_certificate {place.certificate};
        ssl_certificate_key {place.key};
        ssl_protocols TLSv1.3;
        proxy_pass 127.0.0.1:{place.behind};
    }}
}}
""")]


def stunnel(place):
    return ["/usr/bin/stunnel", place.write("stunnel", f"""
foreground = yes
debug = 2
pid =
[it]
accept = 127.0.0.1:{place.port}
connect = 127.0.0.1:{place.behind}
cert = {place.certificate}
key = {place.key}
sslVersionMin = TLSv1.3
""")]


def xinetd(place):
    return ["/usr/sbin/xinetd", "-dontfork", "-f", place.write("xinetd", f"""
defaults
{{
    instances = UNLIMITED
    per_source = UNLIMITED
    cps = 1000000 1
}}
service it
{{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    user = nobody
    bind = 127.0.0.1
    port = {place.port}
    flags = NODELAY
    server = {PROGRAMS / "peer-inetd"}
}}
""")]


@dataclass
class Peer:
    command: Callable  # (Place) -> the words to start it with
    package: str = ""  # of Debian; for what it is built with, too
    ends_tls: bool = False  # and leaves the answers to what is behind it


PEERS = {
    "upperd": Peer(upperd()),
    "upperd, sandbox off": Peer(upperd(sandbox="off")),
    "upperd, 2 workers": Peer(upperd(workers=2)),
    "upperd, 16 listeners": Peer(upperd(others=15)),
    "upperd, 256 listeners": Peer(upperd(others=255)),
    "bare naive": Peer(own("reference-udp", "naive", "PORT")),
    "bare batched": Peer(own("reference-udp", "batch", "PORT")),
    "bare segmented": Peer(own("reference-udp", "segment", "PORT")),
    "bare addressed": Peer(own("reference-udp", "address", "PORT")),
    "bare epoll": Peer(own("reference-epoll", "PORT", 262144)),
    "bare OpenSSL": Peer(own("reference-tls", "PORT", 262144, "CERTIFICATE", "KEY"), "libssl-dev"),
    "libuv": Peer(own("peer-libuv", "PORT"), "libuv1-dev"),
    "libevent": Peer(own("peer-libevent", "PORT"), "libevent-dev"),
    "Go": Peer(own("peer-go", "PORT"), "golang-go"),
    "Go, TLS": Peer(own("peer-go", "PORT", "CERTIFICATE", "KEY"), "golang-go"),
    "textbook Python": Peer(textbook),
    "xinetd": Peer(xinetd, "xinetd"),
    "hitch": Peer(hitch, "hitch", ends_tls=True),
    "haproxy": Peer(haproxy, "haproxy", ends_tls=True),
    "nginx": Peer(nginx, "libnginx-mod-stream", ends_tls=True),
    "stunnel": Peer(stunnel, "stunnel4", ends_tls=True),
}


def add_before(program):
    PEERS[BEFORE] = Peer(upperd(program=program))


def command_of(name, place):
    """How to start a server, or None when this machine has it not."""
    command = [str(word) for word in PEERS[name].command(place)]
    return command if shutil.which(command[0]) else None
