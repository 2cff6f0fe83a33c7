#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The servers of the textbook: textbook.py udp|tcp PORT."""

import socket
import sys


def serve_udp(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", port))
    while True:
        message, client = server.recvfrom(2048)
        server.sendto(message.decode().upper().encode(), client)


def serve_tcp(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen(128)
    while True:
        connection, _ = server.accept()
        connection.send(connection.recv(1024).decode().upper().encode())
        connection.close()


{"udp": serve_udp, "tcp": serve_tcp}[sys.argv[1]](int(sys.argv[2]))
