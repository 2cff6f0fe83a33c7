# SPDX-License-Identifier: Apache-2.0
"""Every command that the documents print, typed in order on a machine of its own, in a clean clone, with what
it prints compared. In a document, `$ ` begins a command; what follows is its output, in which `…` stands
for anything: within a line, or as a line by itself for any number of lines."""

import re
import shutil
import subprocess

import pytest

import machine as machines
import process
from rig import ROOT
from test_package import copy_tree

pytestmark = pytest.mark.plain

HOME = "/root/upperd"
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]
PATIENCE = 600


def blocks_of(name):
    """The indented blocks of a document."""
    text = (ROOT / name).read_text()
    for block in re.findall(r"(?:^ {4}.*\n)+", text, re.M):
        yield [line[4:] for line in block.splitlines()]


def commands_of(name):
    """Yields each command with the lines that it should print."""
    for lines in blocks_of(name):
        if not any(line.startswith("$ ") for line in lines):
            continue
        assert lines[0].startswith("$ "), f"{name}: a block begins with what no command prints: {lines[0]}"
        command, expected = None, []
        for line in lines:
            if line.startswith("$ "):
                if command:
                    yield command, expected
                command, expected = line[2:], []
            else:
                expected.append(line)
        yield command, expected


def pattern_of(expected):
    parts = []
    for line in expected:
        if line == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(map(re.escape, line.split("…"))) + r"\n")
    return re.compile("".join(parts))


class Shell:
    """A session of bash in the machine, as an administrator would have it."""

    def __init__(self, machine):
        self.bash = subprocess.Popen(
            machine.command("env", f"--chdir={HOME}", "HOME=/root", "bash", "--norc"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def type(self, command):
        """Returns what it printed, and its exit code."""
        self.bash.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n== %s\\n' $?\n".encode())
        self.bash.stdin.flush()
        lines = []
        while True:
            line = self.bash.stdout.readline().decode(errors="replace")
            assert line, f"the shell has ended: {''.join(lines)}"
            if found := re.fullmatch(r"== (\d+)\n", line):
                printed = "".join(lines).rstrip("\n")
                return printed + "\n" if printed else "", int(found[1])
            lines.append(line)

    def close(self):
        self.bash.stdin.close()
        self.bash.wait(PATIENCE)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A bare machine with a clean clone in it."""
    if why := machines.why_not():
        pytest.skip(why)
    one = machines.Machine(tmp_path_factory.mktemp("documents"), bare=True)
    copy_tree(one.path(HOME))
    yield one
    one.end()


@pytest.fixture(scope="module")
def demo(clone):
    """./scripts/run, in its terminal."""
    log = clone.folder / "demo.log"
    with open(log, "wb") as out:
        running = subprocess.Popen(
            clone.command("env", f"--chdir={HOME}", "HOME=/root", "./scripts/run"),
            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    process.wait_until(lambda: " ready: " in log.read_text() or running.poll() is not None,
                       PATIENCE, "the demo")
    assert running.poll() is None, log.read_text()
    yield running
    print(log.read_text()[-5000:])
    running.terminate()
    running.wait(60)


def write_files_of(name, clone):
    """A block whose first line is a comment with the name of a file is that file."""
    for lines in blocks_of(name):
        if found := re.fullmatch(r"# ([\w.-]+\.conf)", lines[0]):
            clone.path(f"{HOME}/{found[1]}").write_text("\n".join(lines) + "\n")


# They build, and each goes on where the last one ended.
@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_print_what_the_document_says(clone, demo, name):
    commands = list(commands_of(name))
    assert commands
    write_files_of(name, clone)
    shell = Shell(clone)
    # The demo's own programs stand for installed ones until the document installs them.
    shell.type(f"PATH=$PATH:{HOME}/build-demo/src")
    for command, expected in commands:
        printed, code = shell.type(command)
        assert pattern_of(expected).fullmatch(printed), f"$ {command}\n{printed}(exit {code})"
    shell.close()


def test_every_command_of_a_configuration_is_one_that_is_typed():
    """The heads of conf/ repeat commands of README and the package, which tests type."""
    typed = {command for name in DOCUMENTS for command, _ in commands_of(name)}
    typed |= {line for name in (*DOCUMENTS, "debian/upperd.README.Debian", "systemd/upperd-bind.service.in")
              for lines in [(ROOT / name).read_text().splitlines()]
              for line in (text.removeprefix("#").strip() for text in lines)}
    for path in sorted((ROOT / "conf").glob("*.conf")):
        for command in re.findall(r"^# {5}((?:systemctl|upperd|upperctl|upper|openssl) .*)$",
                                  path.read_text(), re.M):
            assert command in typed, f"{path.name}: {command}"
