# SPDX-License-Identifier: Apache-2.0
"""Counters over HTTP: what a scrape gets, what anybody else gets, and what becomes of the exporter."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

import pytest

import process
import rig
from captured import steal
from dtls import dtls, s_client
from pki import Authority
from secure import ask_tls, connect_tls, context_for, tls
from settings import free_port, tcp, udp
from wire import Background, connect, overflowing, read_all, tcp_ask, udp_ask

TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n"
VISITS = int(re.search(r"#define VISITS +(\d+)",
                       (rig.ROOT / "src/child/exporter.c").read_text())[1])


def at(port=None):
    return {"address": "127.0.0.1", "port": port or free_port()}


class Scraped:
    """A daemon with an exporter, and the ways to ask it."""

    def __init__(self, d, place):
        self.d, self.place = d, place

    def connect(self):
        if "path" in self.place:
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.place["path"])
        else:
            s = socket.create_connection((self.place["address"], self.place["port"]))
        s.settimeout(rig.PATIENCE)
        return s

    def send(self, request):
        """The head and the body of the answer."""
        with self.connect() as s:
            s.sendall(request)
            head, _, body = read_all(s).partition(b"\r\n\r\n")
        return head.decode(), body.decode()

    def scrape(self):
        head, body = self.send(REQUEST)
        assert head.startswith("HTTP/1.1 200 OK\r\n"), head
        return body

    def fetch_bytes(self, path, accept=None):
        """The head, and the body as it is."""
        with self.connect() as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() +
                      (f"Accept: {accept}\r\n" if accept else "").encode() + b"\r\n")
            head, _, body = read_all(s).partition(b"\r\n\r\n")
        return head.decode(), body

    def fetch(self, path, accept=None):
        head, body = self.fetch_bytes(path, accept)
        return head, body.decode(errors="replace")

    def rows(self):
        return json.loads(rig.run_upperctl(self.d, "--json", "metrics").stdout)

    def sample(self, name):
        """The value of a sample, labels and all; None when there is none."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.scrape(), re.M)
        return float(found[1]) if found else None

    def wait_sample(self, name, value):
        """They are put up once a second."""
        process.wait_until(lambda: self.sample(name) == value, rig.PATIENCE, f"{name} {value}")

    def exporters(self):
        return self.d.children("exporter")


@pytest.fixture
def scraped(daemon):
    def start(*listeners, place=None, **settings):
        place = place or at()
        d = daemon(*(listeners or [tcp()]), metrics=place, **settings)
        return Scraped(d, place)

    return start


# What a scrape gets


def test_curl_gets_the_counters(scraped):
    one = scraped()
    done = subprocess.run(["curl", "-si", f"http://127.0.0.1:{one.place['port']}/metrics"],
                          capture_output=True, text=True, timeout=rig.PATIENCE)
    head, _, body = done.stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK\n") and f"\nContent-Type: {TEXT_TYPE}\n" in head
    assert promtool(body).returncode == 0


def test_it_is_what_upperctl_prints(scraped):
    """Except that it may be a second old."""
    one = scraped(tcp(), udp())
    tcp_ask(one.d.listeners[0], b"a")
    process.wait_until(lambda: one.fetch("/metrics")[1] == rig.run_upperctl(one.d, "metrics").stdout,
                       rig.PATIENCE, "the same text")


def test_what_is_served_is_counted(scraped):
    one = scraped(tcp(), udp())
    for _ in range(3):
        tcp_ask(one.d.listeners[0], b"abc")
        udp_ask(one.d.listeners[1], b"ab")
    one.wait_sample('upperd_bytes_in_total{listener="tcp"}', 9)
    one.wait_sample('upperd_messages_total{listener="udp"}', 3)


def test_supervisor_shows_itself(scraped):
    one = scraped(workers=3)
    assert one.sample("upperd_workers") == 3
    assert one.sample("upperd_generation") == 1
    assert abs(one.sample("upperd_start_time_seconds") - time.time()) < 600


def test_openmetrics_to_the_letter(scraped):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser",
                                 reason="python3-prometheus-client is not installed")
    families = list(parser.text_fd_to_metric_families(io.StringIO(scraped(tcp(), udp()).scrape())))
    assert {"upperd_messages", "upperd_ended", "upperd_open"} <= {f.name for f in families}
    assert all(family.documentation for family in families)


