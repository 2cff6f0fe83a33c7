# SPDX-License-Identifier: Apache-2.0
"""upper path: sizes that pass, between network namespaces; idle time-outs of relays that forget; and servers
behind HAProxy."""

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

import peers
import process
import rig
from client import FINE, LOST, UNREACHABLE, UPPER, peer, upper, upper_knowing  # noqa: F401
from dtls import dtls
from secure import tls
from settings import free_port, tcp, udp

SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 12000))
print("ready", flush=True)
while True:
    data, client = s.recvfrom(65536)
    s.sendto(data.decode().upper().encode(), client)
"""


class Network:
    """client - router - server, each a network namespace; what the router passes on is `there` and `back`
    bytes long at most. A quiet router says nothing about what it drops."""

    def __init__(self, there, back, is_quiet=False):
        self.stack = contextlib.ExitStack()
        self.client, self.router, self.server = (self.namespace() for _ in range(3))
        self.link(self.client, "10.77.1.1", self.router, "10.77.1.2")
        self.link(self.server, "10.77.2.1", self.router, "10.77.2.2")
        self.run(self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.run(self.client, "ip", "route", "add", "default", "via", "10.77.1.2")
        self.run(self.server, "ip", "route", "add", "default", "via", "10.77.2.2")
        self.run(self.router, "ip", "route", "add", "10.77.2.1/32", "via", "10.77.2.1", "mtu", str(there))
        self.run(self.router, "ip", "route", "add", "10.77.1.1/32", "via", "10.77.1.1", "mtu", str(back))
        if is_quiet:
            self.run(self.router, "sysctl", "-qw", "net.ipv4.icmp_ratemask=0")
            self.run(self.router, "iptables", "-A", "OUTPUT", "-p", "icmp", "-j", "DROP")

    def close(self):
        self.stack.close()

    def namespace(self):
        one = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up; echo up; exec cat"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(one.wait)
        self.stack.callback(one.kill)
        assert one.stdout.readline() == b"up\n"
        return one.pid

    def run(self, where, *words, **more):
        return subprocess.run(["nsenter", "-t", str(where), "-n", *map(str, words)], capture_output=True,
                              check=not more, timeout=240)

    def start(self, where, *words):
        one = subprocess.Popen(["nsenter", "-t", str(where), "-n", *map(str, words)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.stack.callback(one.wait)
        self.stack.callback(one.kill)
        return one

    def link(self, one, one_address, other, other_address):
        names = f"v{one}", f"v{other}{one_address[-3]}"
        self.run(one, "ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1][:15], "netns", other)
        for where, name, address in ((one, names[0], one_address), (other, names[1][:15], other_address)):
            self.run(where, "ip", "addr", "add", f"{address}/24", "dev", name)
            self.run(where, "ip", "link", "set", name, "up")


@pytest.fixture
def network():
    if not process.may_unshare() or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root, namespaces and ip")
    with contextlib.ExitStack() as stack:
        def make(*args, **keys):
            try:
                one = Network(*args, **keys)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no such network here: {error.stderr.decode()}")
            stack.callback(one.close)
            return one

        yield make


@pytest.mark.parametrize("there, back", [(1400, 1300), (1281, 1499), (1500, 1500), (577, 1001), (1453, 580)])
def test_size_each_way_is_exact(network, there, back):
    net = network(there, back)
    server = net.start(net.server, sys.executable, "-c", SERVER)
    assert server.stdout.readline() == b"ready\n"
    result = net.run(net.client, UPPER, "path", "--json", "udp://10.77.2.1:12000", check=False)
    found = json.loads(result.stdout)
    assert (found.get("mtu_forward"), found.get("mtu_back")) == (there, back), found


@pytest.mark.parametrize("there, back", [(1400, 1300), (1281, 1499), (1500, 1500), (577, 1001)])
def test_size_each_way_is_exact_in_records(network, tmp_path, authority, with_tls, there, back):
    net = network(there, back)
    words = serve_beyond(net, tmp_path, authority, "dtls")
    result = net.run(net.client, UPPER, "path", "--json", "-n", "1", *words, check=False)
    found = json.loads(result.stdout)
    assert (found.get("mtu_forward"), found.get("mtu_back")) == (there, back), found


def test_size_without_icmp(network):
    """The search does not need it. Back, the server goes on sending packets that are too large."""
    if not shutil.which("iptables"):
        pytest.skip("iptables is not installed")
    net = network(1400, 1500, is_quiet=True)
    server = net.start(net.server, sys.executable, "-c", SERVER)
    assert server.stdout.readline() == b"ready\n"
    found = json.loads(net.run(net.client, UPPER, "path", "--json", "udp://10.77.2.1:12000", check=False).stdout)
    assert found["mtu_forward"] == 1400


def serve_beyond(net, folder, authority, scheme):
    """upperd in the server's namespace. What a client has to say to get there."""
    pair = authority.issue("ec", ("server.test",))
    tls_group = f'tls = {{ certificates = ( {{ certificate = "{pair.certificate}"; key = "{pair.key}"; }} ); }};'
    (folder / "conf").write_text(
        'workers = 1; sandbox = "off"; user = "nobody"; group = "nogroup"; limits = { exempt = ( "10.77.0.0/16" ); }; '
        f'control = {{ path = "{folder}/control"; }}; listeners = ( {{ name = "it"; transport = "{scheme}"; '
        f'address = "0.0.0.0"; port = 12443; {tls_group if scheme == "dtls" else ""} }} );')
    net.start(net.server, rig.UPPERD, "-c", folder / "conf")
    words = ["--cafile", authority.file, "--servername", "server.test", f"{scheme}://10.77.2.1:12443"]
    process.wait_until(lambda: net.run(net.client, UPPER, "-t", "1s", *words, "a", check=False).stdout.strip() == b"A",
                       30, "upperd")
    return words


