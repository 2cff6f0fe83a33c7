# SPDX-License-Identifier: Apache-2.0
"""What a process that was taken over could do: each layer of the sandbox as /proc shows it, as
upperctl tries it, and as it is missed when it cannot be had."""

import ctypes
import json
import os
import platform
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

import process
import rig
from pki import Authority
from secure import tls
from settings import SANDBOX, claim, free_port, is_free, tcp, udp
from wire import connect, tcp_ask, udp_ask

NOBODY = 65534
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 24, 38, 22
CAP_SYS_CHROOT = 18
CAP_SETUID = 7
LANDLOCK_CREATE_RULESET = 444
PIDFD_GETFD = 438
CHANNEL = 3
CHILDREN = ("worker", "keeper", "exporter")

pytestmark = pytest.mark.skipif(SANDBOX.get("sandbox") in ("off", "best-effort"),
                                reason="the sandbox is off in this run")


@pytest.fixture(autouse=True)
def with_seccomp():
    if not rig.has_feature("seccomp"):
        pytest.skip("this build has no libseccomp")


# What /proc shows


def sandboxed(d):
    """Every running child but its name."""
    children = d.children()
    assert children
    return [(process.arguments_of(pid)[1], process.status_of(pid)) for pid in children]


@pytest.fixture
def of_all_kinds(daemon, tmp_path):
    """Starts a daemon that has every role which this build has."""
    def start(**settings):
        listeners = [udp(), tcp()]
        if rig.has_feature("tls"):
            folder = tmp_path / "pki"
            folder.mkdir()
            listeners.append(tls(Authority(folder).issue()))
        return daemon(*listeners, metrics={"address": "127.0.0.1", "port": free_port()}, **settings)

    return start


@pytest.fixture
def statuses(of_all_kinds):
    return sandboxed(of_all_kinds())


def test_every_role_is_running(statuses):
    """Or else the tests below would say nothing about it."""
    expected = {"--role=worker", "--role=exporter"} | ({"--role=keeper"} if rig.has_feature("tls") else set())
    assert {role for role, _ in statuses} == expected


def test_every_child_has_a_filter_of_its_own(statuses):
    """Two: the supervisor's, which it was born with, and its role's."""
    for role, status in statuses:
        assert (role, status["Seccomp"], status["Seccomp_filters"]) == (role, "2", "2")


def test_every_child_can_gain_no_privilege(statuses):
    for role, status in statuses:
        assert (role, status["NoNewPrivs"]) == (role, "1")


def test_every_child_has_one_thread(statuses):
    for role, status in statuses:
        assert (role, status["Threads"]) == (role, "1")


def test_every_child_has_no_capability(statuses, as_root):
    for role, status in statuses:
        for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert (role, which, int(status[which], 16)) == (role, which, 0)


def test_every_child_is_nobody(statuses, as_root):
    for role, status in statuses:
        assert (role, set(status["Uid"].split())) == (role, {str(NOBODY)})
        assert (role, set(status["Gid"].split())) == (role, {str(NOBODY)})


def test_root_of_every_child_is_gone(of_all_kinds, as_root, looking):
    d = of_all_kinds()
    for pid in d.children():
        assert os.readlink(f"/proc/{pid}/root").endswith("(deleted)")
        assert os.listdir(f"/proc/{pid}/root") == []


def test_limits_of_every_child(of_all_kinds):
    d = of_all_kinds()
    for pid in d.children():
        limits = Path(f"/proc/{pid}/limits").read_text()
        for name in ("Max processes", "Max file size", "Max core file size"):
            assert re.search(rf"{name} +0 +0 ", limits), (name, limits)


def test_supervisor_has_a_filter_too(daemon):
    status = process.status_of(daemon(tcp()).pid)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


