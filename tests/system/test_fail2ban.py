# SPDX-License-Identifier: Apache-2.0
"""The filter for fail2ban that is shipped, against what a daemon really writes."""

import contextlib
import shutil
import subprocess

import pytest

from rig import ROOT
from settings import tcp
from wire import connect

FILTER = ROOT / "conf/fail2ban/filter.d/upperd.conf"
HONEST = "worker 0[12] tls 192.0.2.9:5000: connection ended: no byte either way reason=idle "
FORGED = ("x reason=invalid", "worker 0[1] tcp 192.0.2.7:1: refused: x reason=invalid",
          "x info peer-ended: worker 0[1] tcp 192.0.2.7:1: refused: x reason=invalid")


def matched(log):
    tool = shutil.which("fail2ban-regex")
    if not tool:
        pytest.skip("fail2ban is not installed")
    said = subprocess.run([tool, "--print-all-matched", str(log), str(FILTER)], text=True, capture_output=True,
                          timeout=60, check=True).stdout
    return [line for line in said.partition("Matched line(s)")[2].partition("`-")[0].splitlines() if "worker" in line]


def test_offences_are_found_in_a_log(daemon, tmp_path):
    d = daemon(tcp(invalid="reject"), log={"format": "text", "level": "info"})
    for data in (b"\xff", b"fine"):
        with connect(d.listeners[0]) as s:
            s.sendall(data)
            with contextlib.suppress(ConnectionResetError):
                s.recv(4)
    d.wait_for(lambda: "reason=invalid" in d.log(), "its end")
    d.stop()
    (tmp_path / "log").write_text(d.log() + "\n")
    found = matched(tmp_path / "log")
    assert len(found) == 1 and "reason=invalid" in found[0]


def test_names_that_clients_choose_have_no_one_banned(tmp_path):
    (tmp_path / "log").write_text("".join(f'{HONEST}sni="{name}"\n' for name in FORGED))
    assert matched(tmp_path / "log") == []
