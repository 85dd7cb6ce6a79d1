"""kmq completion: a script that completes commands, options, values and file names in a shell.

It is made of the parser, whole, so that pressing Tab starts no Python. What kind of file an argument is
follows from the name by which the help calls it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import NamedTuple

from kmcodec.cli.arguments import build_parser
from kmcodec.cli.parser import Parser, expand_help, name_value

# Of the many that Pillow opens, those that people have; where a folder has none, all files are offered.
_PICTURES = "png jpg jpeg gif webp avif bmp tif tiff ppm pgm pnm tga ico jp2 jxl npy kmq"

#: What the help calls a file, and the suffixes that it has; "" for any.
FILES = {
    "INPUT": _PICTURES,
    "ORIGINAL": _PICTURES,
    "PALETTE": f"gpl hex act ase json css {_PICTURES}",
    "IN.kmq": "kmq",
    "OUT": "",
    "OUT.kmq": "",
    "OUT.png": "",
    "OUT.html": "",
    "DIR": "/",
}


class _Case(NamedTuple):
    """What is offered at a place."""

    command: str
    #: An option, or the number of an argument, "*" for all of them.
    place: str
    words: str
    suffixes: str | None


def run(options: argparse.Namespace) -> int:
    """Print a script."""
    print(make_script(options.shell), end="")
    return 0


def make_script(shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    parser = build_parser()
    start = f'Completion of kmq for {shell}; made by "kmq completion {shell}".'
    make = {"bash": _make_bash, "zsh": _make_zsh, "fish": _make_fish}[shell]
    return make(start, parser)


def _list_cases(parser: Parser) -> Iterator[_Case]:
    """Yield what is offered where, for each option with a value and each argument."""
    for name, command in parser.commands.items():
        for option in command.options():
            for flag in option.option_strings if option.nargs != 0 else ():
                yield _Case(name, flag, *_find_offer(option, parser))
        for number, argument in enumerate(command.arguments()):
            place = "*" if argument.nargs in ("*", "+") else str(number)
            yield _Case(name, place, *_find_offer(argument, parser))


def _find_offer(action: argparse.Action, parser: Parser) -> tuple[str, str | None]:
    """Return the words that are offered for a value, and the suffixes of the files, None for no files."""
    if action.choices is not None:
        return " ".join(map(str, action.choices)), None
    if action.metavar == "COMMAND":
        return " ".join(parser.commands), None
    return "", FILES.get(name_value(action))


def _describe(action: argparse.Action) -> str:
    """Return the help of an option up to the first semicolon."""
    return expand_help(action).partition(";")[0]


def _make_bash(start: str, parser: Parser) -> str:
    cases = []
    for case in _list_cases(parser):
        place = f"{case.command}:{'[0-9]*' if case.place == '*' else case.place}"
        if case.words:
            cases.append(f"    {place}) _kmq_words '{case.words}' ;;")
        elif case.suffixes == "/":
            cases.append(f"    {place}) _kmq_folders ;;")
        elif case.suffixes is not None:
            cases.append(f"    {place}) _kmq_files '{case.suffixes.replace(' ', '|')}' ;;")
    valued = "|".join(f"{case.command}:{case.place}" for case in _list_cases(parser) if case.place[0] == "-")
    options = [f"    {name}) _kmq_words '{' '.join(c.flags())}' ;;" for name, c in parser.commands.items()]
    return _BASH.format(
        start=start,
        valued=valued,
        commands=" ".join(parser.commands),
        flags=" ".join(parser.flags()),
        options="\n".join(options),
        cases="\n".join(cases),
    )


_BASH = """\
# {start}

_kmq_words() {{
  COMPREPLY=($(compgen -W "$1" -- "$word"))
}}

# Offer folders and the files with one of the suffixes; where there are none, all files.
_kmq_files() {{
  local name
  compopt -o filenames 2>/dev/null
  while IFS= read -r name; do
    COMPREPLY+=("$name")
  done < <(
    compgen -d -- "$word"
    compgen -f -- "$word" | grep -Ei "\\.($1)\\$" || compgen -f -- "$word"
  )
}}