def test_supervisor_keeps_few_capabilities(daemon, as_root):
    """Those of the table in priv/policy.c, by number."""
    kept = (0, 1, 3, 5, 6, 7, 8, 10, 13, 18)
    status = process.status_of(daemon(tcp()).pid)
    assert int(status["CapPrm"], 16) & ~sum(1 << n for n in kept) == 0
    assert status["CapBnd"] == status["CapPrm"] == status["CapEff"]


# What each child holds


def sockets_of(pid):
    """What kind of socket each inode is, as the tables of its network say."""
    kinds = {}
    for name in ("udp", "udp6", "tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            kinds[fields[9]] = name[:3] + (" listening" if fields[3] == "0A" else "")
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        kinds[fields[6]] = {"0001": "stream", "0002": "datagram", "0005": "packets"}[fields[4]]
    return kinds


def descriptors_of(pid):
    """What kind of thing is behind each descriptor."""
    sockets = sockets_of(pid)
    found = {}
    for fd in map(int, os.listdir(f"/proc/{pid}/fd")):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        inode = re.fullmatch(r"socket:\[(\d+)\]", target)
        found[fd] = sockets[inode[1]] if inode else re.sub(r"\[\d+\]|^anon_inode:", "", target)
    return found


def test_worker_holds_what_it_serves_with(daemon, looking):
    """Nothing, its last words, its channel; its loop and the one in reserve; its sockets."""
    d = daemon(udp(), tcp(), workers=1)
    with connect(d.listeners[1]) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"A"
        found = descriptors_of(d.workers()[0])
    assert (found.pop(0), found.pop(1)) == ("/dev/null", "/dev/null")
    assert (found.pop(2), found.pop(3)) == ("pipe:", "packets")
    assert sorted(found.values()) == \
        ["[eventpoll]", "[eventpoll]", "[timerfd]", "tcp", "tcp listening", "udp"]


def test_exporter_holds_its_socket(of_all_kinds, looking):
    """Nothing, its last words, its channel; its loop; the socket for scrapes. What it reads is mapped."""
    found = descriptors_of(of_all_kinds().children("exporter")[0])
    assert [found.pop(fd) for fd in range(4)] == ["/dev/null", "/dev/null", "pipe:", "packets"]
    assert sorted(found.values()) == ["[eventpoll]", "[timerfd]", "tcp listening"]


def test_keeper_holds_its_channels(of_all_kinds, looking):
    """Nothing, its last words, its channel; its loop; a channel to each worker."""
    if not rig.has_feature("tls"):
        pytest.skip("a keeper is for TLS")
    d = of_all_kinds(workers=2)
    found = descriptors_of(d.children("keeper")[0])
    assert [found.pop(fd) for fd in range(4)] == ["/dev/null", "/dev/null", "pipe:", "packets"]
    assert sorted(found.values()) == ["[eventpoll]", "[timerfd]", "packets", "packets"]


def test_children_hold_no_file_and_no_folder(of_all_kinds, looking):
    """Memory, pipes, sockets and loops of whatever role; /dev/null is the only path."""
    known = re.compile(r"/dev/null|pipe:|/memfd:upperd.*|\[(eventpoll|timerfd|signalfd)\]|packets|"
                       r"stream|udp|tcp( listening)?")
    d = of_all_kinds()
    for pid in d.children():
        for fd, kind in descriptors_of(pid).items():
            assert known.fullmatch(kind), (process.arguments_of(pid), fd, kind)


# What upperctl finds


def inspect(d):
    done = rig.run_upperctl(d, "--json", "sandbox")
    return done.returncode, json.loads(done.stdout)


def version_of(text):
    return [int(number) for number in re.findall(r"\d+", text)[:2]]


def test_no_process_executes_what_it_wrote(daemon):
    """The supervisor neither, whose filter lets its children be loaded."""
    _, found = inspect(daemon(tcp()))
    outcomes = {a["role"]: (a["outcome"], a["heard"]) for a in found["attempts"]
                if a["attempt"] == "write what it executes"}
    expected = ("held", "EACCES") if version_of(platform.release()) >= [6, 3] else ("takes Linux", "6.3")
    assert outcomes == {role: expected for role in [*CHILDREN, "supervisor"]}


def test_inspection_breaks_nothing(daemon):
    verdict, found = inspect(daemon(tcp()))
    rest = [a for a in found["attempts"] if a["outcome"] not in ("held", "not for it")]
    assert all(a["outcome"] == "takes Linux" and version_of(a["heard"]) > version_of(platform.release())
               for a in rest), rest
    assert (verdict, found["held"]) == (0, True)


@pytest.mark.parametrize(("attempt", "kernel"), [
    ("connect a socket it holds", "6.7"), ("signal another process", "6.12"),
    ("connect to a unix socket by its path", "7.1"), ("bind a datagram socket it holds", "7.2")])
def test_inspection_proves_what_landlock_denies_or_names_the_kernel(daemon, attempt, kernel):
    _, found = inspect(daemon(tcp()))
    outcomes = {a["role"]: a["outcome"] for a in found["attempts"]
                if (a["layer"], a["attempt"]) == ("landlock", attempt) and a["role"] in CHILDREN}
    is_known = version_of(platform.release()) >= version_of(kernel)
    assert outcomes == dict.fromkeys(CHILDREN, "held" if is_known else "takes Linux")


def test_inspection_is_of_every_role_and_layer(daemon):
    _, found = inspect(daemon(tcp()))
    assert {a["role"] for a in found["attempts"]} == {*CHILDREN, "supervisor"}
    layers = {a["layer"] for a in found["attempts"] if a["role"] == "worker"}
    assert layers == {"no new privileges", "empty root", "user and capabilities", "landlock",
                      "memory closed to peers", "resource limits", "seccomp"}


@pytest.mark.parametrize("attempt, heard", [
    ("open a file", "EPERM"), ("make a socket", "EPERM"), ("connect a socket it holds", "EPERM"),
    ("connect a datagram socket it holds", "EPERM"),
    ("run a program", "SIGSYS"), ("trace another process", "SIGSYS"),
    ("signal another process", "EPERM"), ("map executable memory", "EPERM")])
def test_inspection_says_what_was_heard(daemon, attempt, heard):
    _, found = inspect(daemon(tcp()))
    if SANDBOX.get("sandbox") == "strict":
        heard = "SIGSYS"
    assert [a["heard"] for a in found["attempts"]
            if (a["layer"], a["attempt"]) == ("seccomp", attempt) and a["role"] in CHILDREN] == \
        [heard] * len(CHILDREN)


def test_inspection_as_text(daemon):
    done = rig.run_upperctl(daemon(tcp()), "sandbox")
    assert re.search(r"^worker +seccomp +run a program +held SIGSYS$", done.stdout, re.M)
    assert done.stdout.endswith("\nAll of it held.\n")


def test_inspection_leaves_nothing_behind(daemon):
    d = daemon(tcp())
    before = process.descriptors_of(d.pid)
    for _ in range(4):
        inspect(d)
    process.wait_until(lambda: process.descriptors_of(d.pid) == before, what="as many descriptors")
    process.wait_until(lambda: d.children("selftest") == [], what="the end of the last child")


@pytest.fixture
def leave_behind():
    """Makes folders such as a child leaves that is killed before it has entered its root."""
    left = []

    def make():
        left.append(Path("/dev/shm") / f"upperd-root-{uuid.uuid4().hex[:6]}")
        left[-1].mkdir()
        return left[-1]

    yield make
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)


