# SPDX-License-Identifier: Apache-2.0
"""What happens in a night, step by step, and the records that a person sees of it. docs/night-log.md shows a run:
each of its sections that begins with "A" is a step here, and has the same records at notice or above."""

import contextlib
import os
import re
import signal

import pytest

from rig import ROOT
from secure import ask_tls, context_for, tls
from settings import tcp, udp
from wire import connect, tcp_ask, udp_socket

LOUD = re.compile(r"\S+ (error|warning|notice) ([a-z-]+): (.*)")
PAGE = ROOT / "docs/night-log.md"


def loud(lines):
    return [found.groups() for line in lines if (found := LOUD.fullmatch(line.strip()))]


def sections():
    """The steps that the page shows, each with its records."""
    parts = re.split(r"^## (A .+)\n", PAGE.read_text(), flags=re.M)
    return {title: loud(part.splitlines()) for title, part in zip(parts[1::2], parts[2::2])}


def events(steps):
    return {title: [f"{level} {event}" for level, event, _ in records] for title, records in steps.items()}


class Night:
    """A daemon that logs as text at its default level, and what was done to it so far."""

    def __init__(self, daemon, pair):
        self.start, self.pair = daemon, pair
        self.listeners = [udp(), tcp(connections=2, idle_timeout="500ms"), tls(pair)]
        self.limits = {"datagrams": 5, "exempt": []}
        self.steps, self.daemon = {}, None

    def step(self, title, do, until):
        """Until a line says so; what came since the last step belongs to this one."""
        since = self.daemon.mark() if self.daemon else 0
        do()
        if until:
            self.daemon.wait_for(lambda: any(until in line for line in self.daemon.ears.lines[since:]), until)
        self.steps[title] = loud(self.daemon.ears.lines[since:])

    def begin(self):
        self.daemon = self.start(*self.listeners, workers=1, limits=self.limits,
                                 log={"format": "text", "level": "info"})

    def write(self, **more):
        self.daemon.reconfigure(workers=1, log={"format": "text", "level": "info"},
                                **{"limits": self.limits, **more})

    def reload_more(self):
        self.limits["per_client"] = 50
        self.write()
        self.daemon.reload()

    def reload_nonsense(self):
        self.write(wrokers=3)
        self.daemon.reload("reload-failed")
        self.write()

    def kill_worker(self):
        old = self.daemon.workers()
        os.kill(old[0], signal.SIGKILL)
        self.daemon.wait_for(lambda: self.daemon.workers() not in ([], old), "another worker")
        assert tcp_ask(self.daemon.listeners[1], b"a") == b"A"

    def replace_certificate(self, write):
        new = self.pair.certificate.with_suffix(".new")
        write(new)
        new.rename(self.pair.certificate)

    def connect_too_often(self):
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connect(self.daemon.listeners[1]))
            self.daemon.wait_for(lambda: "accept-paused" in self.daemon.log(), "its limit")

    def flood(self):
        with udp_socket(self.daemon.listeners[0]) as s:
            for i in range(1000):
                s.send(b"datagram %d" % i)

    def trickle(self):
        with connect(self.daemon.listeners[1]) as s, contextlib.suppress(ConnectionError):
            s.settimeout(0.1)
            while True:
                with contextlib.suppress(TimeoutError):
                    if not s.recv(1):
                        break


@pytest.mark.long
def test_night(daemon, with_tls, authority):
    pair = authority.issue("ec", days=50)
    night = Night(daemon, pair)
    night.step("A start", night.begin, " ready: ")
    night.step("A reload that works", night.reload_more, " reloaded: ")
    night.step("A reload that fails", night.reload_nonsense, " reload-failed: ")
    night.step("A worker that dies", night.kill_worker, " child-died: ")
    night.step("A certificate that is garbage",
               lambda: night.replace_certificate(lambda new: new.write_text("garbage")), " reload-failed: ")
    night.step("A renewal", lambda: night.replace_certificate(
        lambda new: authority.sign(pair.key, new, "localhost", ["localhost"])), " reloaded: ")
    assert ask_tls(night.daemon.listeners[2], context_for(authority))
    night.step("A limit that is reached", night.connect_too_often, " accept-resumed: ")
    night.step("A flood", night.flood, " peers-served: ")
    night.step("A client that is slow", night.trickle, " peer-ended: ")
    night.step("A stop", night.daemon.stop, None)
    for title, records in night.steps.items():
        print(f"{title}: {len(records)}", *map(" ".join, records), sep="\n    ")
    assert events(night.steps) == events(sections())
    assert max(map(len, night.steps.values())) <= 3