def promtool(text):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    return subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True, timeout=rig.PATIENCE)


def test_promtool_finds_nothing(scraped):
    done = promtool(scraped(tcp(), udp()).fetch("/metrics", "text/plain")[1])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_finds_nothing_in_openmetrics(scraped):
    """But that it looks for the help of a counter under the name with _total, where OpenMetrics has none."""
    done = promtool(scraped(tcp(), udp()).scrape())
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if not line.endswith("_total no help text")] == []


OPEN, TEXT, PROTOBUF = "application/openmetrics-text", "text/plain", "application/vnd.google.protobuf"


@pytest.mark.parametrize("accept, expected", [
    (None, TEXT), ("*/*", TEXT), ("text/html", TEXT), ("", TEXT), (TEXT, TEXT), (f"{TEXT};version=0.0.4", TEXT),
    (OPEN, OPEN), (f"{OPEN};version=1.0.0,{TEXT};version=0.0.4;q=0.5,*/*;q=0.1", OPEN),
    (f"{OPEN};version=1.0.0;escaping=allow-utf-8;q=0.6,{TEXT};version=0.0.4;q=0.5,*/*;q=0.1", OPEN),
    (f"{OPEN};version=2.0.0,{TEXT};version=0.0.4;q=0.5,*/*;q=0.1", TEXT),
    (f"{OPEN};version=1.0.0;q=0.5,{TEXT};q=0.9", TEXT),
    (f"{TEXT},{OPEN};q=0.9", TEXT), (f"{OPEN},*/*;q=0.1", OPEN), (f"{OPEN};q=0,*/*", TEXT), (f"{TEXT};q=0.3,{OPEN};q=0.2", TEXT),
    (f"{PROTOBUF};proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,{OPEN};q=0.5",
     PROTOBUF)])
def test_form_that_is_asked_for(scraped, accept, expected):
    head, _ = scraped().fetch("/metrics", accept)
    assert re.search(r"^Content-Type: ([^;\r]+)", head, re.M)[1] == expected


def families_of(text):
    """Name, type and help of each, and how many samples."""
    found = {}
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            found[name.removesuffix("_total")] = [kind, 0]
        elif line and not line.startswith("#"):
            name = re.sub(r"_(total|bucket|sum|count)$", "", re.match(r"\w+", line)[0])
            found[name][1] += 1
    return found


