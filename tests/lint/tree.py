# SPDX-License-Identifier: Apache-2.0
"""What belongs to the tree, for the tests beside this file."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", ROOT / "build-plain"))


def list_files():
    """Everything that git knows or would take, so that build folders and droppings stay out."""
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT]
    listing = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=True, text=True)
    names = sorted(name for name in listing.stdout.split("\0") if name)
    return [path for path in map(ROOT.joinpath, names) if path.is_file()]


FILES = list_files()


def files_with(*suffixes, under=""):
    return [f for f in FILES if f.suffix in suffixes and name_of(f).startswith(under)]


def name_of(path):
    """As it is shown and compared: relative to the top."""
    return path.relative_to(ROOT).as_posix()


def each(paths):
    """One test per file, named after it."""
    return pytest.mark.parametrize("path", paths, ids=[name_of(path) for path in paths])


def run_tool(command, *args):
    """Runs a linter; its words are the failure."""
    if not shutil.which(command):
        pytest.skip(f"{command} is not installed")
    return subprocess.run([command, *map(str, args)], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def require_clean(command, *args):
    result = run_tool(command, *args)
    assert result.returncode == 0, result.stdout


def run_for_each(function, paths):
    """Slow linters look at several files at once, and each test then picks its own result."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(paths, pool.map(function, paths)))
