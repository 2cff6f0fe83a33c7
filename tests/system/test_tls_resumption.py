# SPDX-License-Identifier: Apache-2.0
"""Sessions that are resumed: by any worker, over reloads, and by others of a fleet."""

import itertools
import os
import ssl
import time

import pytest

from secure import connect_tls, context_for, s_client, tls
from wire import read_exactly

pytestmark = pytest.mark.usefixtures("with_tls")

both_versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


def visit(at, context, session=None):
    """(the session to come back with, whether it was resumed)"""
    with connect_tls(at, context, session=session) as s:
        s.sendall(b"a")
        read_exactly(s, 1)
        return s.session, s.session_reused


def visits(at, context, session, n):
    return [visit(at, context, session)[1] for _ in range(n)]


@both_versions
def test_a_session_is_resumed_by_every_worker(daemon, authority, pair, version):
    at = daemon(tls(pair), workers=3).listeners[0]
    context = context_for(authority, version)
    session, resumed = visit(at, context)
    assert not resumed
    assert all(visits(at, context, session, 12))


@both_versions
def test_a_session_outlives_a_reload_and_a_crash(daemon, authority, pair, version):
    running = daemon(tls(pair))
    at, context = running.listeners[0], context_for(authority, version)
    session, _ = visit(at, context)
    running.reload()
    assert all(visits(at, context, session, 4))
    for worker in running.workers():
        running.killed += 1
        since = running.mark()
        os.kill(worker, 9)
        running.expect("child-started", since)
    assert any(visits(at, context, session, 4))


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client_resumes(daemon, pair, tmp_path, version):
    at = daemon(tls(pair)).listeners[0]
    assert "\nNew, TLS" in s_client(at, version, "-sess_out", tmp_path / "session")
    assert "\nReused, TLS" in s_client(at, version, "-sess_in", tmp_path / "session")


def ticket_file(path, *keys):
    path.write_bytes(b"".join(keys))
    path.chmod(0o600)
    return {"ticket_keys": str(path)}


@both_versions
def test_a_fleet_resumes_each_others_sessions(daemon, authority, pair, tmp_path, version):
    shared = ticket_file(tmp_path / "keys", os.urandom(80))
    one, two = (daemon(tls(pair, more=shared)).listeners[0] for _ in range(2))
    context = context_for(authority, version)
    session, _ = visit(one, context)
    assert all(visits(two, context, session, 4))


def test_without_a_file_daemons_do_not_share(daemon, authority, pair):
    one, two = (daemon(tls(pair)).listeners[0] for _ in range(2))
    context = context_for(authority)
    session, _ = visit(one, context)
    assert not any(visits(two, context, session, 4))


def test_three_keys_are_honoured_and_the_first_one_seals(daemon, authority, pair, tmp_path):
    a, b, c, d = (os.urandom(80) for _ in range(4))
    context = context_for(authority)
    old = daemon(tls(pair, more=ticket_file(tmp_path / "old", a))).listeners[0]
    new = daemon(tls(pair, more=ticket_file(tmp_path / "new", c, b, a))).listeners[0]
    later = daemon(tls(pair, more=ticket_file(tmp_path / "later", d, c, b))).listeners[0]
    session, _ = visit(old, context)
    assert visit(new, context, session)[1]
    assert not visit(later, context, session)[1]
    assert visit(later, context, visit(new, context)[0])[1]


def test_without_tickets_nothing_is_resumed(daemon, authority, pair):
    at = daemon(tls(pair, more={"tickets": False})).listeners[0]
    context = context_for(authority)
    session, _ = visit(at, context)
    assert not any(visits(at, context, session, 4))


def test_one_ticket_a_handshake(daemon, pair):
    said = s_client(daemon(tls(pair)).listeners[0], "-tls1_3")
    assert said.count("Post-Handshake New Session Ticket arrived") == 1


def test_one_ticket_on_each_resumption(daemon, pair, tmp_path):
    """So that a client which uses each of them once goes on and on."""
    at = daemon(tls(pair)).listeners[0]
    files = [tmp_path / f"session-{n}" for n in range(6)]
    s_client(at, "-tls1_3", "-sess_out", files[0])
    for last, new in itertools.pairwise(files):
        said = s_client(at, "-tls1_3", "-sess_in", last, "-sess_out", new)
        assert "\nReused, TLS" in said
        assert said.count("Post-Handshake New Session Ticket arrived") == 1
        assert last.read_bytes() != new.read_bytes()


@pytest.mark.long
def test_a_session_ends_however_often_it_is_resumed(daemon, authority, pair):
    """Its lifetime counts from the full handshake, which is where clients are looked at."""
    at = daemon(tls(pair, more={"ticket_lifetime": "1m"})).listeners[0]
    context = context_for(authority, ssl.TLSVersion.TLSv1_3)
    began = time.monotonic()
    session, resumed = visit(at, context)
    for _ in range(14):
        time.sleep(4)  # it is time itself that is tested
        session, resumed = visit(at, context, session)
        assert resumed
    time.sleep(max(0, began + 61 - time.monotonic()))
    session, resumed = visit(at, context, session)
    assert not resumed
    assert visit(at, context, session)[1]


def test_who_lets_anybody_in_makes_no_sessions_for_who_does_not(daemon, authority, pair, tmp_path):
    """A session stands for what was asked of the client when it was made."""
    shared = ticket_file(tmp_path / "keys", os.urandom(80))
    strict = {**shared, "client_auth": "required", "client_ca": str(authority.file)}
    lax, firm = (daemon(tls(pair, more=more)).listeners[0] for more in (shared, strict))
    context = context_for(authority)
    session, _ = visit(lax, context)
    with pytest.raises(OSError):
        visit(firm, context, session)
