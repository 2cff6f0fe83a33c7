# SPDX-License-Identifier: Apache-2.0
"""What `upperctl status` shows: whether all is well, and what is not."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

import process
import rig
from ctl import UPPERCTL, status_of
from pki import Authority
from secure import tls
from settings import tcp, udp
from wire import connect, tcp_ask, udp_ask

MEMBERS = {"well", "version", "build", "pid", "uptime", "started", "generation", "cause",
           "generation_started", "workers", "workers_serving", "connections", "connections_limit",
           "messages_per_second", "listeners", "processes", "certificates", "limits", "errors", "rates"}


def text_of(d, *words):
    return rig.run_upperctl(d, "status", *words).stdout


@pytest.fixture
def authority(tmp_path):
    if not rig.has_feature("tls"):
        pytest.skip("this build has no TLS")
    folder = tmp_path / "pki"
    folder.mkdir()
    return Authority(folder)


def test_first_line_says_that_all_is_well(daemon):
    d = daemon(tcp(), udp())
    done = rig.run_upperctl(d, "status", "--check")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "well")


def test_failed_reload_is_not_well_until_one_works(daemon):
    d = daemon(tcp())
    good = d.config.read_text()
    d.config.write_text("nonsense")
    rig.run_upperctl(d, "reload")
    done = rig.run_upperctl(d, "status", "--check")
    assert done.returncode == 1
    assert done.stdout.startswith("not well: the last reload failed")
    assert status_of(d)["trouble"].startswith("the last reload failed")
    d.config.write_text(good)
    assert rig.run_upperctl(d, "reload").returncode == 0
    assert rig.run_upperctl(d, "status", "--check").returncode == 0


def test_certificate_that_is_about_to_expire_is_not_well(daemon, authority):
    """In the last twelfth of its validity, which a short one soon reaches, and from then on."""
    d = daemon(tls(authority.issue(sans=["short.example"], until=time.time() + 8)))
    d.wait_for(lambda: text_of(d).startswith("not well: the certificate short.example "), "its end")
    assert rig.run_upperctl(d, "status", "--check").returncode == 1
    d.wait_for(lambda: "short.example has expired" in text_of(d), "the end of it")


def test_connections_at_their_limit_are_not_well(daemon):
    d = daemon(tcp(), limits={"connections": 1})
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
        assert text_of(d).startswith("not well: as many connections are open as may be\n")
        assert "1 open of 1" in text_of(d)
    d.wait_for(lambda: text_of(d).startswith("well\n"), "all to be well")


def test_file_that_is_mended_hides_no_configuration_that_is_broken(daemon, authority):
    """A renewal is made from the configuration that serves, and knows nothing of the one in the file."""
    pair = authority.issue()
    d = daemon(tls(pair))
    good = pair.certificate.read_text()
    pair.certificate.write_text("not a certificate")
    d.expect("reload-failed")
    first = text_of(d).splitlines()[0]
    assert first.startswith("not well: a replaced file was refused, and the one before it serves: ") and \
        first.endswith("no certificate in PEM form")
    pair.certificate.write_text(good)
    d.expect("certificate-renewed")
    assert text_of(d).startswith("well\n")
    sound = d.config.read_text()
    d.config.write_text("nonsense")
    assert rig.run_upperctl(d, "reload").returncode == 78
    broken = text_of(d).splitlines()[0]
    assert broken.startswith("not well: the last reload failed, and the configuration before it serves: ")
    since = d.mark()
    pair.certificate.write_text(good + "\n")
    d.expect("certificate-renewed", since)
    assert text_of(d).splitlines()[0] == broken
    d.config.write_text(sound)
    d.reload()
    assert text_of(d).startswith("well\n")


def test_process_that_stands_still_is_not_well(daemon):
    d = daemon(tcp())
    worker = d.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    d.wait_for(lambda: re.match(r"not well: worker \d has stood still for [5-9] s", text_of(d)), "the trouble")
    assert rig.run_upperctl(d, "status", "--check").returncode == 1
    os.kill(worker, signal.SIGCONT)
    d.wait_for(lambda: text_of(d).startswith("well\n"), "all to be well")


def test_what_is_left_is_shown_while_it_stops(daemon):
    d = daemon(tcp())
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
        d.signal(signal.SIGTERM)
        d.expect("stopping")
        done = rig.run_upperctl(d, "status")
        assert (done.returncode, done.stdout.splitlines()[0]) == (75, "not well: upperd is stopping")
        assert re.search(r"^tcp +1 ", done.stdout, re.M)
        left = json.loads(rig.run_upperctl(d, "--json", "status").stdout)
        assert (left["trouble"], left["connections"]) == ("upperd is stopping", 1)
    assert d.wait() == 0


def test_upgrade_is_no_reload(daemon):
    d = daemon(tcp())
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert "reloads" not in status_of(d)
    d.reload()
    assert status_of(d)["reloads"] == 1


def test_four_faults_are_all_shown(daemon, authority):
    """A killed keeper, refused certificates, failed handshakes, and refusals of datagrams."""
    pair = authority.issue()
    d = daemon(tls(pair), udp(), limits={"unchanged": 1, "exempt": []})
    d.killed += 1
    os.kill(d.children("keeper")[0], signal.SIGKILL)
    d.wait_for(lambda: re.search(r"^keeper 0 +\d+ serves", text_of(d), re.M), "another keeper that serves")
    assert text_of(d).startswith("well\n")
    pair.certificate.write_text("not a certificate")
    assert rig.run_upperctl(d, "reload").returncode != 0
    for _ in range(4):
        with connect(d.listeners[0]) as s:
            s.sendall(b"this is no handshake\n")
            with contextlib.suppress(ConnectionResetError):  # of a library that leaves some of it unread
                process.wait_until(lambda: not s.recv(1000), what="the end of the connection")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(15):
            s.sendto(b"SAME", (d.listeners[1]["address"], d.listeners[1]["port"]))
    d.wait_for(lambda: status_of(d)["listeners"][1].get("reasons", {}).get("unchanged"), "refusals")
    text = text_of(d)
    assert text.startswith("not well: the last reload failed")
    assert re.search(r"^last crash: keeper 0, SIGKILL, ", text, re.M)
    assert re.search(r"^\S+ \S+ UTC  child-died: keeper 0: signal 9", text, re.M)
    assert re.search(r"^\S+ \S+ UTC  reload-failed: ", text, re.M)
    assert re.search(r"^tls +4 tls_garbage: ", text, re.M)
    assert re.search(r"^udp +\d+ unchanged: ", text, re.M)
    assert re.search(r"^failed reloads since the start: 1 of 1$", text, re.M)


def test_every_process_and_certificate_is_shown(daemon, authority):
    d = daemon(tls(authority.issue(sans=["one.example"]), authority.issue(sans=["two.example"])), workers=3)
    status = status_of(d)
    assert [(p["role"], p["index"]) for p in status["processes"]] == \
        [("worker", 0), ("worker", 1), ("worker", 2), ("keeper", 0)]
    assert {p["pid"] for p in status["processes"]} == set(d.children())
    assert all(p["serves"] for p in status["processes"])
    assert [c["name"] for c in status["certificates"]] == ["one.example", "two.example"]
    assert all(c["not_before"] < time.time() < c["not_after"] for c in status["certificates"])
    assert re.search(r"^tls +\d+ days left, until .*: two\.example$", text_of(d), re.M)


def test_cause_of_a_configuration(daemon):
    d = daemon(tcp())
    assert (status_of(d)["generation"], status_of(d)["cause"]) == (1, "start")
    d.reload()
    assert (status_of(d)["generation"], status_of(d)["cause"]) == (2, "reload")
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert (status_of(d)["generation"], status_of(d)["cause"]) == (3, "upgrade")


def test_connections_of_a_worker_that_died_are_closed(daemon):
    d = daemon(tcp(), workers=1)
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
        assert (status_of(d)["connections"], status_of(d)["listeners"][0]["open"]) == (1, 1)
        d.killed += 1
        os.kill(d.workers()[0], signal.SIGKILL)
        process.wait_until(lambda: status_of(d)["connections"] == 0, what="the end of the connection")
    listener, = status_of(d)["listeners"]
    assert "open" not in listener and listener["closed"] == 1


def test_crash_and_counts_last_over_an_upgrade(daemon):
    d = daemon(tcp(), workers=1)
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    d.killed += 1
    os.kill(d.workers()[0], signal.SIGABRT)
    d.wait_for(lambda: status_of(d)["processes"][0].get("serves"), "another worker")
    crash, errors = status_of(d)["last_crash"], status_of(d)["errors"]
    assert len(errors) == 1 and errors[0]["text"].startswith("child-died: worker 0: signal 6")
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert (status_of(d)["last_crash"], status_of(d)["errors"]) == (crash, errors)
    assert (crash["role"], crash["index"], crash["signal"]) == ("worker", 0, "ABRT")
    assert status_of(d)["listeners"][0]["messages"] == 1


def test_limits_say_where_they_come_from(daemon):
    d = daemon(tcp(), limits={"datagrams": 77})
    limits = {row["key"]: row for row in status_of(d)["limits"]}
    assert limits["limits.datagrams"]["value"] == 77
    assert re.fullmatch(r".*upperd\.conf:\d+", limits["limits.datagrams"]["origin"])
    assert limits["limits.per_client"]["origin"] == "default"
    assert "from RLIMIT_NOFILE" in text_of(d)


def test_open_is_now_and_the_rest_was_ever(daemon):
    d = daemon(tcp())
    tcp_ask(d.listeners[0], b"a")
    with connect(d.listeners[0]) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
        row, = [line for line in text_of(d).splitlines() if line.startswith("tcp ")]
        head, = [line for line in text_of(d).splitlines() if line.startswith("listener ")]
        shown = dict(zip(head.split(), row.split()))
        assert (shown["open"], shown["accepted"], shown["received"]) == ("1", "2", "2")


def test_json_has_its_members_and_no_zero(daemon):
    d = daemon(tcp())
    status = status_of(d)
    assert MEMBERS <= set(status)
    assert status["listeners"] == [{"name": "tcp", "reasons": {}}]
    tcp_ask(d.listeners[0], b"abc")
    d.wait_for(lambda: status_of(d)["listeners"][0].get("closed"), "the end of the connection")
    one, = status_of(d)["listeners"]
    assert (one["messages"], one["bytes_in"], one["reasons"]) == (1, 3, {"done": 1})
    assert 0 not in one.values()


def test_json_is_documented(daemon, authority):
    """Every member, of whatever depth, has its line in upperctl(8)."""
    d = daemon(tls(authority.issue()), workers=1)
    d.killed += 1
    os.kill(d.workers()[0], signal.SIGKILL)
    d.wait_for(lambda: "last_crash" in status_of(d), "a crash")
    manual = (rig.ROOT / "man/upperctl.8").read_text()

    def keys_of(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                if key != "reasons":
                    yield from keys_of(inner)
        if isinstance(value, list):
            for inner in value:
                yield from keys_of(inner)

    assert [key for key in keys_of(status_of(d)) if f".It Va {key}\n" not in manual] == []


def test_rates_are_those_of_the_last_second(daemon):
    d = daemon(udp())
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert udp_ask(d.listeners[0], b"a") == b"A"
    assert status_of(d)["messages_per_second"] > 10
    d.wait_for(lambda: status_of(d)["messages_per_second"] == 0, "a second without messages")
    assert max(status_of(d)["rates"]) > 10


def test_load_of_a_worker_is_shown(daemon):
    d = daemon(udp(), workers=1)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        udp_ask(d.listeners[0], b"a" * 1000)
    process.wait_until(lambda: status_of(d)["processes"][0]["load"] > 0.01, what="some load")


# --watch


def watch(d, columns, seconds=2.5):
    """What stands on a terminal of that width when it is interrupted."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    with subprocess.Popen([UPPERCTL, "-s", str(d.folder / "control"), "status", "--watch"],
                          stdout=theirs, stderr=subprocess.PIPE) as one:
        os.close(theirs)
        end, shown = time.monotonic() + seconds, b""
        while time.monotonic() < end:
            shown += os.read(ours, 65536)
        one.send_signal(signal.SIGINT)
        one.wait(rig.PATIENCE)
    os.close(ours)
    return shown.decode().split("\x1b[H")[1:]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_watch_redraws_within_the_terminal(daemon, columns):
    d = daemon(tcp(), udp())
    screens = watch(d, columns)
    assert len(screens) >= 3
    assert "0 (most 0)" in screens[-2]  # of the last, only a part may have come
    lines = [line.removesuffix("\x1b[K") for line in screens[1].removesuffix("\x1b[J").split("\r\n")]
    assert lines[0] == "well"
    assert lines[1].startswith("messages/s")
    assert max(map(len, lines)) <= columns


def test_watch_goes_with_status_alone(daemon):
    d = daemon(tcp())
    assert rig.run_upperctl(d, "metrics", "--watch").returncode == 64
    assert rig.run_upperctl(d, "status", "--watch", "--check").returncode == 64


def test_watch_ends_with_the_daemon(daemon):
    d = daemon(tcp())
    with subprocess.Popen([UPPERCTL, "-s", str(d.folder / "control"), "--json", "status", "--watch"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        assert json.loads(one.stdout.readline())["well"]
        assert json.loads(one.stdout.readline())["well"]
        d.stop()
        assert one.wait(rig.PATIENCE) != 0