def test_both_texts_say_the_same(scraped):
    one = scraped(tcp(), udp())
    assert families_of(one.fetch("/metrics", TEXT)[1]) == families_of(one.fetch("/metrics", OPEN)[1])


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def fields_of(data):
    """The fields of a message of protobuf, as (number, value)."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
            assert len(value) == length
        yield tag >> 3, value


def zigzag(value):
    return value >> 1 ^ -(value & 1)


def test_protobuf_has_native_histograms(scraped):
    one = scraped(udp())
    for _ in range(5):
        udp_ask(one.d.listeners[0], b"a")
    one.wait_sample('upperd_service_seconds_count{listener="udp"}', 5)
    data, at, families = one.fetch_bytes("/metrics", PROTOBUF)[1], 0, {}
    while at < len(data):
        length, at = varint(data, at)
        family = list(fields_of(data[at:at + length]))
        families[dict(family)[1].decode()] = family
        at += length
    assert set(families) == {row["name"] for row in one.rows()}
    metric = dict(families["upperd_service_seconds"])[4]
    histogram = list(fields_of(dict(fields_of(metric))[7]))
    assert dict(histogram)[1] == 5
    assert zigzag(dict(histogram)[5]) == 2
    deltas, counts, last = [zigzag(v) for n, v in histogram if n == 13], [], 0
    for delta in deltas:
        last += delta
        counts.append(last)
    assert sum(counts) == 5 and min(counts) == 0
    assert dict(fields_of(dict(histogram)[12]))[2] == len(counts)
    assert [dict(fields_of(b)).get(1) for n, b in histogram if n == 3][-1] == 5


def test_json_has_every_row(scraped):
    one = scraped(tcp(), udp())
    rows = {row["name"]: row for row in one.rows()}
    assert set(rows) == {name + ("_total" if kind == "counter" else "")
                         for name, (kind, _) in families_of(one.scrape()).items()}
    assert rows["upperd_service_seconds"]["unit"] == "seconds"
    assert all(row["help"] and row["type"] for row in rows.values())
    assert [s["listener"] for s in rows["upperd_messages_total"]["samples"]] == ["tcp", "udp"]


def test_manual_names_every_row(scraped):
    manual = (rig.ROOT / "man/upperd-metrics.7").read_text()
    assert [row["name"] for row in scraped().rows() if f".It Va {row['name']}\n" not in manual] == []


def test_listener_has_only_the_reasons_of_its_transport(scraped):
    text = scraped(tcp(), udp()).scrape()
    of = {name: set(re.findall(rf'upperd_ended_total{{listener="{name}",reason="(\w+)"', text))
          for name in ("tcp", "udp")}
    assert {"idle", "reset", "write"} <= of["tcp"] and not {"overflow", "rate"} & of["tcp"]
    assert {"rate", "overflow"} <= of["udp"] and not {"idle", "write"} & of["udp"]
    assert not [reason for reason in of["tcp"] | of["udp"] if reason.startswith(("tls", "dtls"))]


# Every series moves


def test_each_row_moves(scraped, tmp_path):
    """All of them in the life of one daemon, each by what it is about."""
    if not rig.has_feature("tls"):
        pytest.skip("this build has no TLS")
    folder = tmp_path / "pki"
    folder.mkdir()
    authority = Authority(folder)
    pair = authority.issue()
    one = scraped(tcp(), udp(), tls(pair), dtls(pair), workers=1, drain="60s",
                  limits={"exempt": [], "unchanged": 1, "per_client": 8})
    d = one.d
    d.killed += 2
    os.kill(d.workers()[0], signal.SIGABRT)
    d.wait_for(lambda: one.sample('upperd_deaths_total{role="worker",cause="ABRT"}') == 1, "a death")
    os.kill(d.children("keeper")[0], signal.SIGKILL)
    d.wait_for(lambda: one.sample('upperd_replaced_total{role="keeper"}') == 1, "another")
    d.config.write_text(good := d.config.read_text() + "\n# the same\n")
    d.reload()
    d.config.write_text("nonsense")
    rig.run_upperctl(d, "reload")
    d.config.write_text(good)
    held = connect(d.listeners[0])
    held.sendall(b"a")
    assert held.recv(1) == b"A"
    d.reload()  # and the old one drains
    also_held = connect(d.listeners[0])
    also_held.sendall(b"a")
    assert also_held.recv(1) == b"A"
    ask_tls(d.listeners[2], context_for(authority))
    s_client(d.listeners[3])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(20):
            s.sendto(b"SAME", (d.listeners[1]["address"], d.listeners[1]["port"]))
    for _ in range(30):  # until it is turned away
        with connect(d.listeners[2]) as s:
            s.sendall(b"no handshake at all\n")
            try:
                s.recv(100)
            except ConnectionError:
                pass
    # Not here: what a kernel drops, in test_guard.py and below; records that are lost, in test_log.py; memory, in test_memory.py.
    elsewhere = {"upperd_kernel_drops", "upperd_accept_drops", "upperd_records_lost",
                 "upperd_memory_short"}
    still = elsewhere | unmoved(one)
    os.kill(d.workers()[-1], signal.SIGSTOP)
    end = time.monotonic() + 10
    while still - elsewhere and time.monotonic() < end:
        still &= unmoved(one) | elsewhere
        time.sleep(0.2)
    os.kill(d.workers()[-1], signal.SIGCONT)
    assert still == elsewhere
    for s in (held, also_held):
        s.close()


def unmoved(one):
    """Rows of which every sample is 0."""
    best = {}
    for line in one.scrape().splitlines():
        if not line.startswith("#"):
            name = re.sub(r"_(total|bucket|sum|count)$", "", re.match(r"\w+", line)[0])
            best[name] = max(best.get(name, 0), float(line.rpartition(" ")[2]))
    return {name for name, value in best.items() if value == 0}


def test_handshakes_by_what_was_agreed(scraped, tmp_path):
    if not rig.has_feature("tls"):
        pytest.skip("this build has no TLS")
    folder = tmp_path / "pki"
    folder.mkdir()
    authority = Authority(folder)
    one = scraped(tls(authority.issue()), workers=1)
    at = one.d.listeners[0]
    old, new = (context_for(authority, versions=v) for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
    with connect_tls(at, new) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
        session = s.session
    with connect_tls(at, new, session=session) as s:
        assert s.session_reused
    ask_tls(at, old)
    one.wait_sample('upperd_handshakes_total{listener="tls",version="TLSv1.3",resumed="no"}', 1)
    one.wait_sample('upperd_handshakes_total{listener="tls",version="TLSv1.3",resumed="yes"}', 1)
    one.wait_sample('upperd_handshakes_total{listener="tls",version="TLSv1.2",resumed="no"}', 1)
    text = one.scrape()
    groups = dict(re.findall(r'upperd_handshake_groups_total{listener="tls",group="(\w+)"} (\d+)', text))
    ciphers = dict(re.findall(r'upperd_handshake_ciphers_total{listener="tls",cipher="([\w-]+)"} (\d+)', text))
    assert sum(map(int, groups.values())) == 3 and groups["other"] == "0"
    assert sum(map(int, ciphers.values())) == 3 and ciphers["other"] == "0"
    assert one.sample('upperd_handshake_seconds_count{listener="tls"}') == 3
    assert one.sample("upperd_keeper_seconds_count") == 2


def test_histogram_counts_each_answer(scraped):
    one = scraped(tcp(), udp())
    for _ in range(7):
        tcp_ask(one.d.listeners[0], b"a")
        udp_ask(one.d.listeners[1], b"a")
    for name in ("tcp", "udp"):
        one.wait_sample(f'upperd_service_seconds_count{{listener="{name}"}}', 7)
        assert 0 < one.sample(f'upperd_service_seconds_sum{{listener="{name}"}}') < 1
    assert one.d.workers() and rig.run_upperctl(one.d, "upgrade").returncode == 0
    one.wait_sample('upperd_service_seconds_count{listener="udp"}', 7)


@pytest.fixture
def prometheus(tmp_path):
    """Starts one that scrapes, and returns how to ask it."""
    if not shutil.which("prometheus"):
        pytest.skip("Prometheus is not installed")
    config, port, processes = tmp_path / "prometheus.yml", free_port(), []

    def start(target):
        config.write_text("scrape_configs: [ { job_name: upperd, scrape_interval: 1s, "
                          f"static_configs: [ {{ targets: [ '127.0.0.1:{target}' ] }} ] }} ]\n")
        with open(tmp_path / "prometheus.log", "w") as log:
            processes.append(subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
                 f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log))

        def query(text):
            url = f"http://127.0.0.1:{port}/api/v1/query?query={text}"
            try:
                with urllib.request.urlopen(url, timeout=rig.PATIENCE) as answer:
                    result = json.load(answer)["data"]["result"]
            except OSError:  # it has only just been started
                return None
            return float(result[0]["value"][1]) if result else None

        return query

    yield start
    for one in processes:
        one.terminate()
        one.wait(rig.PATIENCE)


def test_prometheus_scrapes_it(scraped, prometheus):
    one = scraped()
    tcp_ask(one.d.listeners[0], b"a")
    query = prometheus(one.place["port"])
    process.wait_until(lambda: query("up") == 1, 60, "a scrape that went well")
    process.wait_until(lambda: query("upperd_messages_total") == 1, 60, "what was counted")


def test_unix_socket(scraped, tmp_path):
    place = {"path": str(tmp_path / "metrics.socket")}
    one = scraped(place=place)
    assert one.scrape().endswith("# EOF\n")
    assert os.stat(place["path"]).st_mode & 0o777 == 0o666
    one.d.stop()
    assert not os.path.exists(place["path"])


# What else it is asked


@pytest.mark.parametrize("request_line, status", [
    (b"GET /x HTTP/1.1", 404), (b"GET /metrics/x HTTP/1.1", 404), (b"POST /metrics HTTP/1.1", 405),
    (b"GET /metrics HTTP/3.0", 505), (b"GET /metrics", 400), (b"\x16\x03\x01\x00", 400),
    (b"GET /metrics HTTP/1.1\r\nX: " + 9000 * b"a", 431)])
def test_other_requests_are_refused(scraped, request_line, status):
    head, body = scraped().send(request_line + b"\r\nHost: a\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "\r\nConnection: close" in head and "/metrics" in body


def test_head_has_no_body(scraped):
    one = scraped()
    head, body = one.send(b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ") and body == ""
    assert int(re.search(r"Content-Length: (\d+)", head)[1]) > 1000


def test_ncat_byte_by_byte(scraped):
    one = scraped()
    ncat = subprocess.Popen(["ncat", "127.0.0.1", str(one.place["port"])],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for byte in REQUEST:
        ncat.stdin.write(bytes([byte]))
        ncat.stdin.flush()
        time.sleep(0.002)  # or the pieces would go as one
    answer = b""
    while not answer.endswith(b"\n# EOF\n"):
        some = ncat.stdout.read1()
        assert some, answer
        answer += some
    ncat.stdin.close()
    assert ncat.wait(rig.PATIENCE) == 0


@pytest.mark.long
def test_slow_request_is_ended(scraped):
    one = scraped()
    with one.connect() as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        begin = time.monotonic()
        assert slow.recv(1) == b""
    assert time.monotonic() - begin >= 9
    assert one.scrape()


def test_thousand_idle_connections_keep_nobody_out(scraped):
    one = scraped()
    exporter, = one.exporters()
    idle = [one.connect() for _ in range(1000)]
    try:
        assert one.scrape().endswith("# EOF\n")
        assert process.descriptors_of(exporter) < VISITS + 20
    finally:
        for s in idle:
            s.close()
    assert one.exporters() == [exporter]


def test_who_does_not_read_keeps_nobody_out(scraped):
    one = scraped(*(tcp(name=f"a-listener-with-a-long-name-{n}") for n in range(20)))
    stuck = [one.connect() for _ in range(2 * VISITS)]
    try:
        for s in stuck:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                s.sendall(REQUEST)
            except ConnectionError:
                pass  # others wanted in
        assert one.scrape().endswith("# EOF\n")
    finally:
        for s in stuck:
            s.close()


# Other paths, and other sites


def status_line(one, *fields, path="/status.json"):
    head, _ = one.send(f"GET {path} HTTP/1.1\r\n".encode() +
                       b"".join(field + b"\r\n" for field in fields) + b"\r\n")
    return int(head.split()[1])


def test_status_json_is_what_upperctl_prints(scraped):
    one = scraped(tcp(), udp())
    head, body = one.fetch("/status.json")
    assert "\nContent-Type: application/json\r" in head
    mine, theirs = json.loads(body), json.loads(rig.run_upperctl(one.d, "--json", "status").stdout)
    assert set(mine) == set(theirs)
    assert (mine["pid"], mine["well"]) == (one.d.pid, True)


def test_it_lives_and_is_ready(scraped):
    one = scraped()
    for path in ("/livez", "/readyz"):
        head, body = one.fetch(path)
        assert head.startswith("HTTP/1.1 200 ") and body == "ok\n"


def test_it_is_not_ready_while_it_drains(scraped):
    """And lives, and says so until the last connection has ended."""
    one = scraped(drain="30s")
    with connect(one.d.listeners[0]) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
        one.d.asked_to_stop = True
        one.d.signal(signal.SIGTERM)
        process.wait_until(lambda: status_line(one, b"Host: a", path="/readyz") == 503, what="503")
        assert status_line(one, b"Host: a", path="/livez") == 200
        assert json.loads(one.fetch("/status.json")[1])["trouble"] == "upperd is stopping"
    assert one.d.wait() == 0


def test_it_is_not_ready_without_workers(scraped):
    one = scraped(workers=1)
    one.d.killed += 1
    os.kill(one.d.workers()[0], signal.SIGKILL)
    one.d.wait_for(lambda: one.sample("upperd_workers_serving") == 1, "another worker")
    assert status_line(one, b"Host: a", path="/readyz") == 200


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="stops the supervisor")
def test_it_does_not_live_when_the_supervisor_is_stuck(scraped):
    one = scraped()
    os.kill(one.d.pid, signal.SIGSTOP)
    try:
        process.wait_until(lambda: status_line(one, b"Host: a", path="/livez") == 503, 30, "503")
    finally:
        os.kill(one.d.pid, signal.SIGCONT)
    process.wait_until(lambda: status_line(one, b"Host: a", path="/livez") == 200, what="200")


@pytest.mark.parametrize("path", ["/", "/metrics", "/status.json"])
def test_no_other_site_can_read(scraped, path):
    """A name that was made to lead here; a page that asks from elsewhere; and what may."""
    one = scraped(place=at() | {"hosts": ["metrics.example.org"]})
    assert status_line(one, b"Host: evil.example", path=path) == 421
    assert status_line(one, b"Host: evil.example:80", path=path) == 421
    assert status_line(one, b"Host: localhost", b"Origin: http://evil.example", path=path) == 403
    assert status_line(one, b"Host: localhost", b"Origin: null", path=path) == 403
    for host in (b"localhost", b"127.0.0.1:9100", b"[::1]:9100", b"server1", b"metrics.example.org:9100"):
        assert status_line(one, b"Host: " + host, path=path) == 200
        assert status_line(one, b"Host: " + host, b"Origin: http://" + host, path=path) == 200


def test_answers_forbid_what_a_browser_might_do(scraped):
    one = scraped()
    for path in ("/", "/metrics", "/status.json", "/nothing"):
        head, _ = one.fetch(path)
        policy = re.search(r"^Content-Security-Policy: (.*?)\r$", head + "\r", re.M)[1]
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "\nX-Content-Type-Options: nosniff\r" in head
        assert "\nCross-Origin-Resource-Policy: same-origin\r" in head
        assert "\nCache-Control: no-store\r" in head


# What it can do, and what becomes of it


def test_there_is_none_without_the_keys(daemon):
    assert daemon(tcp()).children("exporter") == []


def test_it_holds_no_page_that_it_could_write(scraped, as_root):
    """But its own, which says that its loop turns."""
    one = scraped()
    exporter, = one.exporters()
    maps = process_maps(exporter, "memfd:upperd-")
    assert sorted(maps) == [("upperd-counters", "rw-s"), ("upperd-metrics", "r--s")]


def process_maps(pid, what):
    lines = (rig.Path(f"/proc/{pid}/maps")).read_text().splitlines()
    return [(re.search(r"memfd:(\S+)", line)[1], line.split()[1]) for line in lines if what in line]


def test_page_cannot_be_written_through_its_descriptor(scraped, as_root):
    one = scraped()
    for fd in os.listdir(f"/proc/{one.d.pid}/fd"):
        if "upperd-metrics" in os.readlink(f"/proc/{one.d.pid}/fd/{fd}"):
            stolen = steal(one.d.pid, int(fd))
    with open(stolen, "r+b", buffering=0) as page, pytest.raises(PermissionError):
        page.write(b"lies")


def test_another_takes_the_place_of_one_that_dies(scraped):
    one = scraped()
    old, = one.exporters()
    one.d.killed += 1
    os.kill(old, signal.SIGKILL)
    assert one.scrape()  # who comes meanwhile waits in the socket
    assert one.exporters() != [old]
    one.wait_sample('upperd_replaced_total{role="exporter"}', 1)
    assert tcp_ask(one.d.listeners[0], b"a") == b"A"


def test_death_of_a_worker_is_counted(scraped):
    one = scraped(workers=1)
    tcp_ask(one.d.listeners[0], b"a")
    one.d.killed += 1
    os.kill(one.d.workers()[0], signal.SIGKILL)
    one.wait_sample('upperd_replaced_total{role="worker"}', 1)
    assert one.sample('upperd_messages_total{listener="tcp"}') == 1


def test_nothing_is_lost_over_reloads(scraped):
    """Neither a scrape nor a count."""
    one = scraped()
    tcp_ask(one.d.listeners[0], b"a")
    with Background(one.scrape) as scrapes:
        for n in range(5):
            one.d.reload()
            assert one.sample('upperd_messages_total{listener="tcp"}') == 1
    assert scrapes.failures == [] and scrapes.asked > 0
    assert one.sample("upperd_generation") == 6
    one.wait_sample('upperd_reloads_total{outcome="done"}', 5)
    process.wait_until(lambda: len(one.exporters()) == 1, what="the end of the old ones")


def test_attempts_to_connect_that_the_system_drops(scraped):
    """A number of the listening socket, which goes from one supervisor to the next: each counts once."""
    one = scraped(tcp(backlog=2), udp(), workers=1)
    series, worker = 'upperd_accept_drops_total{listener="tcp"}', one.d.workers()[0]
    assert one.sample(series) == 0 and "upperd_accept_drops_total{listener=\"udp\"" not in one.scrape()
    with stopped(worker), overflowing(one.d.listeners[0], 8):
        one.d.wait_for(lambda: one.sample(series) >= 5, "drops")
    assert "well" == rig.run_upperctl(one.d, "status").stdout.splitlines()[0]
    assert re.search(r"^tcp +\d+ queue: no room", rig.run_upperctl(one.d, "status").stdout, re.M)
    tcp_ask(one.d.listeners[0], b"a")
    one.wait_sample('upperd_messages_total{listener="tcp"}', 1)  # so that all attempts are counted
    dropped = one.sample(series)
    assert one.sample('upperd_ended_total{listener="tcp",reason="queue"}') == dropped
    one.d.reload()
    assert rig.run_upperctl(one.d, "upgrade").returncode == 0
    tcp_ask(one.d.listeners[0], b"a")
    one.wait_sample('upperd_messages_total{listener="tcp"}', 2)  # so that the new program has looked at the socket
    assert one.sample(series) == dropped
    worker = one.d.workers()[-1]
    process.wait_until(lambda: one.d.workers() == [worker], what="the end of the old workers")
    with stopped(worker), overflowing(one.d.listeners[0], 8):
        one.d.wait_for(lambda: one.sample(series) >= dropped + 5, "more drops")
    assert one.sample(series) < 2 * dropped + 50


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


def test_who_asks_nothing_holds_up_no_stop(scraped):
    one = scraped()
    with one.connect(), one.connect() as asked:
        asked.sendall(REQUEST)
        assert asked.recv(65536)  # and stays
        start = time.monotonic()
        one.d.stop()
        assert time.monotonic() - start < 5


def test_nothing_is_lost_over_an_upgrade(scraped):
    one = scraped()
    tcp_ask(one.d.listeners[0], b"a")
    one.d.reload()
    started = one.sample("upperd_start_time_seconds")
    with Background(one.scrape) as scrapes:
        assert rig.run_upperctl(one.d, "upgrade").returncode == 0
    assert scrapes.failures == []
    assert one.sample('upperd_messages_total{listener="tcp"}') == 1
    assert (one.sample("upperd_generation"), one.sample("upperd_start_time_seconds")) == \
        (3, started)


def test_failed_reload_is_counted(scraped):
    one = scraped()
    one.d.config.write_text("nonsense")
    rig.run_upperctl(one.d, "reload")
    one.wait_sample('upperd_reloads_total{outcome="failed"}', 1)


def test_reload_moves_it(scraped):
    one = scraped()
    old, one.place = one.place, at()
    one.d.reconfigure(metrics=one.place)
    one.d.reload()
    assert one.scrape()
    with pytest.raises(ConnectionRefusedError):
        Scraped(one.d, old).scrape()


def test_reload_switches_it_off_and_on(scraped):
    one = scraped()
    one.d.reconfigure()
    one.d.reload()
    process.wait_until(lambda: not one.exporters(), what="the end of the exporter")
    with pytest.raises(ConnectionRefusedError):
        one.scrape()
    one.d.reconfigure(metrics=one.place)
    one.d.reload()
    assert one.sample("upperd_generation") == 3


def test_address_that_is_taken_fails_the_start(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        d = start(tcp(), metrics=at(other.getsockname()[1]))
        assert d.wait() == 71
    assert "metrics" in d.records("start-failed")[0]["message"]
