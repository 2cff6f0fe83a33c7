#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares libupper with Python, which knows Unicode from elsewhere.

usage: oracle.py HELPER KERNEL

HELPER is oracle-upper, which says what it expects, and which kernels there are. TEST_SEED=N in the environment runs a failed
test again with the same random texts. The outcome is in TAP.
"""

import functools
import os
import pathlib
import random
import re
import shlex
import struct
import subprocess
import sys
import time
import unicodedata

KEEP, REPLACE = 0, 1
PIECE = 0xFFFF
SKIP = 77
TEXTS = 10_000
# What runs the helper when it was built for another machine.
EMULATOR = shlex.split(os.environ.get("MESON_EXE_WRAPPER", ""))
AGES = pathlib.Path("/usr/share/unicode/DerivedAge.txt")
SURROGATES = range(0xD800, 0xE000)


class Helper:
    def __init__(self, path, kernel):
        self.process = subprocess.Popen([*EMULATOR, path, kernel], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.unicode_version = self.process.stdout.readline().decode().strip()

    def upper(self, invalid, pieces):
        question = struct.pack("<BH", invalid, len(pieces))
        question += b"".join(struct.pack("<H", len(piece)) + piece for piece in pieces)
        self.process.stdin.write(question)
        self.process.stdin.flush()
        outcome, length = struct.unpack("<BI", self.process.stdout.read(5))
        assert outcome == 0, f"outcome {outcome} of {pieces[:8]}"
        return self.process.stdout.read(length)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def same_length_pieces(data):
    return [data[at:at + PIECE] for at in range(0, len(data), PIECE)]


def random_pieces(numbers, data):
    ends = sorted(numbers.randrange(len(data) + 1) for _ in range(numbers.randrange(9)))
    return [data[a:b] for a, b in zip([0] + ends, ends + [len(data)])]


def version_of(text):
    return [int(number) for number in text.split(".")]


def characters_since(version):
    """Those that came with a later Unicode than this one, as far as the database of this machine knows."""
    for line in AGES.read_text(encoding="utf-8").splitlines():
        found = re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))? *; *([0-9.]+)", line)
        if found and version_of(found[3]) > version_of(version):
            yield from map(chr, range(int(found[1], 16), int(found[2] or found[1], 16) + 1))


@functools.cache
def known_characters(version):
    """All there are, but for those that only one of the two knows, Python or libupper: Unicode never
    changes how the others map to each other."""
    here = version_of(unicodedata.unidata_version)
    older = here < version_of(version)
    later = set(characters_since(version)) if here > version_of(version) else set()
    return [character for character in map(chr, range(0x110000)) if ord(character) not in SURROGATES
            and not (older and unicodedata.category(character) == "Cn")
            and later.isdisjoint(character + character.upper())]


def check_every_code_point(helper, numbers):
    characters = known_characters(helper.unicode_version)
    asked = "\n".join(characters).encode()
    answers = helper.upper(KEEP, same_length_pieces(asked)).decode().split("\n")
    expected = "\n".join(character.upper() for character in characters).split("\n")
    assert len(answers) == len(expected)
    for answer, wanted in zip(answers, expected):
        assert answer == wanted, f"{answer!a} instead of {wanted!a}"


def check_random_texts(helper, numbers):
    characters = known_characters(helper.unicode_version)
    cased = [character for character in characters if character.upper() != character]
    for _ in range(TEXTS):
        some = [numbers.choice([characters, cased, cased, "abc xyz"]) for _ in range(40)]
        text = "".join(numbers.choice(choice) for choice in some[:numbers.randrange(41)])
        answer = helper.upper(KEEP, random_pieces(numbers, text.encode()))
        assert answer.decode() == text.upper(), f"of {text!a}"


def random_bytes(numbers):
    """Bytes that are near to being UTF-8: characters, some cut, some with a byte changed."""
    data = b""
    for _ in range(numbers.randrange(12)):
        character = bytearray(chr(numbers.choice(
            [0x61, 0xE4, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF])).encode())
        if numbers.randrange(2):
            character[numbers.randrange(len(character))] = numbers.randrange(256)
        data += character[numbers.randrange(2):numbers.choice([1, 2, 3, 4, 4])]
    return data


def check_invalid_bytes(helper, numbers):
    every_pair = [bytes([a, b]) + tail for a in range(0x80, 0x100) for b in range(0x100)
                  for tail in (b"", b"\x80", b"\x80\x80", b"\xBFz")]
    for data in every_pair + [random_bytes(numbers) for _ in range(TEXTS)]:
        answer = helper.upper(REPLACE, random_pieces(numbers, data))
        assert answer == data.decode("utf-8", "replace").upper().encode(), f"of {data}"


def check_kept_bytes(helper, numbers):
    for data in [random_bytes(numbers) for _ in range(TEXTS)]:
        answer = helper.upper(KEEP, random_pieces(numbers, data))
        # Python smuggles bytes that are not UTF-8 through a string as lone surrogates.
        kept = data.decode("utf-8", "surrogateescape").upper().encode("utf-8", "surrogateescape")
        assert answer == kept, f"of {data}"


CHECKS = [check_every_code_point, check_random_texts, check_invalid_bytes, check_kept_bytes]


def main():
    helper = Helper(*sys.argv[1:])
    if not helper.unicode_version and helper.process.wait() == SKIP:
        print(f"1..0 # SKIP this processor cannot run {sys.argv[2]}")
        return 0
    helper.close()
    if version_of(unicodedata.unidata_version) > version_of(helper.unicode_version) \
            and not AGES.exists():
        print(f"1..0 # SKIP Python follows Unicode {unicodedata.unidata_version}, and libupper "
              f"{helper.unicode_version}; {AGES} is missing, which tells the difference")
        return 0
    seed = int(os.environ.get("TEST_SEED", time.time()))
    print(f"1..{len(CHECKS)}\n# TEST_SEED={seed}", flush=True)
    failed = 0
    for number, check in enumerate(CHECKS, 1):
        helper = Helper(*sys.argv[1:])
        words = check.__name__.replace("_", " ")
        try:
            check(helper, random.Random(seed))
            helper.close()
            print(f"ok {number} - {words}", flush=True)
        except (AssertionError, UnicodeDecodeError, struct.error) as error:
            helper.process.kill()
            failed = 1
            print(f"not ok {number} - {words}\n# {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
