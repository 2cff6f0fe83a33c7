# SPDX-License-Identifier: Apache-2.0
"""Upper-casing without any network: ours, those of other libraries, and Python's, side by side."""

import subprocess
import time
from collections import defaultdict

import chart
from peers import BENCH, PROGRAMS

SIZES = (16, 64, 1024, 65536)


def take_python(samples, rounds):
    """Python's own, with the bytes decoded and encoded, as a server would have to."""
    for name, text in chart.read_texts(BENCH / "texts.c").items():
        for size in SIZES:
            data = (text * (size // len(text) + 1))[:size]
            data = data.decode("utf-8", "ignore").encode()
            for _ in range(rounds):
                loops = max(1, 20000 // size)
                begin = time.thread_time_ns()
                for _ in range(loops):
                    data.decode().upper().encode()
                samples["Python", name, size].append((time.thread_time_ns() - begin) / loops)


def measure(rounds, microseconds):
    """The least of many short turns: nothing but work makes these slower, and noise only adds."""
    samples = defaultdict(list)
    command = [PROGRAMS / "bench-kernel", str(rounds), microseconds]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        name, text, size, ns = line.split()
        samples[name, text, int(size)].append(float(ns))
    take_python(samples, rounds)
    return {key: min(values) for key, values in samples.items()}


def show(found):
    """Ends with how the first of them compares: in speed with the portable one, and with a copy."""
    names = list(dict.fromkeys(name for name, _, _ in found))
    texts = list(dict.fromkeys(text for _, text, _ in found))
    for size in SIZES:
        unit = "ns a message" if size < 1024 else "GB/s"
        print(f"\nupper case, {size} bytes ({unit})\n    {'':10}"
              + "".join(f"{name:>13}" for name in names) + f"{'x portable':>13}{'x memcpy':>13}")
        for text in texts:
            cells = [found.get((name, text, size)) for name in names]
            factors = [found[name, text, size] / cells[0] for name in ("portable", "memcpy")]
            print(f"    {text:10}" + "".join(
                f"{'-':>13}" if ns is None else f"{ns if size < 1024 else size / ns:13.4g}"
                for ns in cells) + "".join(f"{factor:13.2f}" for factor in factors), flush=True)
