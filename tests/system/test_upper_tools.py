# SPDX-License-Identifier: Apache-2.0
"""upper ping, check and bench: what they measure, and what they make of a server that is not well."""

import json
import re
import signal
import subprocess
import time

import pytest

import peers
import process
from client import FINE, LOCAL, LOST, UPPER, WRONG, both, peer, upper  # noqa: F401
from settings import free_port


@both
def test_ping(peer, make):
    result = upper("ping", "-c", "3", "-i", "0.01", peer(make).url)
    text = result.stdout.decode()
    assert result.returncode == FINE
    line = r"^56 bytes from \w+://127\.0\.0\.1:\d+ \(127\.0\.0\.1:\d+\): seq=\d( ttl=64)? time=[\d.]+ ms"
    assert len(re.findall(line, text, re.M)) == 3
    assert "3 sent, 3 answered, 0 wrong, 0% lost" in text


def test_ping_sees_a_wrong_answer(peer):
    server = peer(peers.udp, lambda number, data: [data.upper().replace(b"A", b"B", 1)])
    result = upper("ping", "-c", "1", server.url)
    assert result.returncode == WRONG
    assert b"WRONG" in result.stdout


def test_ping_of_a_server_that_answers_once_and_closes_late(peer):
    """It closes when the next question comes: that one is asked again, and nothing is lost."""
    def handle(connection, peer):
        connection.sendall(peers.upper(connection.recv(1024)))
        connection.recv(1024)

    result = upper("ping", "--json", "-q", "-c", "3", "-i", "10ms", peer(peers.tcp, handle).url)
    assert (result.returncode, json.loads(result.stdout)["answered"]) == (FINE, 3)


def test_ping_sums_up_when_interrupted(peer):
    client = subprocess.Popen([UPPER, "ping", peer(peers.textbook_udp).url], stdout=subprocess.PIPE)
    assert b"seq=1" in client.stdout.readline()
    client.send_signal(signal.SIGINT)
    assert b"0 wrong, 0% lost" in client.communicate(timeout=30)[0]
    assert client.returncode == FINE


@pytest.mark.parametrize("make", [peers.silent_udp, peers.silent_tcp])
def test_ping_ends_at_its_deadline(peer, make):
    """Also while a question waits for an answer that may come, or never."""
    result = upper("ping", "-w", "1s", "-t", "0", peer(make).url)
    assert (result.returncode, b"1 sent, 0 answered" in result.stdout) == (LOST, True)


def test_second_interrupt_does_not_wait_for_an_answer(peer):
    server = peer(peers.silent_udp)
    with subprocess.Popen([UPPER, "ping", "-t", "0", server.url], stdout=subprocess.DEVNULL) as client:
        try:
            process.wait_until(lambda: server.seen, 30, "the first question")
            process.wait_until(lambda: client.send_signal(signal.SIGINT) or client.poll() is not None)
        finally:
            client.kill()


def test_ping_counts_what_is_lost(peer):
    server = peer(peers.udp, lambda number, data: [data.upper()] if number else [])
    result = upper("ping", "--json", "-q", "-t", "2s", "-c", "2", "-i", "10ms", server.url)
    summary = json.loads(result.stdout)
    assert result.returncode == LOST
    assert (summary["sent"], summary["answered"], summary["wrong"]) == (2, 1, 0)


def test_ping_of_two_servers(peer):
    urls = [peer(peers.textbook_udp).url, peer(peers.streaming_tcp).url]
    lines = upper("ping", "--json", "-c", "1", *urls).stdout.splitlines()
    servers = [json.loads(line)["server"] for line in lines]
    assert sorted(servers[:2]) == sorted(urls)  # answers, as they come
    assert servers[2:] == urls  # summaries


def test_ping_ends_when_nobody_reads(peer):
    with subprocess.Popen([UPPER, "ping", "-i", "50ms", peer(peers.textbook_udp).url],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert b"seq=1 " in client.stdout.readline(), "each line is there at once"
        client.stdout.close()
        try:
            assert (client.wait(30), client.stderr.read()) == (LOCAL, b"")
        finally:
            client.kill()


@pytest.mark.parametrize("args, code", [
    (["ping", "-c", "1", "URL"], LOCAL), (["bench", "-n", "1", "URL"], LOCAL),
    (["check", "URL"], 3), (["URL", "abc"], LOCAL), (["--version"], LOCAL), (["ping", "--help"], LOCAL)])
def test_output_that_cannot_be_written_is_no_success(peer, args, code):
    url = peer(peers.textbook_udp).url
    with open("/dev/full", "wb") as full:
        result = subprocess.run([UPPER, *(url if word == "URL" else word for word in args)],
                                stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert result.returncode == code
    assert b"cannot be written" in result.stderr


@both
def test_check_is_ok(peer, make):
    result = upper("check", "-W", "5s", "-C", "6000", peer(make).url)
    assert result.returncode == 0
    assert re.fullmatch(r"UPPER OK - \S+: right answer in [\d.]+ ms \(name .*\) \| "
                        r"time=[\d.]+s;5;6;0( \w+=[\d.]+s;;;0){5} loss=0%;;0;0;100\n",
                        result.stdout.decode())


@pytest.mark.parametrize("thresholds, code", [(["-W", "50"], 1), (["-W", "10", "-C", "50"], 2)])
def test_check_of_a_slow_server(peer, thresholds, code):
    server = peer(peers.udp, lambda number, data: [time.sleep(0.1), data.upper()][1:])
    assert upper("check", *thresholds, server.url).returncode == code


def test_check_of_a_server_that_is_wrong_or_gone(peer):
    wrong = upper("check", peer(peers.udp, lambda number, data: [data]).url)
    gone = upper("check", f"tcp://127.0.0.1:{free_port()}")
    assert (wrong.returncode, gone.returncode) == (2, 2)
    assert wrong.stdout.startswith(b"UPPER CRITICAL") and b"refused" in gone.stdout


@pytest.mark.parametrize("args", [
    ["--bogus"], ["no-url"], ["tcp://no-such-name.invalid"], ["tcp://localhost", "tcp://localhost"]])
def test_check_that_cannot_check_is_unknown(args):
    plain, as_json = upper("check", *args), upper("check", *args, "--json")
    assert (plain.returncode, as_json.returncode) == (3, 3)
    assert plain.stdout.startswith(b"UPPER UNKNOWN - "), "who runs plugins reads nothing else"
    assert json.loads(as_json.stdout)["status"] == "UNKNOWN"


@pytest.mark.parametrize("make", [peers.textbook_udp, peers.textbook_tcp, peers.streaming_tcp])
def test_bench(peer, make):
    depth = 4 if make is peers.streaming_tcp else 1
    result = upper("bench", "--json", "-n", "200", "-c", "3", "-p", depth, peer(make).url)
    summary = json.loads(result.stdout)
    assert (result.returncode, summary["right"], summary["wrong"], summary["lost"]) == (FINE, 200, 0, 0)
    assert 0 < summary["ms"]["min"] <= summary["ms"]["p50"] <= summary["ms"]["max"]


@pytest.mark.parametrize("answer", [lambda data: data, lambda data: data.upper()[:-2] + b"?\n"])
def test_bench_sees_wrong_answers(peer, answer):
    server = peer(peers.udp, lambda number, data: [answer(data)])
    result = upper("bench", "--json", "-t", "1s", "-n", "3", "-c", "1", server.url)
    assert (result.returncode, json.loads(result.stdout)["wrong"]) == (WRONG, 3)
