# SPDX-License-Identifier: Apache-2.0
"""What upper ping, bench and check measure is true: against servers and roads that are unwell in ways
that can be counted."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import peers
import process
from ctl import status_of
from client import FINE, LOST, UPPER, WRONG, peer, upper, upper_with_mounts  # noqa: F401
from dtls import dtls
from lossy import Weather
from secure import tls
from settings import free_port, listener, tcp, udp
from unwell import SlowRoad, Unwell


def lines_of(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


# Each phase is measured, and limits are over all of them.

@pytest.fixture
def slow_tls(daemon, authority, peer):
    """A server of TLS behind a road that takes 0.6 s to begin a handshake."""
    at = daemon(tls(authority.issue("ec"))).listeners[0]
    road = peer(SlowRoad, at, 0.6)
    return ["--cafile", authority.file, f"tls://localhost:{road.port}"]


def test_check_counts_the_handshake(with_tls, slow_tls):
    result = upper("check", "-W", "50", "-C", "200", *slow_tls)
    assert result.returncode == 2, result.stdout
    assert re.search(rb"time=0\.[6-9]|time=[1-9]", result.stdout)


def test_check_of_one_phase(with_tls, slow_tls):
    """The limit is on the phase that is asked for, whatever the others take."""
    fast = upper("check", "-C", "500", "--phase", "connect", *slow_tls)
    slow = upper("check", "-C", "500", "--phase", "tls", *slow_tls)
    assert (fast.returncode, slow.returncode) == (0, 2), (fast.stdout, slow.stdout)


def test_phases_add_up(with_tls, slow_tls):
    result = json.loads(upper("--json", *slow_tls, "abc").stdout)
    assert result["phases"]["tls"] >= 500
    assert result["ms"] == pytest.approx(sum(result["phases"].values()), abs=0.01)
    assert result["tls"]["version"] == "TLSv1.3" and result["tls"]["trusted"]


def test_ping_counts_the_handshake_in_the_first_round_trip(with_tls, slow_tls):
    first, second = lines_of(upper("ping", "--json", "-c", "2", "-i", "1s", "-W", "5", *slow_tls))[:2]
    assert first["tls_ms"] >= 500 and first["ms"] >= 600
    assert second["ms"] < first["ms"] and "tls_ms" not in second


def test_text_in_capitals_that_is_silenced_is_explained(daemon):
    """The guard takes unchanged text for a loop. The client knows that its text is unchanged."""
    d = daemon(udp())
    url = f"udp://127.0.0.1:{d.listeners[0]['port']}"
    result = upper("-t", "1s", url, stdin=(b"CAPITALS " * 150 + b"\n") * 40)
    assert result.returncode == LOST
    assert b"in upper case already" in result.stderr
    plain = upper("-t", "100ms", f"udp://127.0.0.1:{free_port()}", "Small")
    assert b"in upper case already" not in plain.stderr


# Counts.

def test_ping_tells_all_that_can_happen_apart(peer):
    server = peer(Unwell, n=1000, delay=1.5)
    result = upper("ping", "--json", "-q", "-c", "2700", "-i", "1ms", "-W", "1s", server.url)
    summary = json.loads(result.stdout)
    expected = {"sent": 2700, "answered": 2500, "lost": 200, "late": 100, "doubled": 100,
                "reordered": 100, "corrupted": 200, "unchanged": 100, "unknown": 0,
                "wrong_address": 100, "wrong": 300}
    assert {key: summary[key] for key in expected} == expected
    assert result.returncode == WRONG


def test_ping_says_what_each_answer_is(peer):
    server = peer(Unwell, n=10, delay=0.3)
    result = upper("ping", "-c", "20", "-i", "50ms", "-W", "200ms", server.url)
    text = result.stdout.decode()
    for words in (r"seq=2 no answer within 0\.2 s", r"seq=3 .* DUP", r"seq=4 .* REORDERED",
                  r"seq=6 .* WRONG: not the", r"seq=7 .* WRONG: .* unchanged", r"seq=8 .* LATE",
                  r"bytes from another address", r"seq=10 .* WRONG: not the"):
        assert re.search(words, text), f"{words} is missing in\n{text}"
    assert all(server.url in line for line in text.splitlines() if "seq=" in line)


def test_ping_knows_the_road_back(peer):
    """TTL, DSCP and ECN of the answer, as the socket that sends it has them."""
    server = peer(peers.textbook_udp)
    server.listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 33)
    server.listener.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 46 << 2 | 1)
    reply = lines_of(upper("ping", "--json", "-c", "1", server.url))[0]
    assert (reply["ttl"], reply["dscp"], reply["ecn"]) == (33, 46, 1)
    assert b"ttl=33 dscp=46 ecn=1" in upper("ping", "-c", "1", server.url).stdout


def test_silent_target_delays_no_other(peer):
    silent, one, two = (peer(make) for make in (peers.silent_udp, peers.textbook_udp, peers.textbook_tcp))
    begun = time.monotonic()
    result = upper("ping", "--json", "-q", "-c", "10", "-i", "100ms", "-W", "1s",
                   silent.url, one.url, two.url)
    seconds = time.monotonic() - begun
    counts = {line["server"]: line["answered"] for line in lines_of(result)}
    assert counts == {silent.url: 0, one.url: 10, two.url: 10}
    assert seconds < 6, "ten questions at an interval of 0.1 s"


def test_ping_of_200_targets_from_one_thread(peer):
    servers = [peer(peers.textbook_udp).url for _ in range(10)]
    urls = [servers[i % 10] for i in range(200)]
    with subprocess.Popen([UPPER, "ping", "--json", "-q", "-c", "10", "-i", "100ms", "-W", "5s", *urls],
                          stdout=subprocess.PIPE) as client:
        tasks = f"/proc/{client.pid}/task"
        time.sleep(0.3)
        threads = len(os.listdir(tasks))
        lines = [json.loads(line) for line in client.stdout]
    assert threads == 1
    assert [line["answered"] for line in lines] == [10] * 200


@pytest.mark.parametrize("form", [["ping", "-c", "1"], ["probe"]], ids=["ping", "probe"])
def test_names_are_looked_up_side_by_side(peer, tmp_path, form):
    """Twelve names that take 0.5 s each are known after little more than that, and each says that it took so long."""
    server = peer(peers.textbook_udp)
    names = peer(peers.SlowNames, 0.5)
    (tmp_path / "resolv.conf").write_text(f"nameserver {names.address}\noptions timeout:5\n")
    urls = [f"udp://name{i}.test:{server.port}" for i in range(12)]
    begun = time.monotonic()
    result = upper_with_mounts({tmp_path / "resolv.conf": "/etc/resolv.conf"}, *form, "-4", "--json", "-t", "5s", *urls)
    seconds = time.monotonic() - begun
    assert (result.returncode, len(server.seen)) == (FINE, 12), result
    assert 0.5 <= seconds < 3, "one after the other is 6 s"
    found = [line.get("name_ms") or line.get("phases", {}).get("name") for line in lines_of(result)]
    found = [ms for ms in found if ms is not None]
    assert len(found) == 12 and all(500 <= ms < 3000 for ms in found)


def test_ping_in_its_own_manners(peer):
    """-D, -O and -q; ^\\ for a summary in between, ^C for the last one."""
    with subprocess.Popen([UPPER, "ping", "-D", "-O", "-i", "100ms", "-W", "10s", peer(peers.silent_udp).url],
                          stdout=subprocess.PIPE) as client:
        assert re.match(rb"\[\d+\.\d{6}\] udp://\S+: seq=1 no answer yet\n", client.stdout.readline())
        client.send_signal(signal.SIGQUIT)
        while not (line := client.stdout.readline()).startswith(b"---"):
            assert line
        client.send_signal(signal.SIGINT)
        rest = client.stdout.read()
    assert b"--- udp://" in rest and client.returncode == FINE, "what still has time is not lost"


def test_flood_goes_at_the_pace_of_the_server(peer):
    server = peer(peers.textbook_udp)
    begun = time.monotonic()
    result = upper("ping", "-f", "-q", "-c", "500", "-i", "1s", server.url)
    assert (result.returncode, b"500 sent, 500 answered" in result.stdout) == (FINE, True)
    assert time.monotonic() - begun < 10


def test_jitter_and_quantiles_of_known_times(peer):
    """Every other answer takes 20 ms: so the jitter of RFC 3550 goes towards 20 ms."""
    server = peer(peers.udp, lambda number, data: [time.sleep(0.02 * (number % 2)), data.upper()][1:])
    summary = json.loads(upper("ping", "--json", "-q", "-c", "100", "-i", "40ms", server.url).stdout)
    assert summary["jitter_ms"] > 14
    assert summary["p90_ms"] >= 20 and summary["mdev_ms"] > 6
    assert summary["min_ms"] <= summary["p50_ms"] <= summary["p90_ms"] <= summary["p99_ms"] <= summary["max_ms"]


# Load.

def stalling(at, seconds):
    """A server that pauses once, at its question number `at`."""
    def handle(number, data):
        if number == at:
            time.sleep(seconds)
        return [data.upper()]
    return peers.udp(handle)


def test_stall_of_a_second_shows_in_the_times(peer):
    server = peer(stalling, 200, 1.0)
    result = upper("bench", "--json", "-R", "150", "-d", "4s", "-t", "5s", server.url)
    summary = json.loads(result.stdout)
    assert (result.returncode, summary["wrong"], summary["lost"]) == (FINE, 0, 0)
    assert summary["ms"]["p99"] >= 900 and summary["ms"]["p50"] < 100


def test_late_answers_are_late_and_not_wrong(peer):
    server = peer(stalling, 300, 1.0)
    result = upper("bench", "--json", "-d", "3s", "-c", "4", "-p", "4", "-t", "300ms", server.url)
    summary = json.loads(result.stdout)
    assert (result.returncode, summary["wrong"], summary["lost"]) == (LOST, 0, 0)
    assert 0 < summary["late"] <= 64


@pytest.mark.parametrize("rate", [200, 3000])
def test_rate_is_exact(daemon, rate):
    url = f"udp://127.0.0.1:{daemon(udp()).listeners[0]['port']}"
    summary = json.loads(upper("bench", "--json", "-R", rate, "-d", "3s", "-t", "5s", url).stdout)
    assert summary["sent"] == pytest.approx(3 * rate, rel=0.01)
    assert summary["right"] == summary["sent"]


def test_bench_sorts_answers_too(peer):
    server = peer(Unwell, n=1000, delay=1.5)
    result = upper("bench", "--json", "-c", "1", "-R", "1000", "-n", "2700", "-t", "1s", server.url)
    summary = json.loads(result.stdout)
    # A connected socket never sees the answers from another address.
    expected = {"sent": 2700, "right": 2100, "wrong": 300, "lost": 200, "late": 100, "doubled": 100,
                "reordered": 100}
    assert {key: summary[key] for key in expected} == expected
    assert result.returncode == WRONG


@pytest.mark.parametrize("text", ["latin", "greek", "cjk", "FILE"])
@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_texts(daemon, tmp_path, scheme, text):
    (tmp_path / "text").write_text("ŉ straße ΐ\n" * 500 + "İstanbul ǰ ᾳ " * 100)
    d = daemon(udp() if scheme == "udp" else tcp())
    url = f"{scheme}://127.0.0.1:{d.listeners[0]['port']}"
    result = upper("bench", "--json", "-n", "500", "-c", "2", "-p", "4", "-s", "300", "-t", "10s",
                   "--text", tmp_path / "text" if text == "FILE" else text, url)
    summary = json.loads(result.stdout)
    assert (result.returncode, summary["right"], summary["wrong"]) == (FINE, 500, 0)


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_connection_for_each_question(daemon, authority, with_tls, resume):
    at = daemon(tls(authority.issue("ec"))).listeners[0]
    result = upper("bench", "--json", "--reconnect", *resume, "-n", "60", "-c", "3", "-t", "20s",
                   "--cafile", authority.file, f"tls://localhost:{at['port']}")
    summary = json.loads(result.stdout)
    assert (result.returncode, summary["right"], summary["opened"]) == (FINE, 60, 60)
    assert summary["resumed"] == 0 if not resume else summary["resumed"] >= 50


def test_warmup_is_left_out(peer):
    """A server that is slow at first does not show."""
    server = peer(peers.udp, lambda number, data: [time.sleep(0.1 if number < 3 else 0), data.upper()][1:])
    summary = json.loads(upper("bench", "--json", "-c", "1", "-d", "1s", "--warmup", "1s", server.url).stdout)
    assert summary["warmup"] > 3 and summary["ms"]["max"] < 100
    assert summary["seconds"] == pytest.approx(1, abs=0.3)


def test_ramp_finds_the_knee(peer):
    """A server that takes 2 ms for an answer can do 500 a second, less what Python needs."""
    server = peer(peers.udp, lambda number, data: [time.sleep(0.002), data.upper()][1:])
    result = json.loads(upper("bench", "--ramp", "--json", "-R", "100", "-c", "1", server.url, timeout=120).stdout)
    assert 60 <= result["held"] < result["missed"] <= 600
    assert [step["rate"] for step in result["steps"]][:2] == [100, 150] or not result["steps"][0]["held"]


def messages_of(d):
    return sum(listener["messages"] for listener in status_of(d)["listeners"])


@pytest.mark.parametrize("make, load", [
    (udp, ["-R", "2000", "-d", "2s"]), (udp, ["-d", "1s", "-p", "8"]), (tcp, ["-d", "1s", "-c", "3"])])
def test_counts_are_those_of_the_daemon(daemon, make, load):
    d = daemon(make(**({"framing": "line"} if make is tcp else {})))
    url = f"{make.__name__}://127.0.0.1:{d.listeners[0]['port']}"
    summary = json.loads(upper("bench", "--json", *load, "-t", "20s", url).stdout)
    process.wait_until(lambda: messages_of(d) >= summary["sent"], 20, "the daemon's counters")
    assert summary["sent"] == summary["right"] == messages_of(d)


def test_processor_time_of_the_server(daemon):
    """All that its processes spent, and nothing of what came before; the worker serves, and the others rest."""
    d = daemon(udp(), workers=1)
    url = f"udp://127.0.0.1:{d.listeners[0]['port']}"
    upper("bench", "-q", "-d", "1s", url)
    worker = d.children("worker")[0]
    summary = json.loads(upper("bench", "--json", "-d", "1s", "--warmup", "200ms", "--pid", f"{d.pid},{worker}",
                               url).stdout)
    whole, alone = [one["cpu_seconds"] for one in summary["processes"]]
    assert [one["pid"] for one in summary["processes"]] == [d.pid, worker]
    assert 0.5 * whole < alone <= whole < 2 * summary["seconds"] + 0.1
    assert b"us for each right answer" in upper("bench", "-q", "-n", "10", "--pid", worker, url).stdout


@pytest.mark.parametrize("pids", ["0", "-1", "a", "1,", "1,,1", "4194305", "99999999999999999999", ",".join(9 * "1")])
def test_processes_that_are_none(pids):
    result = upper("bench", "-n", "1", "--pid", pids, "udp://127.0.0.1:9")
    assert result.returncode == 2 and result.stderr.startswith(b"upper: --pid")


def test_thousands_of_connections(daemon):
    """They are opened a few at a time, since a listener has a queue; and each has its questions answered."""
    d = daemon(tcp(backlog=200))
    url = f"tcp://127.0.0.1:{d.listeners[0]['port']}"
    summary = json.loads(upper("bench", "--json", "-c", "3000", "-n", "6000", "-t", "20s", url, timeout=60).stdout)
    assert (summary["opened"], summary["right"], summary["lost"]) == (3000, 6000, 0)


def test_csv(peer):
    rows = upper("bench", "--csv", "-c", "1", "-d", "2500ms", peer(peers.textbook_udp).url).stdout.decode().split()
    head = rows[0].split(",")
    assert head[:3] == ["seconds", "sent", "right"] and len(rows) >= 4
    assert all(len(row.split(",")) == len(head) for row in rows)


def test_comparison(peer, tmp_path):
    slow = peer(peers.udp, lambda number, data: [time.sleep(0.01), data.upper()][1:])
    fast = peer(peers.textbook_udp)
    (tmp_path / "old").write_bytes(upper("bench", "--json", "-c", "1", "-d", "3s", slow.url).stdout)
    new = json.loads(upper("bench", "--json", "-c", "1", "-d", "3s", "--compare", tmp_path / "old", fast.url).stdout)
    rate = new["compare"]["per_second"]
    assert rate["sure"] and rate["low"] > 50 and rate["low"] <= rate["percent"] <= rate["high"]
    assert new["compare"]["p50_ms"]["high"] < 0
    plain = upper("bench", "-q", "-c", "1", "-d", "3s", "--compare", tmp_path / "old", fast.url).stdout
    assert re.search(rb"per_second .* between .*\n +p50_ms .* between -", plain)


def test_connections_that_the_server_does_not_allow(peer):
    """A server that closes those before for those that come: the load cannot begin, and says why."""
    server = peer(peers.tcp, lambda connection, peer: None)
    result = upper("bench", "-c", "1000", "-t", "3s", "-n", "1", server.url)
    assert result.returncode == LOST and b"of 1000 were open; does it allow so many?" in result.stderr, result


def test_thousands_of_sockets(daemon):
    """A socket of datagrams is open at once: the next is not opened from within the last one's callback."""
    url = f"udp://127.0.0.1:{daemon(udp()).listeners[0]['port']}"
    summary = json.loads(upper("bench", "--json", "-c", "15000", "-R", "2000", "-n", "2000", "-t", "20s", url).stdout)
    assert (summary["opened"], summary["right"]) == (15000, 2000)


