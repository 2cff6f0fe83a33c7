# SPDX-License-Identifier: Apache-2.0
"""What /proc tells about a process, and how one is held up."""

import contextlib
import functools
import os
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CAP_SYS_PTRACE = 19


def stat_of(pid):
    """The fields of /proc/PID/stat after the name, which may hold blanks; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def is_alive(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def children_of(pid):
    for entry in Path("/proc").iterdir():
        stat = stat_of(entry.name) if entry.name.isdigit() else None
        if stat and int(stat[1]) == pid and stat[0] not in "ZX":
            yield int(entry.name)


def arguments_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def status_of(pid):
    """/proc/PID/status as a dictionary."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def memory_of(pid):
    """Bytes of memory that are this process's own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"no memory of {pid}")


def cpu_seconds_of(pid):
    stat = stat_of(pid)
    return (int(stat[11]) + int(stat[12])) / TICKS


def may_look():
    """Whether processes of others, and those that closed themselves to their peers, can be looked into.
    Root in a container may not."""
    return int(status_of("self")["CapEff"], 16) >> CAP_SYS_PTRACE & 1 == 1


@functools.cache
def may_unshare():
    """Whether a network and mounts of one's own can be had. Root in a container may have none."""
    return subprocess.run(["unshare", "--mount", "--net", "mount", "-t", "tmpfs", "none", "/mnt"],
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def descriptors_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def standing_still(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_until(condition, seconds=30, what=None):
    """For what nobody sends a message about. Returns what the condition returned; `what` may be a
    function, for what is known only at the end."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, \
            f"not within {seconds} s: {what() if callable(what) else what or condition}"
        time.sleep(0.01)
    return result
