"""The man page, made of what the help says.

    python -m kmcodec.cli.manpage > kmcodec/desktop/kmq.1

writes it anew; a test compares the two.
"""

from __future__ import annotations

import argparse
import re
from textwrap import wrap

from kmcodec.cli.arguments import build_parser
from kmcodec.cli.parser import Parser, expand_help, name_argument, name_value
from kmcodec.version import __version__

# Of the last change to what is said below.
_DATE = "2026-11-21"

_START = r""".\" Made by python -m kmcodec.cli.manpage: change the help, not this file.
.TH KMQ 1 {date} "kmcodec {version}" "User Commands"
.SH NAME
kmq \- pictures in few colours, chosen by k\-means
.SH SYNOPSIS
.B kmq
.I COMMAND
.RI [ OPTION ...]
.IR FILE ...
.br
.B kmq \-\-help
|
.B kmq \-\-version
|
.B kmq
.I COMMAND
.B \-\-help
.SH DESCRIPTION
.B kmq encode
finds the K colours that serve a picture best, stores for each pixel the number
of its colour, and writes a
.I .kmq
file;
.B kmq decode
gives the picture back;
.B kmq report
says what it saved and what it cost.
.PP
Any picture that Pillow opens can be encoded: orientation is applied, 16 bits
become 8 by rounding, alpha is kept, and metadata goes along.
A dash as file stands for standard input or output.
An existing file is replaced only with
.BR \-\-force ,
and only when the new one is complete.
Work of more than a second shows on a terminal how far it is.
Options are written in full: there are no abbreviations.
"""

_END = r""".SH EXIT STATUS
.TP
.B 0
All is done.
.TP
.B 1
The data or the file system said no; one line on standard error says what, where
and what was expected.
.TP
.B 2
The command was used wrongly.
.TP
.B 3
A quality or a size is out of reach; nothing is written.
.TP
.B 130
Interrupted by Ctrl\-C; nothing is left behind.
.SH ENVIRONMENT
.TP
.B NO_COLOR
If it is not empty, nothing is shown in colours.
.TP
.B TERM
If it is
.BR dumb ,
neither.
.TP
.B KMCODEC_UNCOMPILED
If it is 1, the hot loops run as Python, which is slow, even where they are
compiled.
.TP
.B KMCODEC_REQUIRE_COMPILED
If it is 1, loops that are not compiled are an error.
.TP
.B XDG_DATA_HOME
Where
.B kmq desktop
installs files, if it is an absolute path.
.SH FILES
Below
.IR ~/.local/share ,
or
.I DIR/share
with
.BR \-\-prefix ,
.B kmq desktop install
writes:
{files}.SH SEE ALSO
.BR file (1),
.BR pngquant (1),
.BR update\-mime\-database (1)
.PP
The format is described in
.I spec/kmq\-1.md
of the source of kmcodec.
"""


def make_man_page() -> str:
    """Return the page, in the man macros of roff."""
    from kmcodec.cli.desktop import FILES

    parser = build_parser()
    installed = "".join(
        f".TP\n.I {_escape(path)}\n{_escape(purpose)}\n" for path, (_, purpose) in FILES.items()
    )
    start = _START.format(date=_DATE, version=__version__)
    return start + _list_commands(parser) + _list_examples(parser) + _END.format(files=installed)


def _list_commands(parser: Parser) -> str:
    lines = [".SH COMMANDS"]
    for name, command in parser.commands.items():
        lines += [f".SS kmq {name}", ".B kmq " + name]
        lines += [f".I {_escape(name_argument(argument))}" for argument in command.arguments()]
        lines += [_write_flags(option) for option in command.options() if option.required]
        lines += [f".RI [ OPTION ...]\n.PP\n{_fill(command.description or '')}"]
        for argument in command.arguments():
            lines += [".TP", f".I {_escape(name_argument(argument))}", _fill(expand_help(argument))]
        for title, options in command.groups():
            if title != "options":
                lines += [".PP", f"{_escape(title[0].upper() + title[1:])}:"]
            # Help is the same for each command.
            for option in (each for each in options if each.dest != "help"):
                lines += [".TP", _write_flags(option), _fill(expand_help(option))]
        if command.notes:
            lines += [".PP", ".nf", _guard(_escape(command.notes.rstrip("\n"))), ".fi"]
    return "\n".join(lines) + "\n"


def _list_examples(parser: Parser) -> str:
    lines = [".SH EXAMPLES"]
    for command in parser.commands.values():
        for example, effect in command.examples:
            lines += [".TP", f".B {_escape(example)}", _fill(effect)]
    return "\n".join(lines) + "\n"


def _write_flags(option: argparse.Action) -> str:
    flags = ", ".join(rf"\fB{_escape(flag)}\fR" for flag in option.option_strings)
    value = name_value(option)
    return flags + (rf" \fI{_escape(value)}\fR" if value else "")


def _fill(text: str) -> str:
    return "\n".join(_guard(_escape(line)) for line in wrap(text, 76, break_on_hyphens=False))


def _escape(text: str) -> str:
    """Return text so that roff shows it as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return text.replace("'", r"\(aq").replace("^", r"\(ha").replace("~", r"\(ti").replace("`", r"\(ga")


def _guard(text: str) -> str:
    """Keep lines from beginning with what roff takes for a request."""
    return re.sub(r"^(?=\.)", r"\\&", text, flags=re.MULTILINE)


if __name__ == "__main__":
    print(make_man_page(), end="")
