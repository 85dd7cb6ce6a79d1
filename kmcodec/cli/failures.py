"""How commands fail: what is raised, and how errors of the library and of the system become one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kmcodec.errors import KmqError, LimitExceededError, TargetError

# In a URL: what follows the user's name.
_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/@]*@")

#: Why an output is not written.
EXISTS = "exists already; --force replaces it"


class CommandError(Exception):
    """End the command with status 1; str() is the line to print."""


class UnreachableError(CommandError):
    """End the command with status 3."""


class StreamError(Exception):
    """Say that standard output takes nothing; its cause is the OSError."""


class UsageError(Exception):
    """End the command with status 2; str() is the line to print."""


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Turn errors of kmcodec and of the file system into a CommandError that names the file."""
    try:
        yield
    except TargetError as error:
        raise UnreachableError(f"{show_path(path)}: {error}") from error
    except KmqError as error:
        raise CommandError(f"{show_path(path)}: {error}") from error
    except FileExistsError:
        raise CommandError(f"{show_path(path)}: {EXISTS}") from None
    except OSError as error:
        raise CommandError(f"{show_path(path)}: {error.strerror or error}") from error


@contextmanager
def hinting_at_limit() -> Iterator[None]:
    """Say in the error of a picture that is too large which option allows it."""
    try:
        yield
    except CommandError as error:
        if isinstance(error.__cause__, LimitExceededError):
            raise CommandError(f"{error}; --max-pixels allows more") from None
        raise


def show_path(path: str) -> str:
    """Return a path for a message of one line."""
    if path == "-":
        return "standard input"
    path = hide_password(path)
    is_plain = path and os.fsencode(path).decode(errors="replace").isprintable()
    return path if is_plain else repr(path)


def hide_password(text: str) -> str:
    """Return text without the passwords of the URLs in it: messages end up in logs."""
    return _PASSWORD.sub(r"\1:***@", text)


# Of works that go on beside others, and whose lines are told later.
_collected: list[str] | None = None


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Collect what is told, without the program's name, instead of printing it."""
    global _collected
    previous, notes = _collected, list[str]()
    _collected = notes
    try:
        yield notes
    finally:
        _collected = previous


def tell(message: str) -> None:
    """Print a line on standard error; where that takes nothing, the exit status has to do."""
    if _collected is not None:
        _collected.append(message)
        return
    try:
        print(f"kmq: {message}", file=sys.stderr, flush=True)
    except OSError:
        # What is still buffered would end the process with an error of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
