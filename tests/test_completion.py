"""Completion, by the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import run, succeed

from kmcodec.cli.arguments import SHELLS, build_parser
from kmcodec.cli.completion import FILES, make_script
from kmcodec.cli.parser import name_value

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shells of another kind there")

#: Calls the function as bash does, where words end at an equals sign.
BASH = """
source "$1"
COMP_WORDS=(${2//=/ = }) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
if [[ $2 == *' ' ]]; then COMP_WORDS+=(""); ((COMP_CWORD++)); fi
$(complete -p kmq | sed 's/.*-F \\([^ ]*\\).*/\\1/') kmq
printf '<%s>' "${COMPREPLY[@]}"
"""

#: Presses Tab in a terminal, and shows what completion adds to its matches.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "
autoload -Uz compinit && compinit -u -D
source ${(q)1}
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd \"\$@\"; return; fi
  local -a offered
  builtin compadd -A offered \"\$@\"
  print -rl -- '<'\${(Q)^offered}'>'
  builtin compadd \"\$@\"
}
finish() { exit }
comppostfuncs=(finish)
print REA'DY'"
while zpty -r shell line; do [[ $line == *READY* ]] && break; done
zpty -w -n shell $2$'\t'
while zpty -r shell line; do print -rn -- $line; done
"""

FISH = r"""
source $argv[1]
complete -C $argv[2] | string replace -r '\t.*' '' | string replace -r '(.*)' '<$1>'
"""

COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-c", BASH, "bash"],
    "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
    "fish": ["fish", "--no-config", "-c", FISH],
}

KMQ_FILES = {"a b.kmq", "X.KMQ", "sub dir"}
CASES: list[tuple[str, set[str]]] = [
    ("kmq en", {"encode"}),
    ("kmq encode --co", {"--coding", "--colors"}),
    ("kmq encode --coding ", {"packed", "context"}),
    ("kmq encode --coding=c", {"context"}),
    ("kmq plot e", {"elbow"}),
    ("kmq help de", {"decode", "desktop"}),
    ("kmq decode ", KMQ_FILES),
    ("kmq verify --quiet x.kmq ", KMQ_FILES),
    ("kmq encode -k 3 ", KMQ_FILES | {"photo.png"}),
    ("kmq report photo.png ", KMQ_FILES),
    ("kmq encode --out-dir ", {"sub dir"}),
    ("kmq encode -o ", KMQ_FILES | {"photo.png", "notes.txt"}),
    ("kmq encode n", {"notes.txt"}),
    ("kmq verify --threads ", set()),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_offers(shell: str, line: str, expected: set[str], tmp_path: Path) -> None:
    """Each shell offers commands, options, values, and files of the kind; of none there are, all files."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    folder = tmp_path / "files"
    (folder / "sub dir").mkdir(parents=True)
    for name in ("a b.kmq", "X.KMQ", "photo.png", "notes.txt"):
        (folder / name).touch()
    script = tmp_path / "script"
    script.write_text(make_script(shell))
    result = subprocess.run(
        [*COMMANDS[shell], str(script), line],
        cwd=folder,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TERM": "dumb"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    offered = [part.partition(">")[0] for part in result.stdout.decode().split("<")[1:]]
    # Fish shows the end of a folder, and what stands before the value.
    assert expected == {word.rpartition("=")[2].rstrip("/") for word in offered} - {""}, result


@pytest.mark.parametrize("shell", SHELLS)
def test_syntax(shell: str, tmp_path: Path) -> None:
    """The command prints the script, which the shell can read."""
    script = tmp_path / "script"
    script.write_bytes(succeed(tmp_path, "completion", shell))
    assert make_script(shell) == script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    result = subprocess.run([shell, "-n", str(script)], capture_output=True, check=False)
    assert (0, b"", b"") == (result.returncode, result.stdout, result.stderr)


def test_other_shells(tmp_path: Path) -> None:
    """A shell for which there is no script is wrong usage."""
    process = run(tmp_path, "completion", "tcsh")
    assert (2, b"kmq completion: SHELL must be bash, zsh or fish, found 'tcsh'\n") == (
        process.returncode,
        process.stderr,
    )


def test_all_values_are_known() -> None:
    """Of each value that has no choices it is known whether it is a file, by its name in the help."""
    values = {"", "#RRGGBB", "COMMAND", "DB", "L", "N", "N|auto", "X", "X,Y,W,H"}
    for command in build_parser().commands.values():
        for action in command.arguments() + command.options():
            assert action.choices is not None or name_value(action) in values | {*FILES}
