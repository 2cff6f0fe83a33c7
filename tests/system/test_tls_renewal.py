# SPDX-License-Identifier: Apache-2.0
"""Certificates that are replaced while upperd serves: taken up without a signal, or kept out."""

import contextlib
import json
import os
import shutil
import signal
import ssl
import threading
import time

import pytest

import process
from pki import Pair, openssl
from rig import run_upperctl
from secure import ask_tls, connect_tls, context_for, tls
from settings import udp
from test_control import Question
from test_lifecycle import kill_worker, wait_workers
from wire import udp_ask

pytestmark = pytest.mark.usefixtures("with_tls")

# Each takes half a second to settle, so the usual run has fewer.
REPLACEMENTS = int(os.environ.get("REPLACEMENTS", "8"))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "live"
    path.mkdir()
    return path


def put(folder, pair):
    """Both files by rename, one right after the other, as a careful tool does."""
    target = Pair(folder / "certificate.pem", folder / "key.pem")
    shutil.copy2(pair.certificate, folder / "certificate.new")
    shutil.copy2(pair.key, folder / "key.new")
    (folder / "certificate.new").rename(target.certificate)
    (folder / "key.new").rename(target.key)
    return target


def serial(at, authority):
    with connect_tls(at, context_for(authority)) as s:
        return int(s.getpeercert()["serialNumber"], 16)


def answers(at, authority):
    try:
        return ask_tls(at, context_for(authority)) == b"STRASSE"
    except OSError:  # a worker without a keeper, for a moment
        return False


def serial_of(pair):
    return int(ssl._ssl._test_decode_cert(str(pair.certificate))["serialNumber"], 16)


def test_a_certificate_renamed_into_place_is_taken_up(daemon, authority, folder):
    running = daemon(tls(put(folder, authority.issue("ec"))))
    newer = authority.issue("rsa")
    put(folder, newer)
    running.expect("reloaded")
    assert serial(running.listeners[0], authority) == serial_of(newer)


def test_a_link_swapped_further_up_is_followed(daemon, authority, folder):
    """As Kubernetes does: certificate.pem -> ..data/certificate.pem, ..data -> a folder."""
    for name in ("one", "two"):
        (folder / name).mkdir()
        pair = authority.issue("ec")
        put(folder / name, pair)
    (folder / "..data").symlink_to("one")
    for name in ("certificate.pem", "key.pem"):
        (folder / name).symlink_to(f"..data/{name}")
    running = daemon(tls(Pair(folder / "certificate.pem", folder / "key.pem")))
    (folder / "..new").symlink_to("two")
    (folder / "..new").rename(folder / "..data")
    running.expect("reloaded")
    assert serial(running.listeners[0], authority) == serial_of(pair)


def test_a_folder_that_is_a_link_is_followed(daemon, authority, folder):
    """As with releases: certificate.pem in current, current -> a folder."""
    for name in ("one", "two"):
        (folder / name).mkdir()
        pair = authority.issue("ec")
        put(folder / name, pair)
    (folder / "current").symlink_to("one")
    current = folder / "current"
    running = daemon(tls(Pair(current / "certificate.pem", current / "key.pem")))
    time.sleep(1)  # a start is followed by a look, which would find it without being told
    (folder / "new").symlink_to("two")
    (folder / "new").rename(current)
    running.expect("reloaded")
    assert serial(running.listeners[0], authority) == serial_of(pair)


def test_a_folder_that_was_away_is_found_again(daemon, authority, folder):
    running = daemon(tls(put(folder, authority.issue("ec"))))
    folder.rename(folder.with_name("old"))
    running.expect("reload-failed")
    newer = authority.issue("ec")
    folder.with_name("new").mkdir()
    put(folder.with_name("new"), newer)
    folder.with_name("new").rename(folder)
    running.expect("reloaded")
    assert serial(running.listeners[0], authority) == serial_of(newer)


