# SPDX-License-Identifier: Apache-2.0
"""What other programs know about bugs: clang-tidy, cppcheck, shellcheck, Python's compiler."""

import json
import shutil

import pytest

from tree import (BUILD, FILES, ROOT, each, files_with, name_of, require_clean, run_for_each,
                  run_tool)

SOURCES = files_with(".c", under="src/")
SCRIPTS = [path for path in FILES if path.suffix in ("", ".sh")
           and path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash"))]
PYTHON = [path for path in FILES
          if path.suffix == ".py" or path.read_bytes().startswith(b"#!/usr/bin/python3")]


@pytest.fixture(scope="session")
def compiled():
    """The sources that the build knows; the rest belongs to features that it lacks."""
    path = BUILD / "compile_commands.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing: meson setup makes it, and BUILD says where")
    entries = json.loads(path.read_text())
    return {(BUILD / entry["directory"] / entry["file"]).resolve() for entry in entries}


@pytest.fixture(scope="session")
def tidied(compiled):
    if not shutil.which("clang-tidy"):
        pytest.skip("clang-tidy is not installed")
    known = [path for path in SOURCES if path in compiled]
    return run_for_each(lambda path: run_tool("clang-tidy", "-p", BUILD, "--quiet", path), known)


@each(SOURCES)
def test_clang_tidy(path, tidied):
    if path not in tidied:
        pytest.skip("this build does not compile it")
    result = tidied[path]
    assert result.returncode == 0 and "warning:" not in result.stdout, result.stdout


@pytest.fixture(scope="session")
def checked():
    suppressions = ROOT / "tests" / "lint" / "cppcheck.txt"
    if not shutil.which("cppcheck"):
        pytest.skip("cppcheck is not installed")

    def check(path):
        return run_tool(
            "cppcheck", "--quiet", "--std=c11", "--error-exitcode=1", "--inline-suppr",
            "--enable=warning,portability,performance", "--suppressions-list=" + str(suppressions),
            "-D_GNU_SOURCE", "-D__linux__", "-I", ROOT / "include", "-I", ROOT / "src", "-I", BUILD,
            path)

    return run_for_each(check, SOURCES)


@each(SOURCES)
def test_cppcheck(path, checked):
    assert checked[path].returncode == 0, checked[path].stdout


@each(SCRIPTS)
def test_shellcheck(path):
    require_clean("shellcheck", path)


@each(PYTHON)
def test_python_compiles(path):
    compile(path.read_text(), name_of(path), "exec")
