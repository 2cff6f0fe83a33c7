# SPDX-License-Identifier: Apache-2.0
"""Clients that hold on to what they have: slow, stuck, silent, and too many of them."""

import json
import resource
import socket
import subprocess
import threading
import time

import pytest

import process
from ctl import reasons_of, status_of
from rig import UPPER
from settings import tcp
from wire import TIMEOUT, connect, read_exactly

HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.2 4242 12000\r\n"


def test_who_trickles_is_cut_off(daemon):
    d = daemon(tcp(framing="line", idle_timeout="400ms"))
    with connect(d.listeners[0]) as s:
        begin = time.monotonic()
        s.settimeout(0.05)
        ended = False
        while not ended and time.monotonic() < begin + TIMEOUT:
            try:
                s.sendall(b"a")
                ended = s.recv(10) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                ended = True
        assert ended and time.monotonic() - begin > 0.4
    d.expect("peer-ended", reason="trickle")


def test_who_talks_slowly_in_whole_lines_may_stay(daemon):
    d = daemon(tcp(framing="line", idle_timeout="1500ms"))
    with connect(d.listeners[0]) as s:
        for _ in range(20):
            s.sendall(b"a")
            time.sleep(0.05)  # as people type
            s.sendall(b"b\n")
            assert read_exactly(s, 3) == b"AB\n"
            time.sleep(0.05)


def trickle(clients, stop):
    """A byte a second to each of those who are still there."""
    while not stop.wait(1):
        for s in list(clients):
            try:
                s.send(b"a")
            except OSError:
                pass


def honest(listener, n):
    """A client in a process of its own, that asks fifty times a second."""
    return [UPPER, "ping", "--json", "-c", str(n), "-i", "0.02", "-t", "20s",
            f"tcp://{listener['address']}:{listener['port']}"]


def times_in(output):
    """How long each correct answer took, in milliseconds, the longest last."""
    lines = [json.loads(line) for line in output.splitlines()]
    return sorted(line["ms"] for line in lines if line.get("correct"))


def honest_times(listener, n):
    return times_in(subprocess.run(honest(listener, n), stdout=subprocess.PIPE, text=True,
                                   check=True, timeout=120).stdout)


@pytest.mark.plain
def test_ten_thousand_slow_clients_beside_an_honest_one(daemon):
    n = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    if n < 1000:
        pytest.skip(f"only {n} descriptors")
    slow = {"idle_timeout": "4s", "write_timeout": "4s", "handshake_timeout": "4s"}
    silent, trickling, stuck, headless = (
        tcp(name="silent", **slow), tcp(name="trickling", framing="line", **slow),
        tcp(name="stuck", **slow), tcp(name="headless", proxy_protocol="required",
                                       proxy_from=["127.0.0.0/8"], **slow))
    d = daemon(tcp(name="honest"), silent, trickling, stuck, headless)
    clients, stop = [], threading.Event()
    alone = honest_times(d.listeners[0], 100)
    with subprocess.Popen(honest(d.listeners[0], 600), stdout=subprocess.PIPE, text=True) as beside:
        trickling_ones = []
        threading.Thread(target=trickle, args=(trickling_ones, stop), daemon=True).start()
        for i in range(n):
            listener = (silent, trickling, stuck, headless)[i % 4]
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect((listener["address"], listener["port"]))
            s.setblocking(False)
            if listener is stuck:
                try:
                    while s.send(b"x" * 65536):
                        pass
                except BlockingIOError:
                    pass
            elif listener is headless:
                s.send(HEADER[:i % 20])
            elif listener is trickling:
                trickling_ones.append(s)
            clients.append(s)
        process.wait_until(lambda: status_of(d)["connections"] <= 1, seconds=120,
                           what="the end of the slow ones")
        times = times_in(beside.communicate(timeout=120)[0])
    stop.set()
    for s in clients:
        s.close()
    reasons = reasons_of(d)
    print(f"{n} slow clients; 99 of 100 answers to an honest one took at most {alone[98]:.1f} ms alone "
          f"and {times[len(times) * 99 // 100]:.1f} ms beside them, the worst {times[-1]:.1f} ms")
    print({reason: count for reason, count in reasons.items() if count})
    assert len(times) == 600
    # On a machine that is busy with something else, the honest one waits when it is alone, too.
    assert times[len(times) * 99 // 100] < max(1000, 20 * alone[98])
    assert reasons["write"] > 0
    # Who trickles is idle when this machine is too busy to trickle.
    assert reasons["trickle"] > 0
    assert reasons["idle"] + reasons["trickle"] + reasons["write"] > 0.7 * n
    assert reasons["handshake"] > 0.2 * n


def limit_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


@pytest.mark.plain
def test_flood_of_connections_without_descriptors_left(daemon):
    d = daemon(tcp(idle_timeout="60s"), workers=1, before=limit_files, limits={"connections": 1000})
    target = (d.listeners[0]["address"], d.listeners[0]["port"])
    flood = []
    for _ in range(600):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(target)
        flood.append(s)
    d.expect("accept-paused")
    before, begin = sum(map(process.cpu_seconds_of, d.workers())), time.monotonic()
    time.sleep(2)  # the time over which CPU is measured
    used = sum(map(process.cpu_seconds_of, d.workers())) - before
    print(f"{used:.2f} s of CPU in {time.monotonic() - begin:.2f} s without descriptors")
    assert used < 0.2
    for s in flood:
        s.close()
    d.expect("accept-resumed")
    with connect(d.listeners[0]) as s:
        s.sendall(b"hello")
        assert read_exactly(s, 5) == b"HELLO"
    assert len(d.records("accept-paused")) < 10
