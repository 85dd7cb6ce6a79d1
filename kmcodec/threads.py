"""Spread work over threads, in a way that cannot show in the result; and count how much of it is done.

Knows nothing of what the work is. Kernels release the interpreter lock, so that threads use all cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from kmcodec.checks import check_integer

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Is told the name of the work, how much of it is done, and how much there is; by one thread at a time.
OnProgress = Callable[[str, int, int], None]

#: Is told how much more is done, by any thread; what it raises ends the work.
Tell = Callable[[int], None]


class StoppedError(Exception):
    """End work of which nobody wants the result: other work has failed, or the user has interrupted it."""


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
        self._is_stopping = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_stopping = exception[0] is not None
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """Return function(item) for each item, in the order of items; function runs concurrently.

        An exception, of the first item that has one or of the calling thread, ends the work of the others as
        soon as they tell what they have done.
        """
        items = list(items)
        if self.count == 1 or len(items) < 2:
            return [function(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count)
        futures = [self._pool.submit(function, item) for item in items]
        try:
            # Not in a loop, whose variable would hold the one that fails, too.
            return list(map(Future.result, futures))
        except BaseException:
            self._is_stopping = True
            for future in futures:
                future.cancel()
            wait(futures)
            self._is_stopping = False
            # They hold the exception, which holds them: pictures would stay until cycles are looked for.
            futures.clear()
            del future
            raise

    def count_work(self, name: str, total: int, on_progress: OnProgress | None = None) -> Tell:
        """Return what functions that run here are to tell, now and then, how much more they have done.

        Parameters
        ----------
        name : str
        total : int
            How much there is to do.
        on_progress : callable, optional
            Is told the sum.
        """
        lock = threading.Lock()
        done = 0

        def tell(more: int) -> None:
            nonlocal done
            if self._is_stopping:
                raise StoppedError
            if on_progress is not None:
                with lock:
                    done += more
                    on_progress(name, done, total)

        return tell


def relay_progress(tell: Tell) -> OnProgress:
    """Return an on_progress for one piece of work, which passes on to tell how much more of it is done."""
    before = 0

    def relay(name: str, done: int, total: int) -> None:
        nonlocal before
        tell(done - before)
        before = done

    return relay


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
