# SPDX-License-Identifier: Apache-2.0
"""What the compiler and the linker were asked to add, found in what they made; and the table of
system calls, found in SECURITY.md as the program has it."""

import ctypes
import functools
import json
import platform
import re
import shlex
import subprocess
from pathlib import Path

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


@pytest.fixture
def on_x86():
    if platform.machine() != "x86_64":
        pytest.skip("CET is of x86")


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


# The guide of the OpenSSF for C and C++, and what meson.build leaves out of it with a reason. Whatever the
# compiler at hand knows of these must be there; -Wformat, since one of them is of no use without it.
GUIDE = """
    -Wall -Wextra -Wformat=2 -Wconversion -Wimplicit-fallthrough -Wtrampolines -Wbidi-chars=any
    -Werror=format-security -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion
    -fstack-protector-strong -fstack-clash-protection -fstrict-flex-arrays=3 -fcf-protection=full
    -mbranch-protection=standard -ftrivial-auto-var-init=zero -fzero-init-padding-bits=all
    -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -D_FORTIFY_SOURCE=3
""".split()


def commands():
    """What compiled each object of the programs and of the library."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        if words[words.index("-o") + 1].startswith("src/"):
            yield entry["file"], words


@functools.cache
def compiler():
    _, words = next(commands())
    return tuple(words[:words.index("-I" + next(w[2:] for w in words if w.startswith("-I")))])


def knows(flag):
    return subprocess.run([*compiler(), "-Werror", "-Wformat", flag, "-O2", "-x", "c", "-fsyntax-only", "-"],
                          input="int x;\n", text=True, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("flag", GUIDE)
def test_every_object_was_asked_for(flag):
    if not knows(flag):
        pytest.skip(f"{Path(compiler()[-1]).name} here does not know {flag}")
    known = list(commands())
    assert len(known) > 50
    assert [file for file, words in known if flag not in words] == []


PROBE = """
#include <stddef.h>
struct tail { int n; char text[1]; };
size_t room(struct tail *tail) { return __builtin_object_size(tail->text, 1); }
int sum(const int *p);
int forgotten(void) { int numbers[4]; return sum(numbers); }
"""


def test_what_was_asked_for_has_an_effect(on_x86):
    """The flags of an object, as it was compiled, and what they make of a few lines."""
    file, words = next((file, words) for file, words in commands() if file.endswith("stream.c"))
    words = [*words[:words.index("-MD")], "-w", "-S", "-o", "-", "-x", "c", "-"]
    made = subprocess.run(words, input=PROBE, text=True, capture_output=True, cwd=BUILD, check=True).stdout
    room, forgotten = made.split("forgotten:")[0], made.split("forgotten:")[1]
    if knows("-fstrict-flex-arrays=3"):
        assert re.search(r"movl\s+\$1, %eax", room), "an array of one at the end is taken for any length"
    if knows("-ftrivial-auto-var-init=zero"):
        assert re.search(r"xor|pxor|, \$0|\$0, ", forgotten), "what was forgotten is not zero"
    assert "__stack_chk_fail" in forgotten


def dynamic_flags(path):
    """FLAGS and FLAGS_1 of a file, and whether its stack may be executed."""
    dynamic = run_tool("readelf", "-dW", path).stdout
    stack = re.search(r"GNU_STACK.* (R\S*) ", run_tool("readelf", "-lW", path).stdout)[1]
    return set(" ".join(re.findall(r"Flags: (.*)", dynamic)).split()), stack


@each_binary(PROGRAMS)
def test_programs_are_linked_as_asked(path):
    flags, stack = dynamic_flags(path)
    assert flags >= {"NOW", "PIE"} and stack == "RW"


def test_programs_are_not_for_others_to_load():
    """This takes the place of -z nodlopen, which the linker leaves out of programs."""
    for path in PROGRAMS:
        with pytest.raises(OSError, match="cannot dynamically load position-independent executable"):
            ctypes.CDLL(str(path))


def test_library_can_be_loaded_by_other_languages():
    flags, stack = dynamic_flags(LIBRARY)
    assert "NOW" in flags and "NOOPEN" not in flags and stack == "RW"


def test_no_object_wants_a_stack_that_can_be_executed():
    objects = sorted((BUILD / "src").rglob("*.o"))
    assert len(objects) > 50
    for path in objects:
        note = re.search(r"\.note\.GNU-stack\s+PROGBITS\s+\S+ \S+ \S+ \S+\s+(\w*)",
                         run_tool("readelf", "-SW", path).stdout)
        assert note and "X" not in note[1], path


def cet_notes(path):
    """Control-flow enforcement, as the notes of a file promise it."""
    notes = run_tool("readelf", "-n", path).stdout
    found = re.search(r"x86 feature: (.*)", notes)
    return set(found[1].split(", ")) if found else set()


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