def test_start_removes_what_killed_children_left(daemon, leave_behind, as_root):
    left = leave_behind()
    daemon(tcp())
    assert not left.exists()


def test_start_removes_nothing_of_others(daemon, leave_behind, as_root):
    full, of_nobody = leave_behind(), leave_behind()
    (full / "file").touch()
    os.chown(of_nobody, NOBODY, NOBODY)
    daemon(tcp())
    assert (full / "file").exists() and of_nobody.exists()


# What a supervisor does not put up with


def channel_of(pid):
    """A copy of its end, which code that runs in it could use as well."""
    pidfd = os.pidfd_open(pid)
    try:
        return socket.socket(fileno=ctypes.CDLL(None).syscall(PIDFD_GETFD, pidfd, CHANNEL, 0))
    finally:
        os.close(pidfd)


def test_worker_that_says_its_last_word_twice_is_ended(daemon, as_root, looking):
    """What it says then is not limited in rate, since it is said once."""
    d = daemon(tcp(), workers=1)
    worker, = d.workers()
    types = re.findall(r"^\tMESSAGE\((\w+),", (rig.ROOT / "src/process/channel.h").read_text(), re.M)
    last_word = struct.pack("=Ii508s", types.index("FAILED"), 70, b"again and again")
    with channel_of(worker) as channel, pytest.raises(ConnectionError):
        for _ in range(10000):
            channel.send(last_word)
    d.expect("child-ended", pid=worker)
    assert len(d.records("child-failed")) == 1


