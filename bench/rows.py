# SPDX-License-Identifier: Apache-2.0
"""What is measured. A load is a way, flows, depth, size and whether segmented, for `upper bench`; the
servers that take part follow, and the first of them is what all others are compared with."""

UDP = "bare addressed", "bare segmented", "bare batched", "bare naive", "upperd", "textbook Python"
TLS_ENDS = "Go, TLS", "hitch", "nginx", "haproxy", "stunnel"
LISTENERS = "upperd", "upperd, 16 listeners", "upperd, 256 listeners"

# name: load, unit, transport, servers
LOADS = {
    "UDP, 1 flow": (("udp", 1, 64, 64, 0), "us", "udp", UDP),
    "UDP, 1 flow, 1400 bytes": (("udp", 1, 64, 1400, 0), "us", "udp", UDP),
    "UDP, 1 flow, one by one": (
        ("udp", 1, 1, 64, 0), "us", "udp", (*UDP, "upperd, sandbox off")),
    "UDP, 256 flows, one by one": (("udp", 256, 1, 64, 0), "us", "udp", UDP),
    "UDP, 64 flows, 40,000/s": (("udp-rate", 64, 1, 64, 0), "us", "udp", UDP),
    "UDP, 8 flows, sent segmented": (
        ("udp", 8, 16, 64, 1), "us", "udp", (*UDP, "upperd, sandbox off", "upperd, 2 workers")),
    "UDP, 1400 bytes, segmented": (
        ("udp", 8, 16, 1400, 1), "us", "udp",
        ("bare addressed", "bare segmented", "bare batched", "upperd")),
    "TCP ping-pong, 1 connection": (
        ("tcp", 1, 1, 64, 0), "us", "tcp", ("bare epoll", "upperd", "upperd, sandbox off", "libuv", "Go")),
    "TCP ping-pong, 64 connections": (
        ("tcp", 64, 1, 64, 0), "us", "tcp",
        ("bare epoll", "upperd", "upperd, sandbox off", "upperd, 2 workers", "libuv", "libevent", "Go")),
    "TCP ping-pong, 1,000 connections": (
        ("tcp", 1000, 1, 64, 0), "us", "tcp", ("bare epoll", "upperd", "libuv")),
    "TCP pipelined, 64 x 16": (
        ("tcp", 64, 16, 64, 0), "us", "tcp",
        ("bare epoll", "upperd", "upperd, sandbox off", "libuv", "libevent")),
    "TCP ping-pong, 16 KiB": (
        ("tcp", 16, 1, 16384, 0), "us", "tcp", ("bare epoll", "upperd", "libuv")),
    "TCP bulk": (
        ("bulk", 1, 256, 4096, 0), "ns/B", "tcp", ("bare epoll", "upperd", "libuv", "libevent")),
    "TCP connect, ask, close": (
        ("connect", 1, 1, 64, 0), "us", "tcp",
        ("bare epoll", "upperd", "upperd, sandbox off", "libuv", "libevent", "Go", "textbook Python",
         "xinetd")),
    "TLS ping-pong, 64 connections": (
        ("tls", 64, 1, 64, 0), "us", "tls",
        ("bare OpenSSL", "upperd", "upperd, sandbox off", "upperd, 2 workers", *TLS_ENDS)),
    "TLS full handshake": (
        ("tls-full", 1, 1, 64, 0), "us", "tls",
        ("bare OpenSSL", "upperd", "upperd, sandbox off", "upperd, 2 workers", *TLS_ENDS)),
    "TLS full handshake, 16 at once": (
        ("tls-full", 16, 1, 64, 0), "us", "tls", ("bare OpenSSL", "upperd", *TLS_ENDS)),
    "TLS resumed handshake": (
        ("tls-resumed", 1, 1, 64, 0), "us", "tls",
        ("bare OpenSSL", "upperd", *TLS_ENDS)),
    "TLS bulk": (
        ("tls-bulk", 1, 256, 4096, 0), "ns/B", "tls", ("bare OpenSSL", "upperd", *TLS_ENDS)),
}

# name: transport, the generator's ways before and for it, how many, servers
IDLE = {
    "idle TCP connections": (
        "tcp", ("connect", "idle"), 10000, ("upperd", "libuv", "libevent")),
    "idle TLS connections": (
        "tls", ("tls-full", "tls-idle"), 2000, ("bare OpenSSL", "upperd", *TLS_ENDS)),
}

# How cost grows: name: unit of the steps, transport, servers, steps and their loads
GROWTH = {
    "TCP ping-pong by connections": (
        "connections", "tcp", ("bare epoll", "upperd"),
        {n: ("tcp", n, 1, 64, 0) for n in (1, 10, 100, 1000, 10000)}),
    "TLS ping-pong by connections": (
        "connections", "tls", ("bare OpenSSL", "upperd"),
        {n: ("tls", n, 1, 64, 0) for n in (1, 10, 100, 1000)}),
    "TCP ping-pong by size": (
        "bytes", "tcp", ("bare epoll", "upperd"),
        {n: ("tcp", 16, 1, n, 0) for n in (32, 64, 256, 1024, 4096, 16384, 65536)}),
    "TLS ping-pong by size": (
        "bytes", "tls", ("bare OpenSSL", "upperd"),
        {n: ("tls", 16, 1, n, 0) for n in (32, 64, 256, 1024, 4096, 16384, 65536)}),
    "UDP by flows, one by one": (
        "flows", "udp", ("bare addressed", "bare naive", "upperd"),
        {n: ("udp", n, 1, 64, 0) for n in (1, 16, 256, 1024)}),
    "UDP by listeners, one by one": (
        "flows", "udp", LISTENERS, {n: ("udp", n, 1, 64, 0) for n in (1, 256)}),
    "TCP by listeners, ping-pong": (
        "connections", "tcp", LISTENERS, {n: ("tcp", n, 1, 64, 0) for n in (1, 64)}),
    "UDP by size": (
        "bytes", "udp", ("bare addressed", "upperd"),
        {n: ("udp", 8, 16, n, 1) for n in (32, 64, 256, 1024, 1400)}),
}
