"""The command line: arguments in, files out, an exit status. The sole user of print.

0 done; 1 the data or the file system said no, in one line on standard error; 2 wrong usage; 130
interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from kmcodec.cli.arguments import build_parser
from kmcodec.cli.failures import CommandError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit status.
    """
    _prepare_streams()
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        with _dying_at_once():
            # Imported late: --help and --version do not wait for NumPy.
            command = importlib.import_module(f"kmcodec.cli.{options.command}")
        status = command.run(options)
        sys.stdout.flush()
    except UsageError as error:
        parser.error(str(error))
    except CommandError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # Whatever is still buffered has nowhere to go; without this, Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("standard output: closed by its reader")
    except OSError as error:
        return _fail(f"standard output: {error.strerror or error}")
    except MemoryError:
        return _fail("not enough memory")
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130
    return int(status)


@contextlib.contextmanager
def _dying_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process without a word: NumPy answers it with a long ImportError."""
    try:
        previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:
        # Not in the main thread, where no signal arrives either.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _prepare_streams() -> None:
    for name in ("stdin", "stdout", "stderr"):
        # A stream that the caller has closed is None.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115  # for as long as the process lives
    # Names of files need not be valid text.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str) -> int:
    print(f"kmq: {message}", file=sys.stderr)
    return 1
