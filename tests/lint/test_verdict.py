# SPDX-License-Identifier: Apache-2.0
"""What scripts/test makes of tools that end before they are done: no verdict of theirs is a good one."""

import re
import subprocess
import sys

import pytest

from tree import ROOT

SCRIPT = (ROOT / "scripts/test").read_text()
INTERRUPTED = """
def test_first(): pass
def test_second(): raise KeyboardInterrupt
def test_third(): assert False
"""


@pytest.fixture
def verdict(tmp_path):
    """verdict("run_pytest", ..., result=FILE): calls that function, and then the tally."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/steps").write_text("ok build\n")

    def run(function, *arguments, result, before=""):
        body = re.search(rf"^{function}\(\) {{\n.*?^}}\n", SCRIPT, re.M | re.S)[0]
        subprocess.run(
            ["bash", "-uc", f'say() {{ :; }}\n{before}\n{body}\n{function} "$@"', "test",
             *arguments],
            cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "results": "results",
                               "python": sys.executable},
            check=False, capture_output=True)
        return subprocess.run([ROOT / "scripts/tally", tmp_path / "results", result],
                              check=False, capture_output=True, text=True)

    return run


def test_what_was_interrupted_has_not_passed(verdict, tmp_path):
    (tmp_path / "test_it.py").write_text(INTERRUPTED)
    outcome = verdict("run_pytest", "some", "build", "test_it.py", result="some-build.xml")
    assert outcome.returncode == 1, outcome.stdout


def test_what_passed_has_passed(verdict, tmp_path):
    (tmp_path / "test_it.py").write_text("def test_first(): pass\n")
    outcome = verdict("run_pytest", "some", "build", "test_it.py", result="some-build.xml")
    assert outcome.stdout == "2 passed, 0 failed\n"


def test_log_of_another_day_is_no_result(verdict, tmp_path):
    logs = tmp_path / "build/meson-logs"
    logs.mkdir(parents=True)
    (logs / "testlog.json").write_text('{"name": "old", "result": "OK", "stdout": ""}\n')
    outcome = verdict("run_meson", "build", result="build.json",
                      before="meson() { return 1; }")
    assert outcome.returncode == 1, outcome.stdout


@pytest.mark.parametrize(("runs", "expected", "code"), [
    (["ok\n3 passed, 0 failed\n", "4 passed, 0 failed, 2 skipped\n"], "7 passed, 0 failed, 2 skipped", 0),
    (["3 passed, 0 failed\n", "4 passed, 1 failed\n"], "7 passed, 1 failed", 1),
    (["3 passed, 0 failed\n", ""], "3 passed, 1 failed", 1),
    (["3 passed, 0 failed\n", "2 passed, 0 failed\nKilled\n"], "3 passed, 1 failed", 1),
    (["3 passed, 0 failed\n", None], "3 passed, 1 failed", 1),
    (["0 passed, 0 failed\n"], "0 passed, 0 failed", 1),
])
def test_runs_add_up(tmp_path, runs, expected, code):
    """One that was ended before its last line, or never began, is no success."""
    for number, text in enumerate(runs):
        if text is not None:
            (tmp_path / str(number)).write_text(text)
    done = subprocess.run(
        [ROOT / "scripts/tally", "--sum", *(tmp_path / str(number) for number in range(len(runs)))],
        check=False, capture_output=True, text=True)
    assert (done.stdout.splitlines()[-1], done.returncode) == (expected, code)


@pytest.mark.parametrize(("other", "said", "code"), [
    ("ok one\nok two\n", "", 0),
    ("ok one\nok two # skip\n", "passed in here alone, skipped: steps: two\n", 1),
    ("ok one\n", "passed in here alone, not there: steps: two\n", 1),
    ("ok one\nok two\nok three\n", "passed in there alone, not there: steps: three\n", 1),
])
def test_what_is_lost_on_another_release_is_named(tmp_path, other, said, code):
    for folder, text in (("here", "ok one\nok two\n"), ("there", other)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "steps").write_text(text)
    done = subprocess.run([ROOT / "scripts/tally", "--compare", "here", "there"], cwd=tmp_path,
                          check=False, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (said, code)
