# SPDX-License-Identifier: Apache-2.0
"""What `meson install` puts where, and what others make of it."""

import os
import re
import subprocess
import sys

import pytest

from machine import BUILD, ROOT, settings_of_build


@pytest.fixture
def installed(tmp_path):
    def install():
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", tmp_path],
                       check=True, capture_output=True)
        return tmp_path

    return install


def test_configuration_is_installed_once(installed):
    file = settings_of_build()["sysconfdir"].relative_to("/") / "upperd/upperd.conf"
    own = installed() / file
    assert own.read_text() == (ROOT / "conf/upperd.conf").read_text()
    own.write_text("# mine\n")
    installed()
    assert own.read_text() == "# mine\n"


def examples_of_the_manual():
    """The programs in C of upper(3): a filter, and a string in one call."""
    page = (ROOT / "man/upper.3").read_text()
    return re.findall(r"^#include <stdio\.h>.*?^}$", page, re.DOTALL | re.MULTILINE)


@pytest.mark.plain
@pytest.mark.parametrize("kind", ["shared", "static"])
def test_example_of_the_manual_builds_and_runs(installed, kind, tmp_path):
    """Nothing is known of the library but where it was installed, and what pkg-config says."""
    root = installed()
    folder = next(root.rglob("upper.pc")).parent
    filter_of, string_of = examples_of_the_manual()
    wanted = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "upper"], check=True, capture_output=True, text=True,
        env={**os.environ, "PKG_CONFIG_PATH": str(folder), "PKG_CONFIG_SYSROOT_DIR": str(root)}).stdout
    if kind == "static":
        wanted = wanted.replace("-lupper", "-l:libupper.a")
    for name, text in ("filter", filter_of), ("string", string_of):
        (tmp_path / f"{name}.c").write_text(text)
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", f"{name}.c", "-o", name, *wanted.split()],
                       check=True, cwd=tmp_path)
    there = {"LD_LIBRARY_PATH": str(folder.parent)}
    bad = "straße \udcff".encode(errors="surrogateescape")
    said = subprocess.run([tmp_path / "filter"], input=bad, capture_output=True, check=True, env=there)
    assert said.stdout == b"STRASSE \xff"
    said = subprocess.run([tmp_path / "string", bad], capture_output=True, check=True, env=there)
    assert said.stdout == b"STRASSE \xff\n"


@pytest.mark.plain
def test_python_example_of_the_manual_runs(installed):
    folder = next(installed().rglob("upper.pc")).parent.parent
    page = (ROOT / "man/upper.3").read_text()
    example = re.search(r"^import ctypes$.*?^\.Ed$", page, re.DOTALL | re.MULTILINE)[0]
    said = subprocess.run([sys.executable, "-c", example.removesuffix(".Ed")], capture_output=True,
                          check=True, env={"LD_LIBRARY_PATH": str(folder), "PYTHONUTF8": "1"}).stdout
    assert said == "STRASSE\n".encode()
