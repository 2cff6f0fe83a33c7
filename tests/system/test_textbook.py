# SPDX-License-Identifier: Apache-2.0
"""Clients as textbooks print them, and the tools that people have: all of them work unmodified."""

import shutil
import socket
import subprocess
import threading

import pytest

from settings import tcp, udp

TEXT = "Hello, straße!"
LOUD = TEXT.upper()


@pytest.fixture
def server(daemon):
    return daemon(udp(), tcp()).listeners


@pytest.fixture
def oneshot(daemon):
    return daemon(tcp(framing="oneshot")).listeners[0]


def tool(*command, given=TEXT):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(word) for word in command], input=given.encode(),
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_textbook_udp_client(server):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(20)
    client.sendto(TEXT.encode(), ("127.0.0.1", server[0]["port"]))
    answer, sender = client.recvfrom(2048)
    client.close()
    assert answer.decode() == LOUD
    assert sender == ("127.0.0.1", server[0]["port"])


@pytest.mark.parametrize("framing", ["stream", "oneshot"])
def test_textbook_tcp_client(daemon, framing):
    """It sends no newline, and asks once."""
    port = daemon(tcp(framing=framing)).listeners[0]["port"]
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    client.send(TEXT.encode())
    answer = client.recv(1024)
    client.close()
    assert answer.decode() == LOUD


def test_textbook_tcp_client_that_reads_to_the_end(oneshot):
    with socket.create_connection(("127.0.0.1", oneshot["port"]), 20) as client:
        client.send(TEXT.encode())
        answer = b""
        while piece := client.recv(4):
            answer += piece
    assert answer.decode() == LOUD


def test_ncat_tcp(server):
    assert tool("ncat", "127.0.0.1", server[1]["port"]) == LOUD


def held_open(*command):
    """For those who leave at the end of their input, so that it must wait for the answer."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        watch = threading.Timer(60, client.kill)
        watch.start()
        client.stdin.write(TEXT.encode())
        client.stdin.flush()
        answer = client.stdout.read(len(LOUD.encode())).decode()
        client.stdin.close()
        watch.cancel()
    return answer


def test_ncat_udp(server):
    assert held_open("ncat", "-u", "127.0.0.1", str(server[0]["port"])) == LOUD


def test_nc_tcp(server):
    assert tool("nc", "-N", "127.0.0.1", server[1]["port"]) == LOUD


def test_nc_udp(server):
    assert tool("nc", "-u", "-W", "1", "127.0.0.1", server[0]["port"]) == LOUD


def test_socat_tcp(server):
    assert tool("socat", "-t", "20", "-", f"TCP4:127.0.0.1:{server[1]['port']}") == LOUD


def test_socat_udp(server):
    assert held_open("socat", "-", f"UDP4:127.0.0.1:{server[0]['port']}") == LOUD


def test_socat_unix(daemon, tmp_path):
    path = tmp_path / "upper.socket"
    daemon(tcp(path=str(path)))
    assert tool("socat", "-t", "20", "-", f"UNIX-CONNECT:{path}") == LOUD


def test_socat_passes_a_megabyte(server):
    text = "straße und so weiter\n" * 50000
    to = f"TCP4:127.0.0.1:{server[1]['port']}"
    assert tool("socat", "-t", "20", "-", to, given=text) == text.upper()


def test_bash_alone(server):
    script = 'exec 3<>/dev/tcp/127.0.0.1/$0; printf %s "$1" >&3; head -c $2 <&3'
    assert tool("bash", "-c", script, server[1]["port"], TEXT, len(LOUD.encode())) == LOUD
