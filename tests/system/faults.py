# SPDX-License-Identifier: Apache-2.0
"""System calls that fail when they should not: one call, one error, one occurrence at a time, injected by
strace into a starting daemon or into a process of one that serves; and a verdict on what came of it."""

import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import process
from ctl import UPPERCTL
from rig import UPPERD
from settings import configuration, tcp, udp
from wire import tcp_ask, udp_socket

ERRORS = {
    "accept4": ["EMFILE", "ECONNABORTED"], "bind": ["EADDRINUSE", "EACCES"], "clone": ["EAGAIN"],
    "clone3": ["EAGAIN"], "epoll_wait": ["EINTR"], "mmap": ["ENOMEM"],
    "openat": ["EMFILE", "EACCES"], "read": ["EIO", "EINTR"], "recvfrom": ["ECONNRESET", "ENOMEM"],
    "recvmmsg": ["ENOMEM", "ENETDOWN"], "recvmsg": ["ENOMEM", "EINTR"], "sendmmsg": ["EPERM", "ENOBUFS"],
    "sendmsg": ["ENOBUFS", "EPIPE"], "sendto": ["ENOBUFS", "EPIPE"], "socket": ["EMFILE", "EACCES"],
    "write": ["ENOSPC", "EPIPE"], "writev": ["ENOSPC"]}
OTHERWISE = ["ENOMEM", "EPERM"]

# brk, which glibc 2.36 does not survive; what does not fail, or is not made when strace says that it failed, which is a leak of its own making.
LEFT_OUT = {"brk", "close", "munmap", "exit", "exit_group", "rt_sigreturn", "execve", "restart_syscall",
            "getpid", "gettid", "geteuid", "getuid", "umask", "arch_prctl", "set_tid_address", "rseq",
            "set_robust_list", "vfork"}

SPINS = 0.15  # of a CPU
GOOD = re.compile(r"serves|refuses|replaced")


def why_not():
    """Why strace cannot inject here, or nothing."""
    if not shutil.which("strace"):
        return "strace is not installed"
    probe = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "trace=getcwd", "-e",
                            "inject=getcwd:error=ENOMEM", "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else "strace may not trace here: " + probe.stderr.decode()


def errors_of(call):
    return ERRORS.get(call, OTHERWISE)


def injection(call, error, when):
    return ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]


