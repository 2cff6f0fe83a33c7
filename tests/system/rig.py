# SPDX-License-Identifier: Apache-2.0
"""A real upperd under test: started, listened to, asked, and seen off."""

import functools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path

import process
from settings import configuration

ROOT = Path(__file__).resolve().parents[2]
UPPERD = os.path.abspath(os.environ.get("UPPERD", ROOT / "build-test/src/upperd"))
UPPERCTL = os.environ.get("UPPERCTL", str(Path(UPPERD).parent / "ctl/upperctl"))
UPPER = os.environ.get("UPPER", str(ROOT / "build-test/src/client/upper"))

# A sanitizer makes everything slower, and start most of all; and the machine may be busy besides.
PATIENCE = 60
ENDS_OF_RELOAD = ("reloaded", "reload-failed")
SANITIZER = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")


class Record(dict):
    """One record of the log; a line that is none becomes a record with only a message."""

    @classmethod
    def parse(cls, line):
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        return cls(value if isinstance(value, dict) else {"message": line})

    def matches(self, event, fields):
        return self.get("event") == event and all(self.get(k) == v for k, v in fields.items())


class Ears:
    """Hears what the daemon says on stderr and to its service manager; wakes who waits for it."""

    def __init__(self, folder):
        self.lines, self.notices = [], []
        self.heard = threading.Condition()
        self._file = open(folder / "log", "a", encoding="utf-8", errors="backslashreplace")
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"upperd-test-{uuid.uuid4()}"
        self._manager.bind("\0" + name)
        self.address = "@" + name
        self._start(self._hear_notices)

    @staticmethod
    def _start(target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread

    def follow(self, stderr):
        self._listener = self._start(self._hear_log, stderr)

    def hear_out(self):
        """The daemon has ended: until its last word is heard."""
        self._listener.join(PATIENCE)

    def _hear_log(self, stderr):
        for line in stderr:
            text = line.decode(errors="backslashreplace").rstrip("\n")
            self._file.write(text + "\n")
            self._file.flush()
            with self.heard:
                self.lines.append(text)
                self.heard.notify_all()

    def _hear_notices(self):
        while notice := self._manager.recv(65536):
            with self.heard:
                self.notices.append(notice.decode())
                self.heard.notify_all()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"", "\0" + self.address[1:])


class Daemon:
    """Starts at once; wait_ready() returns when it serves."""

    def __init__(self, folder, *listeners, text=None, args=(), env=None, before=None, inside=(),
                 **settings):
        """`inside`: a command that ends by becoming the one behind it."""
        self.folder, self.listeners = folder, listeners
        self.config = folder / "upperd.conf"
        self.config.write_text(text or configuration(*listeners, **settings))
        self.ears = Ears(folder)
        if "control" not in settings:
            args = ("--set", f"control.path={folder}/control", *args)
        self.process = subprocess.Popen(
            [*map(str, inside), UPPERD, "-c", str(self.config), *args],
            cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=before,
            env={**os.environ, "NOTIFY_SOCKET": self.ears.address, **(env or {})})
        self.pid = self.process.pid
        self.ears.follow(self.process.stderr)
        # Unless its log goes elsewhere or leaves something out.
        self.is_heard = text is None and not {"target", "format", "level"} & {*settings.get("log", {})}
        self.asked_to_stop = False
        self.killed = 0  # children whose death is the test's own doing

    # What it says

    def records(self, event=None, since=0, **fields):
        found = map(Record.parse, self.ears.lines[since:])
        return [record for record in found if event is None or record.matches(event, fields)]

    def mark(self):
        """Where the log is now: `since` for what is said later."""
        return len(self.ears.lines)

    def wait_for(self, condition, what, seconds=PATIENCE):
        """Until the condition holds; it is looked at whenever the daemon has said something."""
        deadline = time.monotonic() + seconds
        with self.ears.heard:
            while not (result := condition()):
                assert self.process.poll() is None, f"upperd ended before {what}\n{self.log()}"
                left = deadline - time.monotonic()
                assert left > 0, f"no {what} within {seconds} s\n{self.log()}"
                self.ears.heard.wait(min(left, 0.2))
            return result

    def expect(self, event, since=0, seconds=PATIENCE, **fields):
        """The first record of this event since then, waited for."""
        return self.wait_for(lambda: self.records(event, since, **fields), event, seconds)[0]

    def notices(self, word, since=0):
        """What the service manager was told in which this word is a line, or begins one."""
        return [notice for notice in self.ears.notices[since:]
                if any(line.startswith(word) for line in notice.splitlines())]

    def wait_ready(self):
        """Told by READY=1; a build without systemd says it in the log alone. Both are heard in threads
        of their own: what the log says up to then has been heard, too."""
        if has_feature("systemd"):
            self.wait_for(lambda: self.notices("READY=1"), "READY=1")
        if self.is_heard or not has_feature("systemd"):
            self.expect("ready")
        return self

    def log(self):
        return "\n".join(self.ears.lines)

    # What is done to it

    def signal(self, number):
        self.process.send_signal(number)

    def reconfigure(self, *listeners, text=None, **settings):
        self.listeners = listeners or self.listeners
        self.config.write_text(text or configuration(*self.listeners, **settings))

    def reload(self, expected="reloaded", seconds=PATIENCE):
        """HUP; returns when it is known how that ended, which is as expected."""
        ended = self._end_of_reload(self.mark(), len(self.ears.notices))
        self.signal(signal.SIGHUP)
        assert self.wait_for(ended, "the end of the reload", seconds) == expected, self.log()

    def _end_of_reload(self, since, notices_since):
        """The service manager is told every time; the log is limited in rate."""
        def by_notice():
            for notice in self.notices("READY=1", notices_since):
                return "reload-failed" if "STATUS=Reload failed" in notice else "reloaded"
            return None

        def by_record():
            return next((event for event in ENDS_OF_RELOAD if self.records(event, since)), None)

        return by_notice if has_feature("systemd") else by_record

    def stop(self, seconds=PATIENCE):
        """TERM; returns the exit status."""
        self.asked_to_stop = True
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=PATIENCE):
        """Until it ends by itself; returns the exit status."""
        self.asked_to_stop = True
        status = self.process.wait(seconds)
        self.ears.hear_out()
        return status

    # What it is made of

    def children(self, role=None):
        return [pid for pid in process.children_of(self.pid)
                if role is None or f"--role={role}" in process.arguments_of(pid)]

    def workers(self):
        return sorted(self.children("worker"))

    def see_off(self):
        """The end of every test: it lives, it stops when asked, and no sanitizer has complained."""
        try:
            if not self.asked_to_stop:
                assert self.process.poll() is None, f"upperd died: {self.process.returncode}"
                assert self.stop() == 0
            process.wait_until(lambda: not self.children(), what="the end of its children")
            assert not SANITIZER.search(self.log()), "a sanitizer complained"
            assert len(self.records("child-died")) == self.killed, "a child died"
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.ears.close()
            print(f"--- {self.config}\n{self.config.read_text()}--- log\n{self.log()}")


def run_upperctl(daemon, *args):
    return subprocess.run([UPPERCTL, "-s", str(daemon.folder / "control"), *args], text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)


def run_upperd(*args):
    """For what ends by itself: --check, --dump, mistakes."""
    return subprocess.run([UPPERD, *map(str, args)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE)


@functools.cache
def has_feature(name):
    return f"+{name}" in run_upperd("--version").stdout.split()
