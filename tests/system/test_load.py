# SPDX-License-Identifier: Apache-2.0
"""Much of everything, and what it costs. Memory is measured on a build without sanitizers."""

import os
import resource
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

import process
import rig
from settings import tcp, udp
from wire import TIMEOUT, Background, connect, read_exactly, tcp_ask, udp_ask, udp_socket

MIB = 1 << 20


def memory_of(d):
    return sum(map(process.memory_of, d.workers()))


def cpu_of(d):
    return sum(map(process.cpu_seconds_of, d.workers()))


def limit_descriptors(n):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


@pytest.fixture
def idle(request):
    """Opens connections that say nothing more, and closes them at the end."""
    clients = []

    def open_idle(one, n):
        clients.extend(connect(one) for _ in range(n))
        return clients

    yield open_idle
    for s in clients:
        s.close()


@pytest.mark.plain
def test_ten_thousand_idle_connections_are_cheap(daemon, idle):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 11000:
        pytest.skip("this machine allows too few descriptors")
    d = daemon(tcp(idle_timeout="10m"))
    before = memory_of(d)
    clients = idle(d.listeners[0], 10000)
    for s in clients:
        s.sendall(b"a")
    for s in clients:
        assert read_exactly(s, 1) == b"A"
    assert (memory_of(d) - before) / 10000 < 1024
    assert tcp_ask(d.listeners[0], b"still quick") == b"STILL QUICK"


@pytest.mark.plain
def test_idle_daemon_uses_no_time(daemon, idle):
    d = daemon(udp(), tcp(idle_timeout="10m"))
    idle(d.listeners[1], 100)
    before = cpu_of(d)
    time.sleep(2)
    assert cpu_of(d) - before <= 0.02


# What a worker reads at once, behind a line that waits; it has two such buffers for all to share.
BUFFER = 256 * 1024 + 65536
SHARED = 2 * BUFFER + 512 * 1024


@pytest.mark.plain
def test_peer_that_never_reads_holds_one_buffer(daemon):
    d = daemon(tcp(write_timeout="1m"), workers=1)
    before = memory_of(d)
    greedy = [connect(d.listeners[0]) for _ in range(20)]
    for s in greedy:
        s.setblocking(False)
    sent = [push(s) for s in greedy]
    assert (memory_of(d) - before) / len(greedy) < BUFFER + SHARED / len(greedy)
    spent = cpu_of(d)
    time.sleep(1)
    assert cpu_of(d) - spent < 0.1, "it spins over peers that do not read"
    assert tcp_ask(d.listeners[0], b"served") == b"SERVED"
    for s in greedy:
        s.close()
    assert min(sent) > 0


def push(s):
    """Sends until nothing more is taken for a while; returns how much was."""
    sent, quiet_since = 0, time.monotonic()
    while time.monotonic() - quiet_since < 0.2:
        try:
            sent += s.send(b"x" * 65536)
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    return sent


def feed(pipe, block, n):
    with pipe:
        for _ in range(n):
            pipe.write(block)


