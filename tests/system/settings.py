# SPDX-License-Identifier: Apache-2.0
"""Configurations as Python values, written the way that upperd.conf wants them."""

import functools
import itertools
import os
import socket

import pytest

# Not in the range from which the kernel takes ports for clients, so that no client takes a server's.
FIRST_PORT, BLOCK, BLOCKS = 20000, 200, 60

# The suite runs once more with every call that is not on the list killing: SANDBOX=strict.
SANDBOX = {"sandbox": os.environ["SANDBOX"]} if "SANDBOX" in os.environ else {}


@functools.cache
def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
    except OSError:
        return False
    return True


def family_of(address):
    """A test that needs IPv6 ends here where there is none."""
    if ":" not in address:
        return socket.AF_INET
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    return socket.AF_INET6


def is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET6 if has_ipv6() else socket.AF_INET, kind) as s:
            if kind == socket.SOCK_STREAM:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("", port))
            except OSError:
                return False
    return True


def claim(name):
    """True for the first who claims it in this network, until the end of the process. This is what
    keeps a port between its choice and its use, where several suites run at once."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        s.bind(f"\0upperd-test-claim-{name}")
    except OSError:
        s.close()
        return False
    _claims.append(s)
    return True


_claims = []


def _ports_of_a_block():
    blocks = range(FIRST_PORT, FIRST_PORT + BLOCKS * BLOCK, BLOCK)
    first = next(block for block in blocks if claim(f"ports-{block}"))
    yield from itertools.cycle(range(first, first + BLOCK))


_ports = _ports_of_a_block()


def free_port():
    """A port that nobody has, on any address, for TCP and UDP."""
    return next(port for port in itertools.islice(_ports, BLOCK) if is_free(port))


def listener(transport, **keys):
    if "path" not in keys:
        keys = {"address": "127.0.0.1", "port": free_port(), **keys}
        family_of(keys["address"])
    return {"name": transport, "transport": transport, **keys}


def udp(**keys):
    return listener("udp", **keys)


def tcp(**keys):
    return listener("tcp", **keys)


def write_string(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def write_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return write_string(value)
    if isinstance(value, dict):
        return "{ " + write_settings(value, " ") + " }"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "[ " + ", ".join(map(write_string, value)) + " ]"
    if isinstance(value, (list, tuple)):
        return "( " + ",\n    ".join(map(write_value, value)) + " )"
    return str(value)


def write_settings(settings, between="\n"):
    return between.join(f"{key} = {write_value(value)};" for key, value in settings.items())


def configuration(*listeners, **settings):
    """The text of a configuration that tests can live with: small, quick, and loud on stderr."""
    complete = {"workers": 2, "drain": "5s", **SANDBOX, **settings}
    if os.getuid() == 0:
        complete = {"user": "nobody", "group": "nogroup", **complete}
    complete["log"] = {"target": "stderr", "format": "json", "level": "debug", **settings.get("log", {})}
    return write_settings({**complete, "listeners": list(listeners)}) + "\n"
