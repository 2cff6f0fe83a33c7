# SPDX-License-Identifier: Apache-2.0
"""What a running daemon tells upperctl."""

import json
import os
import subprocess
from collections import Counter

from rig import UPPERD

UPPERCTL = os.environ.get("UPPERCTL", os.path.join(os.path.dirname(UPPERD), "ctl", "upperctl"))


def upperctl(d, *words):
    return subprocess.run([UPPERCTL, "-s", str(d.folder / "control"), "--json", *words],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=10).stdout


def status_of(d):
    return json.loads(upperctl(d, "status"))


def reasons_of(d):
    """How often each reason was counted, over all listeners; 0 for those that were not."""
    sums = Counter()
    for listener in status_of(d)["listeners"]:
        sums.update(listener["reasons"])
    return sums
