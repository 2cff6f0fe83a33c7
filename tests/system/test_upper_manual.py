# SPDX-License-Identifier: Apache-2.0
"""The examples of upper(1) print what stands there, but for numbers."""

import os
import re
import subprocess

import pytest

from client import UPPER
from rig import ROOT
from settings import tcp, udp


def examples():
    """Each command of the page's last part with examples, and what it prints."""
    part = re.search(r"what some of them print:\n\.Bd.*?\n(.*?)\.Ed", (ROOT / "man/upper.1").read_text(), re.S)[1]
    return [(command, printed) for command, _, printed in
            (one.partition("\n") for one in re.split(r"^\$ ", part, flags=re.M) if one)]


def without_numbers(text, ports):
    for port in ports:
        text = text.replace(f":{port}", ":12000")
    text = re.sub(r": no sure difference$", "", text, flags=re.M)
    return re.sub(r" +", " ", re.sub(r"[+-]?\b\d+(\.\d+)?\b(?!\.)", "N", text))


def test_they_print_what_the_manual_says(daemon, tmp_path):
    ports = [at["port"] for at in daemon(udp(), tcp()).listeners]
    (tmp_path / "upper").symlink_to(os.path.abspath(UPPER))
    assert len(examples()) == 5
    for command, printed in examples():
        typed = command
        for scheme, port in zip(("udp", "tcp"), ports):
            typed = typed.replace(f"{scheme}://127.0.0.1", f"{scheme}://127.0.0.1:{port}")
        done = subprocess.run(["sh", "-c", typed], capture_output=True, text=True, timeout=60, cwd=tmp_path,
                              env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert (done.returncode, done.stderr) == (0, ""), typed
        if "the client was the bottleneck" in done.stdout:
            pytest.skip("this machine is too busy for the example")
        assert without_numbers(done.stdout.replace(" \n", "\n"), ports) == without_numbers(printed, ports), typed
