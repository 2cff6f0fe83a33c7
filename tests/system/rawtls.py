# SPDX-License-Identifier: Apache-2.0
"""A TLS 1.3 client that breaks the rules: Python shakes hands, and tells its secrets; from there on
records are made here, of any kind and size. Wants a server with TLS_CHACHA20_POLY1305_SHA256."""

import contextlib
import hashlib
import hmac
import socket
import ssl
import struct

SUITE = "TLS_CHACHA20_POLY1305_SHA256"
ALERT, HANDSHAKE, DATA = 21, 22, 23


def chacha20_block(key, counter, nonce):
    state = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, *struct.unpack("<8I", key),
             counter, *struct.unpack("<3I", nonce)]
    work = list(state)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            work[x] = (work[x] + work[y]) & 0xffffffff
            mixed = work[z] ^ work[x]
            work[z] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xffffffff

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(work, state)))


def poly1305(key, text):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for at in range(0, len(text), 16):
        total = (total + int.from_bytes(text[at:at + 16] + b"\1", "little")) * r % (2 ** 130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2 ** 128).to_bytes(16, "little")


def padded(text):
    return text + bytes(-len(text) % 16)


def seal(key, nonce, text, head):
    blocks = (chacha20_block(key, 1 + i, nonce) for i in range(len(text) // 64 + 1))
    sealed = bytes(a ^ b for a, b in zip(text, b"".join(blocks)))
    lengths = struct.pack("<QQ", len(head), len(sealed))
    tag = poly1305(chacha20_block(key, 0, nonce)[:32], padded(head) + padded(sealed) + lengths)
    return sealed + tag


def expand(secret, label, length):
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\0\1"
    return hmac.new(secret, info, hashlib.sha256).digest()[:length]


class RawClient:
    def __init__(self, at, context, folder, name="localhost"):
        log = folder / "keylog"
        context.keylog_filename = str(log)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        plain = socket.create_connection((at["address"], at["port"]), timeout=20)
        self.tls = context.wrap_socket(plain, server_hostname=name)
        secrets = dict(line.split(" ", 1) for line in log.read_text().splitlines()
                       if not line.startswith("#"))
        self.use(bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"].split()[-1]))
        self.plain = socket.socket(fileno=self.tls.detach())
        self.plain.settimeout(20)

    def use(self, secret):
        self.secret, self.number = secret, 0
        self.key, self.iv = expand(secret, b"key", 32), expand(secret, b"iv", 12)

    def send(self, kind, content):
        text = content + bytes([kind])
        head = struct.pack(">BHH", DATA, 0x303, len(text) + 16)
        number = self.number.to_bytes(12, "big")
        nonce = bytes(a ^ b for a, b in zip(self.iv, number))
        self.number += 1
        self.plain.sendall(head + seal(self.key, nonce, text, head))

    def update_key(self, answer=False):
        self.send(HANDSHAKE, bytes([24, 0, 0, 1, answer]))
        self.use(expand(self.secret, b"traffic upd", 32))

    def send_many(self, count, send):
        """Sends so many, or fewer when the server ends the connection meanwhile, as it well may."""
        with contextlib.suppress(ConnectionError):
            for _ in range(count):
                send()

    def is_ended(self):
        """Reads until the end; False when there is none in time."""
        try:
            while self.plain.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True