_kmq_folders() {{
  local name
  compopt -o filenames 2>/dev/null
  while IFS= read -r name; do
    COMPREPLY+=("$name")
  done < <(compgen -d -- "$word")
}}

_kmq() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} command= option= rest= place=0 i past
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    past=${{COMP_WORDS[i]}}
    # Bash cuts --option=value into three words.
    if [[ $option && $past == "=" ]]; then continue; fi
    if [[ $option ]]; then option=; continue; fi
    case $rest$past in
    --) rest=. ;;
    -?*)
      case $command:$past in
      {valued}) option=$past ;;
      esac ;;
    *) if [[ $command ]]; then ((place++)); else command=$past; fi ;;
    esac
  done
  if [[ $option && $word == "=" ]]; then word=; fi
  # As it was typed, with a quotation mark or backslashes.
  word=${{word#[\\"\\']}}
  word=${{word//\\\\/}}
  if [[ ! $command ]]; then
    if [[ $word == -* ]]; then _kmq_words '{flags}'; else _kmq_words '{commands}'; fi
    return
  fi
  if [[ ! $option && ! $rest && $word == -* ]]; then
    case $command in
{options}
    esac
    return
  fi
  case $command:${{option:-$place}} in
{cases}
  esac
}}

complete -F _kmq kmq
"""


def _make_zsh(start: str, parser: Parser) -> str:
    commands = [f"    {_quote(f'{name}:{summary}')}" for name, summary in parser.summaries.items()]
    blocks = []
    for name, command in parser.commands.items():
        specs = [_specify_option(option, parser) for option in command.options()]
        specs += [_specify_argument(argument, parser) for argument in command.arguments()]
        blocks.append(
            f"    {name})\n      _arguments -s -S : \\\n        " + " \\\n        ".join(specs) + " ;;"
        )
    top = [_specify_option(option, parser) for option in parser.options()]
    return _ZSH.format(start=start, commands="\n".join(commands), top=" ".join(top), blocks="\n".join(blocks))


_ZSH = """\
#compdef kmq
# {start}

_kmq() {{
  local curcontext=$curcontext state line
  local -A opt_args
  local -a commands=(
{commands}
  )
  _arguments -C {top} '1: :->command' '*:: :->words' && return
  case $state in
  command) _describe -t commands 'command' commands ;;
  words)
    curcontext=${{curcontext%:*:*}}:kmq-$words[1]:
    case $words[1] in
{blocks}
    esac ;;
  esac
}}

