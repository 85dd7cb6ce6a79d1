"""A line of progress on a terminal, for work that takes more than about a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

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
        # Of works that are shown as one: what they are called together, and how much of each is done.
        self._joint_label = ""
        self._shares: dict[str, float] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Clear the line, so that another can be written there."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False

    def show_step(self, label: str, step: int, total: int) -> None:
        """Tell that step, counted from 0, of at most total is done."""
        self._show(label, f"iteration {step + 1} of at most {total}")

    def join(self, label: str, parts: Iterable[str]) -> None:
        """Show works that take turns, and of which each is told by its own label, as one; and no others."""
        self._joint_label = label
        self._shares = dict.fromkeys(parts, 0.0)

    def show_share(self, label: str, done: float, total: float) -> None:
        """Tell how much is done of work that goes on at an even pace."""
        if self._shares:
            if label not in self._shares:
                return
            self._shares[label] = done / total
            label, done, total = self._joint_label, sum(self._shares.values()), len(self._shares)
        now = time.monotonic()
        if label != self._label:
            self._label, self._label_start = label, now
        share = done / total
        left = (now - self._label_start) * (1 - share) / share if share > 0 else 0
        self._show(label, f"{int(100 * share)} %, {_format_time(left)} left")

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
