# SPDX-License-Identifier: Apache-2.0
"""Servers, started and stopped, and what the generator finds when it loads one."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers import BUILD, PEERS, Place, command_of

PATIENCE = 20

# A way: the scheme, and what `upper bench` needs to know besides flows, depth and size. A datagram that is not
# answered within a moment counts as lost; a connection has time, also on a busy machine.
WAYS = {
    "udp": ("udp",),
    "udp-rate": ("udp", "--rate", "40000"),
    "tcp": ("tcp",),
    "bulk": ("tcp",),
    "connect": ("tcp", "--reconnect"),
    "idle": ("tcp", "--rate", "1"),
    "tls": ("tls",),
    "tls-bulk": ("tls",),
    "tls-full": ("tls", "--reconnect"),
    "tls-resumed": ("tls", "--reconnect", "--resume"),
    "tls-idle": ("tls", "--rate", "1"),
}

# TLS as it is compared: the same suite and group with each server.
OPENSSL_CNF = """
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = client
[client]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
"""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def free_port(kind):
    with socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def with_tls(plain):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def is_answering(kind, port):
    with socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as plain:
        plain.settimeout(0.5)
        try:
            plain.connect(("127.0.0.1", port))
            with with_tls(plain) if kind == "tls" else plain as s:
                s.sendall(b"ready?")
                return s.recv(64) == b"READY?"
        except OSError:
            return False


def family_of(pid):
    """A process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [str(pid)] + [one for child in children for one in family_of(child)]


class Process:
    """One that serves at a port, from its start until it is stopped."""

    def __init__(self, name, place):
        self.name, self.place = name, place
        command = command_of(name, place)
        if not command:
            raise FileNotFoundError(f"{name}: package {PEERS[name].package or '?'} is not here")
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.errors)

    def wait(self):
        until = time.monotonic() + PATIENCE
        while not is_answering(self.place.kind, self.place.port):
            if self.process.poll() is not None or time.monotonic() > until:
                self.errors.seek(0)
                raise RuntimeError(f"does not serve: {self.errors.read().decode()}")
            time.sleep(0.02)
        if self.process.poll() is not None:
            raise RuntimeError("it has ended, and another server answers at its port")

    def family(self):
        return family_of(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()


class Server:
    """A peer, and what answers behind it if it does not do so itself."""

    def __init__(self, name, kind, folder):
        self.name, self.behind = name, None
        place = Place(kind, free_port(kind), Path(folder))
        if PEERS[name].ends_tls:
            self.behind = Process("bare epoll", Place("tcp", free_port("tcp"), Path(folder)))
            place.behind = self.behind.place.port
        try:
            self.front = Process(name, place)
        except OSError:
            self.stop_behind()
            raise
        self.port = place.port

    def wait(self):
        if self.behind:
            self.behind.wait()
        self.front.wait()

    def family(self):
        return self.front.family()

    def begin_load(self, way, flows, depth, size, segmented, seconds):
        """What is measured begins when all is set up and a tenth of the time has passed."""
        scheme, *options = WAYS[way]
        behind = [self.behind] if self.behind else []
        pids = ",".join(str(one.process.pid) for one in (self.front, *behind))
        config = self.front.place.folder / "openssl.cnf"
        config.write_text(OPENSSL_CNF)
        return subprocess.Popen(
            [str(word) for word in (
                BUILD / "src/client/upper", "bench", "--json", "--insecure", "--pid", pids,
                "--timeout", "200ms" if scheme == "udp" else "10s",
                "--warmup", f"{max(1, round(seconds * 100))}ms",
                "--duration", f"{round(seconds * 1000)}ms", "--connections", flows,
                "--pipeline", depth, "--size", size, *options,
                *([] if segmented else ["--no-segments"]), f"{scheme}://127.0.0.1:{self.port}")],
            env={**os.environ, "OPENSSL_CONF": str(config)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def load(self, *load):
        way, size = load[0], load[3]
        process = self.begin_load(*load)
        text, errors = process.communicate()
        found = json.loads(text) if text.startswith("{") else {"error": errors.strip()}
        if "error" in found or found["wrong"]:
            raise RuntimeError(found.get("error") or f"{found['wrong']} wrong answers")
        if way == "tls-resumed" and found["resumed"] < found["opened"] - 1:
            raise RuntimeError(f"only {found['resumed']} of {found['opened']} sessions were resumed")
        cpu = [round(one["cpu_seconds"] * 1e9) for one in found["processes"]]
        return {"messages": found["right"], "bytes": found["right"] * size, "lost": found["lost"],
                "cpu": cpu[0], "behind": sum(cpu[1:])}

    def stop_behind(self):
        if self.behind:
            self.behind.stop()

    def stop(self):
        self.front.stop()
        self.stop_behind()


def leave_out(server, why):
    """A peer that is not well does not spoil the rest; without ours there is nothing to compare."""
    server.stop()
    if server.name.startswith(("upperd", "bare")):
        sys.exit(f"bench: {server.name}: {why}")
    say(f"bench: left out: {server.name}: {why}")


def start(names, kind, folder):
    """Those of the names that are here, and serve; the others are told of, and left out."""
    servers = []
    for name in names:
        try:
            servers.append(Server(name, kind, folder))
        except FileNotFoundError as error:
            say(f"bench: left out: {error}")
    for server in list(servers):
        try:
            server.wait()
        except RuntimeError as error:
            servers.remove(server)
            try:
                leave_out(server, error)
            except SystemExit:
                for other in servers:
                    other.stop()
                raise
    return servers


def anonymous_bytes(pids):
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
    return total


def wait_for_connections(port, count, load):
    """Until the server has taken all of them, and none is left in the queue of its door."""
    place = f"0100007F:{port:04X}"
    until = time.monotonic() + 60
    while load.poll() is None and time.monotonic() < until:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        here = [row for row in rows if row[1] == place]
        waiting = [int(row[4].split(":")[1], 16) for row in here if row[3] == "0A"]
        if sum(row[3] == "01" for row in here) == count and not any(waiting):
            time.sleep(0.3)
            return
        time.sleep(0.1)
    raise RuntimeError("the idle connections did not come about")


def idle_bytes(server, ways, count):
    """What a connection that says nothing costs in user space, from many of them."""
    warm, idle = ways
    server.load(warm, 1, 1, 64, 0, 0.2)
    before = anonymous_bytes(server.family())
    load = server.begin_load(idle, count, 1, 64, 0, 3600)
    try:
        wait_for_connections(server.port, count, load)
        return (anonymous_bytes(server.family()) - before) / count
    finally:
        load.kill()
        load.communicate()