# What becomes of a layer that cannot be had


def prctl(*args):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*map(ctypes.c_ulong, args)) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def without_chroot():
    prctl(PR_CAPBSET_DROP, CAP_SYS_CHROOT, 0, 0, 0)


def without_landlock():
    """As on a kernel that does not have it: a filter that answers ENOSYS."""
    program = b"".join(struct.pack("HBBI", *row) for row in (
        (0x20, 0, 0, 0),  # the number of the call
        (0x15, 0, 1, LANDLOCK_CREATE_RULESET),
        (0x06, 0, 0, 0x00050000 | 38),  # ENOSYS
        (0x06, 0, 0, 0x7FFF0000)))  # let through
    code = ctypes.create_string_buffer(program)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(PR_SET_SECCOMP, 2, ctypes.addressof(head), 0, 0)


LACKS = pytest.mark.parametrize("lacks, layer", [
    (without_chroot, "empty root"), (without_landlock, "landlock")])


@LACKS
def test_required_does_not_serve_without_a_layer(start, as_root, lacks, layer):
    d = start(tcp(), before=lacks, sandbox="required")
    assert d.wait() == 71
    assert any(f'"{layer}"' in record["message"] for record in d.records("start-failed"))
    d.killed = len(d.records("child-died"))


@LACKS
def test_best_effort_warns_and_serves(daemon, as_root, lacks, layer):
    d = daemon(tcp(), before=lacks, sandbox="best-effort")
    assert d.expect("sandbox-gap", level="warning")["message"].startswith(layer)
    assert tcp_ask(d.listeners[0], b"a") == b"A"


def test_best_effort_is_not_offered_where_it_does_not_help(start, as_root):
    """A root that may not become another, as in some containers."""
    d = start(tcp(), before=lambda: prctl(PR_CAPBSET_DROP, CAP_SETUID, 0, 0, 0),
              sandbox="best-effort")
    assert d.wait() == 71
    message = d.records("start-failed")[0]["message"]
    assert "user and capabilities" in message and "best-effort" not in message
    d.killed = len(d.records("child-died"))


@LACKS
def test_inspection_shows_what_is_absent(daemon, as_root, lacks, layer):
    verdict, found = inspect(daemon(tcp(), before=lacks, sandbox="best-effort"))
    assert verdict != 0 and not found["held"]
    outcomes = {a["layer"]: a["outcome"] for a in found["attempts"] if a["role"] == "worker"}
    assert outcomes[layer] == "absent"
    assert outcomes["seccomp"] == "held"


