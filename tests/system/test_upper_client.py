# SPDX-License-Identifier: Apache-2.0
"""upper against servers of other makes: what it prints, what it says, and how it ends."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import threading
import time

import pytest

import peers
from client import (FINE, LOCAL, LOST, NO_NAME, UNREACHABLE, UPPER, USAGE, both, peer,  # noqa: F401
                    upper, upper_knowing)
from settings import free_port


# One-shot.

@both
def test_oneshot(peer, make):
    result = upper(peer(make).url, "straße", "is", "long")
    assert (result.returncode, result.stdout, result.stderr) == (FINE, b"STRASSE IS LONG\n", b"")


@both
def test_oneshot_sends_what_was_typed_and_no_more(peer, make):
    server = peer(make)
    upper(server.url, "a b", "c")
    assert server.seen == [b"a b c"]


@both
def test_oneshot_adds_no_second_line_end(peer, make):
    assert upper(peer(make).url, "a\n").stdout == b"A\n"


@both
def test_oneshot_json(peer, make):
    server = peer(make)
    result = json.loads(upper("--json", server.url, 'say "ß"').stdout)
    phases = result.pop("phases")
    assert result.pop("ms") == pytest.approx(sum(phases.values()), abs=0.01)
    assert phases["first"] > 0 and phases["tls"] == 0
    assert result == {"server": server.url, "address": f"127.0.0.1:{server.port}",
                      "reply": 'SAY "SS"', "correct": True, "tries": 1}


def test_json_tells_a_wrong_reply(peer):
    server = peer(peers.udp, lambda number, data: [data])
    result = upper("--json", server.url, "abc")
    assert json.loads(result.stdout)["correct"] is False
    assert result.returncode == 1


def test_wrong_reply_is_shown_and_told(peer):
    result = upper(peer(peers.udp, lambda number, data: [data]).url, "abc")
    assert (result.stdout, result.returncode) == (b"abc\n", 1)
    assert b"not the text in upper case" in result.stderr


def test_acknowledgement_is_no_wrong_reply(peer):
    result = upper(peer(peers.udp, lambda number, data: [b"Message received."]).url, "abc")
    assert (result.stdout, result.returncode) == (b"Message received.\n", 0)


@both
def test_server_from_the_environment(peer, make):
    result = upper("plain", "words", env={"UPPER_SERVER": peer(make).url})
    assert result.stdout == b"PLAIN WORDS\n"


@pytest.mark.parametrize("args, text", [
    (["--", "ping", "x"], b"PING X"),
    (["--", "udp://x"], b"UDP://X"),
    (["--", "--json"], b"--JSON"),
    (["q"], b"Q"),
    (["a", "--json"], b"A --JSON"),
])
def test_text_is_text(peer, args, text):
    result = upper(*args, env={"UPPER_SERVER": peer(peers.textbook_udp).url})
    assert result.stdout == text + b"\n"


def test_options_may_follow_the_url(peer):
    assert json.loads(upper(peer(peers.textbook_udp).url, "--json", "--", "-x").stdout)["reply"] == "-X"


def test_oneshot_over_a_unix_socket(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        client = subprocess.Popen([UPPER, f"unix:{path}", "abc"], stdout=subprocess.PIPE)
        with listener.accept()[0] as connection:
            assert connection.recv(100) == b"abc"
            assert connection.recv(100) == b"", "our side has not ended"
            connection.sendall(b"ABC")
        assert client.communicate(timeout=30)[0] == b"ABC\n"


def test_large_oneshot_does_not_stall(peer):
    words = ["x" * 100_000] * 15  # more than sockets hold, both ways
    result = upper(peer(peers.streaming_tcp).url, *words)
    assert result.stdout == " ".join(words).upper().encode() + b"\n"


# Failures: each has its code and says what was tried.

@pytest.mark.parametrize("args, code, words", [
    (["nosuch.scheme://x", "a"], USAGE, "udp://, tcp://, tls://, dtls:// and unix:"),
    (["udp://localhost", "x" * 65508], USAGE, "longer than a datagram can be: 65507 bytes"),
    (["tcp://localhost:0", "a"], USAGE, "from 1 to 65535"),
    (["tcp://::1", "a"], USAGE, "brackets"),
    (["udp://localhost", ""], USAGE, "empty"),
    (["--no-such"], USAGE, "--no-such"),
    (["--timeout", "soon"], USAGE, "250ms"),
    (["--retries", "99"], USAGE, "out of range"),
    (["--retries"], USAGE, "wants a value"),
    (["tcp://no-such-name.invalid", "a"], NO_NAME, "no-such-name.invalid"),
    (["unix:/no/such/socket", "a"], UNREACHABLE, "no such socket"),
])
def test_failure(args, code, words):
    result = upper(*args)
    assert (result.returncode, result.stdout) == (code, b"")
    assert words in result.stderr.decode()


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_refused(scheme):
    url = f"{scheme}://127.0.0.1:{free_port()}"
    result = upper(url, "a")
    assert result.returncode == UNREACHABLE
    assert result.stderr.decode().startswith(f"upper: {url}: connection refused (127.0.0.1)")


def test_failure_as_json():
    url = f"tcp://127.0.0.1:{free_port()}"
    result = upper("--json", url, "a")
    answer = json.loads(result.stdout)
    assert (answer["server"], answer["exit"], result.stderr) == (url, UNREACHABLE, b"")
    assert "refused" in answer["error"]


@pytest.mark.parametrize("args", [["--json", "--timeout", "soon"], ["--no-such", "--json"]])
def test_mistake_as_json(args):
    result = upper(*args)
    assert (result.returncode, result.stderr) == (USAGE, b"")
    assert json.loads(result.stdout).keys() == {"error", "exit"}


@pytest.mark.parametrize("url, code", [("tcp://no-such-name.invalid", NO_NAME), ("no-url", USAGE),
                                       ("unix:/no/such/socket", UNREACHABLE)])
def test_failure_of_a_filter_as_json(url, code):
    """Its standard output is for answers alone."""
    result = upper("--json", env={"UPPER_SERVER": url})
    answer = json.loads(result.stderr)
    assert (result.returncode, answer["exit"], result.stdout) == (code, code, b"")
    assert answer["error"]


def test_full_disk_of_a_filter_as_json(peer):
    with open("/dev/full", "wb") as full:
        result = subprocess.run([UPPER, "--json", peer(peers.textbook_udp).url], input=b"a",
                                stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (result.returncode, json.loads(result.stderr)["exit"]) == (LOCAL, LOCAL)


def test_no_answer_in_time(peer):
    begun = time.monotonic()
    result = upper("--timeout", "300ms", peer(peers.silent_tcp).url, "a")
    assert (result.returncode, result.stdout) == (LOST, b"")
    assert 0.3 <= time.monotonic() - begun < 5


def test_reset(peer):
    result = upper(peer(peers.resetting_tcp).url, "abc")
    assert result.returncode == LOST
    assert b"reset" in result.stderr or b"closed" in result.stderr


def test_help_and_version():
    assert b"--timeout" in upper("--help").stdout
    assert b"--interval" in upper("ping", "--help").stdout
    assert b"Unicode 15.0.0" in upper("--version").stdout
    assert json.loads(upper("--version", "--json").stdout)["unicode"] == "15.0.0"


def test_full_disk_is_local():
    server = peers.textbook_udp()
    with open("/dev/full", "wb") as full:
        code = subprocess.run([UPPER, server.url, "a"], stdout=full, stderr=subprocess.PIPE).returncode
    server.close()
    assert code == LOCAL


@both
@pytest.mark.parametrize("text", [["abc"], []], ids=["oneshot", "filter"])
def test_closed_output_is_no_socket(peer, make, text):
    """Whoever closes descriptor 1 must not have the answer sent to the server instead."""
    server = peer(make)
    result = subprocess.run(["sh", "-c", '"$@" >&-', "sh", UPPER, server.url, *text], input=b"abc",
                            stderr=subprocess.PIPE, timeout=60)
    assert (result.returncode, server.seen) == (LOCAL, [b"abc"])
    assert result.stderr == b"upper: the output cannot be written: Bad file descriptor\n"


@both
def test_closed_input_is_no_socket(peer, make):
    server = peer(make)
    result = subprocess.run(["sh", "-c", '"$@" <&-', "sh", UPPER, server.url], capture_output=True,
                            timeout=60)
    assert (result.returncode, result.stdout) == (LOCAL, b"")
    assert result.stderr == b"upper: the input cannot be read: Bad file descriptor\n"


# Datagrams get lost, doubled and late.

def test_lost_question_is_sent_again(peer):
    server = peer(peers.udp, lambda number, data: [peers.upper(data)] if number else [])
    result = json.loads(upper("--json", "--timeout", "7s", server.url, "abc").stdout)
    assert (result["reply"], result["tries"]) == ("ABC", 2)


def test_tries_end(peer):
    server = peer(peers.silent_udp)
    result = upper("--timeout", "700ms", "--retries", "2", server.url, "abc")
    assert (result.returncode, server.seen) == (LOST, [b"abc"] * 3)
    assert b"3 tries" in result.stderr


def test_doubled_answer_is_not_the_next_one(peer):
    server = peer(peers.udp, lambda number, data: [peers.upper(data)] * 2)
    lines = b"".join(b"%0999d\n" % n for n in range(100)).replace(b"0", b"x")
    assert upper(server.url, stdin=lines).stdout == lines.upper()


def test_late_answer_is_not_the_next_one(peer):
    """The first try of the first question is answered only when the second question is there."""
    senders = []

    def serve(server):
        data, sender = server.listener.recvfrom(2048)
        senders.append(sender)
        if len(senders) == 3:
            server.listener.sendto(b"late\n", senders[0])
        if len(senders) > 1 and sender:
            server.listener.sendto(b"re " + data, sender)

    server = peer(peers.Peer, "udp", peers.bind(socket.SOCK_DGRAM), serve)
    lines = b"a" * 999 + b"\n", b"b" * 999 + b"\n"
    result = upper("--timeout", "7s", server.url, stdin=b"".join(lines))
    assert result.stdout == b"".join(b"re " + line for line in lines)


# The filter.

def test_filter_cuts_no_line_and_no_character(peer):
    server = peer(peers.textbook_udp)
    text = ("a line\n" * 500 + "ß€🙂" * 2000 + "\nlast, without an end").encode()
    result = upper(server.url, stdin=text)
    assert (result.returncode, result.stdout) == (FINE, peers.upper(text))
    assert max(map(len, server.seen)) <= 1400
    assert all(piece.decode() for piece in server.seen)


def test_filter_answers_lines_as_they_come(peer):
    client = subprocess.Popen([UPPER, peer(peers.textbook_udp).url], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    for word in (b"one\n", b"two\n"):
        client.stdin.write(word)
        client.stdin.flush()
        assert client.stdout.readline() == word.upper()
    client.communicate(timeout=30)
    assert client.returncode == FINE


@both
def test_empty_input_is_fine(make, peer):
    result = upper(peer(make).url)
    assert (result.returncode, result.stdout) == (FINE, b"")


@both
def test_pipes_that_do_not_wait(peer, make):
    """As they are when another program that shares them has made them so."""
    ours, theirs = os.pipe(), os.pipe()
    for end in (ours[0], theirs[1]):
        os.set_blocking(end, False)
    with subprocess.Popen([UPPER, peer(make).url], stdin=ours[0], stdout=theirs[1],
                          stderr=subprocess.PIPE) as client:
        os.close(ours[0])
        os.close(theirs[1])
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(0.3)
        os.write(ours[1], b"hello\n")
        os.close(ours[1])
        with open(theirs[0], "rb") as answers:
            assert (answers.read(), client.stderr.read(), client.wait(30)) == (b"HELLO\n", b"", FINE)


def test_textbook_server_answers_a_pipe(peer):
    result = upper(peer(peers.textbook_tcp).url, stdin=b"hello\n")
    assert (result.returncode, result.stdout) == (FINE, b"HELLO\n")


def test_filter_is_byte_exact(peer):
    data = bytes(range(256)) * 40_000
    result = upper(peer(peers.streaming_tcp).url, stdin=data)
    assert result.returncode == FINE
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data.upper()).digest()


def test_filter_waits_for_a_slow_reader(peer):
    """The server and both pipes are full before anything is read; then all of it arrives."""
    data = b"abc\n" * 4_000_000
    client = subprocess.Popen([UPPER, "--timeout", "500ms", peer(peers.streaming_tcp).url],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    feeder = threading.Thread(target=lambda: (client.stdin.write(data), client.stdin.close()))
    feeder.start()
    with pytest.raises(subprocess.TimeoutExpired):
        client.wait(1.5)
    assert client.stdout.read() == data.upper()
    feeder.join()
    assert client.wait(30) == FINE


def test_filter_adds_up_as_json(peer):
    result = upper("--json", peer(peers.textbook_udp).url, stdin=b"abc\n")
    totals = json.loads(result.stderr)
    assert (result.stdout, totals["sent"], totals["received"]) == (b"ABC\n", 4, 4)


def test_filter_says_when_the_server_closes_early(peer):
    """The input is more than sockets hold, so that it cannot have left before the server ends."""
    result = upper(peer(peers.closing_tcp, 10).url, stdin=b"x" * 50_000_000)
    assert result.returncode == LOST
    assert b"closed" in result.stderr or b"reset" in result.stderr


def test_filter_says_when_nothing_is_answered(peer):
    result = upper(peer(peers.closing_tcp, 10).url, stdin=b"x" * 10)
    assert (result.returncode, result.stdout) == (LOST, b"")
    assert b"unanswered" in result.stderr


def test_filter_is_quiet_when_nobody_reads(peer):
    client = subprocess.Popen([UPPER, peer(peers.streaming_tcp).url], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    client.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write(b"x" * 1_000_000)
        client.stdin.close()
    assert client.stderr.read() == b""
    assert client.wait(30) == LOCAL


# Names with several addresses.

@both
def test_refusing_address_is_passed_over(peer, make, tmp_path):
    url = f"{peer(make).url}".replace("127.0.0.1", "two.test")
    result = upper_knowing("::1 two.test\n127.0.0.1 two.test\n", tmp_path, url, "a")
    assert (result.returncode, result.stdout) == (FINE, b"A\n")


def test_all_addresses_tried_are_named(tmp_path):
    url = f"tcp://two.test:{free_port()}"
    result = upper_knowing("::1 two.test\n127.0.0.1 two.test\n", tmp_path, url, "a")
    assert result.returncode == UNREACHABLE
    assert b"connection refused ([::1] and 127.0.0.1)" in result.stderr


def test_silent_address_does_not_hold_up_the_next(peer, tmp_path):
    """A full backlog drops connections without a word, as a firewall does."""
    server = peer(peers.textbook_tcp)
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(peers.bind(socket.SOCK_STREAM, "::1", server.port))
        full.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(socket.AF_INET6))
            filler.setblocking(False)
            filler.connect_ex(("::1", server.port))
        url = server.url.replace("127.0.0.1", "two.test")
        begun = time.monotonic()
        result = upper_knowing("::1 two.test\n127.0.0.1 two.test\n", tmp_path, url, "a")
        assert (result.returncode, result.stdout) == (FINE, b"A\n")
        assert 0.25 <= time.monotonic() - begun < 5, "it waited for the first one to the end"


@both
def test_host_beyond_ascii(peer, make, tmp_path):
    """bücher.example is in DNS, and in certificates, as xn--bcher-kva.example; case does not count."""
    for name in ("bücher.example", "BÜCHER.example", "bu\u0308cher.example"):
        url = peer(make).url.replace("127.0.0.1", name)
        result = upper_knowing("127.0.0.1 xn--bcher-kva.example\n", tmp_path, url, "a")
        if b"no IDN" in result.stderr:
            pytest.skip("this build has no libidn2")
        assert (result.returncode, result.stdout) == (FINE, b"A\n"), result.stderr


def test_host_that_is_no_name():
    result = upper("udp://\u2603\u00ad..example:1", "a")
    assert result.returncode == USAGE
