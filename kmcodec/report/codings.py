"""What the pixels of a .kmq file take in each of the codings.

Every size is that of a real file: with packed indices it follows from the header, and with context coding the
indices are coded, here and now.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

from kmcodec.container.layout import CODINGS, Header
from kmcodec.container.writer import KmqWriter, default_strip_rows, plan_header
from kmcodec.image import IndexedImage
from kmcodec.report.steps import Steps
from kmcodec.threads import count_threads

#: How a file is called that has its indices in a coding.
ADJECTIVES = {"packed": "packed", "context": "context-coded"}


class CodedSize(NamedTuple):
    """Say what a file takes in one of the codings.

    Attributes
    ----------
    file_bytes : int
        The whole .kmq file, with its metadata.
    ratio : float
        Bytes of the raw pixels / file_bytes.
    bits_per_pixel : float
        Of the whole file.
    source_ratio : float or None
        Bytes of the original file / file_bytes, where there is one.
    """

    file_bytes: int
    ratio: float
    bits_per_pixel: float
    source_ratio: float | None


def find_other(coding: str) -> str:
    """Return the coding that a file does not have."""
    return next(name for name in CODINGS if name != coding)


def measure_codings(
    image: IndexedImage,
    header: Header,
    *,
    source_bytes: int | None,
    threads: int | None,
    steps: Steps | None,
) -> dict[str, CodedSize | None]:
    """Return what a file takes as it is, and recoded with the strips that the other coding has by default.

    Parameters
    ----------
    image : IndexedImage
        What the file holds, metadata included.
    header : Header
        Of the file.
    source_bytes : int or None
        Size of the original file.
    threads : int or None
        None: all processors.
    steps : Steps or None
        Are counted, as many as count_coding_steps says; None: nothing is coded, and what would have to be is
        None.
    """
    other = find_other(header.coding)
    file_bytes: dict[str, int | None] = {header.coding: header.file_bytes, other: None}
    # A palette of one colour is packed, whatever coding is asked for.
    if other == "packed" or header.n_colors == 1:
        file_bytes[other] = _plan(header, other).file_bytes
    elif steps is not None:
        steps.start("context coding")
        file_bytes[other] = code_image(image, threads=threads, on_strips=steps.count_step)
    return {coding: _measure(header, file_bytes[coding], source_bytes) for coding in CODINGS}


def count_coding_steps(header: Header, threads: int | None) -> int:
    """Return in how many steps measure_codings codes."""
    if header.coding == "context" or header.n_colors == 1:
        return 0
    return len(_cut_rows(header.width, header.height, threads))


def code_image(image: IndexedImage, *, threads: int | None = None, on_strips: Callable[[], Any]) -> int:
    """Return the size of a context-coded file, as write_image gives it; nothing of it is kept.

    Parameters
    ----------
    image : IndexedImage
    threads : int, optional
        Default: all processors. An interrupt is answered when each has coded a strip.
    on_strips : callable
        Is called as often.
    """
    with KmqWriter(
        _Nowhere(),
        image.palette,
        image.width,
        image.height,
        sections=image.sections,
        coding="context",
        threads=threads,
    ) as writer:
        for rows in _cut_rows(image.width, image.height, threads):
            writer.append(image.indices[rows])
            on_strips()
    return writer.header.file_bytes


class _Nowhere(io.BytesIO):
    """Take all that is written, and keep nothing."""

    def write(self, data: Any, /) -> int:
        return len(data)


def _measure(header: Header, file_bytes: int | None, source_bytes: int | None) -> CodedSize | None:
    if file_bytes is None:
        return None
    pixels = header.width * header.height
    return CodedSize(
        file_bytes=file_bytes,
        ratio=pixels * header.channels / file_bytes,
        bits_per_pixel=8 * file_bytes / pixels,
        source_ratio=None if source_bytes is None else source_bytes / file_bytes,
    )


def _plan(header: Header, coding: str) -> Header:
    return plan_header(
        header.n_colors,
        header.width,
        header.height,
        has_alpha=header.has_alpha,
        strip_rows=None,
        sections_bytes=header.sections_bytes,
        coding=coding,
    )


def _cut_rows(width: int, height: int, threads: int | None) -> list[slice]:
    """Return the rows that are coded at a time: a strip for each thread."""
    step = default_strip_rows(width, height, "context") * count_threads(threads)
    return [slice(start, start + step) for start in range(0, height, step)]
