# SPDX-License-Identifier: Apache-2.0
"""upper over DTLS when datagrams are lost, doubled and late: that only costs time, until it costs
too much of it; and then it is said what was lost."""

import json
import re
import shutil
import subprocess

import pytest

import forge
import peers
import process
from client import FINE, LOST, UPPER, peer, upper  # noqa: F401
from dtls import dtls
from lossy import ALERT, HANDSHAKE, LOSE, PASS, Weather, is_message, records_of
from pki import Authority
from settings import free_port

pytestmark = pytest.mark.usefixtures("with_tls")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def at(daemon, authority):
    """Where a server is. It does not wait long for who has gone, and whose word of that was lost."""
    return daemon(dtls(authority.issue("ec")), drain="1s").listeners[0]


@pytest.fixture
def ask(authority):
    """What upper says; the relay's address comes first."""
    def ask_relay(relay, *args, form=(), **more):
        return upper(*form, "--cafile", authority.file, f"dtls://localhost:{relay.at['port']}", *args,
                     **more)
    return ask_relay


def json_of(said):
    return json.loads(said.stdout.splitlines()[-1])


def nothing_lost(datagram, is_question):
    return PASS


def lose_first(n, kind, is_question):
    """Loses the first so many datagrams of that kind and way."""
    left = [n]

    def fate(datagram, way):
        if way != is_question or not kind(datagram) or not left[0]:
            return PASS
        left[0] -= 1
        return LOSE
    return fate


def lose_all(kind, is_question):
    return lose_first(-1, kind, is_question)


def is_key_exchange(datagram):
    """Once in each session, unless it was lost."""
    return records_of(datagram)[0] == (HANDSHAKE, 0) and datagram[13] == 16


def anything(datagram):
    return True


# One thing at a time


@pytest.mark.parametrize("is_question", [True, False], ids=["question", "answer"])
@pytest.mark.parametrize("n", range(4))
def test_a_lost_part_of_a_handshake_only_costs_time(road, at, ask, n, is_question):
    """Each datagram of a handshake in turn."""
    seen = []

    def fate(datagram, way):
        seen.append(way)
        return LOSE if way == is_question and seen.count(way) == n + 1 else PASS

    said = ask(road(at, fate), "--timeout", "20s", "a")
    assert (said.returncode, said.stdout) == (FINE, b"A\n")


@pytest.mark.parametrize("is_question", [True, False], ids=["question", "answer"])
def test_a_lost_message_is_sent_again(road, at, ask, is_question):
    relay = road(at, lose_first(1, is_message, is_question))
    said = json_of(ask(relay, "--json", "--timeout", "7s", "a"))
    assert said["reply"] == "A"
    assert said["tries"] > 1


def test_a_handshake_that_nobody_answers_says_how_often_it_asked(road, at, ask):
    relay = road(at, lose_all(anything, True))
    said = ask(relay, "--timeout", "2100ms", "a")
    tries = int(re.search(r"no answer to (\d+) tries of the handshake", said.stderr.decode())[1])
    assert said.returncode == LOST
    relay.wait_for(lambda: len(relay.seen) >= tries)
    assert len(relay.seen) == tries


def test_a_handshake_that_stops_is_told_from_one_that_nobody_answers(road, at, ask):
    answers = []

    def fate(datagram, is_question):
        if not is_question:
            answers.append(datagram)
        return PASS if len(answers) < 2 else LOSE

    said = ask(road(at, fate), "--timeout", "2100ms", "a")
    assert said.returncode == LOST
    assert "the handshake came to a halt after" in said.stderr.decode()


def test_a_message_without_an_answer_says_so(road, at, ask):
    relay = road(at, lose_all(is_message, False))
    said = ask(relay, "--timeout", "3s", "--retries", "1", "a")
    assert said.returncode == LOST
    assert "no answer to 2 tries; the datagram or its answer was lost" in said.stderr.decode()
    relay.wait_for(lambda: relay.count(is_message, is_question=True) == 2)


