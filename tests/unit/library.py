#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at libupper as those who link it will: its symbols, its name, and its headers.

usage: library.py LIBRARY INCLUDES MAP

Each header must compile alone, as C and as C++. The outcome is in TAP.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

LIBRARY, INCLUDES, MAP = (pathlib.Path(argument) for argument in sys.argv[1:])
HEADERS = sorted(INCLUDES.glob("upper/*.h"))
COMPILERS = {
    "c": [os.environ.get("CC", "cc"), "-x", "c", "-std=c17"],
    "c++": [os.environ.get("CXX", "c++"), "-x", "c++", "-std=c++17"],
}


def run(*command, **more):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def declared():
    text = "".join(header.read_text() for header in HEADERS)
    return set(re.findall(r"^(?:int|size_t|const char \*)\s*(upper_\w+)\(", text, re.M))


def check_offers_what_the_headers_declare():
    lines = run("nm", "--dynamic", "--defined-only", "--without-symbol-versions", LIBRARY)
    symbols = {line.split()[2] for line in lines.splitlines()} - {"LIBUPPER_1"}
    assert symbols == declared(), f"{symbols} instead of {declared()}"


def check_the_map_names_what_the_headers_declare():
    named = set(re.findall(r"\bupper_\w+", MAP.read_text()))
    assert named == declared(), f"{named} instead of {declared()}"


def check_its_name_and_what_it_needs():
    lines = run("readelf", "--dynamic", LIBRARY)
    assert "[libupper.so.1]" in lines, "its soname is another"
    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\]", lines))
    libraries = {name for name in needed if not re.match(r"libc\.|ld|lib[alut]\w*san\.", name)}
    assert not libraries, f"it needs {libraries}"


def check_headers(language):
    compiler = COMPILERS[language]
    if not shutil.which(compiler[0].split()[-1]):
        return f"{compiler[0]} was not found"
    for header in HEADERS:
        run(*compiler[0].split(), *compiler[1:], "-pedantic", "-Wall", "-Wextra", "-Werror",
            "-fsyntax-only", f"-I{INCLUDES}", "-", input=f"#include <upper/{header.name}>\n")
    return None


def check_headers_are_c():
    return check_headers("c")


def check_headers_are_cpp():
    return check_headers("c++")


CHECKS = [check_offers_what_the_headers_declare, check_the_map_names_what_the_headers_declare,
          check_its_name_and_what_it_needs, check_headers_are_c, check_headers_are_cpp]


def main():
    failed = 0
    print(f"1..{len(CHECKS)}", flush=True)
    for number, check in enumerate(CHECKS, 1):
        words = check.__name__.replace("_", " ")
        try:
            skipped = check()
            print(f"ok {number} - {words}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        except (AssertionError, subprocess.CalledProcessError) as error:
            failed = 1
            print(f"not ok {number} - {words}\n# {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
