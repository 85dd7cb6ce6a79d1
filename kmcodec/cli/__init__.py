"""The command line: arguments in, files out, an exit status. The sole user of print.

0 done; 1 the data or the file system said no, in one line on standard error; 2 wrong usage; 3 a quality or
size target is out of reach; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from kmcodec.cli.arguments import build_parser
from kmcodec.cli.failures import CommandError, StreamError, UnreachableError, UsageError, tell
from kmcodec.cli.interrupts import handling


def run_process() -> NoReturn:
    """Run a command with the arguments of the process, and end the process."""
    # Nothing here needs the threads of NumPy's linear algebra, which take most of the time of a start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    status = main()
    # All is done: an interrupt would only be told in Python's own words.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)


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
    status = _report_failures(lambda: _run(arguments))
    # What is still buffered may fail, too.
    return _report_failures(lambda: _flush(status))


def _run(arguments: Sequence[str] | None) -> int:
    with _dying_at_once():
        parser = build_parser()
        options = parser.parse_args(arguments)
        # Imported late: --help and --version do not wait for NumPy.
        command = importlib.import_module(f"kmcodec.cli.{options.command}")
    try:
        with _terminated_in_order():
            return int(command.run(options))
    except UsageError as error:
        parser.commands[options.command].error(str(error))


def _flush(status: int) -> int:
    sys.stdout.flush()
    return status


def _report_failures(work: Callable[[], int]) -> int:
    """Return the exit status of work; where it fails, that of the failure, which is told in one line."""
    try:
        return work()
    except SystemExit as end:
        # Of argparse, or of a signal.
        return end.code if isinstance(end.code, int) else 0
    except CommandError as error:
        return _fail(str(error), 3 if isinstance(error, UnreachableError) else 1)
    except (OSError, StreamError) as error:
        _give_up_output()
        cause = error.__cause__ if isinstance(error, StreamError) else error
        is_closed = isinstance(cause, BrokenPipeError)
        reason = "closed by its reader" if is_closed else getattr(cause, "strerror", None) or cause
        return _fail(f"standard output: {reason}")
    except MemoryError:
        return _fail("not enough memory")
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130


def _give_up_output() -> None:
    """Let what is still buffered go nowhere; without this, Python complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _dying_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process without a word: NumPy answers it with a long ImportError."""
    with handling({signal.SIGINT: signal.SIG_DFL}):
        yield


@contextlib.contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Let other signals that end a process leave no temporary file behind."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def end(number: int, frame: object) -> None:
        # Two may come, as when a terminal is closed: the second is not to disturb what tidies up.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    with handling(dict.fromkeys(numbers, end)):
        yield


def _prepare_streams() -> None:
    for name in ("stdin", "stdout", "stderr"):
        # A stream that the caller has closed is None.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115  # for as long as the process lives
    # Names of files need not be valid text.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str, status: int = 1) -> int:
    tell(message)
    return status
