"""Processes that work through tasks, each at one at a time; knows nothing of what the tasks are.

Threads would not do: of a small picture most of the work is the interpreter's, which does one thing at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, cast

#: Is told which share of a task is done, 0 to 1.
OnShare = Callable[[float], None]

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    _Connection = Connection[Any, Any]

# Seconds between two words about one task; and that processes are given to tidy up.
_PAUSE = 0.1
_PATIENCE = 5.0

# What ends processes, as far as the system has it.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Crew:
    """Keep processes as long as the with-block lasts; then they are ended, and leave nothing half done.

    Parameters
    ----------
    work : callable
        Takes a task and an OnShare, and returns a result. It, tasks and results can be pickled.
    size : int
        How many processes, at most; with 1, the calling one does the work, and where the system allows none.
    """

    def __init__(self, work: Callable[[Any, OnShare], Any], size: int) -> None:
        self._work, self._size = work, size
        # The copy of a process that has threads can have locks that nobody will open; macOS has such itself.
        self._is_copied = sys.platform == "linux" and threading.active_count() == 1
        self._members: dict[_Connection, Any] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._members.values():
            process.terminate()
        end = time.monotonic() + _PATIENCE
        for connection in list(self._members):
            self._dismiss(connection, max(0.0, end - time.monotonic()))

    def work_through(
        self, tasks: Sequence[Any], on_share: Callable[[int, float], None]
    ) -> Iterator[tuple[int, Any]]:
        """Yield number and result of each task, as they are done.

        Parameters
        ----------
        tasks : sequence
        on_share : callable
            Is told the number of a task, and which share of it is done.

        Yields
        ------
        (int, object)
            The result of a task whose process died is None.
        """
        waiting = deque(enumerate(tasks))
        active: dict[_Connection, int] = {}
        while waiting or active:
            while waiting and len(active) < self._size:
                idle = next((each for each in self._members if each not in active), None)
                member = idle or self._hire()
                if member is None:
                    break
                try:
                    member.send(waiting[0][1])
                except OSError:
                    # It has died, and not of this task; but one that was only just started may have.
                    if idle is not None:
                        self._dismiss(idle, _PATIENCE)
                        continue
                active[member], _ = waiting.popleft()
            if not active:
                number, task = waiting.popleft()
                yield number, self._work(task, partial(on_share, number))
                continue
            for member in _wait(list(active)):
                try:
                    is_done, word = member.recv()
                except (EOFError, OSError):
                    self._dismiss(member, _PATIENCE)
                    is_done, word = True, None
                if is_done:
                    yield active.pop(member), word
                else:
                    on_share(active[member], word)

    def _hire(self) -> _Connection | None:
        """Start a process; None if there is to be none, or the system allows no more."""
        if self._size == 1:
            return None
        # Imported here: to load it takes a while, and most commands work on one file.
        import multiprocessing

        context: Any = multiprocessing.get_context("fork" if self._is_copied else "spawn")
        ours: _Connection
        try:
            if not self._is_copied and os.name == "posix":
                # Imported here, since few systems need it. When it starts, it lets signals in.
                from multiprocessing import resource_tracker

                resource_tracker.ensure_running()
            ours, theirs = context.Pipe()
            process = context.Process(
                # What a copy inherits of the others' connections would keep them open.
                target=_serve,
                args=(self._work, theirs, [*self._members, ours] if self._is_copied else []),
                daemon=True,
            )
            with _holding_signals():
                process.start()
                self._members[ours] = process
        except OSError:
            return None
        theirs.close()
        return ours

    def _dismiss(self, member: _Connection, patience: float) -> None:
        process = self._members.pop(member)
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()
        member.close()


def _wait(members: list[_Connection]) -> list[_Connection]:
    """Return those that have something to say, as soon as there are any."""
    from multiprocessing.connection import wait

    return cast("list[_Connection]", wait(members))


def _serve(
    work: Callable[[Any, OnShare], Any], connection: _Connection, inherited: list[_Connection]
) -> None:
    """Do tasks until there are no more, or the other end is gone."""
    for each in inherited:
        each.close()
    for each in _SIGNALS:
        # Ctrl-C reaches all processes of a terminal; the one that started this one tells what to do.
        signal.signal(each, signal.SIG_IGN if each == signal.SIGINT else _end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    last = 0.0

    def tell_share(share: float) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= _PAUSE:
            last = now
            connection.send((False, share))

    # Either end may be gone at any time.
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send((True, work(connection.recv(), tell_share)))


@contextlib.contextmanager
def _holding_signals() -> Iterator[None]:
    """Put signals off, also for processes that are started meanwhile, until these know how to answer them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Let the with-blocks of unfinished work tidy up, in which a second signal is not to disturb them."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)
