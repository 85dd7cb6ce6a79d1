"""How Ctrl-C and other signals are answered, also where an exception would be lost, or come too late."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kmcodec.cli.progress import CLEAR_LINE


@contextmanager
def handling(handlers: Mapping[int, Any]) -> Iterator[None]:
    """Handle signals in this way in the main thread; in others none arrive.

    What the caller ignores stays ignored: so say nohup, and shells of what runs in the background.
    """
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process here and now, with the words and the status of any other interrupt.

    For commands that draw and measure by way of others. matplotlib is full of callbacks of weak references,
    in which Python prints an exception and goes on, and of C++ that takes it for an error of its own, or
    aborts; and an import that is interrupted can look like a package that is missing. No file may be open for
    writing: it would stay.
    """

    def end(number: int, frame: object) -> None:
        # Not by print, in the midst of which this may be.
        line = "kmq: interrupted\n"
        with suppress(OSError):
            os.write(2, (CLEAR_LINE + line if os.isatty(2) else line).encode())
        os._exit(130)

    # What a caller has chosen stays.
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with handling({signal.SIGINT: end} if is_usual else {}):
        yield


@contextmanager
def ending_quietly() -> Iterator[None]:
    """Let Ctrl-C, which is how it is meant to end, and other signals end the process here and now.

    For servers, whose threads may be in the midst of what takes seconds. No file may be open for writing: it
    would stay.
    """

    def end(number: int, frame: object) -> None:
        os._exit(0 if number == signal.SIGINT else 128 + number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    with handling(dict.fromkeys(numbers, end)):
        yield
