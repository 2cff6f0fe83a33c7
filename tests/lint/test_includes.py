# SPDX-License-Identifier: Apache-2.0
"""Who may know whom: every #include of src/ against the list of rooms."""

import re

import pytest

from tree import ROOT, each, files_with, name_of

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"(?P<own>[^"]+)"|<(?P<system>[^>]+)>)', re.M)

def read_rooms():
    """src/ROOMS: each room, and what it may include besides its own headers: rooms, or single headers."""
    rows = [line.split() for line in (ROOT / "src/ROOMS").read_text().splitlines()
            if line and not line.startswith("#")]
    return {row[0]: set(row[1:]) for row in rows}


ROOMS = read_rooms()
SUPERVISOR_SIDE = {"supervisor", "generation", "sockets", "upgrade"}
CHILD_SIDE = {"net", "tls", "child", "command"}

# Arithmetic needs no more of the C library than this: no descriptor, clock, lock or memory.
CORE_LIBC = {"assert.h", "limits.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "string.h",
             "immintrin.h", "arm_neon.h"}

# The one exception: it reads the addresses of a line of the PROXY protocol, in a bounded copy.
CORE_LIBC_OF = {"src/core/proxy.c": {"arpa/inet.h"}}

# Libraries that belong to one room, by the beginning of their headers' names. TLS is also what the
# client speaks, in its one file for it.
LIBRARY_HOMES = {
    "openssl/": ("src/tls/", "src/client/tls"),
    "libconfig.h": ("src/conf/",),
    "seccomp.h": ("src/priv/",),
    "linux/seccomp.h": ("src/priv/",),
    "linux/landlock.h": ("src/priv/",),
    "sys/capability.h": ("src/priv/",),
    "cap-ng.h": ("src/priv/",),
    "editline/": ("src/client/",),
    "histedit.h": ("src/client/",),
    "idn2.h": ("src/client/",),
}

SOURCES = files_with(".c", ".h", under="src/")
HEADERS = files_with(".h", under="include/")


def room_of(path):
    return path.relative_to(ROOT / "src").parts[0]


def includes_of(path):
    for include in INCLUDE.finditer(path.read_text()):
        yield include["own"], include["system"]


def why_not_own(room, header):
    """Says what is wrong with `#include "header"` in `room`, or nothing."""
    if header == "config.h":
        return f"{room} does not know how it was built" if room in ("core", "upper") else None
    target = header.partition("/")[0]
    if "/" not in header:
        return "the path must name the room"
    if not (ROOT / "src" / header).is_file():
        return "there is no such file"
    if target == room or {target, header} & ROOMS[room]:
        return None
    return f"{room} must not know {header}"


def why_not_system(room, name, header):
    """The same for `#include <header>`."""
    if header.startswith("upper/"):
        known = room == "upper" or "include/upper" in ROOMS[room]
        return None if known else f"{room} must not know libupper"
    if room in ("core", "upper") and header not in CORE_LIBC | CORE_LIBC_OF.get(name, set()):
        return "core is arithmetic and needs no such thing"
    for beginning, homes in LIBRARY_HOMES.items():
        if header.startswith(beginning) and not name.startswith(homes):
            return f"only {' and '.join(homes)} may know it"
    return None


@each(SOURCES)
def test_room_includes_only_what_it_may_know(path):
    room = room_of(path)
    assert room in ROOMS, f"{room} is not on the list of rooms"
    wrong = []
    for own, system in includes_of(path):
        why = why_not_own(room, own) if own else why_not_system(room, name_of(path), system)
        if why:
            wrong.append(f"{own or system}: {why}")
    assert not wrong, "\n".join(wrong)


def test_the_supervisor_side_knows_nothing_of_the_network():
    for room in SUPERVISOR_SIDE:
        assert not {allowed.partition("/")[0] for allowed in ROOMS[room]} & CHILD_SIDE
    for room in CHILD_SIDE:
        assert not {allowed.partition("/")[0] for allowed in ROOMS[room]} & SUPERVISOR_SIDE


@each(HEADERS)
def test_public_header_stands_alone(path):
    allowed = CORE_LIBC | {name_of(h).removeprefix("include/") for h in HEADERS}
    assert {own or system for own, system in includes_of(path)} <= allowed


@pytest.mark.parametrize("room, header", [("core", "base/fd.h"), ("base", "core/service.h"),
                                          ("net", "conf/conf.h"), ("net", "accept.h"),
                                          ("ctl", "process/channel.h")])
def test_forbidden_edge_is_seen(room, header):
    assert why_not_own(room, header)


@pytest.mark.parametrize("room, header", [("core", "unistd.h"), ("net", "openssl/ssl.h"),
                                          ("child", "linux/seccomp.h"), ("base", "upper/upper.h")])
def test_forbidden_library_is_seen(room, header):
    assert why_not_system(room, f"src/{room}/x.c", header)