def test_a_filter_says_as_json_what_was_lost(road, at, ask):
    relay = road(at, lose_all(is_message, True))
    said = ask(relay, "--timeout", "3s", "--json", stdin=b"one\n")
    totals = json.loads(said.stderr)
    assert (said.returncode, said.stdout, totals["received"]) == (LOST, b"", 0)
    assert "the datagram or its answer was lost" in totals["error"]


@pytest.mark.parametrize("later", [1, 2])
def test_a_late_answer_is_not_the_next_one(road, at, ask, later):
    """The answer to the first try of the first question comes before that to the second question, or to
    the third."""
    kept, asked = [], []

    def fate(datagram, is_question):
        if not is_message(datagram):
            return PASS
        if is_question:
            asked.append(datagram)
        elif len(asked) == 1:
            kept.append(datagram)
            return LOSE
        elif len(asked) >= 2 + later and kept:
            return [(0, kept.pop()), (0, None)]
        return PASS

    lines = [letter * 999 + b"\n" for letter in (b"a", b"b", b"c", b"d")]
    said = ask(road(at, fate), "--timeout", "7s", stdin=b"".join(lines))
    assert (said.returncode, said.stdout) == (FINE, b"".join(lines).upper())
    assert len(asked) > 4 and not kept


def test_doubled_datagrams_change_nothing(road, at, ask):
    text = b"".join(b"line %d\n" % n for n in range(2000))
    said = ask(road(at, lambda datagram, is_question: PASS + PASS), stdin=text)
    assert (said.returncode, said.stdout) == (FINE, text.upper())


def test_garbled_datagrams_change_nothing(road, at, ask):
    """A copy with one bit changed goes ahead of each."""
    def fate(datagram, is_question):
        garbled = bytearray(datagram)
        garbled[-1] ^= 1
        return [(0, bytes(garbled)), (0, None)] if is_message(datagram) else PASS

    text = b"".join(b"line %d\n" % n for n in range(2000))
    said = ask(road(at, fate), stdin=text)
    assert (said.returncode, said.stdout) == (FINE, text.upper())


@pytest.mark.parametrize("junk", [b"", b"\x16", b"\x17" * 13, b"no record at all" * 9],
                         ids=["empty", "short", "cut", "text"])
def test_what_is_no_record_of_ours_changes_nothing(road, at, ask, junk):
    """It goes ahead of each datagram, both ways, in the handshake too."""
    text = b"".join(b"line %d\n" % n for n in range(500))
    said = ask(road(at, lambda datagram, is_question: [(0, junk), (0, None)]), stdin=text)
    assert (said.returncode, said.stdout) == (FINE, text.upper()), said.stderr


def test_an_end_that_the_server_did_not_say_is_not_believed(road, at, ask):
    """A close_notify that anybody could have written goes ahead of each message."""
    end = bytes.fromhex("15fefd00000000000000aa00020100")
    text = b"".join(b"line %d\n" % n for n in range(500))
    relay = road(at, lambda datagram, _: [(0, end), (0, None)] if is_message(datagram) else PASS)
    said = ask(relay, stdin=text)
    assert (said.returncode, said.stdout) == (FINE, text.upper()), said.stderr
    assert relay.count(is_key_exchange, is_question=True) == 1, "it took another session"


def test_the_server_is_told_at_the_end(road, at, ask):
    relay = road(at, nothing_lost)
    ask(relay, "a")
    relay.wait_for(lambda: (ALERT, 1) in records_of(relay.seen[-1][0]), "close_notify")


# A session that the server no longer has


