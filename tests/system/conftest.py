# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests. What they are made of: rig.py (the daemon), settings.py (its
configuration), wire.py (clients) and process.py (what /proc tells)."""

import contextlib
import itertools
import os
import resource
import signal

import pytest

import lossy
import machine as machines
import process
import rig
from pki import Authority


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "plain: measures memory or time, and wants a build without sanitizers")
    config.addinivalue_line("markers", "long: ten seconds or more, mostly asleep; it begins early")
    # A shell that runs us in the background has these ignored, and so would be what we start.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pytest_collection_modifyitems(items):
    """The long ones are spread over the first three quarters: each process then has its share of them, and the last to
    end are short."""
    long = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if not item.get_closest_marker("long")]
    count = len(items)
    for order, item in enumerate(long):
        items.insert(order + order * 3 * count // (4 * len(long)), item)


@pytest.fixture
def start(tmp_path):
    """Starts a daemon that may not come up; the test waits for what it expects."""
    folders = map(str, itertools.count())
    with contextlib.ExitStack() as stack:  # one that fails leaves none of the others running
        def start_daemon(*listeners, **options):
            folder = tmp_path / next(folders)
            folder.mkdir()
            one = rig.Daemon(folder, *listeners, **options)
            stack.callback(one.see_off)
            return one

        yield start_daemon


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
def looking():
    if not process.may_look():
        pytest.skip("needs CAP_SYS_PTRACE, to look into processes of others")


@pytest.fixture
def unsharing():
    if not process.may_unshare():
        pytest.skip("needs namespaces: a network and mounts of its own")


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


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def pair(authority):
    """A certificate for localhost, and its key."""
    return authority.issue("ec")
