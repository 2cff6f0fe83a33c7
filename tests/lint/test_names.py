# SPDX-License-Identifier: Apache-2.0
"""One name means one thing in the whole of src/: functions, static ones too, and struct tags."""

import json
from collections import defaultdict

import pytest

from test_style import WRITTEN
from tree import name_of, run_tool

# Files of which a build takes one: the same interface, with a library and without.
ALTERNATIVES = [
    {"src/supervisor/manager_none.c", "src/supervisor/manager_systemd.c"},
    {"src/priv/seccomp.c", "src/priv/seccomp_none.c"},
    {"src/client/prompt_editline.c", "src/client/prompt_plain.c"},
    {"src/client/idn_libidn2.c", "src/client/idn_none.c"},
    {"src/upper/avx512.c", "src/upper/portable.c"},
    {"src/base/loop_epoll.c", "src/base/loop_poll.c"},
    {"src/client/messages_linux.c", "src/client/messages_posix.c"},
    {"src/client/ticker_timer.c", "src/client/ticker_timerfd.c"},
]


def are_alternatives(paths):
    """One of them stands for each other of the list in some build; none.c does for all of its room."""
    real = [path for path in paths if path != "src/tls/none.c"]
    return len(real) <= 1 or any(set(real) <= files for files in ALTERNATIVES)


def homes_of(kind, paths):
    """Each name of a kind that ctags knows, with the files that define it."""
    result = run_tool("ctags", "--languages=C", f"--kinds-C={kind}", "--output-format=json",
                      "-f", "-", *paths)
    assert result.returncode == 0, result.stdout
    homes = defaultdict(list)
    for line in result.stdout.splitlines():
        tag = json.loads(line)
        homes[tag["name"]].append(tag["path"])
    return homes


def shared_names(kind, suffixes):
    paths = [name_of(path) for path in WRITTEN
             if path.suffix in suffixes and name_of(path).startswith("src/")]
    return {name: sorted(homes) for name, homes in homes_of(kind, paths).items()
            if len(homes) > 1 and name != "main" and not name.startswith("__anon")
            and not are_alternatives(homes)}


@pytest.mark.parametrize("kind, suffixes", [("f", {".c"}), ("s", {".c", ".h"})],
                         ids=["functions", "structs"])
def test_a_name_has_one_meaning(kind, suffixes):
    shared = shared_names(kind, suffixes)
    wrong = [f"{name}: {', '.join(homes)}" for name, homes in sorted(shared.items())]
    assert not wrong, "these names stand for several things:\n" + "\n".join(wrong)
