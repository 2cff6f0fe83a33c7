#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/performance.md, from what bench/run has written: bench/tables.py bench.json"""

import json
import statistics
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from rows import GROWTH  # noqa: E402

SERVED = "upperd"
KINDS = {"us": "a second", "ns/B": "MB a second"}


def short(value):
    return f"{value:#.3g}" if value < 100 else f"{value:,.0f}"


def rounded(value):
    return f"{float(f'{value:.2g}'):,.0f}"


def median(values):
    return short(statistics.median(values))


def spread(values):
    return f"{median(values)} [{short(min(values))} .. {short(max(values))}]"


def factor(values, bare):
    """Of each turn, and then the median: what the machine did meanwhile falls on both."""
    return f"{statistics.median(v / b for v, b in zip(values, bare)):.2f}"


def table(head, rows):
    rows = list(rows)
    if not rows:
        return
    print("\n| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def other(name, found):
    behind = found["behind"].get(name)
    return f"{name} {median(found['costs'][name])}" + (f" + {median(behind)}" if behind else "")


def messages(loads):
    for name, found in loads.items():
        bare, *others = found["costs"]
        costs, unit = found["costs"], ", ns a byte" if found["unit"] == "ns/B" else ""
        yield (name + unit, spread(costs[bare]), spread(costs[SERVED]), factor(costs[SERVED], costs[bare]),
               ", ".join(other(one, found) for one in others if one != SERVED))


def sizes(loads):
    """How much of each kind one processor does that does nothing else, and how much half of one."""
    for name, found in loads.items():
        cost = statistics.median(found["costs"][SERVED])
        most = (1e6 if found["unit"] == "us" else 1e3) / cost
        yield name, f"{rounded(most)} {KINDS[found['unit']]}", rounded(most / 2)


def growth(name, steps):
    servers = list(next(iter(steps.values()))["costs"])
    for server in servers:
        yield server, *(median(one["costs"][server]) for one in steps.values())
    for server in servers[1:]:
        yield (f"factor, {server}" if len(servers) > 2 else "factor",
               *(factor(one["costs"][server], one["costs"][servers[0]]) for one in steps.values()))


def main():
    results = json.loads(Path(sys.argv[1]).read_text())
    print(" ".join(f"{key}: {value}" for key, value in results["machine"].items()))
    loads = results["loads"]
    table(("", "bare loop", "upperd", "factor", "others"), messages(loads))
    servers = list(dict.fromkeys(name for found in results["idle"].values() for name in found))
    table(("bytes for an idle connection", *servers),
          ((name, *(short(found[one]) if one in found else "" for one in servers))
           for name, found in results["idle"].items()))
    for name, steps in results["growth"].items():
        table((f"{name}, {GROWTH[name][0]}", *steps), growth(name, steps))
    table(("", "one processor", "half of it"), sizes(loads))


if __name__ == "__main__":
    main()
