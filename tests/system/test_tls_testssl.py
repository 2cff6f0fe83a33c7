# SPDX-License-Identifier: Apache-2.0
"""What testssl.sh, which knows all the old mistakes, finds wrong: nothing of weight."""

import json
import shutil
import subprocess

import pytest

from pki import Authority
from secure import tls

pytestmark = pytest.mark.usefixtures("with_tls")


@pytest.mark.plain
def test_testssl_finds_nothing_of_weight(daemon, tmp_path):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if not program:
        pytest.skip("testssl.sh is not installed")
    authority = Authority(tmp_path / "pki")
    at = daemon(tls(authority.issue("ec"), authority.issue("rsa"))).listeners[0]
    report = tmp_path / "report.json"
    parts = ["-p", "-s", "-f", "-S", "-U"]  # all but what it says of browsers
    subprocess.run([program, *parts, "--add-ca", authority.file, "--ip", "127.0.0.1", "--warnings",
                    "batch", "--quiet", "--color", "0", "--severity", "MEDIUM", "--jsonfile",
                    report, f"localhost:{at['port']}"],
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=400, check=False)
    findings = json.loads(report.read_text())
    assert any(finding["id"] == "service" for finding in findings), "testssl.sh did not get far"
    heavy = [f for f in findings if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL")]
    assert not heavy, heavy
