"""Tell how far work is that goes in steps, some of which may run side by side."""

from __future__ import annotations

import threading

from kmcodec.threads import OnProgress


class Steps:
    """Count steps, from any thread, and tell of each.

    Parameters
    ----------
    tell : callable or None
        Is called by one thread at a time.
    total : int
        Steps in all.
    """

    def __init__(self, tell: OnProgress | None, total: int) -> None:
        self._tell = tell or (lambda name, done, total: None)
        self._name, self._done, self._total = "", 0, total
        self._lock = threading.Lock()

    def start(self, name: str) -> None:
        """Tell what is being done from now on."""
        with self._lock:
            self._name = name
            self._tell(name, self._done, self._total)

    def count_step(self) -> None:
        """Tell that one step more is done."""
        with self._lock:
            self._done += 1
            self._tell(self._name, self._done, self._total)