@pytest.mark.parametrize("there, is_quiet, verdict", [
    (1300, True, "is lost, the small one is not"), (1300, False, "all sizes"), (1500, True, "all sizes")])
def test_large_client_hello_is_lost(network, authority, with_tls, tmp_path, there, is_quiet, verdict):
    """Where ICMP comes through, the kernel makes fragments."""
    if not shutil.which("iptables"):
        pytest.skip("iptables is not installed")
    net = network(there, 1500, is_quiet=is_quiet)
    words = serve_beyond(net, tmp_path, authority, "dtls")
    for _ in range(int(os.environ.get("PATH_ROUNDS", "1"))):
        result = net.run(net.client, UPPER, "path", "-n", "2", *words, check=False)
        assert verdict in result.stdout.decode(), result


# Idle.

class Forgetful:
    """A relay that forgets a connection that was idle for that long, silently or by closing it."""

    def __init__(self, to, seconds, is_closing=False):
        self.to, self.seconds, self.is_closing = to, seconds, is_closing
        self.listener = peers.bind(socket.SOCK_STREAM)
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self.relay, args=(near,), daemon=True).start()

    def relay(self, near):
        far = socket.create_connection((self.to["address"], self.to["port"]))
        with contextlib.suppress(OSError), near, far:
            while True:
                ready, _, _ = select.select([near, far], [], [], self.seconds)
                if not ready:
                    break
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)
            if not self.is_closing:
                time.sleep(20)


class ForgetfulNat:
    """The same for datagrams: after a pause a client comes from another port."""

    def __init__(self, to, seconds):
        self.to, self.seconds = (to["address"], to["port"]), seconds
        self.front = peers.bind(socket.SOCK_DGRAM)
        self.port = self.front.getsockname()[1]
        self.backs = {}
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.front.close()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                data, client = self.front.recvfrom(65536)
                back, last = self.backs.get(client, (None, 0))
                if not back or time.monotonic() - last > self.seconds:
                    back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    back.connect(self.to)
                    threading.Thread(target=self.answer, args=(back, client), daemon=True).start()
                self.backs[client] = back, time.monotonic()
                back.send(data)

    def answer(self, back, client):
        with contextlib.suppress(OSError):
            while True:
                data = back.recv(65536)
                if self.backs[client][0] is not back:
                    return
                self.backs[client] = back, time.monotonic()
                self.front.sendto(data, client)


def idle(*args):
    result = upper("path", "--json", "-n", "1", "--idle", "6s", *args)
    assert result.returncode == 0, result
    return json.loads(result.stdout)


IDLE = float(os.environ.get("CONNTRACK_SECONDS", "3"))


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["tcp", "dtls"])
def test_idle_time_out_of_conntrack(network, tmp_path, authority, with_tls, scheme):
    """A NAT of the kernel that forgets after 3 s, or as long as CONNTRACK_SECONDS says: within a second."""
    net = network(1500, 1500)
    for words in (("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.77.1.0/24", "-j", "MASQUERADE",
                   "--random-fully"),
                  ("iptables", "-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"),
                  ("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0",
                   f"net.netfilter.nf_conntrack_tcp_timeout_established={IDLE:.0f}",
                   f"net.netfilter.nf_conntrack_udp_timeout={IDLE:.0f}",
                   f"net.netfilter.nf_conntrack_udp_timeout_stream={IDLE:.0f}")):
        if net.run(net.router, *words, check=False).returncode:
            pytest.skip(f"this kernel has no {words}")
    words = serve_beyond(net, tmp_path, authority, scheme)
    result = net.run(net.client, UPPER, "path", "--json", "-n", "1", "--idle", f"{2 * IDLE:.0f}s", *words, check=False)
    found = json.loads(result.stdout)
    assert IDLE - 1 <= found["idle_alive_s"] < found["idle_dead_s"] <= IDLE + 1, found


