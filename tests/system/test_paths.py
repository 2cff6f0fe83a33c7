# SPDX-License-Identifier: Apache-2.0
"""Unix sockets in a folder whose owner is not to be trusted: whatever is put at their paths stays as it is."""

import os
import socket
import stat

import pytest

import process
import rig
from settings import listener, tcp
from wire import tcp_ask

NOBODY = 65534


@pytest.fixture
def folder(tmp_path):
    """It belongs to somebody else, who may put anything there at any time."""
    tmp_path.chmod(0o755)
    path = tmp_path / "theirs"
    path.mkdir()
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return path


@pytest.fixture
def precious(tmp_path):
    """What they would like to have."""
    path = tmp_path / "precious"
    path.write_text("secret")
    path.chmod(0o600)
    return path


def state_of(path):
    st = path.lstat()
    return stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_ino


def link(path, precious):
    path.symlink_to(precious)


def hard_link(path, precious):
    path.hardlink_to(precious)


def file_of_theirs(path, precious):
    path.write_text("mine")
    path.chmod(0o600)


def socket_of_theirs(path, precious):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    path.chmod(0o600)


def dangling_link(path, precious):
    path.symlink_to(precious.with_name("nothing"))


EVERYTHING = [link, hard_link, file_of_theirs, socket_of_theirs, dangling_link]


def owned(path, name="path"):
    people = {"owner": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    return listener("tcp", name=name, path=str(path), mode="0666", **people)


@pytest.mark.parametrize("put", EVERYTHING)
def test_what_takes_the_path_of_a_listener_is_left_alone(daemon, folder, precious, put):
    path = folder / "socket"
    d = daemon(owned(path), tcp())
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    path.unlink()
    put(path, precious)
    before = state_of(path), state_of(precious)
    since = d.mark()
    d.reload()
    d.expect("socket-replaced", since)
    assert tcp_ask(d.listeners[1], b"a") == b"A"
    d.stop()
    assert (state_of(path), state_of(precious)) == before


@pytest.mark.parametrize("put", EVERYTHING)
def test_what_takes_the_path_of_metrics_is_left_alone(daemon, folder, precious, put):
    path = folder / "metrics"
    d = daemon(tcp(), metrics={"path": str(path)})
    path.unlink()
    put(path, precious)
    before = state_of(path), state_of(precious)
    d.reload()
    d.expect("socket-replaced")
    d.stop()
    assert (state_of(path), state_of(precious)) == before


@pytest.mark.parametrize("put", EVERYTHING)
def test_what_takes_the_path_of_control_is_left_alone(daemon, folder, precious, put):
    path = folder / "control"
    d = daemon(tcp(), control={"path": str(path)})
    path.unlink()
    put(path, precious)
    before = state_of(path), state_of(precious)
    d.reload()
    d.stop()
    d.expect("socket-replaced")
    assert (state_of(path), state_of(precious)) == before


def test_control_path_that_moves_leaves_alone_what_took_the_old_one(daemon, folder, precious):
    path = folder / "control"
    d = daemon(tcp(), control={"path": str(path)})
    path.unlink()
    link(path, precious)
    before = state_of(path), state_of(precious)
    d.reconfigure(control={"path": str(d.folder / "control")})
    d.reload()
    process.wait_until(lambda: rig.run_upperctl(d, "status").returncode == 0)
    assert (state_of(path), state_of(precious)) == before


def test_path_is_still_known_after_an_upgrade(daemon, folder, precious):
    path = folder / "socket"
    d = daemon(owned(path), tcp())
    assert rig.run_upperctl(d, "upgrade").returncode == 0
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    path.unlink()
    link(path, precious)
    before = state_of(path), state_of(precious)
    d.reload()
    d.stop()
    assert (state_of(path), state_of(precious)) == before
    assert not (d.folder / "control").exists()


def test_socket_that_is_back_at_its_path_is_ours_again(daemon, folder):
    """Moved away and back, or a folder that was not mounted for a while."""
    path = folder / "socket"
    d = daemon(owned(path))
    path.rename(folder / "elsewhere")
    (folder / "elsewhere").rename(path)
    path.chmod(0o600)
    d.reload()
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert tcp_ask(d.listeners[0], b"a") == b"A"
    d.stop()
    assert not path.exists()


def test_link_at_the_path_of_a_start_is_not_followed(start, folder, precious):
    link(folder / "socket", precious)
    before = state_of(precious)
    d = start(owned(folder / "socket"))
    assert d.wait() == 71
    assert state_of(precious) == before
