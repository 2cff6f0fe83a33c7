# SPDX-License-Identifier: Apache-2.0
"""Runs upper, for the tests of it: its exit codes, and servers that end with the test."""

import contextlib
import os
import subprocess

import pytest

import peers
import process
from settings import family_of

UPPER = os.environ.get("UPPER", "build/src/client/upper")

FINE, WRONG, USAGE, NO_NAME, UNREACHABLE, LOST = range(6)
LOCAL = 8


def upper(*args, stdin=b"", env=None, timeout=60):
    return subprocess.run([UPPER, *map(str, args)], input=stdin, capture_output=True,
                          timeout=timeout, env={**os.environ, **(env or {})})


@pytest.fixture
def peer():
    """peer(peers.textbook_udp): a server that ends with the test."""
    with contextlib.ExitStack() as stack:
        def start(make, *args, **keys):
            one = make(*args, **keys)
            stack.callback(one.close)
            return one

        yield start


def both(test):
    makes = [peers.textbook_udp, peers.textbook_tcp]
    return pytest.mark.parametrize("make", makes, ids=["udp", "tcp"])(test)


def upper_knowing(hosts, tmp_path, *args):
    """With a table of hosts of its own, in a mount namespace."""
    if not process.may_unshare():
        pytest.skip("needs namespaces, to mount another /etc/hosts")
    family_of("::1")
    (tmp_path / "hosts").write_text(hosts)
    return upper_with_mounts({tmp_path / "hosts": "/etc/hosts"}, *args)


def upper_with_mounts(mounts, *args):
    if not process.may_unshare():
        pytest.skip("needs namespaces, to mount other files over those of /etc")
    script = " && ".join(f"mount --bind {new} {old}" for new, old in mounts.items()) + ' && exec "$@"'
    return subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", UPPER, *map(str, args)],
                          capture_output=True, timeout=30)