def test_answers_of_any_length(daemon, with_tls):
    """Also as long as a datagram can be; over a stream, longer ones."""
    at = daemon(udp(), tcp()).listeners
    for scheme, port, size in ("udp", at[0]["port"], 65507), ("tcp", at[1]["port"], 65536):
        url = f"{scheme}://127.0.0.1:{port}"
        for form in ["check"], ["ping", "-c", "1"], ["bench", "-n", "20"]:
            assert upper(*form, "-s", size, url).returncode == FINE, (form, url)


def test_comparison_is_looked_at_first(peer, tmp_path):
    """A file that is no result is known before the load, and not after it."""
    begun = time.monotonic()
    for path in tmp_path, tmp_path / "none":
        result = upper("bench", "-d", "30s", "--compare", path, peer(peers.textbook_udp).url)
        assert result.returncode == 8 and result.stderr.startswith(b"upper: --compare"), result
    assert time.monotonic() - begun < 20


def test_comparison_with_something_else(peer, tmp_path):
    (tmp_path / "old").write_text("{}")
    result = upper("bench", "-n", "1", "--compare", tmp_path / "old", peer(peers.textbook_udp).url)
    assert result.returncode == 8 and b"no result of upper bench" in result.stderr


def test_open_and_closed_at_once():
    assert upper("bench", "-R", "5", "--closed", "udp://localhost").returncode == 2


