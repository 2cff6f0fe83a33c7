# SPDX-License-Identifier: Apache-2.0
"""Who asks at the control socket is answered, and by what was asked for, whatever comes in between."""

import grp
import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress

import pytest

import process
import rig
from settings import SANDBOX, free_port, tcp
from wire import connect, tcp_ask

OUTPUT, TRY_AGAIN, PERMISSION, CONFIGURATION = 74, 75, 77, 78


class Question:
    """What upperctl asks, with the answer left for later."""

    def __init__(self, d, text):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(rig.PATIENCE)
        self.socket.connect(str(d.folder / "control"))
        self.socket.sendall(text.encode())
        # Questions are taken in turn: with a later one answered, this one has been heard.
        assert rig.run_upperctl(d, "status").returncode == 0

    def answer(self):
        """The exit code, and the text."""
        text = b""
        with self.socket:
            while packet := self.socket.recv(65536):
                if packet[:1] == b"E":
                    return int(packet[1:]), text.decode()
                text += packet[1:]
        raise AssertionError(f"the daemon went away after {text!r}")


def children_with_remains(d):
    """Those that nobody has waited for are counted too."""
    stats = {entry: process.stat_of(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    return {pid for pid, stat in stats.items() if stat and int(stat[1]) == d.pid}


def test_reload_is_answered_by_what_was_read_after_it_was_asked_for(daemon):
    d = daemon(tcp())
    with process.standing_still(d.workers()[0]):  # the first reload is not done while an old worker may accept
        first = Question(d, "reload")
        d.reconfigure(text=d.config.read_text() + "nonsense = 1;\n")
        second = Question(d, "reload")
    assert first.answer() == (0, "reloaded\n")
    code, text = second.answer()
    assert code == CONFIGURATION and "nonsense" in text


def test_reload_that_a_stop_overtakes_is_answered(daemon):
    d = daemon(tcp())
    with process.standing_still(d.workers()[0]):
        questions = [Question(d, "reload"), Question(d, "reload")]
        d.asked_to_stop = True
        d.signal(signal.SIGTERM)
        answers = [question.answer() for question in questions]
    assert answers == [(TRY_AGAIN, "upperd is stopping\n")] * 2
    assert d.wait() == 0


def asked_and_stopped(d):
    """A question that has no answer as long as its child stands still; None when it was too quick."""
    before = d.children("selftest")
    question = Question(d, "sandbox")
    for probe in set(d.children("selftest")) - set(before):
        with suppress(ProcessLookupError):
            os.kill(probe, signal.SIGSTOP)
            return question, probe
    question.answer()
    return None


@pytest.mark.skipif(SANDBOX.get("sandbox") == "off", reason="there is no sandbox in this run")
def test_inspection_ends_before_an_upgrade(daemon):
    d = daemon(tcp())
    question, probe = process.wait_until(lambda: asked_and_stopped(d), what="the child that tries")
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    code, text = question.answer()
    assert code == TRY_AGAIN and "upgrade" in text
    assert str(probe) not in children_with_remains(d)


@pytest.mark.skipif(SANDBOX.get("sandbox") == "off", reason="there is no sandbox in this run")
def test_only_so_many_tests_of_the_sandbox_at_a_time(daemon):
    """One more client is refused, and the others get their answers."""
    d = daemon(tcp())
    running = [process.wait_until(lambda: asked_and_stopped(d), what="a child that tries")
               for _ in range(4)]
    code, text = Question(d, "sandbox").answer()
    assert code == TRY_AGAIN and "4 tests" in text
    for question, child in running:
        os.kill(child, signal.SIGCONT)
        code, text = question.answer()
        assert code == 0 and text.endswith("All of it held.\n")


@pytest.mark.skipif(SANDBOX.get("sandbox") == "off", reason="there is no sandbox in this run")
def test_client_of_a_self_test_that_dies_is_answered(daemon):
    d = daemon(tcp())
    d.killed += 1
    question, probe = process.wait_until(lambda: asked_and_stopped(d), what="the child that tries")
    os.kill(probe, signal.SIGKILL)
    code, text = question.answer()
    assert code == TRY_AGAIN and "not finished" in text
    assert Question(d, "sandbox").answer()[0] == 0


# Its path


@pytest.fixture
def movable(daemon, tmp_path):
    """A daemon whose configuration says where its control socket is, and two places for it."""
    first, second = tmp_path / "0/control", tmp_path / "0/elsewhere"
    return daemon(tcp(), control={"path": str(first)}), first, second


def test_reload_takes_up_another_path(movable):
    d, first, second = movable
    d.reconfigure(control={"path": str(second)})
    assert rig.run_upperctl(d, "reload").returncode == 0
    assert not first.exists()
    assert rig.run_upperctl(d, "-s", str(second), "status").returncode == 0
    d.stop()
    assert not second.exists()


def test_path_that_cannot_be_had_leaves_the_old_one(movable):
    d, first, second = movable
    second.write_text("in the way")
    d.reconfigure(control={"path": str(second)})
    assert rig.run_upperctl(d, "reload").returncode == 0
    assert str(second) in d.expect("system-refused")["message"]
    assert rig.run_upperctl(d, "status").returncode == 0
    assert second.read_text() == "in the way"


def test_upgrade_takes_up_another_path(movable):
    d, first, second = movable
    d.reconfigure(control={"path": str(second)})
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert not first.exists()
    assert rig.run_upperctl(d, "-s", str(second), "status").returncode == 0
    d.stop()
    assert not second.exists()


def test_path_that_cannot_be_had_outlives_an_upgrade(movable):
    d, first, second = movable
    second.write_text("in the way")
    d.reconfigure(control={"path": str(second)})
    for _ in range(2):
        assert rig.run_upperctl(d, "upgrade").returncode == 0
    d.stop()
    assert not first.exists() and second.read_text() == "in the way"


def test_closed_output_is_no_socket(daemon):
    """An answer that cannot be printed is not sent to the daemon instead."""
    d = daemon(tcp())
    result = subprocess.run(["sh", "-c", '"$@" >&-', "sh", rig.UPPERCTL, "-s", d.folder / "control",
                             "status"], stderr=subprocess.PIPE, timeout=rig.PATIENCE)
    assert result.returncode == OUTPUT


# Levels


READER = 54321  # a user that nothing on the machine knows


@pytest.fixture
def ask_as(as_root):
    """upperctl of a user in one group and no other, who need not be able to reach the build."""
    def ask(d, *words, group):
        program = d.folder / "upperctl"
        if not program.exists():
            shutil.copy(rig.UPPERCTL, program)
        return subprocess.run(
            [program, "-s", str(d.folder / "control"), *words], capture_output=True, text=True,
            user=READER, group=group, extra_groups=[], stdin=subprocess.DEVNULL)

    return ask


@pytest.fixture
def grouped(daemon, as_root, tmp_path):
    """A daemon whose control socket is open to the group of the system's mail, in folders open to all."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp") and folder.owner() == "root" and folder != tmp_path.root:
            with suppress(PermissionError):
                folder.chmod(folder.stat().st_mode | 0o055)
    d = daemon(tcp(), control={"path": str(tmp_path / "0/control"), "group": "mail"})
    (tmp_path / "0").chmod(0o755)
    return d, grp.getgrnam("mail").gr_gid


def test_control_group_may_look(grouped, ask_as):
    d, mail = grouped
    assert (d.folder / "control").stat().st_mode & 0o777 == 0o660
    assert (d.folder / "control").stat().st_gid == mail
    assert ask_as(d, "status", group=mail).returncode == 0
    assert "upperd_build_info" in ask_as(d, "metrics", group=mail).stdout
    assert "client" in ask_as(d, "clients", group=mail).stdout


@pytest.mark.parametrize("words", [["reload"], ["drain"], ["sandbox"], ["upgrade"],
                                   ["clients", "clear"], ["--json", "reload"]])
def test_control_group_may_change_nothing(grouped, ask_as, words):
    d, mail = grouped
    said = d.mark()
    result = ask_as(d, *words, group=mail)
    assert result.returncode == PERMISSION
    assert "may only look" in result.stdout
    assert rig.run_upperctl(d, "status").returncode == 0
    assert not d.records("reloading", since=said)


@pytest.mark.parametrize("verb", ["status", "metrics", "clients", "reload", "log", "sandbox", "upgrade", "drain"])
def test_help_of_a_verb_has_its_level_and_an_example_that_works(grouped, ask_as, verb):
    d, mail = grouped
    text = subprocess.run([rig.UPPERCTL, verb, "--help"], capture_output=True, text=True, check=True).stdout
    words = re.search(r"^Example:\n  upperctl (.*)$", text, re.M)[1].split()
    is_for_group = ask_as(d, *words, group=mail).returncode != PERMISSION
    assert ("members of control.group" in text) == is_for_group
    # A build without seccomp or a configuration without a sandbox has none that holds.
    assert rig.run_upperctl(d, *words).returncode in ((0, 69) if verb == "sandbox" else (0,))
    if verb == "drain":
        assert d.wait() == 0


def test_others_than_the_control_group_are_kept_out(grouped, ask_as):
    d, mail = grouped
    result = ask_as(d, "status", group=mail + 1)
    assert result.returncode == PERMISSION
    assert "Permission denied" in result.stderr


def test_reload_opens_and_closes_the_control_socket_to_a_group(grouped, ask_as):
    d, mail = grouped
    place = {"path": str(d.folder / "control")}
    d.reconfigure(control=place)
    d.reload()
    assert (d.folder / "control").stat().st_mode & 0o777 == 0o600
    assert ask_as(d, "status", group=mail).returncode == PERMISSION
    d.reconfigure(control={**place, "group": "mail"})
    d.reload()
    assert ask_as(d, "status", group=mail).returncode == 0


def test_control_group_outlives_an_upgrade(grouped, ask_as):
    d, mail = grouped
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert ask_as(d, "status", group=mail).returncode == 0
    assert ask_as(d, "reload", group=mail).returncode == PERMISSION


def test_unknown_control_group_is_a_fault(start, tmp_path):
    d = start(tcp(), control={"path": str(tmp_path / "0/control"), "group": "no-such-group"})
    assert d.wait() == CONFIGURATION
    assert any("no-such-group" in line for line in d.ears.lines)

# Sockets that are attached


def control_ask(d, text, *fds):
    """One question with descriptors; the exit code, and the text."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(rig.PATIENCE)
        s.connect(str(d.folder / "control"))
        socket.send_fds(s, [text.encode()], list(fds))
        said = b""
        while packet := s.recv(65536):
            if packet[:1] == b"E":
                return int(packet[1:]), said.decode()
            said += packet[1:]
    raise AssertionError(f"the daemon went away after {said!r}")


@contextmanager
def listening(port):
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        yield s


def test_attached_socket_is_served_and_outlives_reloads(daemon):
    d = daemon(tcp())
    extra = tcp(name="extra")
    with listening(extra["port"]) as s, connect(d.listeners[0]) as held:
        d.reconfigure(d.listeners[0], extra)
        assert control_ask(d, "attach extra", s.fileno()) == (0, "reloaded\n")
    assert tcp_ask(extra, b"a") == b"A"  # also when that process has closed it
    assert rig.run_upperctl(d, "reload").returncode == 0
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert tcp_ask(extra, b"a") == b"A"


def test_attached_socket_for_metrics_is_told_where_metrics_are_set(daemon):
    d = daemon(tcp())
    with listening(free_port()) as s:
        code, said = control_ask(d, "attach metrics", s.fileno())
        assert code == CONFIGURATION and 'add metrics = { address = "127.0.0.1"; port = 12090; };' in said


def test_attached_socket_is_given_up_when_the_build_fails(daemon):
    d = daemon(tcp())
    extra = tcp(name="extra")
    before = process.descriptors_of(d.pid)
    with listening(extra["port"]) as s:
        code, said = control_ask(d, "attach extra", s.fileno())
        assert code == CONFIGURATION and "no listener has that name" in said
        process.wait_until(lambda: process.descriptors_of(d.pid) <= before)
    assert rig.run_upperctl(d, "reload").returncode == 0  # nothing is left of it


def test_attached_socket_of_another_port_is_refused(daemon):
    d = daemon(tcp())
    extra = tcp(name="extra")
    with listening(tcp()["port"]) as s:
        d.reconfigure(d.listeners[0], extra)
        code, said = control_ask(d, "attach extra", s.fileno())
    assert code == CONFIGURATION and "change the .socket unit or the listener" in said
    assert rig.run_upperctl(d, "reload").returncode == 0  # which binds it


def test_what_is_no_listening_socket_is_not_attached(daemon):
    d = daemon(tcp())
    before = process.descriptors_of(d.pid)
    with open("/dev/null") as file, socket.socket() as deaf, socket.socket(socket.AF_UNIX) as unbound:
        for some in (file, deaf, unbound):
            code, said = control_ask(d, "attach extra", some.fileno())
            assert code == 71 and "cannot be used" in said
        assert control_ask(d, "attach extra")[0] == 64
        assert control_ask(d, "attach", deaf.fileno())[0] == 64
    process.wait_until(lambda: process.descriptors_of(d.pid) <= before)


def test_descriptors_that_were_not_asked_for_are_closed(daemon):
    d = daemon(tcp())
    before = process.descriptors_of(d.pid)
    with open("/dev/null") as file:
        for n in (1, 2, 100):
            assert control_ask(d, "status", *[file.fileno()] * n)[0] == 0
    process.wait_until(lambda: process.descriptors_of(d.pid) <= before)
