"""How Ctrl-C is answered where an exception would be lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kmcodec.cli.progress import CLEAR_LINE


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process here and now, with the words and the status of any other interrupt.

    For commands that draw and measure by way of others. matplotlib is full of callbacks of weak references,
    in which Python prints an exception and goes on, and of C++ that takes it for an error of its own, or
    aborts; and an import that is interrupted can look like a package that is missing. No file may be open for
    writing: it would stay.
    """
    # What a caller has chosen, such as to ignore it, stays.
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_usual or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        # Not by print, in the midst of which this may be.
        line = "kmq: interrupted\n"
        with suppress(OSError):
            os.write(2, (CLEAR_LINE + line if os.isatty(2) else line).encode())
        os._exit(130)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
