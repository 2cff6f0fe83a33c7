# SPDX-License-Identifier: Apache-2.0
"""Plays a worker that was taken over: acts with the descriptors and the memory that it has."""

import ctypes
import mmap
import os
import re
import socket
import struct
from pathlib import Path

PIDFD_GETFD = 438
AT_OPEN = 48  # in struct shared, behind the key and the secret


class SharedPage:
    """What all workers write."""

    def __init__(self, supervisor):
        folder = Path(f"/proc/{supervisor}/fd")
        path = next(p for p in folder.iterdir() if "memfd:upperd-shared" in os.readlink(p))
        with open(path, "r+b", buffering=0) as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    @property
    def open(self):
        return struct.unpack_from("=Q", self.memory, AT_OPEN)[0]

    @open.setter
    def open(self, number):
        struct.pack_into("=Q", self.memory, AT_OPEN, number)


def steal(pid, fd):
    """A descriptor of another process, as one of ours."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        stolen = libc.syscall(PIDFD_GETFD, pidfd, fd, 0)
        if stolen < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return stolen
    finally:
        os.close(pidfd)


def listeners_of(pid):
    """The sockets of that process which are bound and have no peer, to be closed by the caller."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if not re.match(r"socket:", os.readlink(entry)):
            continue
        s = socket.socket(fileno=steal(pid, int(entry.name)))
        try:
            s.getpeername()
        except OSError:
            if s.getsockname():
                yield s
                continue
        s.close()
