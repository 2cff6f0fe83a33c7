# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests. What they are made of: rig.py (the daemon), settings.py (its
configuration), wire.py (clients) and process.py (what /proc tells)."""

import contextlib
import os
import resource

import pytest

import lossy
import machine as machines
import rig


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "plain: measures memory or time, and wants a build without sanitizers")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
def start(tmp_path):
    """Starts a daemon that may not come up; the test waits for what it expects."""
    daemons = []

    def start_daemon(*listeners, **options):
        folder = tmp_path / str(len(daemons))
        folder.mkdir()
        daemons.append(rig.Daemon(folder, *listeners, **options))
        return daemons[-1]

    yield start_daemon
    for one in daemons:
        one.see_off()


@pytest.fixture
def daemon(start):
    """Starts a daemon and waits until it serves: daemon(udp(), tcp(framing="line"), workers=1)."""
    return lambda *listeners, **options: start(*listeners, **options).wait_ready()


@pytest.fixture
def road():
    """road(at, lossy.Weather(seed=1)): a relay to the server there, on a road as bad as it is told."""
    with contextlib.ExitStack() as stack:
        yield lambda to, fate=None: stack.enter_context(lossy.Relay(to, fate))


@pytest.fixture
def as_root():
    if os.getuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def with_systemd():
    if not rig.has_feature("systemd"):
        pytest.skip("this build knows no service manager")


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    """A booted systemd with the built tree; see machine.py. One for all tests, since it takes a second."""
    why = machines.why_not() or (None if rig.has_feature("systemd") else "built without systemd")
    if why:
        pytest.skip(why)
    one = machines.Machine(tmp_path_factory.mktemp("machine"))
    yield one
    one.end()


@pytest.fixture
def with_tls():
    if not rig.has_feature("tls"):
        pytest.skip("this build has no TLS")
