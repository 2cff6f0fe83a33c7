# SPDX-License-Identifier: Apache-2.0
"""Sessions of DTLS outlive the generation that reads the socket: reload, drain, stop."""

import contextlib
import os
import signal
import threading
from urllib.request import urlopen

import pytest

import process
from dtls import Session, ask, client_socket, dtls, many_clients
from pki import Authority
from settings import free_port, is_free, udp

pytestmark = pytest.mark.usefixtures("with_tls")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki")).issue("ec")


def whose(running, since=0):
    """The process that each session was ended by."""
    return [record["pid"] for record in running.records("access", since)]


def test_a_session_goes_on_with_the_old_generation(daemon, pair):
    running = daemon(dtls(pair), drain="60s", log={"access": True})
    at, old = running.listeners[0], set(running.workers())
    with Session(at) as before:
        before.ask("one")
        running.reload()
        before.ask("two")
        with Session(at) as after:
            after.ask("three")
            before.ask("four")
            assert after.end() == 0
        running.expect("access")
        assert before.end() == 0
        running.wait_for(lambda: len(running.records("access")) == 2, "the end of both")
        newer, older = whose(running)
        assert older in old and newer not in old
        process.wait_until(lambda: not old & set(running.workers()), 10, "the end of the old")


def test_a_session_outlives_several_reloads(daemon, pair):
    running = daemon(dtls(pair), udp(), drain="60s")
    at = running.listeners[0]
    with contextlib.ExitStack() as all_of_them:
        sessions = []
        for number in range(4):
            sessions.append(all_of_them.enter_context(Session(at)))
            for session in sessions:
                session.ask(f"at {number}")
            running.reload()
        for session in sessions:
            session.ask("and still")


def test_at_the_end_of_drain_the_peer_is_told(daemon, pair):
    running = daemon(dtls(pair), drain="2s", log={"access": True})
    with Session(running.listeners[0]) as session:
        session.ask("one")
        running.reload()
        session.ask("two")
        assert session.wait_for_end() == 0
    assert running.expect("access")["reason"] == "drain"


def test_a_stop_waits_for_sessions(daemon, pair):
    running = daemon(dtls(pair), drain="60s", log={"access": True})
    with Session(running.listeners[0]) as session:
        session.ask("one")
        running.asked_to_stop = True
        running.signal(signal.SIGTERM)
        running.expect("stopping")
        session.ask("two")
        assert session.end() == 0
        assert running.wait(20) == 0
    assert running.records("access")[0]["reason"] == "done"


def test_a_listener_that_moves_to_another_place_keeps_its_sessions(daemon, pair):
    """Its number in the configuration is another, and so is the worker that reads its socket."""
    at = dtls(pair)
    running = daemon(at, drain="60s")
    with Session(at) as session:
        session.ask("one")
        running.reconfigure(udp(), at, drain="60s", workers=3)
        running.reload()
        session.ask("two")
        many_clients(at, 3, 10)


def test_a_listener_that_is_taken_out_and_put_back_keeps_its_sessions(daemon, pair):
    """Whoever has sessions still reads its socket, and a second one of that address would be refused."""
    at, other = dtls(pair), udp()
    running = daemon(at, other, drain="60s")
    with Session(at) as session:
        session.ask("one")
        running.reconfigure(other, drain="60s")
        running.reload()
        session.ask("two")
        running.reconfigure(other, at, drain="60s")
        running.reload()
        session.ask("three")
        many_clients(at, 20, 10)


def test_a_listener_that_is_taken_out_is_there_for_its_sessions_only(daemon, pair):
    at, other = dtls(pair), udp()
    running = daemon(at, other, drain="60s")
    with Session(at) as session:
        session.ask("one")
        running.reconfigure(other, drain="60s")
        running.reload()
        session.ask("two")
        assert not is_free(at["port"])
        assert session.end() == 0
    process.wait_until(lambda: is_free(at["port"]), 20, "the end of its socket")


def test_where_udp_is_spoken_now_sessions_end_and_no_question_is_lost(daemon, pair):
    at = dtls(pair)
    running = daemon(at, drain="60s", log={"access": True})
    with Session(at) as session:
        session.ask("one")
        running.reconfigure(udp(address=at["address"], port=at["port"]), drain="60s")
        running.reload()
        assert session.wait_for_end() == 0
    assert running.expect("access")["reason"] == "drain"
    for number in range(40):  # by whichever worker
        with client_socket(at) as s:
            assert ask(s, b"question %d" % number, 20) == b"QUESTION %d" % number


def test_a_worker_that_is_replaced_knows_the_old_generation(daemon, pair):
    running = daemon(dtls(pair), drain="60s", workers=1)
    at, old = running.listeners[0], running.workers()
    with Session(at) as session:
        session.ask("one")
        running.reload()
        session.ask("two")
        newer = [pid for pid in running.workers() if pid not in old]
        mark = running.mark()
        os.kill(newer[0], signal.SIGKILL)
        running.killed += 1
        session.ask("three")
        running.expect("child-started", mark)
        many_clients(at, 1, 10)
        session.ask("four")


def test_who_replaces_no_worker_is_no_reader_of_the_socket(daemon, pair, as_root):
    """An exporter or a keeper that dies makes nobody meet whom it knows already."""
    metrics = {"address": "127.0.0.1", "port": free_port()}
    running = daemon(dtls(pair), drain="60s", workers=1, metrics=metrics)
    before = running.workers()
    with Session(running.listeners[0]) as session:
        session.ask("one")
        running.reload()
        session.ask("two")
        older, = before
        held = process.descriptors_of(older)
        process.wait_until(lambda: len(running.children("exporter")) == 1)
        os.kill(running.children("exporter")[0], signal.SIGKILL)
        running.killed += 1
        with urlopen(f"http://127.0.0.1:{metrics['port']}/metrics") as page:
            assert page.status == 200  # by the next one, which serves
        session.ask("three")
        assert process.descriptors_of(older) == held


@pytest.mark.long
def test_handshakes_cross_reloads(daemon, pair):
    """Each client is answered its own text, whichever generations it began, went on and ended with."""
    running = daemon(dtls(pair), drain="60s")
    at, failures = running.listeners[0], []

    def ask_all():
        try:
            many_clients(at, 300, 10, 2000)
        except AssertionError as failure:
            failures.append(failure)

    asking = threading.Thread(target=ask_all)
    asking.start()
    reloads = 0
    while asking.is_alive():
        running.reload()
        reloads += 1
    asking.join()
    assert not failures
    assert reloads >= 1
