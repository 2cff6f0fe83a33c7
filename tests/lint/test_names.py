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
    {"src/upper/avx512.c", "src/upper/portable.c"},
]
# Names that still stand for two things.
NOT_YET = {
    "append", "attach", "begins", "client", "client_on_event", "compare", "copy", "dtls_open",
    "end_of_line", "explain_name", "find", "first_slot", "hash_client", "head", "interrupt",
    "is_for", "is_known", "is_set", "key", "least", "line", "load", "load_done", "number_of",
    "options_parse", "origin_of", "outcome_of", "parse_number", "parse_value", "patience_ms",
    "plain_close", "plain_outcome", "plain_read", "plain_write", "print_answer", "print_json",
    "print_plain", "read_sealed", "read_tls", "reply", "row", "row_of", "run", "shake_hands",
    "store", "stream_finish", "stream_open", "stream_send", "take", "tls_open", "unknown_key",
    "usage", "verdict", "wants_send", "write_all",
}


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
    wrong = [f"{name}: {', '.join(homes)}" for name, homes in sorted(shared.items())
             if name not in NOT_YET]
    assert not wrong, "these names stand for several things:\n" + "\n".join(wrong)
