""".kmq file -> .kmq file of the same picture in another coding, or in other strips."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

import numpy as np

from kmcodec.container import parts
from kmcodec.container.layout import Header
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import KmqReader
from kmcodec.container.source import FileLike
from kmcodec.container.writer import KmqWriter
from kmcodec.image import Indices
from kmcodec.threads import OnProgress, count_threads

# Pixels that are in memory at a time, at most, unless a single strip has more: some strips for each thread.
_BLOCK_PIXELS = 1 << 25


def recode(
    data: bytes | bytearray | memoryview | FileLike,
    *,
    coding: str,
    strip_rows: int | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    threads: int | None = None,
) -> bytes:
    """Store a picture in another coding; pixels, palette, its order, and sections stay as they are.

    Parameters
    ----------
    data : bytes-like or binary file object
        A .kmq file, as for KmqReader.
    coding : str
        "packed" or "context". A picture of one colour, of which there is nothing to code, is packed.
    strip_rows : int, optional
        As for encode: by default not that of the file, but the one that suits the coding.
    max_pixels : int or None, default 2**28
        A file whose strips have more pixels is refused, and so is a picture of one colour with more than an
        eighth of them; None allows any.
    threads : int, optional
        Default: all processors.

    Returns
    -------
    bytes
        A .kmq file; that which encoding the picture with this coding and strip_rows would have given.

    Raises
    ------
    KmqFormatError
        If data is not a valid file, by the least bit.
    LimitExceededError
        If a strip has too many pixels.
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    buffer = io.BytesIO()
    reader = KmqReader(data, max_pixels=None)
    write_recoded(
        buffer, reader, coding=coding, strip_rows=strip_rows, max_pixels=max_pixels, threads=threads
    )
    return buffer.getvalue()


def write_recoded(
    target: BinaryIO,
    reader: KmqReader,
    *,
    coding: str,
    strip_rows: int | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Header:
    """Write what recode returns, in the memory of some strips a thread, and return its header.

    Parameters
    ----------
    target : binary file object
        As for KmqWriter.
    reader : KmqReader
    coding, strip_rows, max_pixels, threads
        As for recode, and so are the errors.
    on_progress : callable, optional
        As for KmqWriter; what is decoded, the reader tells.
    """
    header = reader.header
    parts.check_strip_limit(header, max_pixels)
    with KmqWriter(
        target,
        reader.palette,
        header.width,
        header.height,
        strip_rows=strip_rows,
        sections=reader.sections,
        coding=coding,
        threads=threads,
        on_progress=on_progress,
    ) as writer:
        count = count_threads(threads)
        # A strip for each thread, in reading and in writing.
        most_rows = max(1, _BLOCK_PIXELS // header.width)
        rows = min(count * writer.header.strip_rows, most_rows)
        at_a_time = min(max(count, rows // header.strip_rows), most_rows // header.strip_rows)
        for block in _regroup(reader.strips(at_a_time=max(1, at_a_time), threads=threads), rows):
            writer.append(block)
    return writer.header


def _regroup(blocks: Iterable[Indices], rows: int) -> Iterator[Indices]:
    """Yield the rows of blocks in blocks of other sizes: multiples of rows, and at the end what is left."""
    kept: list[Indices] = []
    count = 0
    for block in blocks:
        kept.append(block)
        count += len(block)
        if count >= rows:
            joined = cast("Indices", np.concatenate(kept))
            whole = count // rows * rows
            yield joined[:whole]
            kept, count = [joined[whole:]], count - whole
    if count:
        yield cast("Indices", np.concatenate(kept))
