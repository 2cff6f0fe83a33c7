# SPDX-License-Identifier: Apache-2.0
"""Help, manual and completions of the three programs say the same, and the shells complete it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from client import UPPER
from rig import ROOT, UPPERCTL, UPPERD
from shells import SHELLS, why_not

PROGRAMS = {"upper": Path(UPPER).absolute(), "upperd": Path(UPPERD), "upperctl": Path(UPPERCTL)}
PAGES = {"upper": "upper.1", "upperd": "upperd.8", "upperctl": "upperctl.8"}
FORMS = {"upper": ["ping", "bench", "check", "path", "probe"], "upperd": [],
         "upperctl": ["status", "reload", "metrics", "clients", "drain", "sandbox", "upgrade", "log", "attach"]}
CONFIGURATION = """
listeners = ( { name = "front"; transport = "tcp"; port = 12000; }, { transport = "udp"; port = 12001; } );
"""
# What systemd 252 prints.
SYSTEMCTL = """#!/bin/sh
[ "$*" = "list-unit-files --no-legend upperd-*.socket" ] || exit 1
printf 'upperd-dtls.socket    disabled enabled\\nupperd-my-own.socket  enabled  enabled\\n'
"""
ALL = [(program, form) for program, forms in FORMS.items() for form in [None, *forms]]


def run(program, *args):
    return subprocess.run([PROGRAMS[program], *args], capture_output=True, text=True, timeout=60)


def options_of(program, form=None):
    """The letter, the name and the text of each, as --help has them."""
    done = run(program, *([form] if form else []), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    items = re.split(r"^  (?=-., --|    --)", done.stdout, flags=re.M)[1:]
    return [re.match(r"(?s)(?:-(.), |    )--([a-z0-9-]+)(.*)", re.split(r"\n\n", item)[0]).groups() for item in items]


@pytest.mark.parametrize("program, form", ALL)
def test_help_has_the_default_of_each_option_and_the_manual_has_the_option(program, form):
    items = "\n".join(line for line in (ROOT / "man" / PAGES[program]).read_text().splitlines()
                      if line.startswith((".It Fl", ".It Cm")))
    options = options_of(program, form)
    assert {"help"} <= {name for _, name, _ in options}
    for letter, name, text in options:
        assert re.search(rf"Fl -{name}( |$)", items, re.M), f"the manual lacks --{name}"
        assert not letter or re.search(rf"(Fl|,) {letter}( |$)", items, re.M), f"the manual lacks -{letter}"
        assert name in ("help", "version") or "default" in text, f"--{name} does not say its default"


@pytest.mark.parametrize("program", PROGRAMS)
def test_manual_has_no_option_that_is_not_there(program):
    known = {name for form in [None, *FORMS[program]] for _, name, _ in options_of(program, form)}
    page = (ROOT / "man" / PAGES[program]).read_text()
    listed = {name for line in page.splitlines() if line.startswith(".It Fl")
              for name in re.findall(r"Fl -([a-z0-9-]+)", line)}
    assert listed == known


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_by_its_letter(program):
    done = run(program, "-V")
    assert done.returncode == 0 and done.stdout == run(program, "--version").stdout
    assert done.stdout.startswith(f"{program} ")


def test_help_lists_every_verb_and_each_has_its_own():
    listed = re.findall(r"^  ([a-z]+) ", run("upperctl", "--help").stdout, re.M)
    assert listed == FORMS["upperctl"]
    for verb in listed:
        for words in ([verb, "--help"], ["--help", verb], [verb, "-h"]):
            text = run("upperctl", *words).stdout
            assert text.startswith(f"usage: upperctl [-s SOCKET] [--json] {verb}")
            assert re.search(rf"^Example:\n  upperctl {verb}", text, re.M)
            assert re.search(r"^Exit status:\n  0   done\n", text, re.M)
            assert re.search(r"^For root(,| and) the daemon's own user", text, re.M)
    done = run("upperctl", "nothing", "--help")
    assert done.returncode == 64 and 'no verb "nothing"' in done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_completions_for_a_shell_that_there_is_not(program):
    done = run(program, "--completions", "csh")
    assert done.returncode in (2, 64) and "bash zsh fish" in done.stderr.replace(",", "").replace(" or ", " ")


# In the shells


@pytest.fixture(scope="module", params=[(shell, program) for shell in SHELLS for program in PROGRAMS],
                ids="-".join)
def shell(request, tmp_path_factory):
    """A shell that has the completions of a program, in whose PATH all programs are."""
    name, program = request.param
    if why := why_not(name):
        pytest.skip(why)
    folder = tmp_path_factory.mktemp(f"{name}-{program}")
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    (folder / "my.conf").write_text(CONFIGURATION)
    path = os.pathsep.join([str(folder), *(str(one.parent) for one in PROGRAMS.values()), os.environ["PATH"]])
    script = run(program, "--completions", name)
    assert script.returncode == 0, script.stderr
    one = SHELLS[name](script.stdout, folder, {**os.environ, "PATH": path, "HOME": str(folder)})
    one.name, one.program, one.folder = name, program, folder
    yield one
    one.close()


def words(shell, line):
    """Without what a shell adds to a word that goes on, and where it is: zsh has the folder apart."""
    found = {word.rstrip("=") for word in shell.complete(line)}
    return {word.removeprefix(f"{shell.folder}/") for word in found}


def test_every_option_of_every_form(shell):
    for form in [None, *FORMS[shell.program]]:
        line = " ".join([shell.program, *([form] if form else []), "--"])
        told = {f"--{name}" for _, name, _ in options_of(shell.program, form)}
        if form is None:
            told -= {"--check", "--watch"} if shell.program == "upperctl" else set()
        assert words(shell, line) == told, f"{shell.name}: {line}"


def test_every_form(shell):
    if FORMS[shell.program]:
        assert set(FORMS[shell.program]) <= words(shell, f"{shell.program} ")


CASES = [
    ("upper", "upper pi", {"ping"}),
    ("upper", "upper ping --floo", {"--flood"}),
    ("upper", "upper check --phase co", {"connect"}),
    ("upper", "upper check -P co", {"connect"}),
    ("upper", "upper ping -c 1 ud", {"udp://"}),
    ("upper", "upper tcp://localhost pi", set()),
    ("upperd", "upperd -c {folder}/my.c", {"my.conf"}),
    ("upperd", "upperd --check -c {folder}/my.conf --set listeners.front.po", {"listeners.front.port"}),
    ("upperd", "upperd --set limits.unch", {"limits.unchanged"}),
    ("upperd", "upperd --completions k", {"keys"}),
    ("upperd", "upperd --sockets", set()),
    ("upperctl", "upperctl st", {"status"}),
    ("upperctl", "upperctl -s {folder}/my.conf re", {"reload"}),
    ("upperctl", "upperctl -s {folder}/my.c", {"my.conf"}),
    ("upperctl", "upperctl status --w", {"--watch"}),
    ("upperctl", "upperctl --json log ", {"error", "warning", "notice", "info", "debug"}),
    ("upperctl", "upperctl clients ", {"clear"}),
    ("upperctl", "upperctl attach ", {"dtls", "my-own"}),
    ("upperctl", "upperctl reload ", set()),
]


def test_words_that_fit(shell):
    for program, line, wanted in CASES:
        if program == shell.program:
            line = line.format(folder=shell.folder)
            assert words(shell, line) == wanted, f"{shell.name}: {line}"


@pytest.mark.parametrize("shell", [(name, "upperd") for name in SHELLS], ids="-".join, indirect=True)
def test_names_of_all_listeners(shell):
    """As they stand in the configuration that the command line names. bash inserts from the last colon on."""
    listed = words(shell, f"upperd -c {shell.folder}/my.conf --set listeners.")
    assert {"listeners.front.port", "listeners.udp:12001.port", "listeners.udp:12001.amplification"} <= listed
    assert "listeners.front.amplification" not in listed
    rest = words(shell, f"upperd -c {shell.folder}/my.conf --set listeners.udp:12001.am")
    assert rest == {"12001.amplification" if shell.name == "bash" else "listeners.udp:12001.amplification"}
    assert words(shell, "upperd --check=") == ({"strict"} if shell.name == "bash" else {"--check=strict"}
                                               if shell.name == "fish" else {"strict"})
