# SPDX-License-Identifier: Apache-2.0
"""Static probes: each has its note in the program, and its script; and bpftrace counts with them where it may."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import rig
from settings import tcp
from wire import tcp_ask

SCRIPTS = {path.stem: path for path in (rig.ROOT / "docs/probes").glob("*.bt")}
PROBES = {"accept", "handshake", "message", "refusal", "close", "reload"}

CONFIG = Path(rig.UPPERD).parents[1] / "config.h"

pytestmark = pytest.mark.skipif("#define HAVE_PROBES 1" not in CONFIG.read_text(),
                                reason="this build has no sys/sdt.h")


def test_program_has_all_probes():
    notes = subprocess.run(["readelf", "-n", rig.UPPERD], capture_output=True, text=True).stdout
    found = set(re.findall(r"Provider: upperd\n\s+Name: (\w+)", notes))
    assert found == PROBES


def test_every_probe_has_a_script():
    assert set(SCRIPTS) == PROBES
    for name, path in SCRIPTS.items():
        assert f":upperd:{name} " in path.read_text()


def test_bpftrace_counts(daemon):
    if not shutil.which("bpftrace"):
        pytest.skip("bpftrace is not installed")
    d = daemon(tcp(), workers=1)
    with subprocess.Popen(["bpftrace", "-p", str(d.workers()[0]), SCRIPTS["close"], rig.UPPERD],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as one:
        time.sleep(3)
        if one.poll() is not None:
            pytest.skip(f"bpftrace may not: {one.stdout.read().strip()[:200]}")
        for _ in range(3):
            tcp_ask(d.listeners[0], b"a")
        one.terminate()
        assert "@[tcp, done]: 3" in one.stdout.read()
