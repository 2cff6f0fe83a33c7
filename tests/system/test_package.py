# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: built from the tree as it is, and installed in a machine of their own."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import machine as machines

pytestmark = pytest.mark.plain

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("libupper-dev", "libupper1", "upper", "upperd")
SOCKETS = ("upperd.socket", "upperd-tcp.socket")


def copy_tree(to):
    """What git knows or would take, so that nothing is built from droppings."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "ls-files", "-z", "--cached",
         "--others", "--exclude-standard"], check=True, capture_output=True, text=True).stdout
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder with the packages. Tests have run elsewhere, on the same code."""
    if not shutil.which("dpkg-buildpackage") or not shutil.which("dh"):
        pytest.skip("building packages needs dpkg-dev and debhelper")
    folder = tmp_path_factory.mktemp("package")
    copy_tree(folder / "upperd")
    done = subprocess.run(
        ["dpkg-buildpackage", "-b", "-us", "-uc"], cwd=folder / "upperd", text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck noautodbgsym parallel=2", "CC": "gcc"})
    assert done.returncode == 0, done.stdout[-5000:]
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    why = machines.why_not()
    if why:
        pytest.skip(why)
    one = machines.Machine(tmp_path_factory.mktemp("bare"), bare=True)
    one.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)  # it would start nothing
    one.path("/var/lib/man-db/auto-update").unlink(missing_ok=True)  # an index of all pages takes long
    one.files = files_of(one)
    yield one
    one.end()


@pytest.fixture(scope="module")
def installed(bare, built):
    """A machine with the packages in it, which the last test of this file purges."""
    for package in built.glob("*.deb"):
        shutil.copy(package, bare.path("/tmp"))
    bare.run("sh", "-c", "dpkg --force-unsafe-io -i /tmp/*.deb")
    return bare


def files_of(machine):
    return set(machine.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib/systemd", "/run/upperd",
                           "-name", "*upper*", check=False).stdout.splitlines())


def ask(machine, kind, data):
    with machine.network():
        s = socket.socket(socket.AF_INET, kind)
    with s:
        s.settimeout(30)
        s.connect(("127.0.0.1", 12000))
        s.send(data)
        return s.recv(100)


def test_lintian_finds_nothing(built):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    changes = next(built.glob("*.changes"))
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", changes],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_as_many_packages_as_promised(built):
    assert {path.name.partition("_")[0] for path in built.glob("*.deb")} == set(PACKAGES)


def test_installed_package_serves_without_a_further_step(installed):
    for unit in SOCKETS:
        assert installed.show(unit, "ActiveState") == "active"
        assert installed.show(unit, "UnitFileState") == "enabled"
    assert ask(installed, socket.SOCK_DGRAM, b"a") == b"A"
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"


def test_upgraded_package_is_the_same_process(installed):
    """Installed again over itself: the running daemon becomes the program that came with it."""
    assert ask(installed, socket.SOCK_DGRAM, b"a") == b"A"
    pid = installed.show("upperd.service", "MainPID")
    installed.run("sh", "-c", "dpkg --force-unsafe-io -i /tmp/upperd_*.deb")
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"
    assert installed.show("upperd.service", "MainPID") == pid
    assert "(deleted)" not in os.readlink(f"/proc/{installed.supervisor()}/exe")


def test_unit_that_serves_is_restarted_when_an_upgrade_fails(installed):
    """Its main process is another one afterwards, and nothing else was started or stopped."""
    control = installed.path("/usr/local/bin/upperctl")
    installed.systemctl("disable", "--now", *SOCKETS, "upperd.service")
    installed.systemctl("enable", "--now", "upperd-bind.service")
    pid = installed.show("upperd-bind.service", "MainPID")
    control.write_text("#!/bin/sh\nexit 71\n")
    control.chmod(0o755)
    try:
        installed.run("sh", "-c", "dpkg --force-unsafe-io -i /tmp/upperd_*.deb")
    finally:
        control.unlink()
    assert installed.show("upperd-bind.service", "ActiveState") == "active"
    assert installed.show("upperd-bind.service", "MainPID") not in ("0", pid)
    assert installed.show("upperd.service", "ActiveState") == "inactive"
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"
    installed.systemctl("disable", "--now", "upperd-bind.service")
    installed.systemctl("enable", "--now", *SOCKETS)


def test_purge_leaves_nothing(installed):
    installed.run("getent", "passwd", "upperd")
    assert ask(installed, socket.SOCK_DGRAM, b"a") == b"A"
    installed.run("dpkg", "--purge", *PACKAGES)
    assert installed.run("getent", "passwd", "upperd", check=False).returncode != 0
    assert installed.systemctl("list-units", "--all", "--plain", "--no-legend", "upperd*").stdout == ""
    assert files_of(installed) == installed.files
