# SPDX-License-Identifier: Apache-2.0
"""What `meson install` puts where, and what others make of it."""

import os
import re
import subprocess

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


@pytest.mark.plain
@pytest.mark.parametrize("kind", ["shared", "static"])
def test_example_of_the_manual_builds_and_runs(installed, kind, tmp_path):
    """Nothing is known of the library but where it was installed, and what pkg-config says."""
    root = installed()
    folder = next(root.rglob("upper.pc")).parent
    page = (ROOT / "man/upper.3").read_text()
    example = re.search(r"^#include <stdio\.h>.*?^}$", page, re.DOTALL | re.MULTILINE)[0]
    (tmp_path / "example.c").write_text(example)
    wanted = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "upper"], check=True, capture_output=True, text=True,
        env={**os.environ, "PKG_CONFIG_PATH": str(folder), "PKG_CONFIG_SYSROOT_DIR": str(root)}).stdout
    if kind == "static":
        wanted = wanted.replace("-lupper", "-l:libupper.a")
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "example.c", "-o", "example", *wanted.split()],
                   check=True, cwd=tmp_path)
    said = subprocess.run([tmp_path / "example"], input="straße \udcff".encode(errors="surrogateescape"),
                          capture_output=True, check=True,
                          env={"LD_LIBRARY_PATH": str(folder.parent)}).stdout
    assert said == b"STRASSE \xff"
