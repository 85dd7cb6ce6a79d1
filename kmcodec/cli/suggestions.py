"""What was meant by a word that kmq does not know. Loaded by errors only."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kmcodec.cli.parser import Parser

#: What other programs call it.
_COMMANDS = {
    "compress": "encode",
    "create": "encode",
    "quantize": "encode",
    "pack": "encode",
    "convert": "encode",
    "decompress": "decode",
    "extract": "decode",
    "unpack": "decode",
    "show": "info",
    "identify": "info",
    "inspect": "info",
    "check": "verify",
    "test": "verify",
    "compare": "report",
    "stats": "report",
    "optimize": "recode",
    "gif": "animate",
    "version": "--version",
}
_OPTIONS = {
    "-f": "--force",
    "-y": "--force",
    "--overwrite": "--force",
    "-q": "--quiet",
    "--silent": "--quiet",
    "-n": "--colors",
    "-c": "--colors",
    "--quality": "--target-psnr",
    "-t": "--threads",
    "-j": "--threads",
    "-V": "--version",
    "-v": "--version",
    "--crop": "--region",
    "--strip": "--strip-metadata",
}

# Letters in a line that is suggested as a whole.
_LONGEST_LINE = 60


def explain_command(parser: Parser, word: str, words: Sequence[str]) -> str:
    """Say what could be meant by a word that is no command."""
    meant = find_closest(word, parser.commands, _COMMANDS)
    if meant:
        return f"no command {word!r}; did you mean {_enumerate(meant)}?"
    if os.path.splitext(word)[1] or os.path.lexists(word):
        command = "decode" if word.lower().endswith(".kmq") else "encode"
        return f'{word!r} is no command; did you mean "{_spell(parser, command, words)}"?'
    return f'no command {word!r}; "{parser.prog} --help" lists them'


def explain_option(parser: Parser, word: str, words: Sequence[str]) -> str:
    """Say what could be meant by a word that is no option of a command, or stands before the command."""
    flag = word.partition("=")[0]
    message = f"no option {flag}"
    if os.path.lexists(word):
        return f"{message}; a file of that name is written ./{word}"
    if meant := find_closest(flag, parser.flags(), _OPTIONS):
        return f"{message}; did you mean {_enumerate(meant)}?"
    commands = (parser.parent or parser).commands
    # Of one letter, the value may stand at once behind it.
    written = flag if flag.startswith("--") else flag[:2]
    having = [name for name, command in commands.items() if written in command.flags()]
    if having and parser.parent is None:
        line = _spell(parser, having[0], words)
        return f'the command comes before its options; did you mean "{line}"?'
    if having:
        verb = "has" if len(having) == 1 else "have"
        return f"{message}; {_enumerate([f'kmq {name}' for name in having], 'and')} {verb} one"
    return f'{message}; "{parser.prog} --help" lists them'


def explain_choice(value: str, choices: Iterable[object]) -> str:
    """Say what a value can be, and which of it could be meant."""
    names = [str(choice) for choice in choices]
    message = f"must be {_enumerate(names)}, found {value!r}"
    meant = find_closest(value, names, {})
    return f"{message}; did you mean {_enumerate(meant)}?" if meant else message


def find_closest(word: str, candidates: Iterable[str], synonyms: dict[str, str]) -> list[str]:
    """Return the candidates that may be meant: by another name, by how they begin, or by a slip."""
    names = [*candidates]
    synonym = synonyms.get(word.lower()) or synonyms.get(word)
    if synonym is not None and (synonym in names or synonym == "--version"):
        return [synonym]
    # Slips in dashes and underscores are slips, too.
    plain = _strip(word)
    if len(plain) < 2:
        return []
    longer = [name for name in names if len(_strip(name)) > 1]
    begun = [name for name in longer if _strip(name).startswith(plain)]
    if begun:
        return begun[:3]
    near = difflib.get_close_matches(plain, [_strip(name) for name in longer], n=1, cutoff=0.65)
    return [name for name in longer if _strip(name) in near][:1]


def _strip(word: str) -> str:
    return word.lstrip("-").replace("_", "-").lower()


def _spell(parser: Parser, command: str, words: Sequence[str]) -> str:
    line = shlex.join([parser.prog, command, *words])
    return line if len(line) <= _LONGEST_LINE else f"{parser.prog} {command} ..."


def _enumerate(names: Sequence[str], word: str = "or") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