@pytest.mark.plain
def test_a_gigabyte_through_a_pipe(daemon):
    """Byte for byte, and neither side grows."""
    d = daemon(tcp(), workers=1)
    block = ("Die Straße und alles andere, was so in einer Zeile steht.\n" * 20000).encode()[:MIB]
    while block[-1] & 0x80:
        block = block[:-1]
    loud, n = block.decode().upper().encode(), (1 << 30) // len(block)
    port = d.listeners[0]["port"]
    client = subprocess.Popen([rig.UPPER, f"tcp://127.0.0.1:{port}"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    threading.Thread(target=feed, args=(client.stdin, block, n), daemon=True).start()
    assert client.stdout.read(len(loud)) == loud
    server_before, client_before = memory_of(d), process.memory_of(client.pid)
    for _ in range(n - 2):
        assert client.stdout.read(len(loud)) == loud
    assert memory_of(d) - server_before < MIB
    assert process.memory_of(client.pid) - client_before < MIB
    assert client.stdout.read(len(loud)) == loud
    assert client.stdout.read() == b""
    assert client.wait(TIMEOUT) == 0


def reload_under_load(d, n):
    """Reloads n times while TCP and UDP clients ask without pause; returns their loads."""
    def ask_stream():
        assert tcp_ask(d.listeners[0], b"stream") == b"STREAM"

    def ask_datagram():
        assert udp_ask(d.listeners[1], b"datagram") == b"DATAGRAM"

    with Background(ask_stream) as streams, Background(ask_datagram) as datagrams:
        for _ in range(n):
            d.reload()
            streams.ask_more()
            datagrams.ask_more()
    return streams, datagrams


def test_reload_under_load_loses_nothing(daemon):
    d = daemon(tcp(), udp())
    for load in reload_under_load(d, 10):
        assert load.failures == []


@pytest.mark.plain
def test_a_thousand_reloads_under_load_lose_nothing_and_leave_nothing(daemon):
    d = daemon(tcp(), udp())
    d.reload()
    process.wait_until(lambda: len(d.children()) == 2, what="the first workers' end")
    descriptors, memory = process.descriptors_of(d.pid), process.memory_of(d.pid)
    for load in reload_under_load(d, 1000):
        assert load.failures == []
    process.wait_until(lambda: len(d.children()) == 2, what="the old workers' end")
    # Those of a child are closed a moment after it has gone, also before the thousand.
    process.wait_until(lambda: process.descriptors_of(d.pid) <= descriptors, what="no more descriptors")
    assert process.memory_of(d.pid) - memory < MIB


def test_accepting_pauses_without_descriptors_and_resumes(daemon, idle):
    d = daemon(tcp(idle_timeout="5m"), workers=1, before=limit_descriptors(128),
               limits={"connections": 1000})
    clients = idle(d.listeners[0], 200)
    d.expect("accept-paused")
    before = cpu_of(d)
    time.sleep(1)
    assert cpu_of(d) - before < 0.3, "it spins while it waits for a descriptor"
    for s in clients:
        s.close()
    d.expect("accept-resumed")
    assert tcp_ask(d.listeners[0], b"again") == b"AGAIN"
    assert len(d.records("accept-paused")) <= 3


def test_limit_of_connections_holds(daemon, idle):
    """The kernel accepts the rest, and they wait in its queue."""
    d = daemon(tcp(), workers=1, limits={"connections": 10})
    clients = idle(d.listeners[0], 20)
    for s in clients:
        s.sendall(b"a")
    for s in clients[:10]:
        assert read_exactly(s, 1) == b"A"
    assert select.select(clients[10:], [], [], 0.5)[0] == []


def test_limit_of_connections_follows_from_descriptors(daemon):
    d = daemon(tcp(), workers=1, before=limit_descriptors(256))
    assert "192" in d.expect("ready")["message"], "256 less 64"


def test_flood_of_datagrams_does_not_starve_streams(daemon):
    d = daemon(tcp(), udp(), workers=1)
    with udp_socket(d.listeners[1]) as s:
        with Background(lambda: s.send(b"x" * 512)):
            for _ in range(20):
                assert tcp_ask(d.listeners[0], b"stream") == b"STREAM"


def test_long_stream_does_not_starve_the_others(daemon):
    """One connection sends without pause; a second one's round trips stay short."""
    d = daemon(tcp(), workers=1)
    with connect(d.listeners[0]) as greedy, connect(d.listeners[0]) as modest:
        stop = threading.Event()
        threads = [threading.Thread(target=pump, args=(greedy, stop)),
                   threading.Thread(target=drain, args=(greedy,))]
        for thread in threads:
            thread.start()
        try:
            for _ in range(50):
                modest.sendall(b"a")
                assert read_exactly(modest, 1) == b"A"
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)


def pump(s, stop):
    while not stop.is_set():
        s.sendall(b"x" * 65536)
    s.shutdown(socket.SHUT_WR)


def drain(s):
    while s.recv(65536):
        pass


def test_signals_in_quick_succession(daemon):
    """Whatever the order, it ends as a daemon that serves."""
    d = daemon(tcp())
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE, signal.SIGWINCH) * 5:
        os.kill(d.pid, number)
    d.reload()
    assert tcp_ask(d.listeners[0], b"well") == b"WELL"