# Transfers.

@pytest.mark.parametrize("scheme", ["udp", "dtls"])
def test_transfer_over_a_road_that_loses(daemon, road, authority, with_tls, scheme):
    """One datagram of twenty is lost either way: complete with tries, and with none an exit that says so."""
    d = daemon(udp() if scheme == "udp" else dtls(authority.issue("ec")))
    relay = road(d.listeners[0], Weather(lost=0.05, doubled=0.02, late=0.05))
    url = f"{scheme}://localhost:{relay.at['port']}"
    text = b"".join(b"line %d of some text that is lost now and then\n" % n for n in range(4000))
    words = ["-4", "--cafile", authority.file, "-t", "4s", url]
    whole = upper("-r", "6", *words, stdin=text, timeout=120)
    assert (whole.returncode, whole.stdout == text.upper()) == (FINE, True), whole.stderr
    part = upper("-r", "0", "-4", "--cafile", authority.file, "-t", "300ms", url, stdin=text, timeout=120)
    assert part.returncode == LOST and text.upper().startswith(part.stdout)


@pytest.mark.parametrize("scheme", ["tcp", "tls", "unix"])
def test_large_transfer_is_byte_exact_both_ways_at_once(daemon, authority, with_tls, tmp_path, scheme):
    """96 MiB, or as many as TRANSFER_MIB says, with a reader that is as fast as the writer: both ways are in use at the
    same time."""
    path = tmp_path / "socket"
    d = daemon(tls(authority.issue("ec")) if scheme == "tls" else
               listener("tcp", path=str(path), name="unix") if scheme == "unix" else tcp())
    url = f"unix:{path}" if scheme == "unix" else f"{scheme}://localhost:{d.listeners[0]['port']}"
    block, n = bytes(range(97, 123)) * 40330 + b"ab\n\n", int(os.environ.get("TRANSFER_MIB", "96"))  # 1,048,584 bytes: no power of two
    with subprocess.Popen([UPPER, "-4", "--cafile", authority.file, url], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as client:
        def feed():
            for _ in range(n):
                client.stdin.write(block)
            client.stdin.close()

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        wanted, got = hashlib.sha256(), hashlib.sha256()
        while data := client.stdout.read(1 << 20):
            got.update(data)
        for _ in range(n):
            wanted.update(block.upper())
        assert (client.wait(60), got.digest() == wanted.digest()) == (FINE, True)
