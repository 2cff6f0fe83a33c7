# SPDX-License-Identifier: Apache-2.0
"""conf/alerts.yml and conf/grafana-dashboard.json in a real Prometheus, which scrapes a real daemon once a second.
The waiting times of the rules are cut to seconds; each alert is provoked, fires, and clears."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

import faults
import process
import rig
from client import UPPER
from pki import Authority
from secure import ask_tls, context_for, tls
from settings import SANDBOX, free_port, tcp, udp
from test_sandbox import without_landlock
from wire import connect, overflowing, udp_ask

RULES = rig.ROOT / "conf/alerts.yml"
DASHBOARD = rig.ROOT / "conf/grafana-dashboard.json"
NAMES = set(re.findall(r"alert: (\w+)", RULES.read_text()))

pytestmark = [pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed"),
              pytest.mark.skipif("SANDBOX" in os.environ, reason="once is enough")]


def quick(text):
    """The same rules, impatient: minutes of waiting and of ranges are seconds."""
    text = re.sub(r"for: \d+[ms]", "for: 1s", text)
    text = re.sub(r"\[\d+m\]", "[8s]", text)
    return text.replace("groups:\n  - name: upperd\n", "groups:\n  - name: upperd\n    interval: 1s\n")


class Prometheus:
    def __init__(self, folder, *flags):
        self.port, self.targets, self.seen = free_port(), folder / "targets.json", set()
        (folder / "alerts.yml").write_text(quick(RULES.read_text()))
        self.point_to([])
        (folder / "prometheus.yml").write_text(
            "global: { scrape_interval: 1s, evaluation_interval: 1s }\n"
            f"rule_files: [ '{folder}/alerts.yml' ]\n"
            "scrape_configs: [ { job_name: upperd, "
            f"file_sd_configs: [ {{ files: [ '{self.targets}' ], refresh_interval: 1s }} ] }} ]\n")
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml",
                 f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
                 *flags], stdout=log, stderr=log)
        process.wait_until(lambda: self.get("rules"), rig.PATIENCE, "Prometheus")

    def point_to(self, ports):
        self.targets.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]))

    def get(self, what, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=rig.PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            return None
        except OSError:  # it has only just been started
            return None

    def value(self, query):
        result = self.get("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def firing(self):
        return {a["labels"]["alertname"] for a in self.get("alerts")["alerts"] if a["state"] == "firing"}

    def wait(self, name):
        process.wait_until(lambda: name in self.firing(), 60, f"{name} to fire")
        self.seen.add(name)

    def wait_clear(self, *names):
        process.wait_until(lambda: not set(names) & self.firing(), 90, f"{names} to clear")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    one = Prometheus(tmp_path_factory.mktemp("prometheus"))
    yield one
    one.process.terminate()
    one.process.wait(rig.PATIENCE)


@pytest.fixture
def watched(start, prometheus):
    """A daemon that is scraped."""
    def begin(*listeners, **settings):
        port = free_port()
        d = start(*listeners, metrics={"address": "127.0.0.1", "port": port}, **settings)
        d.wait_ready()
        prometheus.point_to([port])
        process.wait_until(lambda: prometheus.value(f'up{{instance="127.0.0.1:{port}"}}') == 1, 60, "a scrape")
        return d

    return begin


def test_rules_pass_promtool():
    for words in (["check", "rules", RULES], ["test", "rules", rig.ROOT / "tests/alerts.yml"]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_its_reason():
    """A comment above it, a severity, and a summary."""
    blocks = re.findall(r"((?:      #.*\n)*)      - alert: (\w+)\n((?:        .*\n)+)", RULES.read_text())
    assert {name for _, name, _ in blocks} == NAMES
    for reason, name, body in blocks:
        assert reason and "severity:" in body and "summary:" in body, name


def test_metrics_that_are_named_exist():
    manual = (rig.ROOT / "man/upperd-metrics.7").read_text()
    known = set(re.findall(r"\.It Va (\w+)", manual))
    for path in (RULES, DASHBOARD):
        for name in set(re.findall(r"upperd_\w+", path.read_text())):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in known, (path, name)


def test_dashboard_queries_and_reasons(watched, prometheus):
    """Each panel has its reason, and a query that Prometheus answers."""
    watched(tcp(), udp())
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        assert len(panel["description"]) > 20, panel["title"]
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "10s").replace("$instance", ".+")
            assert prometheus.get("query", query=query)["resultType"] == "vector"


def test_counts_are_those_of_the_clients(watched, prometheus):
    """Two clients load it for 4 s, or as long as LOAD_SECONDS says, with a reload on the way."""
    d, seconds = watched(tcp(framing="line"), udp()), int(os.environ.get("LOAD_SECONDS", "4"))
    clients = [subprocess.Popen([UPPER, "bench", "--json", "-R", "1000", "-d", f"{seconds}s", "-t", "10s",
                                 f"{at['transport']}://127.0.0.1:{at['port']}"], stdout=subprocess.PIPE)
               for at in d.listeners]
    process.wait_until(lambda: (prometheus.value("sum(upperd_messages_total)") or 0) > 1000, 30, "half of the load")
    assert rig.run_upperctl(d, "reload").returncode == 0
    results = [json.loads(client.communicate()[0]) for client in clients]
    assert all(client.returncode == 0 for client in clients), results
    total = sum(result["right"] for result in results)
    assert total == sum(result["sent"] for result in results) and total >= 1900 * seconds
    for name in "messages_total", "replies_total", "service_seconds_count":
        process.wait_until(lambda: prometheus.value(f"sum(upperd_{name})") == total, 30, f"{total} of {name}")


def test_native_histograms(start, tmp_path):
    """With the feature, Prometheus asks for protobuf."""
    port = free_port()
    d = start(udp(), metrics={"address": "127.0.0.1", "port": port})
    d.wait_ready()
    for _ in range(100):
        assert udp_ask(d.listeners[0], b"a") == b"A"
    one = Prometheus(tmp_path, "--enable-feature=native-histograms")
    try:
        one.point_to([port])
        process.wait_until(lambda: one.value("sum(histogram_count(upperd_service_seconds))") == 100, 60, "it")
        assert 0 < one.value("histogram_quantile(0.5, sum(upperd_service_seconds))") < 0.01
    finally:
        one.process.terminate()
        one.process.wait(rig.PATIENCE)


@pytest.mark.long
def test_faults_of_a_daemon(watched, prometheus):
    """Not well, a failed reload, a death, workers that cannot be replaced, one that is stuck, and the end."""
    d = watched(tcp(), workers=2)
    good = d.config.read_text()
    d.config.write_text("nonsense")
    rig.run_upperctl(d, "reload")
    prometheus.wait("UpperdNotWell")
    prometheus.wait("UpperdReloadFailed")
    d.config.write_text(good)
    rig.run_upperctl(d, "reload")
    prometheus.wait_clear("UpperdNotWell", "UpperdReloadFailed")
    end = time.monotonic() + 8
    while time.monotonic() < end:  # so often that its replacement waits
        for pid in d.workers()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                d.killed += 1
        time.sleep(0.3)
    prometheus.wait("UpperdChildDied")
    prometheus.wait("UpperdWorkersMissing")
    prometheus.wait_clear("UpperdWorkersMissing", "UpperdChildDied")
    worker = d.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    prometheus.wait("UpperdChildStuck")
    os.kill(worker, signal.SIGCONT)
    prometheus.wait_clear("UpperdChildStuck")
    d.killed = len(d.records("child-died"))
    d.stop()
    prometheus.wait("UpperdDown")
    prometheus.point_to([])
    prometheus.wait_clear("UpperdDown")


@pytest.mark.long
def test_faults_of_clients_and_load(watched, prometheus, tmp_path):
    """Refusals, handshakes that fail, connections at their limit, and datagrams that the kernel drops."""
    if not rig.has_feature("tls"):
        pytest.skip("this build has no TLS")
    folder = tmp_path / "pki"
    folder.mkdir()
    authority = Authority(folder)
    d = watched(tcp(), udp(), tls(authority.issue()), workers=1,
                limits={"unchanged": 1, "exempt": [], "connections": 8, "per_client": 1000})
    at = (d.listeners[1]["address"], d.listeners[1]["port"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for number in range(3000):  # not the same ones, which would be a loop
            s.sendto(b"%05d" % number, at)
            time.sleep(0.001)
    prometheus.wait("UpperdRefusing")
    held = [connect(d.listeners[0]) for _ in range(8)]
    for s in held:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
    prometheus.wait("UpperdConnectionsNearLimit")
    for s in held:
        s.close()
    prometheus.wait_clear("UpperdConnectionsNearLimit")
    for _ in range(12):
        with connect(d.listeners[2]) as s, contextlib.suppress(ConnectionError):
            s.sendall(b"no handshake at all\n")
            s.recv(100)
    prometheus.wait("UpperdHandshakesFail")
    worker, = d.workers()
    os.kill(worker, signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(3000):
            s.sendto(b"x" * 8000, at)
    os.kill(worker, signal.SIGCONT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:  # which brings the number along
        process.wait_until(lambda: s.sendto(b"a", at) and
                           prometheus.value("sum(upperd_kernel_drops_total)") > 0, what="drops")
    prometheus.wait("UpperdKernelDrops")
    prometheus.wait_clear("UpperdRefusing", "UpperdHandshakesFail", "UpperdKernelDrops")


def test_more_clients_than_backlog(watched, prometheus):
    d = watched(tcp(backlog=2), workers=1)
    worker, = d.workers()
    os.kill(worker, signal.SIGSTOP)
    with overflowing(d.listeners[0], 12):
        prometheus.wait("UpperdAcceptDrops")
    os.kill(worker, signal.SIGCONT)
    prometheus.wait_clear("UpperdAcceptDrops")


def test_slow_answers(watched, prometheus, as_root):
    why = faults.why_not()
    if why:
        pytest.skip(why)
    d = watched(tcp(), workers=1)
    worker, = d.workers()
    with faults.Tracer(worker, "-o", "/dev/null", "-e", "trace=sendto,write,sendmsg",
                       "-e", "inject=sendto,write,sendmsg:delay_enter=50000"), connect(d.listeners[0]) as s:
        end = time.monotonic() + 8
        while time.monotonic() < end:
            s.sendall(b"a")
            assert s.recv(1) == b"A"
        prometheus.wait("UpperdSlow")
    prometheus.wait_clear("UpperdSlow")


def test_certificate_expires(watched, prometheus, tmp_path):
    if not rig.has_feature("tls"):
        pytest.skip("this build has no TLS")
    folder = tmp_path / "pki"
    folder.mkdir()
    authority = Authority(folder)
    pair = authority.issue(until=time.time() + 12)
    d = watched(tls(pair))
    prometheus.wait("UpperdCertificateExpires")
    fresh = authority.issue(key=pair.key)
    os.replace(fresh.certificate, pair.certificate)
    prometheus.wait_clear("UpperdCertificateExpires", "UpperdNotWell")
    assert ask_tls(d.listeners[0], context_for(authority)) == b"STRASSE"


@pytest.mark.skipif(SANDBOX != {}, reason="the sandbox is not as usual in this run")
def test_sandbox_gap(watched, prometheus, start, as_root):
    port = free_port()
    d = start(tcp(), metrics={"address": "127.0.0.1", "port": port}, sandbox="best-effort",
              before=without_landlock)
    d.wait_ready()
    prometheus.point_to([port])
    prometheus.wait("UpperdSandboxGap")
    d.stop()
    prometheus.point_to([])
    prometheus.wait_clear("UpperdSandboxGap", "UpperdDown")


def test_lost_records(prometheus, tmp_path):
    """Nobody reads its stderr: it serves on, and the number of lost records is right."""
    port, listener = free_port(), tcp()
    config = tmp_path / "upperd.conf"
    config.write_text(
        f'user = "nobody"; group = "nogroup"; workers = 1; control = {{ path = "{tmp_path}/control"; }};\n'
        f'metrics = {{ address = "127.0.0.1"; port = {port}; }}; log = {{ access = true; target = "stderr"; }};\n'
        f'listeners = ( {{ transport = "tcp"; address = "127.0.0.1"; port = {listener["port"]}; }} );\n')
    with subprocess.Popen([rig.UPPERD, "-c", config], stderr=subprocess.PIPE) as one:
        try:
            def asked():
                with contextlib.suppress(OSError), connect(listener) as s:
                    s.sendall(b"a")
                    return s.recv(1) == b"A"

            process.wait_until(asked, what="an answer")
            for _ in range(1500):
                assert asked()
            prometheus.point_to([port])
            process.wait_until(lambda: (prometheus.value("upperd_records_lost_total") or 0) > 0, 30, "losses")
            for _ in range(200):
                assert asked()
            prometheus.wait("UpperdLogLost")
            process.wait_until(lambda: prometheus.value("sum(upperd_ended_total{reason='done'})") >= 1700, 30, "all")
            lost = int(prometheus.value("upperd_records_lost_total"))
            one.terminate()
            shown = one.stderr.read().decode()
            # All that are not on stderr, but those of the end, are counted.
            written = shown.count(" access: ")
            assert written + lost >= 1701 and written + lost <= 1701 + 20
        finally:
            one.kill()
    prometheus.point_to([])
    prometheus.wait_clear("UpperdLogLost", "UpperdDown")


def test_each_alert_has_fired(prometheus):
    """Of those that the tests above provoke, when all of them have run."""
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        assert prometheus.seen == NAMES
