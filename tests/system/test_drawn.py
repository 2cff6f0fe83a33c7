# SPDX-License-Identifier: Apache-2.0
"""The pictures of the README are those that scripts/draw makes now."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from rig import ROOT
from test_package import copy_tree

BUILD = os.environ.get("BUILD", str(ROOT / "build-plain"))

pytestmark = pytest.mark.plain


def drawn(tmp_path, name, *args):
    """The picture that is drawn anew in a copy of the tree, and the one that is there."""
    copy_tree(tmp_path)
    file = f"docs/{name}.svg"
    subprocess.run([sys.executable, tmp_path / "scripts/draw", name, *args], check=True, timeout=120)
    return (tmp_path / file).read_text(), (ROOT / file).read_text()


def test_processes_are_those_of_the_text(tmp_path):
    new, old = drawn(tmp_path, "processes")
    assert new == old, "scripts/draw processes"


def test_recording_shows_what_the_programs_print(tmp_path):
    """But for times."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("a network of its own takes root, unshare and ip")
    new, old = (re.sub(r'textLength="[^"]*"|(width|viewBox|height)="[^"]*"|\d+\.\d+', "", text)
                for text in drawn(tmp_path, "recording", BUILD))
    assert new == old, "scripts/draw recording"


def test_readme_shows_both():
    for name in ("processes", "recording"):
        assert f"](docs/{name}.svg)" in (ROOT / "README.md").read_text()
