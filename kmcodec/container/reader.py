""".kmq file -> palette, indices, pixels; of all of the picture or of parts."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kmcodec.checks import check_integer
from kmcodec.coding import packed
from kmcodec.container import layout, parts
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.source import FileLike, Source
from kmcodec.container.strips import StripCoding, choose_coding
from kmcodec.image import IndexedImage, Indices, Section, empty_indices
from kmcodec.metadata import Metadata
from kmcodec.threads import OnProgress, Tell, Workers, cut_range

# Pixels of a strip, in the midst of all, that are worth a thread.
_LEAST_STRIP_PIXELS = 1 << 14

# Is given the number and the payload of a strip, and whom to tell how much of it is done.
_Take = Callable[[int, "bytes | memoryview", Tell], None]


class KmqReader:
    """Read a .kmq file: header and palette at once, sections and strips when asked for.

    Parameters
    ----------
    source : bytes-like or binary file object
        The whole file, as bytes, as a memory map, or as a file object that is seekable (over HTTP, one that
        fetches ranges) and stays open as long as the reader is used; close() closes it.
    max_pixels : int or None, default 2**28
        A picture of more pixels is refused; None allows any. A picture of one colour, for which a file holds
        no bytes, counts eightfold.
    on_progress : callable, optional
        Is told, by whatever decodes, "decoding" (by verify, "checking"), and pixels done and in all; by any
        thread, but one at a time.

    Attributes
    ----------
    header : Header
    palette : ndarray, shape (K, 3) or (K, 4), uint8
        sRGB, with straight alpha if there is any; read-only.

    Raises
    ------
    KmqFormatError
        If the file is not valid. Damage in sections and strips is found by what reads them.
    LimitExceededError
        If the picture has too many pixels.
    TypeError
        If source is neither bytes nor a file.
    """

    def __init__(
        self,
        source: bytes | bytearray | memoryview | FileLike,
        *,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._source = Source(source)
        self.header = parts.read_header(self._source)
        parts.check_limit(self.header, max_pixels)
        parts.check_size(self.header, self._source.size)
        self.palette = parts.read_palette(self._source, self.header)
        if not self.header.has_fixed_sizes:
            # What comes first in the file is checked first.
            _ = self.sections
            self.header = parts.read_table(self._source, self.header)

    def __enter__(self) -> KmqReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the pixels of each strip, from the top: arrays of shape (rows, width, 3 or 4), uint8."""
        return (self.palette[indices] for indices in self.strips())

    def strips(self, *, at_a_time: int = 1, threads: int | None = None) -> Iterator[Indices]:
        """Yield the palette indices of each strip, from the top, in the memory of one.

        Parameters
        ----------
        at_a_time : int, default 1
            Strips that are decoded side by side, and yielded as one array.
        threads : int, optional
            Default: all processors.

        Yields
        ------
        ndarray, shape (rows, width), uint8 (K <= 256) or uint16

        Raises
        ------
        KmqFormatError
            If the sections, or the strip, are damaged.
        TypeError, ValueError
            If at_a_time or threads is not a positive integer.
        """
        check_integer("at_a_time", at_a_time, 1)
        _ = self.sections
        count = self.header.strip_count
        with self._hire(threads) as workers:
            tell = self._count_work(workers)
            for first in range(0, count, at_a_time):
                yield self._decode_strips(first, min(first + at_a_time, count), workers, tell)

    def close(self) -> None:
        """Close the file, if the source is one."""
        self._source.close()

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.header.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.header.height

    @functools.cached_property
    def sections(self) -> tuple[Section, ...]:
        """Metadata as it is stored, in the order of the file."""
        return parts.read_sections(self._source, self.header)

    @functools.cached_property
    def _coding(self) -> StripCoding:
        return choose_coding(self.header, self.palette)

    @property
    def metadata(self) -> Metadata:
        """Metadata that is known and well-formed."""
        return Metadata.from_sections(self.sections)

    def indices(self, *, threads: int | None = None) -> Indices:
        """Return the palette index of each pixel.

        Parameters
        ----------
        threads : int, optional
            Default: all processors; strips are decoded side by side.

        Returns
        -------
        ndarray, shape (height, width), uint8 (K <= 256) or uint16

        Raises
        ------
        KmqFormatError
            If anything in the file is damaged.
        """
        _ = self.sections
        with self._hire(threads) as workers:
            return self._decode_strips(0, self.header.strip_count, workers, self._count_work(workers))

    def image(self, *, threads: int | None = None) -> IndexedImage:
        """Return palette, indices and sections together; parameters and errors are those of indices."""
        return IndexedImage(self.palette, self.indices(threads=threads), self.sections)

    def pixels(self, *, threads: int | None = None) -> NDArray[np.uint8]:
        """Return the picture.

        Parameters and errors are those of indices.

        Returns
        -------
        ndarray, shape (height, width, 3) or, with alpha, (height, width, 4), uint8
        """
        header = self.header
        pixels = np.empty((header.height, header.width, header.channels), np.uint8)
        if header.index_bits == 0:
            # At once: there may be as many strips as rows.
            self.verify(threads=threads)
            packed.fill(pixels.reshape(-1), self.palette[0])
            return pixels

        def decode(number: int, payload: bytes | memoryview, tell: Tell) -> None:
            first_row = number * header.strip_rows
            target = pixels[first_row : first_row + header.strip_rows]
            with parts.locating(header, number):
                self._coding.decode_to_pixels(payload, target, tell)

        self._read_all(decode, threads)
        return pixels

    def verify(self, *, threads: int | None = None) -> None:
        """Check every byte, in the memory of a strip a thread; parameters and errors are those of indices."""
        header = self.header

        def check(number: int, payload: bytes | memoryview, tell: Tell) -> None:
            with parts.locating(header, number):
                self._coding.check(payload, header.rows_of_strip(number), tell)

        self._read_all(check, threads, "checking")

    def rows(self, start: int, stop: int, *, verify: bool | None = None) -> NDArray[np.uint8]:
        """Return the rows start, ..., stop - 1, as region(0, start, width, stop - start) does."""
        return self.region(0, start, self.width, stop - start, verify=verify)

    def region(
        self, x: int, y: int, width: int, height: int, *, verify: bool | None = None
    ) -> NDArray[np.uint8]:
        """Return a part of the picture.

        Parameters
        ----------
        x, y : int
            Left column and top row, in pixels from 0.
        width, height : int
            In pixels, at least 1.
        verify : bool, optional
            Whether to check the strips in which the region lies, which means to read all of each. Without,
            only the bytes of the region and, the first time, the metadata are read, and damage to pixels can
            go unnoticed. Default: only if the file is in memory or mapped. With context coding, strips are
            always read as a whole, and checked.

        Returns
        -------
        ndarray, shape (height, width, 3) or, with alpha, (height, width, 4), uint8

        Raises
        ------
        ValueError
            If the region is empty or reaches over the border of the picture.
        KmqFormatError
            If damage is found.
        """
        x, y, width, height = check_region(self.header, x, y, width, height)
        # "A capital (A..Z): required. The pixels cannot be understood without it".
        _ = self.sections
        verify = self._source.in_memory if verify is None else verify
        header = self.header
        indices = empty_indices((height, width), header.n_colors)
        first = y // header.strip_rows
        tell = self._count_work(Workers(1), (y + height - first * header.strip_rows) * header.width)
        for number in range(first, -(-(y + height) // header.strip_rows)):
            strip_row = number * header.strip_rows
            # The rows wanted of this strip, counted from its own top.
            top = max(y - strip_row, 0)
            bottom = min(y + height - strip_row, header.rows_of_strip(number))
            target = indices[strip_row + top - y : strip_row + bottom - y]
            read = self._open_strip(number, verify=verify or self._coding.reads_whole)
            with parts.locating(header, number):
                self._coding.decode_part(read, header.rows_of_strip(number), top, x, target, tell)
        return self.palette[indices]

    def _open_strip(self, number: int, *, verify: bool) -> Callable[[slice], bytes | memoryview]:
        """Return what reads slices of a strip's payload; of one that is verified, it has been read."""
        if verify:
            return parts.read_strip(self._source, self.header, number).__getitem__
        offset = self.header.strip_offset(number)
        return lambda part: self._source.read(offset + part.start, part.stop - part.start)

    def _decode_strips(self, first: int, stop: int, workers: Workers, tell: Tell) -> Indices:
        """Return the indices of the strips first, ..., stop - 1."""
        header = self.header
        if stop == first + 1:
            return self._decode(first, parts.read_strip(self._source, header, first), tell)
        first_row = first * header.strip_rows
        rows = min(stop * header.strip_rows, header.height) - first_row
        indices = empty_indices((rows, header.width), header.n_colors)

        def decode(number: int, payload: bytes | memoryview, tell: Tell) -> None:
            row = number * header.strip_rows - first_row
            indices[row : row + header.strip_rows] = self._decode(number, payload, tell)

        self._read_strips(first, stop, decode, workers, tell)
        return indices

    def _decode(self, number: int, payload: bytes | memoryview, tell: Tell) -> Indices:
        with parts.locating(self.header, number):
            return self._coding.decode(payload, self.header.rows_of_strip(number), tell)

    def _read_all(self, take: _Take, threads: int | None, name: str = "decoding") -> None:
        """Check the sections; then let take have all strips."""
        _ = self.sections
        with self._hire(threads) as workers:
            tell = self._count_work(workers, name=name)
            self._read_strips(0, self.header.strip_count, take, workers, tell)

    def _read_strips(self, first: int, stop: int, take: _Take, workers: Workers, tell: Tell) -> None:
        """Let take have number and payload of the strips first, ..., stop - 1."""

        def read_run(run: tuple[int, int]) -> None:
            for number in range(first + run[0], first + run[1]):
                take(number, parts.read_strip(self._source, self.header, number), tell)

        least = -(-self._coding.thread_pixels // (self.header.strip_rows * self.width))
        workers.map(read_run, cut_range(stop - first, workers.count, least))

    def _hire(self, threads: int | None) -> Workers:
        # Small strips are mostly work for the interpreter, in which threads would wait for each other.
        is_large = self.header.strip_rows * self.width >= _LEAST_STRIP_PIXELS
        return Workers(threads if is_large else 1)

    def _count_work(self, workers: Workers, total: int | None = None, name: str = "decoding") -> Tell:
        pixels = self.width * self.height if total is None else total
        return workers.count_work(name, pixels, self._on_progress)


def check_region(header: layout.Header, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return a region as ints; raise ValueError if it is empty or reaches over the border of the picture."""
    # Of NumPy's integers, sums can overflow.
    x, y, width, height = (operator.index(value) for value in (x, y, width, height))
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > header.width or y + height > header.height:
        raise ValueError(
            f"a region must lie in the picture of {header.width} x {header.height} pixels,"
            f" found {width} x {height} at {x}, {y}"
        )
    return x, y, width, height


def read_stream(stream: BinaryIO, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> bytearray:
    """Read a file from a pipe, and no further than its header says and one byte more.

    Parameters
    ----------
    stream : binary file object
        Need not be seekable.
    max_pixels : int or None
        As for KmqReader.

    Returns
    -------
    bytearray
        Not checked beyond the header: too short where the stream was, one byte too long where more
        follows.

    Raises
    ------
    KmqFormatError, LimitExceededError
        If the header is not valid, or the picture too large.
    """
    data = bytearray()
    _read_up_to(stream, layout.HEADER_BYTES, data)
    header = layout.Header.from_bytes(bytes(data))
    parts.check_limit(header, max_pixels)
    _read_up_to(stream, header.most_file_bytes + 1, data)
    return data


def _read_up_to(stream: BinaryIO, length: int, data: bytearray) -> None:
    """Read until data has length bytes or the end; in steps, since length is only what the header claims."""
    while len(data) < length and (chunk := stream.read(min(length - len(data), 1 << 20))):
        data += chunk
