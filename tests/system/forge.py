# SPDX-License-Identifier: Apache-2.0
"""Datagrams with forged ends, in a network of their own, and a count of what is answered to them."""

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import time

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
_libc = ctypes.CDLL(None, use_errno=True)


def new_network():
    """For a child before it becomes a daemon: a network of its own, with `lo`, and with 10.9.0.1/16 and
    2001:db8::1/64 on a device whose other end takes everything and answers
    nothing; 10.10.0.1 is there too, for a client from elsewhere."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "-batch", "-"], check=True, text=True, input="""
        link set lo up
        link add d0 type veth peer name d1
        address add 10.9.0.1/16 broadcast + dev d0
        address add 2001:db8::1/64 dev d0 nodad
        link set d0 up
        link set d1 up
        link set d0 arp off
        address add 10.10.0.1/32 dev lo
        """)


def join_network(pid):
    """The same for a child that is to live in the network of another."""
    with open(f"/proc/{pid}/ns/net", "rb") as there:
        if _libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def network_of(pid):
    """What the block opens is in the network of that process; only this thread goes there."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        join_network(pid)
        yield
    finally:
        _libc.setns(here, CLONE_NEWNET)
        os.close(here)


def datagram(source, target, data):
    """An IPv4 packet; `source` and `target` are (address, port). The kernel fills in its checksum."""
    length = 8 + len(data)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_UDP, 0,
                     socket.inet_aton(source[0]), socket.inet_aton(target[0]))
    return ip + struct.pack("!HHHH", source[1], target[1], length, 0) + data


def raw_socket():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return s


def forge(raw, source, target, data):
    raw.sendto(datagram(source, target, data), (target[0], 0))


class Wire:
    """Everything that goes over a device; a packet is (source port, destination port, payload), and on
    `d0`, where answers to the forged leave, the address that it goes to is in the place of the payload."""

    def __init__(self, device="lo"):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28)
        self.socket.bind((device, ETH_P_ALL))
        self.device = device
        self.socket.settimeout(0.05)
        self.seen = []

    def _read(self):
        packet, where = self.socket.recvfrom(65600)
        # On `lo` each packet is seen leaving and arriving; once will do.
        leaves = where[2] == socket.PACKET_OUTGOING
        if leaves != (self.device == "d0") or packet[0] >> 4 != 4 or packet[9] != 17:
            return
        head = 4 * (packet[0] & 15)
        source, target, length = struct.unpack_from("!HHH", packet, head)
        self.seen.append((source, target, socket.inet_ntoa(packet[16:20]) if leaves
                          else packet[head + 8:head + length]))

    def wait_for(self, n, seconds=20):
        """Reads until so many have gone by."""
        end = time.monotonic() + seconds
        while len(self.seen) < n:
            assert time.monotonic() < end, f"{len(self.seen)} of {n} packets: {self.seen}"
            with contextlib.suppress(TimeoutError):
                self._read()

    def settle(self, quiet=0.5, seconds=10):
        """Reads until nothing has come for a while; what never falls quiet is cut off."""
        end = time.monotonic() + seconds
        last = time.monotonic()
        while time.monotonic() < min(end, last + quiet):
            with contextlib.suppress(TimeoutError):
                self._read()
                last = time.monotonic()
        return self.seen


def flood(raw, sources, target, data, rate, seconds):
    """Sends at this rate for so long, as far as it can; returns how many it was, and how long it took."""
    packets = [datagram(source, target, data) for source in sources]
    begin, sent = time.monotonic(), 0
    while (passed := time.monotonic() - begin) < seconds:
        for _ in range(min(int(passed * rate) - sent, 1000)):
            raw.sendto(packets[sent % len(packets)], (target[0], 0))
            sent += 1
    return sent, time.monotonic() - begin
