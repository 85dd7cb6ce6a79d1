"""Work of which only the newest is wanted: a thread that drops what is out of date."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from kmcodec.threads import StoppedError, Workers

_T = TypeVar("_T")
_R = TypeVar("_R")


class Job:
    """Tell a piece of work whether it is still wanted.

    Parameters
    ----------
    workers : Workers
        Those of its lane.

    Attributes
    ----------
    workers : Workers
        The same, but they do nothing any more once the work is stopped.
    """

    def __init__(self, workers: Workers) -> None:
        self.workers: Workers = _Stoppable(workers, self.check)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let the work end at its next check."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Whether nobody wants the result any more."""
        return self._stopped.is_set()

    def check(self, *_: object) -> None:
        """Raise StoppedError if nobody wants the result any more; what callbacks are told is ignored."""
        if self.is_stopped:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Wait, unless the result is not wanted any more: raise StoppedError then."""
        if self._stopped.wait(seconds):
            raise StoppedError


class _Stoppable(Workers):
    """Lend workers, who ask before each piece of work whether it is wanted."""

    def __init__(self, workers: Workers, check: Callable[[], None]) -> None:
        super().__init__(workers.count)
        self._lent, self._check = workers, check

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        def check_and_do(item: _T) -> _R:
            self._check()
            return function(item)

        return self._lent.map(check_and_do, items)


Work: TypeAlias = Callable[[Job], None]


class Lane:
    """Run work in a thread, a piece at a time; a new one stops the one before, whether it runs or waits.

    Parameters
    ----------
    on_error : callable
        Is told in the thread what a piece of work raises, unless it was stopped.
    threads : int, optional
        For Workers. Default: all processors.
    """

    def __init__(self, on_error: Callable[[Exception], None], threads: int | None = None) -> None:
        self._on_error = on_error
        self._workers = Workers(threads)
        self._condition = threading.Condition()
        self._waiting: tuple[Job, Work] | None = None
        self._job: Job | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, work: Work) -> None:
        """Run work as soon as the one before has ended, which is stopped."""
        with self._condition:
            if self._is_closed:
                return
            self._stop()
            self._waiting = Job(self._workers), work
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._condition.notify()

    def stop(self) -> None:
        """Stop what runs or waits."""
        with self._condition:
            self._stop()

    def _stop(self) -> None:
        self._waiting = None
        if self._job is not None:
            self._job.stop()

    def close(self) -> None:
        """Stop, and end the thread."""
        with self._condition:
            self._is_closed = True
            self._stop()
            self._condition.notify()

    def _run(self) -> None:
        with self._workers:
            while self._do_next():
                pass

    def _do_next(self) -> bool:
        """Wait for work, and do it; return whether there may be more.

        A method of its own, so that nothing of the work, such as a picture, is kept while there is none.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._waiting is not None or self._is_closed)
            if self._waiting is None:
                return False
            self._job, work = self._waiting
            self._waiting = None
        try:
            work(self._job)
        except StoppedError:
            pass
        except Exception as error:
            if not self._job.is_stopped:
                self._on_error(error)
        return True