class Filter:
    """upper as a filter, a line at a time."""

    def __init__(self, authority, at, *args):
        self.process = subprocess.Popen(
            [UPPER, "--cafile", str(authority.file), *args, f"dtls://localhost:{at['port']}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def ask(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.process.stdout.readline()


def test_a_server_that_has_forgotten_us_is_asked_over_a_new_session(peer, authority):  # noqa: F811
    pair, port = authority.issue("ec"), free_port()
    first = peer(peers.Dtls, pair, port=port)
    with Filter(authority, first.at, "--timeout", "7s") as client:
        assert client.ask(b"one\n") == b"ONE\n"
        first.close()
        peer(peers.Dtls, pair, port=port)
        assert client.ask(b"two\n") == b"TWO\n"


def test_a_session_that_the_server_ended_is_followed_by_another(daemon, road, authority):
    d = daemon(dtls(authority.issue("ec"), idle_timeout="1s"))
    relay = road(d.listeners[0], nothing_lost)
    with Filter(authority, relay.at) as client:
        assert client.ask(b"one\n") == b"ONE\n"
        relay.wait_for(lambda: relay.count(lambda datagram: (ALERT, 1) in records_of(datagram), False),
                       "close_notify")
        assert client.ask(b"two\n") == b"TWO\n"


def test_a_filter_goes_on_over_a_reload(daemon, road, authority):
    """The old generation has a second for its sessions; the next question finds the new one."""
    d = daemon(dtls(authority.issue("ec")), drain="1s")
    with Filter(authority, road(d.listeners[0], nothing_lost).at) as client:
        assert client.ask(b"one\n") == b"ONE\n"
        old = d.workers()
        d.reload()
        assert client.ask(b"two\n") == b"TWO\n"
        process.wait_until(lambda: not set(old) & set(d.workers()), 20, "the end of the old workers")
        assert client.ask(b"three\n") == b"THREE\n"


# Bad weather


def many_lines():
    return b"".join(b"line number %d of this text\n" % n for n in range(4000))


# Eight tries of nearly everything, so that chance alone fails no test.
PATIENT = ["--timeout", "120s", "--retries", "7"]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_a_filter_is_exact_in_bad_weather(road, at, ask, seed):
    text = many_lines()
    relay = road(at, Weather(seed))
    said = ask(relay, *PATIENT, stdin=text, timeout=400)
    assert (said.returncode, said.stdout == text.upper()) == (FINE, True), said.stderr


@pytest.mark.long
def test_handshakes_in_bad_weather_only_cost_time(road, at, authority):
    """Many at once, so that the time passes for all of them."""
    relay = road(at, Weather(7))
    clients = [subprocess.Popen([UPPER, *PATIENT, "--cafile", str(authority.file),
                                 f"dtls://localhost:{relay.at['port']}", f"text {n}"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for n in range(20)]
    said = [client.communicate(timeout=400) for client in clients]
    assert said == [(b"TEXT %d\n" % n, b"") for n in range(20)]


@pytest.mark.long
@pytest.mark.parametrize("form, right", [
    (["check", *PATIENT], lambda said: said["status"] == "OK"),
    (["ping", "-t", "3s", "-q", "-c", "8", "-i", "10ms"],
     lambda said: said["answered"] > 0 and not said["wrong"]),
    (["bench", "-t", "60s", "-d", "2s", "-c", "1", "-p", "8"],
     lambda said: said["right"] > 0 and not said["wrong"]),
], ids=["check", "ping", "bench"])
def test_every_form_bears_bad_weather(road, at, ask, form, right):
    said = ask(road(at, Weather(5)), "--json", form=form, timeout=400)
    assert right(json_of(said)), said


@pytest.fixture
def rough(start, authority, as_root):
    """A daemon in a network of its own whose loopback loses, doubles and reorders."""
    if not shutil.which("ip") or not shutil.which("tc"):
        pytest.skip("iproute2 is not installed")
    d = start(dtls(authority.issue("ec")), before=forge.new_network, drain="1s")
    d.expect("ready")  # the abstract address of the manager is not in that network
    bad = ["loss", "10%", "duplicate", "10%", "delay", "2ms", "reorder", "75%"]
    made = subprocess.run(["nsenter", "-t", str(d.pid), "-n", "tc", "qdisc", "add", "dev", "lo",
                           "root", "netem", *bad], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"this kernel has no netem: {made.stderr.strip()}")
    return d


def test_a_filter_is_exact_over_netem(rough, authority):
    text = many_lines()
    said = subprocess.run(
        ["nsenter", "-t", str(rough.pid), "-n", UPPER, *PATIENT, "--cafile", str(authority.file),
         f"dtls://localhost:{rough.listeners[0]['port']}"],
        input=text, capture_output=True, timeout=400)
    assert (said.returncode, said.stdout == text.upper()) == (FINE, True), said.stderr
