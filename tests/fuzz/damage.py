"""Flip every single bit of files, and cut them at every byte: kmcodec must notice each time.

    python tests/fuzz/damage.py [--jobs N] [--max-bytes N] FILE...

A FILE is a .kmq file, or a picture, which is encoded with K = 16, 64 and 256 in both codings, eight rows to a
strip. Bits are flipped in place, in one buffer that is read again and again. What reads it:

- kmcodec.decode, for every cut, and for every bit of a file of at most --max-bytes bytes. It must raise
  KmqFormatError.
- In larger files, which it would take days to decode again for each of their bits, kmcodec.decode for all
  bits before the first strip, and for the first and the last bit of each strip: so each strip is known to be
  among what it checks. For the other bits of a strip, KmqReader.rows with verify=True for the first row of
  that strip, which checks all of the strip, and no other.

Prints what was tried, and exits with status 1 if a change was not noticed.
"""

from __future__ import annotations

import argparse
import bisect
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import kmcodec
from kmcodec.pictures import load_picture

_COLORS = (16, 64, 256)
_CODINGS: tuple[Literal["packed", "context"], ...] = ("packed", "context")
_STRIP_ROWS = 8

# Changes that a process tries before it takes the next ones.
_CHUNK = 1 << 14

_T = TypeVar("_T")


class Task(NamedTuple):
    """Hold changes to try: flips of the bits, or cuts to the lengths, start, ..., stop - 1.

    Bit n is the bit n % 8 of byte n // 8, counted from the least significant.
    """

    is_flip: bool
    start: int
    stop: int


def find_missed_flips(buffer: bytearray, bits: Iterable[int], read: Callable[[int], object]) -> list[int]:
    """Flip bits of buffer, one at a time, and return those with which read raises no KmqFormatError.

    Parameters
    ----------
    buffer : bytearray
        Is in the end as it was.
    bits : iterable of int
    read : callable
        Reads buffer; is told the bit.
    """
    missed = []
    for bit in bits:
        buffer[bit >> 3] ^= 1 << (bit & 7)
        if not is_refused(read, bit):
            missed.append(bit)
        buffer[bit >> 3] ^= 1 << (bit & 7)
    return missed


def find_missed_cuts(
    buffer: bytearray, lengths: Iterable[int], read: Callable[[memoryview], object]
) -> list[int]:
    """Return the lengths with which read, given that many bytes of buffer, raises no KmqFormatError."""
    view = memoryview(buffer)
    return [length for length in lengths if not is_refused(read, view[:length])]


def is_refused(read: Callable[[_T], object], argument: _T) -> bool:
    """Return whether read raises KmqFormatError."""
    try:
        read(argument)
    except kmcodec.KmqFormatError:
        return True
    return False


class Damager:
    """Try changes of one file.

    Parameters
    ----------
    data : bytes
        A valid .kmq file.
    in_full : bool
        Whether kmcodec.decode gets to see every flip.
    """

    def __init__(self, data: bytes, *, in_full: bool) -> None:
        self._buffer = bytearray(data)
        self._in_full = in_full
        self._reader = kmcodec.KmqReader(self._buffer, max_pixels=None)
        header = self._reader.header
        # Where each strip begins, and the last one ends.
        self._strip_offsets = [header.strip_offset(number) for number in range(header.strip_count)]
        self._strip_offsets.append(header.file_bytes)

    def run(self, task: Task) -> list[int]:
        """Return the bits or lengths that were not noticed."""
        changes = range(task.start, task.stop)
        if task.is_flip:
            return find_missed_flips(self._buffer, changes, self._read_flipped)
        return find_missed_cuts(self._buffer, changes, decode)

    def _read_flipped(self, bit: int) -> None:
        # The strip in which the bit lies; -1 before the first.
        number = bisect.bisect(self._strip_offsets, bit // 8) - 1
        is_first = bit == 8 * self._strip_offsets[number]
        is_last = bit == 8 * self._strip_offsets[number + 1] - 1
        if self._in_full or number < 0 or is_first or is_last:
            decode(self._buffer)
        else:
            row = number * self._reader.header.strip_rows
            self._reader.rows(row, row + 1, verify=True)


def decode(data: bytearray | memoryview) -> None:
    """Decode data, of any number of pixels; processes are threads enough."""
    kmcodec.decode(data, max_pixels=None, threads=1)


# What a process of the pool works on.
_damager: Damager | None = None


def set_damager(data: bytes, in_full: bool) -> None:
    """Begin with a file, in each process."""
    global _damager
    _damager = Damager(data, in_full=in_full)


def run_task(task: Task) -> list[int]:
    """Return the bits or lengths of the file begun with that were not noticed."""
    assert _damager is not None
    return _damager.run(task)


def check_file(name: str, data: bytes, max_bytes: int, jobs: int) -> int:
    """Try all changes of a file, print a row, and return how many were not noticed."""
    started = time.monotonic()
    in_full = len(data) <= max_bytes
    kmcodec.decode(data, max_pixels=None)
    tasks = [
        Task(is_flip, start, min(start + _CHUNK, n_changes))
        for is_flip, n_changes in ((True, 8 * len(data)), (False, len(data)))
        for start in range(0, n_changes, _CHUNK)
    ]
    missed = 0
    with multiprocessing.Pool(jobs, set_damager, (data, in_full)) as pool:
        for task, unnoticed in zip(tasks, pool.imap(run_task, tasks), strict=True):
            missed += len(unnoticed)
            for change in unnoticed:
                print(f"{name}: not noticed: {'flip of bit' if task.is_flip else 'cut to'} {change}")
    seconds = time.monotonic() - started
    way = "decode" if in_full else "rows"
    print(
        f"{name:32}  {way:6}  {len(data):>9} bytes  {8 * len(data):>10} flips  {len(data):>9} cuts"
        f"  {missed} not noticed  {seconds:.1f} s",
        flush=True,
    )
    return missed


def load_files(paths: Sequence[Path]) -> Iterable[tuple[str, bytes]]:
    """Yield name and bytes of .kmq files; those of pictures are made here."""
    for path in paths:
        if path.suffix == ".kmq":
            yield path.name, path.read_bytes()
            continue
        pixels = load_picture(path)
        for n_colors in _COLORS:
            for coding in _CODINGS:
                data = kmcodec.encode(pixels, n_colors, strip_rows=_STRIP_ROWS, coding=coding)
                yield f"{path.name} K={n_colors} {coding}", data


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--max-bytes", type=int, default=1 << 16, metavar="N", help="see above")
    options = parser.parse_args()
    missed = 0
    for name, data in load_files(options.files):
        missed += check_file(name, data, options.max_bytes, options.jobs)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