def test_a_folder_in_which_others_write_is_no_reason_to_wait(daemon, authority, folder):
    running = daemon(tls(put(folder, authority.issue("ec"))))
    over = threading.Event()

    def write():
        while not over.wait(0.05):
            (folder / "other").write_text("nothing to us")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        put(folder, authority.issue("ec"))
        running.expect("reloaded")
    finally:
        over.set()
        writer.join()


def replace_badly(authority, folder, how):
    if how == "mismatched":
        shutil.copy2(authority.issue("ec").certificate, folder / "new")
    elif how == "expired":
        shutil.copy2(authority.issue("ec", days=-1, key=folder / "key.pem").certificate,
                     folder / "new")
    elif how == "garbage":
        (folder / "new").write_text("no certificate")
    if how == "missing":
        (folder / "certificate.pem").unlink()
    else:
        (folder / "new").rename(folder / "certificate.pem")


@pytest.mark.parametrize(("how", "words"), [
    ("mismatched", "private key is not that of"), ("expired", "has expired"),
    ("garbage", "no certificate in PEM form"), ("missing", "No such file"),
])
def test_a_bad_replacement_changes_nothing(daemon, authority, folder, how, words):
    first = authority.issue("ec")
    running = daemon(tls(put(folder, first)))
    workers = running.workers()
    replace_badly(authority, folder, how)
    running.expect("reload-failed")
    assert words in running.log()
    assert str(folder / "certificate.pem") in running.log()
    process.wait_until(lambda: running.workers() == workers, what="the old workers alone")
    assert serial(running.listeners[0], authority) == serial_of(first)


