"""How kmq reads words and explains itself: help in the same shape on every Python, errors that suggest.

argparse does the reading. Its own help and messages differ between the versions of Python, so that both are
written here. Knows no command; suggestions are in a module of their own, which only errors load.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

WIDTH = 80

# Where the help of an option begins.
_COLUMN = 25


class Parser(argparse.ArgumentParser):
    """Read the words of a command, or choose the command.

    Parameters
    ----------
    examples : sequence of (str, str)
        Command lines, the most usual first, each with what it does.
    notes : str
        Lines at the end of the help, as they are to look.
    main : tuple of str
        Of the parser that chooses a command: the commands that its help shows with their first example.
    **options
        Of argparse.ArgumentParser.
    """

    def __init__(
        self,
        *,
        examples: Sequence[tuple[str, str]] = (),
        notes: str = "",
        main: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        # What is an abbreviation today may be ambiguous tomorrow; it is suggested instead.
        super().__init__(allow_abbrev=False, add_help=False, **options)
        self.examples = tuple(examples)
        self.notes = notes
        self.main = main
        self.summaries: dict[str, str] = {}
        self.commands: dict[str, Parser] = {}
        #: Of a command's parser, the one that chose it.
        self.parent: Parser | None = None

    def add_command(self, name: str, summary: str, **options: Any) -> Parser:
        """Add a command and return its parser; options are those of Parser."""
        if not self.commands:
            self._choice = self.add_subparsers(
                dest="command", metavar="COMMAND", required=True, prog=self.prog
            )
        command: Parser = self._choice.add_parser(name, **options)
        command.parent = self
        self.summaries[name] = summary
        self.commands[name] = command
        return command

    def add_help_option(self) -> None:
        """Add -h and --help, after all that is asked for more often."""
        self.add_argument("-h", "--help", action="help", help="show this help and exit")

    def arguments(self) -> list[argparse.Action]:
        """Return what is given without an option, in its order."""
        return [action for action in self._actions if not action.option_strings and action.dest != "command"]

    def groups(self) -> list[tuple[str, list[argparse.Action]]]:
        """Return the options in groups, each with its title; those of no group come first."""
        groups = []
        for group in self._action_groups:
            actions = [action for action in group._group_actions if action.option_strings]  # noqa: SLF001
            if actions:
                groups.append((group.title or "", actions))
        return groups

    def options(self) -> list[argparse.Action]:
        """Return all options."""
        return [action for _, actions in self.groups() for action in actions]

    def flags(self) -> list[str]:
        """Return how the options are written: "-k", "--colors", ..."""
        return [flag for action in self.options() for flag in action.option_strings]

    def format_usage(self) -> str:
        """Return how the command is written, on one line."""
        if self.commands:
            return f"{self.prog} COMMAND [OPTION...] FILE...\n"
        required = [_join(action) for action in self.options() if action.required]
        words = [self.prog, *map(name_argument, self.arguments()), *required, "[OPTION...]"]
        return " ".join(words) + "\n"

    def format_help(self) -> str:
        """Return the help."""
        usage = f"usage: {self.format_usage()}"
        return f"{usage}\n{self._list_commands() if self.commands else self._list_options()}"

    def _list_commands(self) -> str:
        from textwrap import fill

        rows = [(name, self.summaries[name], self.commands[name].examples[0][0]) for name in self.main]
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        table = [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows]
        others = ", ".join(name for name in self.commands if name not in self.main)
        lines = fill(f"Also: {others}", WIDTH, subsequent_indent=" " * 6)
        return f"{self.description}\n\n" + "\n".join(table) + f"\n\n{lines}\n\n{self.notes}"

    def _list_options(self) -> str:
        from textwrap import fill

        blocks = [fill(self.description or "", WIDTH)]
        if self.arguments():
            blocks.append(_tabulate((name_argument(each), each) for each in self.arguments()))
        for title, actions in self.groups():
            blocks.append(f"{title}:\n" + _tabulate((_join(each), each) for each in actions))
        if self.examples:
            width = max(len(line) for line, _ in self.examples)
            rows = [f"  {line:<{width}}  {effect}".rstrip() for line, effect in self.examples]
            blocks.append("\n".join(["examples:", *rows]))
        if self.notes:
            blocks.append(self.notes.rstrip("\n"))
        return "\n\n".join(blocks) + "\n"

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return what the words say, as argparse does."""
        options, extras = self.parse_known_args(args, namespace)
        if extras:
            command = self.commands.get(getattr(options, "command", ""), self)
            number = f"{len(extras)} arguments" if len(extras) > 1 else "one argument"
            found = ", ".join(map(repr, extras))
            command.error(f"{number} too many: {found}; usage: {command.format_usage().strip()}")
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return what the words say, and those left over; refuse commands and options that are not there."""
        import sys

        words = list(sys.argv[1:] if args is None else args)
        self._check_words(words)
        return super().parse_known_args(self._put_options_first(words), namespace)

    def _check_words(self, words: list[str]) -> None:
        """Refuse a command or an option that is not there: argparse tells later, and other things first."""
        flags = set(self.flags())
        for word in words:
            if word in ("-h", "--help", "--"):
                return
            if not _is_option(word):
                if self.commands and word not in self.commands:
                    self._suggest("command", word, words)
                if self.commands:
                    return
            elif not flags & {word, word.partition("=")[0], word[:2] if word[1] != "-" else word}:
                self._suggest("option", word, words)
        if self.commands and not flags & set(words):
            # Nothing was asked for; this is what there is.
            self.exit(2, self.format_help())

    def _put_options_first(self, words: list[str]) -> list[str]:
        """Return the words with the options first: argparse loses arguments that stand between them."""
        if self.commands:
            return words
        valued = {flag for option in self.options() if option.nargs != 0 for flag in option.option_strings}
        options: list[str] = []
        arguments: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                return [*options, *arguments, word, *rest]
            if not _is_option(word):
                arguments.append(word)
                continue
            options.append(word)
            if word in valued:
                value = next(rest, None)
                if value is None or _is_option(value):
                    # An error, which is best told of what was written.
                    return words
                options.append(value)
        return options + arguments

    def _suggest(self, kind: str, word: str, words: list[str]) -> NoReturn:
        from kmcodec.cli import suggestions

        if kind == "command":
            self.error(suggestions.explain_command(self, word, words))
        self.error(suggestions.explain_option(self, word, words))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is not among the choices; argparse words that differently in each version."""
        if action.choices is not None and value not in action.choices:
            from kmcodec.cli import suggestions

            raise argparse.ArgumentError(action, suggestions.explain_choice(str(value), action.choices))

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line that says what was wrong."""
        message = message.removeprefix("argument ").replace(": must be", " must be", 1)
        message = message.replace(": ignored explicit argument", " takes no value, found", 1)
        start, missing, names = message.partition("the following arguments are required: ")
        if missing and not start:
            message = f"{names} {'are' if ', ' in names else 'is'} missing"
            if self.examples:
                message += f", as in: {self.examples[0][0]}"
        written, valueless, _ = message.partition(": expected one argument")
        if valueless:
            wanted = [name_value(each) for each in self.options() if "/".join(each.option_strings) == written]
            message = f"{written} needs a value: {wanted[0]}"
        # Suggestions repeat what was written, whatever that was.
        shown = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in message
        )
        self.exit(2, f"{self.prog}: {shown}\n")


def name_value(action: argparse.Action) -> str:
    """Return what stands for the value of an option or an argument; "" where there is none."""
    if action.nargs == 0:
        return ""
    if action.metavar is None and action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def name_argument(action: argparse.Action) -> str:
    """Return an argument as it stands in the usage: "IN.kmq...", "[IN.kmq]"."""
    name = name_value(action) + ("..." if action.nargs in ("+", "*") else "")
    return f"[{name}]" if action.nargs in ("?", "*") else name


def expand_help(action: argparse.Action) -> str:
    """Return the help of an option or an argument; argparse has placeholders in it."""
    return (action.help or "") % vars(action)


def _join(action: argparse.Action) -> str:
    return f"{', '.join(action.option_strings)} {name_value(action)}".rstrip()


def _tabulate(rows: Iterable[tuple[str, argparse.Action]]) -> str:
    """Return names with their help beside them, or below where a name is too long."""
    from textwrap import wrap

    lines = []
    for name, action in rows:
        texts = wrap(expand_help(action), WIDTH - _COLUMN) or [""]
        start = f"  {name}"
        if len(start) + 2 > _COLUMN:
            lines.append(start)
            start = ""
        lines.append(f"{start:<{_COLUMN}}{texts[0]}".rstrip())
        lines += [" " * _COLUMN + text for text in texts[1:]]
    return "\n".join(lines)


def _is_option(word: str) -> bool:
    """Return whether argparse takes a word for an option: not a dash, a negative number, or a phrase."""
    return len(word) > 1 and word[0] == "-" and word[1] not in ".0123456789" and " " not in word
