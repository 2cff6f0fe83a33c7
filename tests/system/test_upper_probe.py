# SPDX-License-Identifier: Apache-2.0
"""upper probe: samples of any server, once, in a file, and for a scraper."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

import peers
import process
import rig
from client import FINE, LOST, UNREACHABLE, UPPER, USAGE, WRONG, peer, upper  # noqa: F401
from dtls import dtls
from secure import tls
from settings import free_port, listener, tcp, udp


def samples_of(text):
    """{name: [(labels, value)]}"""
    found = {}
    for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.M):
        found.setdefault(name, []).append((dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)), float(value)))
    return found


def probe(*args):
    result = upper("probe", *args)
    return result.returncode, samples_of(result.stdout.decode())


def test_all_five_transports(daemon, authority, with_tls, tmp_path):
    pair = authority.issue("ec")
    path = tmp_path / "socket"
    d = daemon(udp(), tcp(), tls(pair), dtls(pair), listener("tcp", path=str(path), name="unix"))
    schemes = [("udp", 0), ("tcp", 1), ("tls", 2), ("dtls", 3)]
    urls = [f"{scheme}://localhost:{d.listeners[at]['port']}" for scheme, at in schemes] + [f"unix:{path}"]
    code, samples = probe("-4", "--cafile", authority.file, *urls)
    assert (code, [value for _, value in samples["probe_success"]]) == (FINE, [1] * 5)
    assert {labels["target"] for labels, _ in samples["probe_success"]} == set(urls)
    versions = {labels["target"]: labels["version"] for labels, _ in samples["probe_tls_info"]}
    assert versions == {urls[2]: "TLSv1.3", urls[3]: "DTLSv1.2"}
    assert all(value > time.time() for _, value in samples["probe_ssl_earliest_cert_expiry"])
    phases = [value for labels, value in samples["probe_phase_seconds"] if labels["target"] == urls[2]]
    whole = [value for labels, value in samples["probe_duration_seconds"] if labels["target"] == urls[2]]
    assert sum(phases) == pytest.approx(whole[0], abs=1e-5) and min(phases[1:4]) > 0


def test_each_failure_has_its_reason(daemon, authority, peer, with_tls):
    strange = daemon(tls(authority.issue("ec"))).listeners[0]
    cases = {
        peer(peers.silent_udp).url: ("no_answer", LOST),
        f"tcp://127.0.0.1:{free_port()}": ("unreachable", UNREACHABLE),
        peer(peers.udp, lambda number, data: [data]).url: ("wrong_answer", WRONG),
        "udp://no-such-name.invalid:1": ("no_such_name", 3),
        f"tls://localhost:{strange['port']}": ("untrusted", 6),
        peer(peers.streaming_tcp).url.replace("tcp", "tls"): ("tls", 7),
    }
    for url, (reason, code) in cases.items():
        got, samples = probe("-t", "500ms", url)
        labels, _ = samples["probe_failure_info"][0]
        assert (got, labels["reason"], samples["probe_success"][0][1]) == (code, reason, 0), url
        assert labels["text"]


def test_servers_that_are_not_ours(peer):
    """Any payload, and any answer."""
    def banner(connection, peer):
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.recv(100)

    def echo(number, data):
        return [b"re: " + data]

    mail, other = peer(peers.tcp, banner), peer(peers.udp, echo)
    assert probe("--expect", "^220 .* ESMTP", mail.url)[0] == FINE
    assert probe("-t", "1s", "--expect", "^250 ", mail.url)[0] == WRONG
    assert probe("--send", r"\x00a\n\\", "--expect", "^re: ", other.url)[0] == FINE
    assert other.seen == [b"\0a\n\\"]
    assert probe("--send", "anything", other.url)[0] == FINE
    assert probe("--send", r"\q", other.url)[0] == USAGE
    assert probe("--expect", "(", other.url)[0] == USAGE


@pytest.mark.parametrize("seconds", [3, pytest.param(1, marks=pytest.mark.plain)])
def test_a_hundred_targets_at_once(peer, seconds):
    """In under a second; under a sanitizer on a busy machine, in a few."""
    urls = [peer(peers.textbook_udp).url for _ in range(10)] * 9 + [peer(peers.silent_udp).url] * 10
    begun = time.monotonic()
    _, samples = probe("-t", "400ms", "-r", "0", *urls)
    assert time.monotonic() - begun < seconds
    assert sorted(value for _, value in samples["probe_success"]) == [0] * 10 + [1] * 90


def test_json(peer):
    server = peer(peers.textbook_udp)
    one = json.loads(upper("probe", "--json", server.url).stdout)
    assert one["success"] and one["target"] == server.url and set(one["phases"]) >= {"name", "first"}


def test_textfile_is_replaced_as_a_whole(peer, tmp_path):
    path = tmp_path / "probe.prom"
    server = peer(peers.textbook_udp)
    assert upper("probe", "--textfile", path, server.url).returncode == FINE
    first = os.stat(path).st_ino
    assert upper("probe", "--textfile", path, server.url).returncode == FINE
    assert os.stat(path).st_ino != first, "the old file was written into"
    assert os.listdir(tmp_path) == ["probe.prom"] and path.read_text().endswith("# EOF\n")
    assert upper("probe", "--textfile", tmp_path / "no" / "x", server.url).returncode == 8


def test_it_parses_to_the_letter(peer):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser",
                                 reason="python3-prometheus-client is not installed")
    text = upper("probe", "-t", "300ms", peer(peers.textbook_udp).url, peer(peers.silent_tcp).url).stdout.decode()
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert len(families["probe_success"].samples) == 2


# The exporter.

@pytest.fixture
def exporter():
    with contextlib.ExitStack() as stack:
        def start(*args):
            port = free_port()
            one = stack.enter_context(subprocess.Popen(
                [UPPER, "probe", "--listen", f"127.0.0.1:{port}", *args], stderr=subprocess.PIPE))
            stack.callback(one.kill)
            process.wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20, "the exporter")
            return port

        yield start


def scrape(port, target, **headers):
    url = f"http://127.0.0.1:{port}/probe?" + urllib.parse.urlencode({"module": "x", "target": target})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_exporter(exporter, peer):
    server = peer(peers.textbook_udp)
    port = exporter("udp://127.0.0.1:*")
    kind, text = scrape(port, server.url)
    assert kind.startswith("text/plain; version=0.0.4") and samples_of(text)["probe_success"] == [({}, 1)]
    kind, text = scrape(port, server.url, Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0") and text.endswith("# EOF\n")


@pytest.mark.parametrize("target, status", [
    ("tcp://127.0.0.1:1", 403), ("udp://127.0.0.2:1", 403), ("unix:/run/x", 403), ("udp://127.0.0.1:7", 403),
    ("udp://127.0.0.1:12000@evil", 403), ("nonsense", 400), ("", 400)])
def test_exporter_probes_only_what_it_may(exporter, target, status):
    port = exporter("udp://127.0.0.1:12*")
    with pytest.raises(urllib.error.HTTPError) as error:
        scrape(port, target)
    assert error.value.code == status


@pytest.mark.parametrize("pattern, target, status", [
    ("UDP://LocalHost:1", "udp://LOCALHOST:1", 200), ("unix:/nowhere/a", "unix:/nowhere/a", 200),
    ("unix:/nowhere/a", "unix:/nowhere/A", 403), ("udp://" + "x" * 400, "udp://x", 403)])
def test_exporter_knows_names_in_either_case_and_paths_as_they_are(exporter, pattern, target, status):
    port = exporter(pattern)
    try:
        assert scrape(port, target) and status == 200
    except urllib.error.HTTPError as error:
        assert error.code == status


def test_exporter_without_patterns_does_not_start():
    result = upper("probe", "--listen", str(free_port()))
    assert result.returncode == USAGE and b"patterns" in result.stderr


@pytest.mark.parametrize("request_line, status", [
    (b"POST /probe?target=udp://x HTTP/1.1\r\n\r\n", b"405"), (b"GET /other HTTP/1.1\r\n\r\n", b"404"),
    (b"GET / HTTP/1.1\r\n\r\n", b"200"), (b"\r\n\r\n", b"405"), (b"GET /probe HTTP/1.0\r\n\r\n", b"400"),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"408")])
def test_exporter_and_requests_of_all_kinds(exporter, request_line, status):
    with socket.create_connection(("127.0.0.1", exporter("udp://*")), timeout=20) as s:
        s.sendall(request_line)
        assert s.recv(100).split()[1] == status


def test_slow_scraper_and_slow_target_hold_up_no_other(exporter, peer):
    port = exporter("*")
    with socket.create_connection(("127.0.0.1", port)) as slow, socket.create_connection(("127.0.0.1", port)) as other:
        slow.sendall(b"GET /probe")
        other.sendall(f"GET /probe?target={peer(peers.silent_tcp).url} HTTP/1.1\r\n\r\n".encode())
        begun = time.monotonic()
        assert samples_of(scrape(port, peer(peers.textbook_tcp).url)[1])["probe_success"] == [({}, 1)]
        assert time.monotonic() - begun < 3


def test_prometheus_scrapes_it(exporter, peer, tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip("Prometheus is not installed")
    server, port, own = peer(peers.textbook_udp), exporter("udp://127.0.0.1:*"), free_port()
    (tmp_path / "prometheus.yml").write_text(
        "scrape_configs: [ { job_name: upper, scrape_interval: 1s, metrics_path: /probe, "
        f"params: {{ target: [ '{server.url}' ] }}, "
        f"static_configs: [ {{ targets: [ '127.0.0.1:{port}' ] }} ] }} ]\n")

    def query(text):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{own}/api/v1/query?query={text}", timeout=30) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:  # it has only just been started
            return None
        return float(result[0]["value"][1]) if result else None

    with open(tmp_path / "log", "w") as log, subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{own}"], stdout=log, stderr=log) as one:
        try:
            process.wait_until(lambda: query("probe_success") == 1, rig.PATIENCE, "a probe that went well")
            assert query("up") == 1
            assert query('count(probe_phase_seconds)') == 5
        finally:
            one.terminate()
