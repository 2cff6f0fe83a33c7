# SPDX-License-Identifier: Apache-2.0
"""upper built by itself with the calls of POSIX alone, against another C library, and used with a real daemon.
That is as near as this machine comes to another system."""

import os
import re
import shutil
import subprocess

import pytest

from rig import ROOT
from settings import tcp, udp

pytestmark = pytest.mark.plain

OPTIONS = ["-Ddaemon=disabled", "-Dportable=true", "-Dtls=disabled", "-Deditline=disabled", "-Didn=disabled"]
# What Linux has and POSIX has not, as calls of a C library.
LINUX = {"epoll_create1", "epoll_ctl", "epoll_wait", "timerfd_create", "signalfd", "eventfd", "accept4", "pipe2",
         "recvmmsg", "sendmmsg", "memfd_create", "prctl", "sendfile", "syscall", "memrchr", "strchrnul",
         "strcasestr", "explicit_bzero", "timegm"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The program, from build-client where scripts/test has made it."""
    program = ROOT / "build-client/src/client/upper"
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-tools is not installed")
    if not program.exists():
        folder = tmp_path_factory.mktemp("client")
        subprocess.run(["meson", "setup", folder, ROOT, "--werror", *OPTIONS], check=True, capture_output=True,
                       env={**os.environ, "CC": "musl-gcc"})
        subprocess.run(["ninja", "-C", folder], check=True, capture_output=True)
        program = folder / "src/client/upper"
    return program


def run(program, *args, **options):
    return subprocess.run([program, *args], capture_output=True, timeout=60, **options)


def url(listener):
    return f"{listener['transport']}://127.0.0.1:{listener['port']}"


def test_nothing_in_it_is_of_linux_or_of_the_daemon(alone):
    called = set(subprocess.run(["nm", "-D", "--undefined-only", alone], check=True, capture_output=True,
                                text=True).stdout.split())
    assert "poll" in called and not called & LINUX
    needed = subprocess.run(["readelf", "-d", alone], check=True, capture_output=True, text=True).stdout
    assert re.findall(r"NEEDED.*\[(.*)\]", needed) == ["libc.so"]  # of musl


@pytest.mark.parametrize("transport", [udp, tcp])
def test_it_asks_filters_measures_and_checks(daemon, alone, transport):
    d = daemon(transport())
    place = url(d.listeners[0])
    assert run(alone, place, "stra\u00dfe").stdout == "STRASSE\n".encode()
    text = "".join(f"line {i} \u00e9\n" for i in range(2000))
    filtered = run(alone, place, input=text.encode())
    if transport is tcp:
        assert filtered.stdout.decode() == text.upper(), filtered.stderr
    ping = run(alone, "ping", "-c", "3", "-i", "0.05", place)
    assert ping.returncode == 0 and b"3 sent" in ping.stdout + ping.stderr, ping
    check = run(alone, "check", place)
    assert check.returncode == 0 and b"OK" in check.stdout, check
    bench = run(alone, "bench", "-d", "0.5", "-R", "500", "--json", place)
    assert bench.returncode == 0, bench
    assert run(alone, "probe", place).returncode == 0


def test_it_tries_addresses_side_by_side(daemon, alone):
    """localhost is ::1 and 127.0.0.1; where the first is refused, the second is asked."""
    d = daemon(tcp())
    assert run(alone, f"tcp://localhost:{d.listeners[0]['port']}", "a").stdout == b"A\n"


def test_nothing_answers(alone):
    from settings import free_port
    done = run(alone, f"tcp://127.0.0.1:{free_port()}", "a")
    assert done.returncode == 4 and b"refused" in done.stderr


def test_interrupted_ping_still_sums_up(daemon, alone):
    d = daemon(udp())
    ping = subprocess.Popen([alone, "ping", "-i", "0.05", url(d.listeners[0])], stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        ping.stdout.readline()
    ping.send_signal(2)
    rest = ping.communicate(timeout=60)[0]
    assert ping.returncode == 0 and "0% lost" in rest, rest
