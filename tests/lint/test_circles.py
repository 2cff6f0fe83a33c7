# SPDX-License-Identifier: Apache-2.0
"""Who calls whom, by the symbols of the objects that were built: no two files need each other, no name
stands for two things, and the supervisor's side needs nothing of OpenSSL or of what faces the network.

A static function is no symbol, so what a file does with itself does not count. A header alone is a file of its
own as far as its includes go."""

import re
from collections import defaultdict

import pytest

from test_includes import CHILD_SIDE, SOURCES, SUPERVISOR_SIDE, includes_of
from tree import BUILD, ROOT, name_of, run_tool

OBJECT = re.compile(r"(?P<room>\w+)/[\w.]+\.p/(?P<file>\w+)\.c\.o$")
# The same sources once more, for libupper and for the tests of conf.
TWICE = ("libupper.so", "libupper.a.p", "libconf_whole")


def objects():
    """Yields ("room/file", path) for each object of src/."""
    for path in sorted((BUILD / "src").rglob("*.c.o")):
        found = OBJECT.search(path.as_posix())
        if found and not path.parent.name.startswith(TWICE):
            yield f"{found['room']}/{found['file']}", path


def symbols_of(path):
    """Returns the names that an object defines for others, and those that it needs of them."""
    defined, needed = set(), set()
    for line in run_tool("nm", "--format=posix", path).stdout.splitlines():
        name, kind = line.split()[:2]
        if kind in "Uw":
            needed.add(name)
        elif kind.isupper() and not name.startswith("_.stapsdt"):  # of probes, weak in each object
            defined.add(name)
    return defined, needed


@pytest.fixture(scope="module")
def symbols():
    found = {unit: symbols_of(path) for unit, path in objects()}
    if not found:
        pytest.skip(f"nothing is built in {BUILD}")
    return found


def homes_of(symbols):
    """Which units define a name."""
    homes = defaultdict(set)
    for unit, (defined, _) in symbols.items():
        for name in defined:
            homes[name].add(unit)
    return homes


def room_of(unit):
    return unit.partition("/")[0]


def calls_of(symbols):
    """Which units a unit needs. upper and upperctl are programs of their own: the daemon never means them."""
    homes = homes_of(symbols)

    def is_meant(unit, home):
        apart = {"client", "ctl"} & {room_of(unit), room_of(home)}
        return home != unit and (not apart or room_of(home) in (room_of(unit), "base", "core", "upper"))

    return {unit: {home for name in needed for home in homes.get(name, ()) if is_meant(unit, home)}
            for unit, (_, needed) in symbols.items()}


def circles_of(edges):
    """The sets of nodes that reach each other (Tarjan's strongly connected components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            at = stack.index(node)
            circle = set(stack[at:])
            del stack[at:]
            if len(circle) > 1:
                found.append(circle)

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_no_two_files_call_each_other(symbols):
    edges = calls_of(symbols)
    wrong = []
    for circle in circles_of(edges):
        wrong += [f"{unit} needs {other}: "
                  f"{', '.join(sorted(symbols[unit][1] & symbols[other][0])[:5])}"
                  for unit in sorted(circle) for other in sorted(edges[unit] & circle)]
    assert not wrong, "these files need each other:\n" + "\n".join(wrong)


def test_no_two_headers_include_each_other():
    edges = {name_of(path).removeprefix("src/"): {own for own, _ in includes_of(path) if own}
             for path in SOURCES if path.suffix == ".h"}
    assert not circles_of(edges)


def test_a_name_has_one_meaning(symbols):
    twice = {name: sorted(units) for name, units in homes_of(symbols).items()
             if len(units) > 1 and name != "main"}
    assert not twice


def reach(edges, start):
    seen, todo = set(), list(start)
    while todo:
        unit = todo.pop()
        if unit not in seen:
            seen.add(unit)
            todo += edges[unit]
    return seen


def test_the_supervisor_reaches_no_child(symbols):
    """Through other rooms as well: what it needs, and what that needs."""
    start = {unit for unit in symbols if room_of(unit) in SUPERVISOR_SIDE}
    assert start
    assert not {unit for unit in reach(calls_of(symbols), start)
                if room_of(unit) in CHILD_SIDE}


def test_the_supervisor_links_no_openssl(symbols):
    """All that it reaches would link without libssl and libcrypto."""
    start = {unit for unit in symbols if room_of(unit) in SUPERVISOR_SIDE}
    needed = set().union(*(symbols[unit][1] for unit in reach(calls_of(symbols), start)))
    assert "epoll_wait" in needed, "the test looks at the wrong objects"
    libraries = re.findall(r"^\s*(/\S*lib(?:ssl|crypto)\.so\S*)|=> (\S*lib(?:ssl|crypto)\.so\S*)",
                           run_tool("ldd", BUILD / "src/upperd").stdout, re.M)
    if not libraries:
        pytest.skip("built without TLS")
    for library in filter(None, sum(libraries, ())):
        theirs = {line.split()[0].partition("@")[0] for line in run_tool(
            "nm", "--format=posix", "-D", "--defined-only", library).stdout.splitlines()}
        assert len(theirs) > 100
        assert not needed & theirs


@pytest.mark.parametrize("edges, expected", [
    ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
    ({"a": {"b"}, "b": {"a"}}, [{"a", "b"}]),
    ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [{"a", "b", "c"}])])
def test_a_circle_is_seen(edges, expected):
    assert circles_of(edges) == expected
