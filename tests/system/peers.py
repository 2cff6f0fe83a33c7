# SPDX-License-Identifier: Apache-2.0
"""Servers for the client to talk to, from the textbook's to the worst. Each answers with a thread
per connection, and ends with the test."""

import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import threading

import process
from settings import family_of, free_port


def upper(data):
    """As the textbook's server does it, for text that is whole."""
    return data.decode().upper().encode()


def bind(kind, address="127.0.0.1", port=None):
    s = socket.socket(family_of(address), kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port or free_port()))
    return s


class Peer:
    """A listening socket whose connections, or a socket whose datagrams, go to `handle`."""

    def __init__(self, scheme, listener, serve, host="127.0.0.1"):
        self.listener = listener
        self.port = listener.getsockname()[1]
        self.url = f"{scheme}://{host}:{self.port}"
        self.seen = []  # what came, a connection or a datagram each
        self.thread = threading.Thread(target=self.run, args=(serve,), daemon=True)
        self.thread.start()

    def run(self, serve):
        with contextlib.suppress(OSError):
            while True:
                serve(self)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


class SlowNames:
    """A name server for IPv4 whose every answer, 127.0.0.1, takes a while. Questions wait side by side."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.address = f"127.{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250}.53"
        self.socket.bind((self.address, 53))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                question, sender = self.socket.recvfrom(2048)
                if sender is None:  # closed
                    return
                threading.Timer(self.seconds, self.answer, (question, sender)).start()

    def answer(self, question, sender):
        end = question.index(b"\0", 12) + 5
        is_a = question[end - 4:end - 2] == b"\0\1"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if is_a else b""
        head = question[:2] + b"\x81\x80\0\1" + struct.pack(">HHH", is_a, 0, 0)
        with contextlib.suppress(OSError):
            self.socket.sendto(head + question[12:end] + record, sender)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.socket.close()


def udp(handle):
    """`handle(number, data)` gives the answers to the datagram that came as number 0, 1, 2 ..."""
    def serve(peer):
        data, sender = peer.listener.recvfrom(2048)
        if sender is None:  # closed
            raise OSError
        peer.seen.append(data)
        for answer in handle(len(peer.seen) - 1, data):
            peer.listener.sendto(answer, sender)

    return Peer("udp", bind(socket.SOCK_DGRAM), serve)


def textbook_udp():
    return udp(lambda number, data: [upper(data)])


def silent_udp():
    return udp(lambda number, data: [])


def tcp(handle):
    """`handle(connection, peer)` in a thread of its own; the connection is closed after it."""
    def converse(connection, peer):
        with connection, contextlib.suppress(OSError):
            handle(connection, peer)

    def serve(peer):
        connection, _ = peer.listener.accept()
        threading.Thread(target=converse, args=(connection, peer), daemon=True).start()

    listener = bind(socket.SOCK_STREAM)
    listener.listen(64)
    return Peer("tcp", listener, serve)


def textbook_tcp():
    def handle(connection, peer):
        data = connection.recv(1024)
        peer.seen.append(data)
        connection.sendall(upper(data))

    return tcp(handle)


def streaming_tcp():
    """ASCII letters only, so that no piece can cut a character."""
    def handle(connection, peer):
        while data := connection.recv(65536):
            connection.sendall(data.upper())
        peer.seen.append("end")

    return tcp(handle)


def silent_tcp():
    def handle(connection, peer):
        while connection.recv(65536):
            pass
        peer.listener.accept()

    return tcp(handle)


def closing_tcp(n):
    """Takes n bytes, and closes in order."""
    def handle(connection, peer):
        left = n
        while left and (data := connection.recv(left)):
            left -= len(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return tcp(handle)


def resetting_tcp():
    def handle(connection, peer):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return tcp(handle)


class Dtls:
    """openssl s_server, for one client at a time: ASCII text comes back in upper case."""

    def __init__(self, pair, *args, port=None):
        self.port = port or free_port()
        self.at = {"address": "127.0.0.1", "port": self.port}
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-dtls1_2", "-nbio", "-quiet", "-accept", f"127.0.0.1:{self.port}",
             "-cert", str(pair.certificate), "-key", str(pair.key), *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.threads = [threading.Thread(target=run, daemon=True)
                        for run in (self._answer, self.process.stderr.read)]
        for thread in self.threads:
            thread.start()
        process.wait_until(self._is_bound, what="openssl s_server")

    def _is_bound(self):
        assert self.process.poll() is None, "openssl s_server ended"
        lines = pathlib.Path("/proc/net/udp").read_text().splitlines()
        return any(line.split()[1].endswith(f":{self.port:04X}") for line in lines)

    def _answer(self):
        with contextlib.suppress(OSError):
            while data := self.process.stdout.read1(65536):
                self.process.stdin.write(data.upper())
                self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join(5)
