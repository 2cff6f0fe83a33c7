# SPDX-License-Identifier: Apache-2.0
"""ClientHellos of any content, written by hand, and what a server answers to them in the clear: enough to
find out what it accepts, without doing any cryptography."""

import os
import socket
import struct

import dtls

ALERT, HANDSHAKE = 21, 22
SERVER_HELLO, KEY_EXCHANGE = 2, 12
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def u16(*numbers):
    return struct.pack(f"!{len(numbers)}H", *numbers)


def counted(data, bytes_=2):
    return len(data).to_bytes(bytes_, "big") + data


def extension(kind, body=b""):
    return u16(kind) + counted(body)


def hello_body(suites, groups, signatures, versions=(), share=None, more=b"", legacy=0x0303, cookie=None):
    """`share`: a group that a key share of 32 random bytes is sent for; any such is good for X25519."""
    extensions = extension(10, counted(u16(*groups))) + extension(11, b"\1\0") + extension(
        13, counted(u16(*signatures))) + extension(0, counted(b"\0" + counted(b"localhost"))) + more
    if versions:
        shares = u16(share) + counted(os.urandom(32)) if share else b""
        extensions += extension(43, counted(u16(*versions), 1)) + extension(51, counted(shares))
    return (u16(legacy) + os.urandom(32) + (b"\0" if cookie is not None else counted(os.urandom(32), 1)) +
            (counted(cookie, 1) if cookie is not None else b"") +
            counted(u16(*suites)) + b"\1\0" + counted(extensions))


class Answer:
    """`version`, `suite` and `extensions` of a ServerHello, whether it asks to try again, and the `group` and
    `signature` where they are in the clear; None in their place when the server refused."""

    def __init__(self, messages):
        self.version = self.suite = self.group = self.signature = None
        self.extensions, self.retries = [], False
        for kind, body in messages:
            if kind == SERVER_HELLO:
                self._server_hello(body)
            elif kind == KEY_EXCHANGE and self.version <= 0x0303 or kind == KEY_EXCHANGE:
                self.group = int.from_bytes(body[1:3], "big")
                at = 4 + body[3]
                self.signature = int.from_bytes(body[at:at + 2], "big")

    def _server_hello(self, body):
        self.version, = struct.unpack_from("!H", body)
        self.retries = body[2:34] == RETRY
        at = 35 + body[34]
        self.suite, = struct.unpack_from("!H", body, at)
        at += 5
        while at + 4 <= len(body):
            kind, length = struct.unpack_from("!HH", body, at)
            content = body[at + 4:at + 4 + length]
            self.extensions.append(kind)
            if kind == 43:
                self.version, = struct.unpack("!H", content)
            if kind == 51:
                self.group, = struct.unpack_from("!H", content)
            at += 4 + length


def messages_of(data):
    """The handshake messages in a run of bytes; the last may be a part."""
    while len(data) >= 4 and len(data) >= 4 + (length := int.from_bytes(data[1:4], "big")):
        yield data[0], data[4:4 + length]
        data = data[4 + length:]


def ask_stream(at, body):
    """The answer to one ClientHello over TCP, read until the server waits, refuses or seals."""
    text = b""
    message = b"\1" + counted(body, 3)
    with socket.create_connection((at["address"], at["port"]), timeout=20) as s, s.makefile("rb") as come:
        s.sendall(bytes([HANDSHAKE]) + u16(0x0301) + counted(message))
        while len(head := come.read(5)) == 5:
            content = come.read(int.from_bytes(head[3:], "big"))
            if head[0] != HANDSHAKE:
                break
            text += content
            answer = Answer(messages_of(text))
            if answer.retries or any(kind in (KEY_EXCHANGE + 2, SERVER_HELLO) and
                                     (kind != SERVER_HELLO or answer.version == 0x0304)
                                     for kind, _ in messages_of(text)):
                break
    return Answer(messages_of(text))


def ask_datagrams(at, **parts):
    """The same over UDP, behind a cookie; all of a flight that is in its first datagrams."""
    random = os.urandom(32)

    def datagram(cookie, number):
        body = hello_body(legacy=0xfefd, cookie=cookie, **parts)
        body = body[:2] + random + body[34:]
        return dtls.record(HANDSHAKE, dtls.message(dtls.CLIENT_HELLO, body, number), number)

    with dtls.client_socket(at) as s:
        cookie = dtls.cookie_of(dtls.ask(s, datagram(b"", 0)))
        flight = dtls.ask(s, datagram(cookie, 1)) or b""
        pieces = {}
        while True:
            while len(flight) >= 25 and flight[0] == HANDSHAKE:
                length = int.from_bytes(flight[11:13], "big")
                at_ = int.from_bytes(flight[19:22], "big")
                whole = int.from_bytes(flight[14:17], "big")
                kind, _, text = pieces.setdefault(int.from_bytes(flight[17:19], "big"),
                                                  (flight[13], whole, bytearray(whole)))
                text[at_:at_ + length - 12] = flight[25:13 + length]
                flight = flight[13 + length:]
            if not pieces or any(kind == KEY_EXCHANGE + 2 for kind, _, _ in pieces.values()) or flight:
                break
            flight = s.recv(65536)
    return Answer((kind, bytes(text)) for kind, _, text in pieces.values())
