# SPDX-License-Identifier: Apache-2.0
"""What bash, zsh and fish complete with the scripts that a program prints. Each is the real shell; zsh completes
on a terminal alone, so that it has one, and hands over what it would list."""

import os
import pty
import shutil
import subprocess
import time

TIMEOUT = 60

BASH = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
"_${COMP_LINE%% *}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

ZSH = """
fpath=($FOLDER $fpath)
autoload -Uz compinit && compinit -u -D
compadd() {
	local -a hits
	if (( ${@[(I)-(O|A|D)]} )); then builtin compadd "$@"; return; fi
	builtin compadd -O hits "$@"
	print -rl -- $hits >>$FOLDER/hits
	builtin compadd "$@"
}
capture() {
	BUFFER=$(<$FOLDER/line) CURSOR=10000
	: >$FOLDER/hits
	zle listed
	BUFFER=
	mv $FOLDER/hits $FOLDER/done
}
zle -C listed list-choices _main_complete
zle -N capture
bindkey '^X^A' capture
: >$FOLDER/ready
"""


class Bash:
    """The words are what readline would insert, from the last ':' or '=' on."""

    def __init__(self, script, folder, env):
        self.script, self.env = script, env
        (folder / "bash").write_text(script)
        self.file = folder / "bash"

    def complete(self, line):
        done = subprocess.run(["bash", "--norc", "-c", BASH, "bash", self.file, line], env=self.env,
                              capture_output=True, text=True, timeout=TIMEOUT)
        assert done.stderr == "", done.stderr
        return done.stdout.split()

    def close(self):
        pass


class Fish(Bash):
    def complete(self, line):
        done = subprocess.run(["fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]', self.file, line],
                              env=self.env, capture_output=True, text=True, timeout=TIMEOUT)
        assert done.stderr == "", done.stderr
        return [text.split("\t")[0] for text in done.stdout.splitlines()]


class Zsh:
    def __init__(self, script, folder, env):
        self.folder = folder
        (folder / f"_{script.split()[1]}").write_text(script)  # "#compdef NAME"
        (folder / "setup").write_text(ZSH)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**env, "FOLDER": str(folder), "TERM": "dumb"})
        os.write(self.terminal, f". {folder}/setup\n".encode())
        self._wait("ready")

    def _wait(self, name):
        end = time.monotonic() + TIMEOUT
        seen = b""
        os.set_blocking(self.terminal, False)
        while not (self.folder / name).exists():
            assert time.monotonic() < end, seen.decode(errors="replace")
            try:
                seen += os.read(self.terminal, 65536)
            except BlockingIOError:
                time.sleep(0.01)

    def complete(self, line):
        (self.folder / "line").write_text(line)
        (self.folder / "done").unlink(missing_ok=True)
        os.write(self.terminal, b"\x18\x01")
        self._wait("done")
        return (self.folder / "done").read_text().split()

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


SHELLS = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def why_not(shell):
    return None if shutil.which(shell) else f"{shell} is not installed"
