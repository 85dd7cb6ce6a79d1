"""A damaged .kmq file -> what can be saved of it (section 7.2 of the specification)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_colors
from kmcodec.container import layout, parts
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.source import FileLike, Source
from kmcodec.container.strips import choose_coding
from kmcodec.errors import KmqFormatError
from kmcodec.image import Indices, Section, empty_indices
from kmcodec.threads import OnProgress, Workers

#: Colour of lost rows: magenta, which hardly any picture has in whole rows.
FILL = (255, 0, 255)


# What is told of a file with more strips than anybody reads of.
_MOST_FAULTS = 1000

# Runs of rows that are named in a message.
_MOST_NAMED = 8


class Run(NamedTuple):
    """Hold rows that share one fate.

    Attributes
    ----------
    start, stop : int
        The rows start, ..., stop - 1.
    state : str
        "intact"; "unchecked", where the file ends before the strip's checksum; or "lost".
    pixels : ndarray, shape (stop - start, width, 3) or (stop - start, width, 4), uint8
        Of lost rows, the fill. Where asked for, indices: shape (stop - start, width), uint8 (K <= 256) or
        uint16. May be read-only, and not contiguous.
    """

    start: int
    stop: int
    state: str
    pixels: NDArray[Any]


class Salvaged(NamedTuple):
    """Hold what was saved of a file.

    Attributes
    ----------
    pixels : ndarray, shape (height, width, 3) or, with alpha, (height, width, 4), uint8
    lost, unchecked : list of (int, int)
        Runs of rows, first and one past the last, whose pixels are the fill, or lack a checksum.
    sections : tuple of Section
        Metadata; empty if it was damaged.
    faults : list of KmqFormatError
        What is wrong with the file, the first thousand; empty for an intact one.
    """

    pixels: NDArray[np.uint8]
    lost: list[tuple[int, int]]
    unchecked: list[tuple[int, int]]
    sections: tuple[Section, ...]
    faults: list[KmqFormatError]


class Salvager:
    """Go through a damaged file, strip by strip.

    Parameters
    ----------
    source : bytes-like or binary file object
        As for KmqReader; it may be too short or too long.
    fill : array_like, shape (3,) or (4,), integers in 0..255, default (255, 0, 255)
        Colour of lost rows; opaque unless it says otherwise.
    max_pixels : int or None, default 2**28
        As for KmqReader. A picture of whose file most is missing counts eightfold.
    as_indices : bool, default False
        Whether to give palette indices instead of pixels; those of lost rows are 0.
    on_progress : callable, optional
        Is told "decoding", and pixels done and in all.

    Attributes
    ----------
    header : Header
    palette : ndarray, shape (K, 3) or (K, 4), uint8
    sections : tuple of Section
        Empty if they are damaged.
    faults : list of KmqFormatError
        What has been found so far.

    Raises
    ------
    KmqFormatError
        If header or palette are damaged: then nothing can be saved.
    LimitExceededError
        If the picture has too many pixels.
    TypeError, ValueError
        If source is neither bytes nor a file, or fill no colour.
    """

    def __init__(
        self,
        source: bytes | bytearray | memoryview | FileLike,
        *,
        fill: ArrayLike = FILL,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        as_indices: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        color = check_colors("fill", [fill])[0]
        self._source = Source(source)
        self.header = parts.read_header(self._source)
        parts.check_limit(self.header, max_pixels, file_bytes=self._source.size)
        self.palette = parts.read_palette(self._source, self.header)
        self.sections: tuple[Section, ...] = ()
        self.faults: list[KmqFormatError] = []
        self._as_indices = as_indices
        # What stands for a lost pixel, and for one of a picture of one colour.
        self._fill = np.append(color, np.uint8(255))[: self.header.channels]
        self._only = self.palette[0]
        if as_indices:
            self._fill = self._only = np.array(0, empty_indices(0, self.header.n_colors).dtype)
        for check in (self._read_sections, self._check_size, self._read_table):
            try:
                check()
            except KmqFormatError as error:
                self._add_fault(error)
        self._coding = choose_coding(self.header, self.palette)
        pixels = self.header.width * self.header.height
        self._tell = Workers(1).count_work("decoding", pixels, on_progress)

    def runs(self) -> Iterator[Run]:
        """Yield all rows from the top: a strip at a time, and those of which the file has nothing at once."""
        header = self.header
        there = header.count_begun_strips(self._source.size)
        for number in range(there):
            start = number * header.strip_rows
            stop = start + header.rows_of_strip(number)
            end = header.strip_offset(number) + header.payload_bytes(number) + layout.CRC_BYTES
            if end > self._source.size or header.payload_bytes(number) < 0:
                yield from self._save_cut_strip(number, start, stop)
                continue
            try:
                payload = parts.read_strip(self._source, header, number)
                with parts.locating(header, number):
                    pixels = self._decode(payload, stop - start)
                yield Run(start, stop, "intact", pixels)
            except KmqFormatError as error:
                self._add_fault(error)
                # Where no table says how long it is, a strip that is cut looks like one that is damaged.
                if not header.has_fixed_sizes and number == header.strip_count - 1:
                    yield from self._save_last_strip(number, start, stop)
                else:
                    yield self._lose(start, stop)
        if there < header.strip_count:
            yield self._lose(there * header.strip_rows, header.height)

    def _add_fault(self, error: KmqFormatError) -> None:
        if len(self.faults) < _MOST_FAULTS:
            # Without its traceback, which would keep all that the failing calls had in hand.
            self.faults.append(error.with_traceback(None))

    def _read_sections(self) -> None:
        self.sections = parts.read_sections(self._source, self.header)

    def _check_size(self) -> None:
        parts.check_size(self.header, self._source.size)

    def _read_table(self) -> None:
        """Learn where the strips lie, from a damaged table too: their own checksums say whether it is so."""
        header = self.header
        if header.has_fixed_sizes:
            return
        table = bytes(self._source.read_some(header.table_offset, header.table_bytes))
        wanted = max(0, header.table_bytes - layout.CRC_BYTES)
        # Strips that no entry speaks of begin behind the end.
        entries = table[:wanted].ljust(wanted, b"\xff")
        self.header = header.with_table(layout.parse_table(entries), self._source.size)
        parts.read_table(self._source, header)

    def _save_cut_strip(self, number: int, start: int, stop: int) -> Iterator[Run]:
        """Yield the rows that are there of a strip that the end of the file cuts; and those that are not."""
        offset = self.header.strip_offset(number)
        data = self._source.read_some(offset, self._source.size)
        indices = self._coding.decode_cut(data, stop - start)
        end = start + len(indices)
        if end > start:
            yield Run(start, end, "unchecked", self._paint(indices))
        if end < stop:
            yield self._lose(end, stop)

    def _save_last_strip(self, number: int, start: int, stop: int) -> Iterator[Run]:
        """Yield what there is of a last strip without a size if it ends too early; else it is lost."""
        runs = list(self._save_cut_strip(number, start, stop))
        yield from runs if len(runs) == 2 else [self._lose(start, stop)]

    def _decode(self, payload: bytes | memoryview, rows: int) -> NDArray[Any]:
        if self.header.index_bits == 0:
            return self._repeat(self._only, rows)
        if self._as_indices:
            return self._coding.decode(payload, rows, self._tell)
        pixels = np.empty((rows, self.header.width, self.header.channels), np.uint8)
        self._coding.decode_to_pixels(payload, pixels, self._tell)
        return pixels

    def _paint(self, indices: Indices) -> NDArray[Any]:
        if self.header.index_bits == 0:
            return self._repeat(self._only, len(indices))
        return indices if self._as_indices else self.palette[indices]

    def _lose(self, start: int, stop: int) -> Run:
        return Run(start, stop, "lost", self._repeat(self._fill, stop - start))

    def _repeat(self, pixel: NDArray[Any], rows: int) -> NDArray[Any]:
        """Return rows of one pixel, in no memory: the file may have claimed any number of them."""
        return np.broadcast_to(pixel, (rows, self.header.width, *pixel.shape))


def salvage(
    source: bytes | bytearray | memoryview | FileLike,
    *,
    fill: ArrayLike = FILL,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> Salvaged:
    """Save what can be saved of a damaged file.

    Parameters and errors are those of Salvager.

    Returns
    -------
    Salvaged
    """
    salvager = Salvager(source, fill=fill, max_pixels=max_pixels)
    header = salvager.header
    pixels = np.empty((header.height, header.width, header.channels), np.uint8)
    rows: dict[str, list[tuple[int, int]]] = {"intact": [], "unchecked": [], "lost": []}
    for run in salvager.runs():
        pixels[run.start : run.stop] = run.pixels
        add_run(rows[run.state], run.start, run.stop)
    return Salvaged(pixels, rows["lost"], rows["unchecked"], salvager.sections, salvager.faults)


def show_runs(runs: Sequence[tuple[int, int]]) -> str:
    """Return runs of rows for a message: the first of them, each by its first and its last row."""
    named = ", ".join(f"{start}..{stop - 1}" for start, stop in runs[:_MOST_NAMED])
    return f"{named}, ..." if len(runs) > _MOST_NAMED else named


def add_run(runs: list[tuple[int, int]], start: int, stop: int) -> None:
    """Append the rows start, ..., stop - 1 to runs, of which the last may end at start."""
    if runs and runs[-1][1] == start:
        start, _ = runs.pop()
    runs.append((start, stop))
