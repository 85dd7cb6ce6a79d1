"""A line of progress on a terminal, for work that takes more than about a second."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable

#: Takes a terminal back to the beginning of a line, and clears it.
CLEAR_LINE = "\r\x1b[K"

# Seconds before the first line, and between two.
_PATIENCE = 1.0
_PAUSE = 0.1

# Seconds between two lines about a task of which nothing is heard.
_TICK = 0.5


class Progress:
    """Show how far the work is, once it has taken a second, if standard error is a terminal.

    Parameters
    ----------
    on_share : callable, optional
        Is told the shares instead, 0 to 1, and nothing is shown: for works that are shown as one elsewhere.
    """

    def __init__(self, on_share: Callable[[float], None] | None = None) -> None:
        self._start = time.monotonic()
        self._last = 0.0
        self._label = ""
        self._share = 0.0
        self._label_start = self._start
        self._shown = False
        self._wanted = on_share is None and sys.stderr.isatty()
        self._on_share = on_share
        # Of works that are shown as one: what they are called together, and how much of each is done.
        self._joint_label = ""
        self._shares: dict[str, float] = {}
        # Of what is shown while nothing is heard: made by show_task, and taken back by the others.
        self._task = ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._clock: threading.Thread | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._clock is not None:
            self._clock.join()
        self.clear()

    def clear(self) -> None:
        """Clear the line, so that another can be written there."""
        if self._shown:
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)
            self._shown = False

    def show_step(self, label: str, step: int, total: int) -> None:
        """Tell that step, counted from 0, of at most total is done."""
        self._task = ""
        self._show(label, f"iteration {step + 1} of at most {total}")

    def join(self, label: str, parts: Iterable[str]) -> None:
        """Show works that take turns, and of which each is told by its own label, as one; and no others."""
        self._joint_label = label
        self._shares = dict.fromkeys(parts, 0.0)

    def show_share(self, label: str, done: float, total: float) -> None:
        """Tell how much is done of work that goes on at an even pace."""
        self._task = ""
        if self._shares:
            if label not in self._shares:
                return
            self._shares[label] = done / total
            label, done, total = self._joint_label, sum(self._shares.values()), len(self._shares)
        share = done / total
        if self._on_share is not None:
            self._on_share(share)
            return
        if share < self._share:
            # The same kind of work once more.
            self._label = ""
        self._begin(label)
        self._share = share
        left = f", {_format_time(self._measure_label() * (1 - share) / share)} left" if share > 0 else ""
        self._show(label, f"{int(100 * share)} %{left}")

    def show_task(self, label: str, done: int = 0, total: int = 1) -> None:
        """Tell what is being done, and how many of several tasks are done, of which each has its own pace.

        How long it has taken so far is shown from then on, until something else is told.
        """
        if not self._wanted:
            return
        self._begin(label)
        self._task = f"step {min(done + 1, total)} of {total}, " if total > 1 else ""
        self._task += "{}"
        self._show_task()
        if self._clock is None:
            self._clock = threading.Thread(target=self._tick, daemon=True)
            self._clock.start()

    def _begin(self, label: str) -> None:
        if label != self._label:
            self._label, self._label_start = label, time.monotonic()
            # At once: what was shown last is over.
            self._last = 0.0

    def _measure_label(self) -> float:
        return time.monotonic() - self._label_start

    def _tick(self) -> None:
        while not self._ended.wait(_TICK):
            # A terminal that is gone is nobody's concern here.
            with contextlib.suppress(OSError):
                self._show_task()

    def _show_task(self) -> None:
        if task := self._task:
            self._show(self._label, task.format(_format_time(self._measure_label())))

    def _show(self, label: str, text: str) -> None:
        with self._lock:
            now = time.monotonic()
            if not self._wanted or now - self._start < _PATIENCE or now - self._last < _PAUSE:
                return
            self._last = now
            self._shown = True
            print(f"{CLEAR_LINE}{label}: {text}", end="", file=sys.stderr, flush=True)


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
