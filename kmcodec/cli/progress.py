"""A line of progress on a terminal, for work that takes more than about a second."""

from __future__ import annotations

import sys
import time

# Seconds before the first line, and between two.
_PATIENCE = 1.0
_PAUSE = 0.1


class Progress:
    """Show how far the work is, once it has taken a second, if standard error is a terminal."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last = 0.0
        self._label = ""
        self._label_start = self._start
        self._shown = False
        self._wanted = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown:
            # Clear the line.
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show_step(self, label: str, step: int, total: int) -> None:
        """Tell that step, counted from 0, of at most total is done."""
        self._show(label, f"iteration {step + 1} of at most {total}")

    def show_share(self, label: str, done: int, total: int) -> None:
        """Tell how much is done of work that goes on at an even pace."""
        now = time.monotonic()
        if label != self._label:
            self._label, self._label_start = label, now
        left = (now - self._label_start) * (total - done) / max(done, 1)
        self._show(label, f"{100 * done // total} %, {_format_time(left)} left")

    def _show(self, label: str, text: str) -> None:
        now = time.monotonic()
        if not self._wanted or now - self._start < _PATIENCE or now - self._last < _PAUSE:
            return
        self._last = now
        self._shown = True
        print(f"\r\x1b[K{label}: {text}", end="", file=sys.stderr, flush=True)


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