@pytest.mark.long
def test_idle_time_out_of_tcp(daemon, peer):
    road = peer(Forgetful, daemon(tcp()).listeners[0], 2.5)
    found = idle(f"tcp://127.0.0.1:{road.port}")
    assert 1.9 <= found["idle_alive_s"] < found["idle_dead_s"] <= 3.2


def test_connection_that_is_closed_when_idle(daemon, peer):
    road = peer(Forgetful, daemon(tcp()).listeners[0], 2.5, is_closing=True)
    assert idle(f"tcp://127.0.0.1:{road.port}")["idle_closed_s"] == pytest.approx(2.5, abs=0.7)


@pytest.mark.long
def test_idle_time_out_of_dtls(daemon, peer, authority, with_tls):
    """What a NAT forgets, a session does not survive."""
    road = peer(ForgetfulNat, daemon(dtls(authority.issue("ec"))).listeners[0], 2.5)
    found = idle("-4", "--cafile", authority.file, f"dtls://localhost:{road.port}")
    assert 1.9 <= found["idle_alive_s"] < found["idle_dead_s"] <= 3.2


def test_no_idle_time_out(daemon, peer):
    found = idle("--idle", "2s", f"tcp://127.0.0.1:{daemon(tcp()).listeners[0]['port']}")
    assert found["idle_alive_s"] == 2 and "idle_dead_s" not in found


# Balancers.

@pytest.fixture
def balanced(tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("HAProxy is not installed")
    with contextlib.ExitStack() as stack:
        def start(*ports):
            port = free_port()
            servers = "\n".join(f"    server s{n} 127.0.0.1:{n}" for n in ports)
            (tmp_path / "haproxy.cfg").write_text(
                "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n"
                f"listen front\n    bind 127.0.0.1:{port}\n    balance roundrobin\n{servers}\n")
            one = stack.enter_context(subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")],
                                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            stack.callback(one.kill)
            process.wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20, "HAProxy")
            return port

        yield start


def members(port, authority):
    result = upper("path", "--json", "-4", "--cafile", authority.file, f"tls://localhost:{port}", timeout=240)
    found = json.loads(result.stdout)
    return found["members"], found["resumed"] == found["tickets"], found["resumed"]


def test_servers_behind_a_balancer(daemon, balanced, authority, with_tls):
    daemons = [daemon(tls(authority.issue("ec"))) for _ in range(3)]
    port = balanced(*(d.listeners[0]["port"] for d in daemons))
    assert members(port, authority)[:2] == (3, False)


def test_servers_with_one_key_and_other_tickets(daemon, balanced, authority, with_tls):
    pair = authority.issue("ec")
    port = balanced(*(daemon(tls(pair)).listeners[0]["port"] for _ in range(2)))
    assert members(port, authority)[:2] == (1, False)


def test_one_server_of_many_workers(daemon, authority, with_tls):
    port = daemon(tls(authority.issue("ec"))).listeners[0]["port"]
    assert members(port, authority) == (1, True, 20)


@pytest.mark.parametrize("scheme, kind", [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM),
                                          ("dtls", socket.SOCK_DGRAM), ("tls", socket.SOCK_STREAM)])
def test_refused(scheme, kind, with_tls):
    with socket.socket(type=kind) as s:  # a port that is taken, and where nothing listens
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        if kind == socket.SOCK_DGRAM:
            s.close()
        done = upper("path", f"{scheme}://127.0.0.1:{port}")
    assert (done.returncode, b"refused" in done.stderr) == (UNREACHABLE, True)


def test_address_that_refuses_gives_way_to_the_next(daemon, tmp_path):
    """And sizes are counted with the headers of the address that answers."""
    d = daemon(udp(address="127.0.0.1"))
    done = upper_knowing("::1 two.test\n127.0.0.1 two.test\n", tmp_path, "path", "--json",
                         f"udp://two.test:{d.listeners[0]['port']}")
    assert (done.returncode, json.loads(done.stdout)["mtu_forward"]) == (FINE, 65535)


def test_nobody_there(peer):
    assert upper("path", "-t", "500ms", peer(peers.silent_udp).url).returncode == LOST
    assert upper("path", f"tcp://127.0.0.1:{free_port()}").returncode == 4