# Found in a folder of $fpath this file is the function; read with source it only defines it.
if [[ $funcstack[1] == _kmq ]]; then _kmq "$@"; else compdef _kmq kmq; fi
"""


def _specify_option(option: argparse.Action, parser: Parser) -> str:
    """Return an option for _arguments of zsh."""
    value = "" if option.nargs == 0 else _offer_zsh(option, parser)
    # Brackets and colons have a meaning there.
    text = re.sub(r"([][:\\])", r"\\\1", _describe(option))
    described = _quote(f"[{text}]{value}")
    flags = option.option_strings
    # A value may follow at once, or after an equals sign.
    ends = {
        flag: flag + ("" if option.nargs == 0 else "=" if flag.startswith("--") else "+") for flag in flags
    }
    is_repeatable = type(option).__name__ == "_AppendAction"
    excluded = "(- *)" if option.dest in ("help", "version") else f"({' '.join(flags)})"
    start = "'*'" if is_repeatable else f"'{excluded}'"
    written = ",".join(ends.values())
    return start + (f"{{{written}}}" if len(flags) > 1 else written) + described


def _specify_argument(argument: argparse.Action, parser: Parser) -> str:
    start = "*" if argument.nargs in ("*", "+") else ":" if argument.nargs == "?" else ""
    return _quote(start + _offer_zsh(argument, parser))


def _offer_zsh(action: argparse.Action, parser: Parser) -> str:
    """Return a message, and what is offered."""
    words, suffixes = _find_offer(action, parser)
    message = f":{(action.metavar or action.dest).replace(':', chr(92) + ':')}:"  # type: ignore[union-attr]
    if words:
        return f"{message}({words})"
    if suffixes is None:
        return f"{message} "
    if suffixes == "/":
        return f"{message}_files -/"
    return (
        f'{message}_files -g "*.(#i)({suffixes.replace(" ", "|")})(-.)"' if suffixes else f"{message}_files"
    )


def _quote(text: str) -> str:
    """Return text in single quotes, as zsh reads them; fish reads the other escapes of quotes alike."""
    return "'" + text.replace("'", "'\\''") + "'"


def _make_fish(start: str, parser: Parser) -> str:
    cases = list(_list_cases(parser))
    valued = " ".join(f"{case.command}:{case.place}" for case in cases if case.place[0] == "-")
    start_words = "complete -c kmq -n '__kmq_at \"\" 0'"
    lines = [f"{start_words} {_spell_fish(option)}" for option in parser.options()]
    lines += [f"{start_words} -a {name} -d {_quote(summary)}" for name, summary in parser.summaries.items()]
    for name, command in parser.commands.items():
        within = f"complete -c kmq -n '__kmq_at {name}'"
        for option in command.options():
            flags = _spell_fish(option, with_help=False)
            # By itself, or fish would show the help of the option at each value.
            if option.nargs != 0 and (offer := _offer_fish(*_find_offer(option, parser))):
                lines.append(f"{within} {flags} {offer}")
            lines.append(f"{within} {_spell_fish(option)}")
        for case in cases:
            if case.command == name and case.place[0] != "-" and (offer := _offer_fish(*case[2:])):
                place = "" if case.place == "*" else f" {case.place}"
                lines.append(f"complete -c kmq -n '__kmq_at {name}{place}' {offer}")
    return _FISH.format(start=start, valued=valued, lines="\n".join(lines))


_FISH = """\
# {start}

# Whether the word that is completed belongs to a command, and is its argument of a number.
function __kmq_at
    set -l valued {valued}
    set -l words (commandline -opc)
    set -l name ''
    set -l place 0
    set -l option ''
    for word in $words[2..-1]
        if test -n "$option"
            set option ''
        else if string match -q -- '-?*' $word
            contains -- "$name:$word" $valued; and set option $word
        else if test -z "$name"
            set name $word
        else
            set place (math $place + 1)
        end
    end
    test "$argv[1]" = "$name"; and contains -- "$argv[2]" '' $place
end

# Offer folders and the files with one of the suffixes; where there are none, all files.
function __kmq_files
    set -l all (complete -C "'' "(string replace -r -- '^-[^=]*=' '' (commandline -ct)))
    set -l some (string match -eri -- "^[^\\t]*\\.(?:$argv[1])(?:\\t|\\$)" $all)
    test -n "$some"; and string match -er -- '^[^\\t]*/(?:\\t|$)' $all
    test -n "$some"; or set some $all
    printf '%s\\n' $some
end

complete -c kmq -e
complete -c kmq -f
{lines}
"""


def _spell_fish(option: argparse.Action, *, with_help: bool = True) -> str:
    words = [
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.option_strings
    ]
    if with_help:
        words += [*(["-x"] if option.nargs != 0 else []), f"-d {_quote(_describe(option))}"]
    return " ".join(words)


def _offer_fish(words: str, suffixes: str | None) -> str:
    """Return what is offered; "" for nothing."""
    if words:
        return f"-xa {_quote(words)}"
    if suffixes is None:
        return ""
    if suffixes == "/":
        return "-xa '(__fish_complete_directories)'"
    return f"-xa '(__kmq_files \"{suffixes.replace(' ', '|')}\")'" if suffixes else "-rF"