class Run:
    """A daemon of one worker, perhaps under strace, with its log."""

    def __init__(self, folder, strace=()):
        self.folder = folder
        self.udp, self.tcp = udp(), tcp()
        self.config = folder / "upperd.conf"
        self.control = folder / "control"
        self.config.write_text(configuration(self.udp, self.tcp, workers=1, drain="1s",
                                             control={"path": str(self.control)}))
        command = [*(("strace", "-f", "-qq", *strace) if strace else ()), UPPERD, "-c",
                   str(self.config)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                        start_new_session=True, cwd=folder)
        self.lines = []
        self.ears = threading.Thread(target=self._hear, daemon=True)
        self.ears.start()

    def _hear(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace"))

    def says(self, event, since=0):
        return any(f'"event":"{event}"' in line for line in self.lines[since:])

    def waits(self, condition, seconds):
        end = time.monotonic() + seconds
        while not (result := condition()) and time.monotonic() < end:
            time.sleep(0.01)
        return result

    def supervisor(self):
        if "upperd" in process.arguments_of(self.process.pid)[0]:
            return self.process.pid
        return next(iter(process.children_of(self.process.pid)), None)

    def worker(self):
        """The one that serves: the newest."""
        supervisor = self.supervisor()
        return max(process.children_of(supervisor), default=None) if supervisor else None

    def answers(self):
        try:
            with udp_socket(self.udp) as s:
                s.settimeout(0.5)  # a datagram may be lost, and then is asked again
                s.send(b"hello")
                return s.recv(10) == b"HELLO" and tcp_ask(self.tcp, b"hello") == b"HELLO"
        except (OSError, AssertionError):
            return False

    def upperctl(self, *words):
        return subprocess.run([UPPERCTL, "-s", str(self.control), *words], capture_output=True,
                              text=True, check=False, timeout=60)

    def crashed(self, since=0):
        """A child that a signal ended: a bug, whatever the system did. The supervisor itself sends KILL,
        to one that it cannot speak to any more."""
        return any('"event":"child-died"' in line and '"message":"signal' in line and
                   "signal 9 " not in line for line in self.lines[since:])

    def stop(self):
        """TERM to the supervisor; the exit status, or None when it does not go."""
        supervisor = self.supervisor()
        if supervisor and self.process.poll() is None:
            os.kill(supervisor, signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        """Only ours: it has a session of its own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def count_calls(trace):
    """From what strace wrote: how often each call was made by the process that made it most."""
    counts = collections.Counter()
    for line in trace.read_text(errors="replace").splitlines():
        found = re.match(r"(?:(\d+)\s+)?([a-z_0-9]+)\(", line)
        if found and found[2] not in LEFT_OUT:
            counts[found[1], found[2]] += 1
    most = {}
    for (_, call), n in counts.items():
        most[call] = max(n, most.get(call, 0))
    return most


def verdict_on_start(run):
    run.waits(lambda: run.says("ready") or run.process.poll() is not None, 60)
    if run.process.poll() is None:
        if not run.says("ready"):
            return "HANGS"
        if not run.waits(run.answers, 20):
            # strace fails every new worker in the same way.
            again = sum('"event":"child-died"' in line for line in run.lines)
            return f"replaced, {again} times" if again > 1 else "IS READY BUT DOES NOT ANSWER"
        status = run.stop()
        if status != 0:
            return f"STOPS WITH {status}"
        return "CRASHED" if run.crashed() else "serves"
    run.ears.join(20)
    status = run.process.returncode
    if status <= 0 or run.crashed():
        return f"CRASHED {status}" if status else "GAVE UP WITH 0"
    if not run.lines:
        return f"SILENT, {status}"
    return f"refuses with {status}"


def at_start(folder, call, error, when):
    """One failure in a daemon that starts."""
    folder.mkdir(parents=True)
    run = Run(folder, ["-o", "/dev/null", *injection(call, error, when)])
    try:
        return verdict_on_start(run)
    finally:
        run.kill()


def calls_at_start(folder):
    folder.mkdir(parents=True)
    run = Run(folder, ["-o", str(folder / "trace")])
    try:
        assert verdict_on_start(run) == "serves", run.lines
        return count_calls(folder / "trace")
    finally:
        run.kill()


def calls_of_loader(trace):
    """What is called before main(), which is none of our business."""
    subprocess.run(["strace", "-qq", "-o", str(trace), UPPERD, "--version"], check=True,
                   stdout=subprocess.DEVNULL)
    return count_calls(trace)


class Tracer:
    """strace on a process for the length of a block."""

    def __init__(self, pid, *options):
        self.pid = pid
        self.process = subprocess.Popen(["strace", "-qq", "-p", str(pid), *options],
                                        stderr=subprocess.DEVNULL)

    def _is_attached(self):
        try:
            return process.status_of(self.pid)["TracerPid"] != "0"
        except OSError:
            return True  # it is gone already

    def __enter__(self):
        process.wait_until(self._is_attached, what="strace")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


def talk(run, role):
    """What makes a process do all that it does. What fails, fails."""
    if role == "supervisor":
        for verb in ("status", "reload"):
            # Who is not accepted waits until that works again.
            subprocess.run(["timeout", "1", UPPERCTL, "-s", str(run.control), verb],
                           capture_output=True, check=False)
        return
    for kind, listener in ((socket.SOCK_DGRAM, run.udp), (socket.SOCK_STREAM, run.tcp)) * 2:
        s = socket.socket(type=kind)
        s.settimeout(0.1)
        try:
            s.connect((listener["address"], listener["port"]))
            s.send(b"hello" * 100)
            s.recv(1000)
        except OSError:
            pass
        finally:
            s.close()


def pid_of(run, role):
    return run.supervisor() if role == "supervisor" else run.worker()


def cpu_of(run):
    """What supervisor and worker have used."""
    used = 0
    for pid in (run.supervisor(), run.worker()):
        try:
            used += process.cpu_seconds_of(pid) if pid else 0
        except (OSError, TypeError):
            pass
    return used


def cpu_share_of(run):
    used, begin = cpu_of(run), time.monotonic()
    time.sleep(0.2)  # the time over which CPU is measured
    return (cpu_of(run) - used) / (time.monotonic() - begin)


def in_service(run, role, call, error, when):
    """One failure in a process of a daemon that serves; the verdict, and the daemon goes on."""
    since, before = len(run.lines), run.worker()
    with Tracer(pid_of(run, role), "-o", "/dev/null", *injection(call, error, when)):
        talk(run, role)
        # What was begun may still be on its way to its end; who spins does so for ever.
        for _ in range(5):
            spent = cpu_share_of(run)
            if spent <= SPINS:
                break
    if run.process.poll() is not None:
        return f"ENDED {run.process.returncode}"
    if run.crashed(since):
        return "CRASHED"
    if not run.waits(run.answers, 30):
        return "DOES NOT ANSWER ANY MORE"
    if spent > SPINS:
        return f"SPINS, {spent:.0%} of a CPU"
    return "serves" if run.worker() == before or role == "supervisor" else "replaced, and serves"


def calls_in_service(run, role, trace):
    with Tracer(pid_of(run, role), "-o", str(trace)):
        talk(run, role)
    assert run.waits(run.answers, 30), run.lines
    return count_calls(trace)


def start(folder):
    """A daemon without any failure, to put some into."""
    folder.mkdir(parents=True)
    run = Run(folder)
    assert run.waits(lambda: run.says("ready"), 60) and run.answers(), run.lines
    return run


def descriptors_of(run):
    return {role: process.descriptors_of(pid_of(run, role)) for role in ("supervisor", "worker")}


def status_json(run):
    return json.loads(run.upperctl("--json", "status").stdout)
