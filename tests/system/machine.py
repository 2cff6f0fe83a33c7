# SPDX-License-Identifier: Apache-2.0
"""A machine to try the deployment on: this one's own systemd, booted as PID 1 in namespaces, with the
built tree installed. See boot.sh for its inside. It lasts for a test session."""

import contextlib
import ctypes
import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import process

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", ROOT / "build-plain"))
HERE = Path(__file__).resolve().parent

PATIENCE = 120
CLONE_NEWNET = 0x40000000

# What a machine needs to be one; nothing of this machine's own services is started.
TARGET = """[Unit]
Description=A machine for tests
Requires=sysinit.target dbus.service systemd-journald.service
Wants=sockets.target
After=sysinit.target dbus.service systemd-journald.service sockets.target
AllowIsolate=yes
"""


@functools.cache
def why_not():
    """Why no machine can be had here, or None."""
    if os.getuid() != 0:
        return "booting a systemd needs root"
    missing = [tool for tool in ("unshare", "nsenter", "ip", "tar", "dbus-daemon", "meson")
               if not shutil.which(tool)]
    if missing or not Path("/lib/systemd/systemd").exists():
        return f"booting a systemd needs {', '.join(missing) or 'systemd'}"
    if not unified():
        return "booting a systemd needs the unified hierarchy of cgroups"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup",
                            "--fork", "true"], capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def unified():
    """Where the unified hierarchy of cgroups is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, path, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(path)
    return None


def settings_of_build():
    options = json.loads((BUILD / "meson-info/intro-buildoptions.json").read_text())
    values = {option["name"]: option["value"] for option in options}
    return {name: Path(values["prefix"]) / values[name] for name in ("sbindir", "bindir", "sysconfdir")}


class Machine:
    """Boots at once, with the built tree installed or bare."""

    def __init__(self, folder, bare=False):
        self.folder = folder
        self.group = unified() / f"upperd-test-{os.getpid()}-{folder.name}"
        (folder / "tree").mkdir()
        if not bare:
            self._install()
        target = folder / "tree/etc/systemd/system/box.target"
        target.parent.mkdir(parents=True)
        target.write_text(TARGET)
        self._boot()

    def _install(self):
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir",
                        self.folder / "tree"], check=True, capture_output=True)

    def _boot(self):
        self.group.mkdir()
        self.log = open(self.folder / "boot.log", "wb")
        self.unshare = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--kill-child",
             HERE / "boot.sh", self.folder, self.group], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log)
        self.pid = process.wait_until(
            lambda: next(process.children_of(self.unshare.pid), None), PATIENCE, "PID 1")
        process.wait_until(self._is_reachable, PATIENCE, "the bus of systemd")
        self.run("systemctl", "is-system-running", "--wait", check=False)
        self.run("journalctl", "--update-catalog")

    def _is_reachable(self):
        assert self.unshare.poll() is None, (self.folder / "boot.log").read_text()
        return Path(f"/proc/{self.pid}/root/run/systemd/private").exists() \
            and Path(f"/proc/{self.pid}/root/run/dbus/system_bus_socket").exists()

    def end(self):
        self.unshare.kill()
        self.unshare.wait()
        self.log.close()
        process.wait_until(self._group_is_gone, PATIENCE, "the end of the machine")

    def _group_is_gone(self):
        groups = sorted((path for path in self.group.rglob("*") if path.is_dir()), reverse=True)
        for group in [*groups, self.group]:
            with contextlib.suppress(OSError):
                group.rmdir()
        return not self.group.exists()

    # What is done in it

    def command(self, *args):
        """The words that run something inside."""
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "-C", "--", "env", "-i",
                "--chdir=/", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                *map(str, args)]

    def run(self, *args, check=True, seconds=PATIENCE, **options):
        """A command inside; its words are text."""
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=seconds,
                              **{"stdin": subprocess.DEVNULL, **options})
        assert not check or done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done

    def systemctl(self, *args, **options):
        return self.run("systemctl", *args, **options)

    def show(self, unit, name):
        return self.systemctl("show", "-P", name, unit).stdout.strip()

    def journal(self, *args):
        """The records of upperd, newest last, as dictionaries."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "-o", "json", "--no-pager", "-t", "upperd", *args).stdout
        return [json.loads(line) for line in lines.splitlines()]

    def cursor(self):
        """Where the journal is now, for `--after-cursor`."""
        self.run("journalctl", "--sync")
        out = self.run("journalctl", "-n0", "--show-cursor", "--no-pager").stdout
        return re.search(r"-- cursor: (\S+)", out)[1]

    def path(self, inside):
        """A file of the machine, as it is seen from here."""
        return Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    @contextlib.contextmanager
    def network(self):
        """Sockets made meanwhile are in the machine's network, and stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as ours, open(f"/proc/{self.pid}/ns/net") as theirs:
            if libc.setns(theirs.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                libc.setns(ours.fileno(), CLONE_NEWNET)

    # Processes, with the numbers that they have out here

    def outside(self, pid):
        """The number here of a process that is `pid` inside."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError, KeyError):
                numbers = process.status_of(entry.name)["NSpid"].split()
                if numbers[1:2] == [str(pid)] and self._is_mine(entry):
                    return int(entry.name)
        return None

    def _is_mine(self, entry):
        """By its control group: a unit may have its own namespaces of all other kinds."""
        return self.group.name in (entry / "cgroup").read_text()

    def supervisor(self):
        return self.outside(self.show("upperd.service", "MainPID"))

    def workers(self):
        return sorted(pid for pid in process.children_of(self.supervisor())
                      if "--role=worker" in process.arguments_of(pid))
