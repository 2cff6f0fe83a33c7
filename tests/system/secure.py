# SPDX-License-Identifier: Apache-2.0
"""Clients that speak TLS: Python's, and `openssl s_client`."""

import contextlib
import socket
import ssl
import subprocess
import threading

from settings import listener
from wire import read_exactly


def tls(*pairs, more=None, **keys):
    """A listener with these certificates; `more` are further keys of its tls group."""
    certificates = [pair if isinstance(pair, dict) else pair.group() for pair in pairs]
    return listener("tls", tls={"certificates": certificates, **(more or {})}, **keys)


def context_for(authority, versions=None, certificate=None, **settings):
    context = ssl.create_default_context(cafile=str(authority.file))
    if versions:
        context.minimum_version = context.maximum_version = versions
    if certificate:
        context.load_cert_chain(str(certificate.certificate), str(certificate.key))
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def connect_tls(at, context, name="localhost", session=None):
    plain = socket.create_connection((at["address"], at["port"]), timeout=20)
    return context.wrap_socket(plain, server_hostname=name, session=session)


def ask_tls(at, context, text=b"stra\xc3\x9fe", name="localhost"):
    with connect_tls(at, context, name) as s:
        s.sendall(text)
        return read_exactly(s, len(text.decode().upper().encode()))


class HalfClosing:
    """A client that can end its side and still read; Python's sockets with TLS cannot."""

    def __init__(self, at, context, name="localhost"):
        self.plain = socket.create_connection((at["address"], at["port"]), timeout=20)
        self.come, self.go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.come, self.go, server_hostname=name)
        self._until(self.tls.do_handshake)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.plain.close()

    def _flush(self):
        self.plain.sendall(self.go.read())

    def _until(self, do):
        while True:
            try:
                result = do()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                some = self.plain.recv(65536)
                if not some:
                    raise
                self.come.write(some)

    def send(self, data):
        self._until(lambda: self.tls.write(data))

    def end(self):
        """close_notify, and nothing is waited for."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def read_all(self):
        """Until the close_notify of the other side."""
        data = b""
        while True:
            try:
                some = self._until(lambda: self.tls.read(65536))
            except ssl.SSLZeroReturnError:
                return data
            if not some:
                return data
            data += some


class Client:
    """openssl s_client, held open until it has said what it was waited for."""

    def __init__(self, at, *args):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"{at['address']}:{at['port']}",
             *map(str, args), "-no_ign_eof"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def ask(self, text, answer, seconds=60):
        """Sends the text, waits for the answer, ends; returns everything that it said."""
        watch = threading.Timer(seconds, self.process.kill)
        watch.start()
        with contextlib.suppress(BrokenPipeError):  # it has been refused, and has gone
            self.process.stdin.write(text)
            self.process.stdin.flush()
        said = b""
        while answer not in said and (some := self.process.stdout.read1()):
            said += some
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        said += self.process.stdout.read()
        self.process.wait()
        watch.cancel()
        return said.decode(errors="replace")


def s_client(at, *args, text=b"hello\n", answer=b"HELLO\n"):
    return Client(at, *args).ask(text, answer)
