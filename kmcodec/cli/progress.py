"""A line of progress on a terminal, for work that takes more than about a second."""

from __future__ import annotations

import sys
import time


class Progress:
    """Show how far the work is, once it has taken a second, if standard error is a terminal.

    Parameters
    ----------
    label : str
    total : int
        Steps at the most.
    """

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._start = time.monotonic()
        self._shown = False
        self._wanted = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown:
            # Clear the line.
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, step: int) -> None:
        """Tell that step, counted from 0, is done."""
        if not self._wanted or time.monotonic() - self._start < 1:
            return
        self._shown = True
        print(
            f"\r{self._label}: iteration {step + 1} of at most {self._total}",
            end="",
            file=sys.stderr,
            flush=True,
        )
