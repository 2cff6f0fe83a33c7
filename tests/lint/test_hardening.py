# SPDX-License-Identifier: Apache-2.0
"""What the compiler and the linker were asked to add, found in what they made; and the table of
system calls, found in SECURITY.md as the program has it."""

import json
import platform
import re
import subprocess

import pytest

from tree import BUILD, ROOT, run_tool

PROGRAMS = [BUILD / "src/upperd", BUILD / "src/ctl/upperctl", BUILD / "src/client/upper"]
LIBRARY = BUILD / "src/upper/libupper.so.1"


def each_binary(paths):
    return pytest.mark.parametrize("path", paths, ids=[path.name for path in paths])


@pytest.fixture(autouse=True)
def built_without_sanitizers():
    options = json.loads((BUILD / "meson-info/intro-buildoptions.json").read_text())
    if next(o["value"] for o in options if o["name"] == "b_sanitize") != "none":
        pytest.skip("sanitizers take the place of some of it")


def checksec(path):
    result = run_tool("checksec", f"--file={path}", "--output=json")
    return json.loads(result.stdout)[str(path)]


@each_binary(PROGRAMS)
@pytest.mark.parametrize("what, expected", [
    ("relro", "full"), ("canary", "yes"), ("nx", "yes"), ("pie", "yes"), ("rpath", "no"),
    ("fortify_source", "yes")])
def test_programs_are_hardened(path, what, expected):
    assert checksec(path)[what] == expected


@pytest.mark.parametrize("what, expected", [("relro", "full"), ("nx", "yes"), ("pie", "dso")])
def test_library_is_hardened(what, expected):
    assert checksec(LIBRARY)[what] == expected


def cet_notes(path):
    """Control-flow enforcement, as the notes of a file promise it."""
    notes = run_tool("readelf", "-n", path).stdout
    found = re.search(r"x86 feature: (.*)", notes)
    return set(found[1].split(", ")) if found else set()


@pytest.fixture
def on_x86():
    if platform.machine() != "x86_64":
        pytest.skip("CET is of x86")


@each_binary([*PROGRAMS, LIBRARY])
def test_programs_may_have_a_shadow_stack(path, on_x86):
    assert "SHSTK" in cet_notes(path)


def test_every_object_is_built_for_cet(on_x86):
    """Whole programs have IBT only where the C library's start files have, which Debian's do not."""
    objects = sorted((BUILD / "src").rglob("*.o"))
    assert len(objects) > 50
    assert [o.name for o in objects if not cet_notes(o) >= {"IBT", "SHSTK"}] == []


def test_table_of_system_calls():
    """SECURITY.md shows what priv/policy.c says."""
    program = BUILD / "tests/unit/test-policy"
    if not program.exists():
        pytest.skip("this build has no unit tests")
    table = subprocess.run([program, "--table"], capture_output=True, text=True, check=True).stdout
    assert table in (ROOT / "SECURITY.md").read_text(), "paste: tests/unit/test-policy --table"
