"""Spread work over threads, in a way that cannot show in the result.

Knows nothing of what the work is. Kernels release the interpreter lock, so that threads use all cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kmcodec.checks import check_integer

_T = TypeVar("_T")
_R = TypeVar("_R")


def count_threads(threads: int | None) -> int:
    """Return how many threads to use.

    Parameters
    ----------
    threads : int or None
        At least 1; None stands for the processors that this process may use.

    Raises
    ------
    TypeError, ValueError
        If threads is neither.
    """
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    return check_integer("threads", threads, 1)


class Workers:
    """Run functions in a pool of threads that lives as long as the with-block.

    Parameters
    ----------
    threads : int or None
        As for count_threads. With 1, everything runs in the calling thread.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.count = count_threads(threads)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """Return function(item) for each item, in the order of items; function runs concurrently."""
        items = list(items)
        if self.count == 1 or len(items) < 2:
            return [function(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count)
        return list(self._pool.map(function, items))


def cut_range(length: int, parts: int, least: int = 1) -> list[tuple[int, int]]:
    """Cut range(length) into at most parts runs of nearly equal length.

    Parameters
    ----------
    length, parts : int
        At least 0, and at least 1.
    least : int
        Length that is worth a thread: only the last run is shorter.

    Returns
    -------
    list of (int, int)
        Start and end of each run; none is empty.
    """
    step = max(least, -(-length // parts))
    return [(start, min(start + step, length)) for start in range(0, length, step)]