@pytest.mark.parametrize(("name", "role"), [("certificate.pem", "worker"), ("key.pem", "keeper")])
@pytest.mark.parametrize("half", [False, True], ids=["garbage", "half"])
def test_a_file_written_over_in_place_harms_no_replacement(daemon, authority, folder, name, role,
                                                           half):
    """A child that has to be replaced gets what its generation was made from."""
    first = authority.issue("ec")
    running = daemon(tls(put(folder, first)), workers=2)
    children = running.children(role)
    path = folder / name
    text = path.read_bytes()
    with open(path, "r+b") as file:
        file.write(text[:len(text) // 2] if half else b"no longer in PEM form")
        file.truncate()
    running.expect("reload-failed")
    for child in children:
        since = running.mark()
        running.killed += 1
        os.kill(child, signal.SIGKILL)
        running.expect("child-started", since)
    for _ in range(8):
        process.wait_until(lambda: answers(running.listeners[0], authority), what="an answer")
    assert serial(running.listeners[0], authority) == serial_of(first)
    assert not running.records("start-failed", since)
    since = running.mark()
    path.write_bytes(text)
    running.expect("reloaded", since)


def test_a_file_that_is_too_long_is_a_fault(start, authority, folder):
    files = put(folder, authority.issue("ec"))
    with open(files.certificate, "ab") as file:
        file.truncate((16 << 20) + 1)
    failed = start(tls(files))
    assert failed.wait() == 78
    assert f"{files.certificate}: longer than 16 MiB" in failed.log()


def test_a_bad_replacement_is_tried_once(daemon, authority, folder):
    running = daemon(tls(put(folder, authority.issue("ec"))))
    replace_badly(authority, folder, "garbage")
    running.expect("reload-failed")
    put(folder, authority.issue("ec"))
    running.expect("reloaded")
    assert len(running.records("reload-failed")) == 1


@contextlib.contextmanager
def load(at, authority):
    """Three clients that come again and again; none may fail. Yields a list that grows with each."""
    over, failures, done = threading.Event(), [], []

    def visit():
        context = context_for(authority)
        while not over.is_set():
            try:
                assert ask_tls(at, context) == b"STRASSE"
                done.append(1)
            except (OSError, AssertionError) as error:
                failures.append(error)

    clients = [threading.Thread(target=visit) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield done
    finally:
        over.set()
        for client in clients:
            client.join()
    print(f"{len(done)} handshakes, {len(failures)} failed")
    assert not failures


def test_replacements_under_load_fail_no_handshake(daemon, authority, folder):
    running = daemon(tls(put(folder, authority.issue("ec"))))
    with load(running.listeners[0], authority) as done:
        for _ in range(REPLACEMENTS):
            since = running.mark()
            put(folder, authority.issue("ec"))
            running.expect("reloaded", since)
    assert len(done) > REPLACEMENTS


@pytest.mark.plain
def test_twenty_replacements_in_twenty_seconds_lose_nothing(daemon, authority, folder):
    """They come faster than each is taken up, perhaps; the last one is what is served in the end."""
    running = daemon(tls(put(folder, authority.issue("ec"))))
    pairs = [authority.issue("ec") for _ in range(20)]
    at, began = running.listeners[0], time.monotonic()
    with load(at, authority):
        for n, pair in enumerate(pairs):
            time.sleep(max(began + n - time.monotonic(), 0))
            put(folder, pair)
        last = openssl("x509", "-in", pairs[-1].certificate, "-noout", "-serial").decode().split("=")[1]
        process.wait_until(lambda: serial(at, authority) == int(last, 16), what="the last certificate")


def test_another_configuration_is_not_taken_up_with_a_certificate(daemon, authority, folder):
    running = daemon(tls(put(folder, authority.issue("ec"))), workers=2)
    running.reconfigure(workers=1)
    put(folder, authority.issue("ec"))
    running.expect("reloaded")
    process.wait_until(lambda: len(running.workers()) == 2, what="two workers")


@pytest.mark.long
def test_a_certificate_that_has_expired_since_keeps_no_worker_dead(daemon, authority, folder):
    """What is refused when a certificate is taken up is no reason later on."""
    running = daemon(udp(), tls(put(folder, authority.issue("ec"))))
    until = time.time() + 10
    put(folder, authority.issue("ec", until=until))
    running.expect("reloaded")
    old = wait_workers(running, 2)
    time.sleep(max(until + 1.5 - time.time(), 0))  # until it has expired
    for pid in old:
        kill_worker(running, pid)
    wait_workers(running, 2, without=old)
    assert udp_ask(running.listeners[0], b"a") == b"A"


def test_a_renewal_that_fails_answers_no_earlier_reload(daemon, authority, folder):
    """The reload is done when the old worker goes on; what is tried after it is no part of its answer."""
    running = daemon(tls(put(folder, authority.issue("ec"))), workers=1)
    with process.standing_still(running.workers()[0]):
        question = Question(running, "reload")
        process.wait_until(lambda: len(running.workers()) == 2, what="a new worker")
        time.sleep(1)  # for it to serve
        replace_badly(authority, folder, "garbage")
        time.sleep(1.5)  # for that to be found and tried
    assert question.answer() == (0, "reloaded\n")
    running.expect("reload-failed")


def test_reload_into_a_certificate_that_has_expired_says_so(daemon, authority, tmp_path):
    """It works, as asked, and its warning comes with the answer."""
    fine, expired = authority.issue("ec"), authority.issue("ec", days=-1)
    d = daemon(tls(fine))
    assert run_upperctl(d, "reload").stdout == "reloaded\n"
    d.reconfigure(tls(expired))
    done = run_upperctl(d, "reload")
    assert done.returncode == 0
    last = (done.stdout + done.stderr).splitlines()[-1]
    assert last == f"reloaded, 1 warning: {expired.certificate}: the certificate has expired"
    faults = json.loads(run_upperctl(d, "--json", "reload").stdout)
    assert [(fault["level"], "has expired" in fault["message"]) for fault in faults] == [("warning", True)]
    assert "expired" in run_upperctl(d, "status").stdout
    assert "expired" in run_upperctl(d, "--json", "status").stdout
    d.reconfigure(tls(expired, prot=1))
    assert "1 warning" not in run_upperctl(d, "reload").stdout
    d.reconfigure(tls(expired), udp(address="192.0.2.1"))
    failed = run_upperctl(d, "reload")
    assert failed.returncode == 71 and "192.0.2.1" in failed.stdout + failed.stderr