def test_off_is_said_at_every_start(daemon):
    """By the supervisor once, and by each child, so that a reload says it too."""
    d = daemon(tcp(), sandbox="off")
    said = d.records("sandbox-off", level="warning")
    assert len([record for record in said if "role" not in record]) == 1
    assert len(said) == 1 + len(d.children())
    since = d.mark()
    d.reload()
    assert d.expect("sandbox-off", since)["role"].startswith("worker")


def test_off_keeps_only_who_one_is(daemon, as_root):
    """There is no filter and no empty root, but nobody is root."""
    d = daemon(tcp(), sandbox="off")
    for _, status in sandboxed(d):
        assert (status["Seccomp"], status["NoNewPrivs"], status["CapBnd"].strip("0")) == \
            ("0", "1", "")
        assert set(status["Uid"].split()) == {str(NOBODY)}
    verdict, found = inspect(d)
    assert verdict != 0 and not found["held"]


def test_reload_takes_up_another_mode(daemon):
    d = daemon(tcp(), sandbox="required")
    d.reconfigure(sandbox="strict")
    d.reload()
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    assert inspect(d)[0] == 0


def test_stray_call_ends_a_worker_and_is_logged(daemon, as_root):
    """As after an intrusion: SIGSYS is what the kernel sends, and another worker takes over."""
    d = daemon(tcp(), workers=1)
    d.killed += 1
    since = d.mark()
    os.kill(d.workers()[0], signal.SIGSYS)
    assert "Bad system call" in d.expect("child-died", since)["message"]
    d.wait_for(lambda: d.workers() and d.records("child-started", since), "another worker")
    assert tcp_ask(d.listeners[0], b"a") == b"A"


# Whoever starts it


def test_as_root_on_a_port_below_1024(daemon, as_root):
    port = next(port for port in (443, 80, *range(600, 1000)) if is_free(port) and claim(port))
    d = daemon(tcp(port=port), udp(port=port))
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    d.reload()
    assert inspect(d)[0] == 0


def become_nobody():
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


@pytest.fixture
def folder_of_nobody():
    """Where an ordinary user can read the configuration and keep the control socket."""
    folder = Path(tempfile.mkdtemp(prefix="upperd-nobody-"))
    yield folder
    shutil.rmtree(folder)


def test_as_an_ordinary_user(folder_of_nobody, as_root):
    way = [Path(rig.UPPERD), *Path(rig.UPPERD).parents]
    if not all(path.stat().st_mode & stat.S_IXOTH for path in way):
        pytest.skip("the build is not for everyone to run")
    os.chown(folder_of_nobody, NOBODY, NOBODY)
    d = rig.Daemon(folder_of_nobody, udp(), tcp(), before=become_nobody)
    try:
        d.wait_ready()
        assert (udp_ask(d.listeners[0], b"a"), tcp_ask(d.listeners[1], b"a")) == (b"A", b"A")
        for role, status in sandboxed(d):
            assert (role, status["Seccomp"], status["NoNewPrivs"]) == (role, "2", "1")
            assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
        verdict, found = inspect(d)
        assert verdict == 0
        assert {a["outcome"] for a in found["attempts"] if a["layer"] == "empty root"} == \
            {"not for it"}
    finally:
        d.see_off()


# --check


def check(tmp_path, before, mode):
    config = tmp_path / "check.conf"
    config.write_text(f'sandbox = "{mode}"; user = "nobody"; group = "nogroup";\n'
                      f'listeners = ( {{ transport = "tcp"; port = {free_port()}; }} );\n')
    return subprocess.run([rig.UPPERD, "-c", config, "--check"], preexec_fn=before,
                          capture_output=True, text=True, timeout=rig.PATIENCE)


def test_check_knows_what_a_start_would_miss(tmp_path):
    done = check(tmp_path, without_landlock, "required")
    assert done.returncode == 78 and '"landlock"' in done.stderr


def test_check_does_not_ask_for_what_is_not_required(tmp_path):
    assert check(tmp_path, without_landlock, "best-effort").returncode == 0
