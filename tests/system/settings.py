# SPDX-License-Identifier: Apache-2.0
"""Configurations as Python values, written the way that upperd.conf wants them."""

import itertools
import os
import socket

# Not in the range from which the kernel takes ports for clients, so that no test takes another's.
_ports = itertools.count(20000 + os.getpid() % 5000)

# The suite runs once more with every call that is not on the list killing: SANDBOX=strict.
SANDBOX = {"sandbox": os.environ["SANDBOX"]} if "SANDBOX" in os.environ else {}


def is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET6, kind) as s:
            if kind == socket.SOCK_STREAM:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("::", port))
            except OSError:
                return False
    return True


def free_port():
    """A port that nobody has, on any address, for TCP and UDP."""
    return next(port for port in _ports if is_free(port))


def listener(transport, **keys):
    if "path" not in keys:
        keys = {"address": "127.0.0.1", "port": free_port(), **keys}
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
    complete["log"] = {"target": "stderr", "format": "json", **settings.get("log", {})}
    return write_settings({**complete, "listeners": list(listeners)}) + "\n"
