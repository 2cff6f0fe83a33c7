# SPDX-License-Identifier: Apache-2.0
"""How the code looks: format, sizes, and words that must not stay."""

import json
import re
import shutil

import pytest

from tree import FILES, each, files_with, name_of, require_clean, run_tool

C_FILES = files_with(".c", ".h")
# Written by a program, for a program to read.
GENERATED = {"src/upper/upper_table.c", "src/upper/upper_table.h"}
WRITTEN = [path for path in C_FILES if name_of(path) not in GENERATED]

FILE_LINES = 700
FUNCTION_LINES = 60
FORMAT_VERSION = 14

# Spelled so that this file passes its own test.
LEFT_OVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b|(?<![\w.])/wo" r"rk/")
TEXT = [path for path in FILES
        if path.name != "LICENSE" and path.suffix != ".png" and "corpus" not in path.parts]


def format_version():
    """Of the clang-format here; 0: there is none."""
    if not shutil.which("clang-format"):
        return 0
    found = re.search(r"version (\d+)", run_tool("clang-format", "--version").stdout)
    return int(found[1]) if found else 0


@each(WRITTEN if format_version() in (0, FORMAT_VERSION) else [])
def test_format(path):
    """Versions differ in casts and in macros that are initialisers: the tree follows one of them."""
    require_clean("clang-format", "--dry-run", "--Werror", path)


def test_no_file_is_long():
    lines = {name_of(path): len(path.read_text().splitlines()) for path in WRITTEN}
    long = [f"{name}: {n}" for name, n in lines.items() if n > FILE_LINES]
    assert not long, "is a seam missing?\n" + "\n".join(long)


def functions_of(paths):
    """Yields (name, lines) of every function, as ctags sees them."""
    result = run_tool("ctags", "--languages=C", "--kinds-C=f", "--fields=+ne",
                      "--output-format=json", "-f", "-", *paths)
    assert result.returncode == 0, result.stdout
    for line in result.stdout.splitlines():
        tag = json.loads(line)
        yield f"{tag['path']}:{tag['name']}", tag["end"] - tag["line"] + 1


def test_no_function_is_long():
    sources = [path for path in WRITTEN if name_of(path).startswith(("src/", "fuzz/", "tests/"))]
    long = [f"{name}: {lines}" for name, lines in functions_of(sources) if lines > FUNCTION_LINES]
    assert not long, "a table, or a missing name?\n" + "\n".join(long)


def lines_where(paths, is_wrong):
    return [f"{name_of(path)}:{number}: {line.strip()}" for path in paths
            for number, line in enumerate(path.read_text().split("\n"), 1) if is_wrong(line)]


def test_nothing_left_over():
    found = lines_where(TEXT, LEFT_OVER.search)
    assert not found, "\n".join(found)


def test_no_blanks_at_the_end_of_a_line():
    found = lines_where(TEXT, lambda line: line != line.rstrip())
    assert not found, "\n".join(found)


def test_last_line_has_an_end():
    assert [name_of(f) for f in TEXT if f.stat().st_size and not f.read_text().endswith("\n")] == []


def test_licence_is_named():
    tag = "SPDX-License-Identifier: Apache-2.0"
    assert [name_of(f) for f in C_FILES if tag not in f.read_text().partition("\n")[0]] == []


@pytest.mark.parametrize("text", ["/* TO" "DO: later */", "x = 1; // FIX" "ME", "cd /wo" "rk/main"])
def test_left_over_word_is_seen(text):
    assert LEFT_OVER.search(text)
