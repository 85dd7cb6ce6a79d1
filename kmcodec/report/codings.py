"""What the pixels of a .kmq file take in each of the codings.

Every size is that of a real file: with packed indices it follows from the header, and with context coding the
indices are coded, here and now.
"""

from __future__ import annotations

from typing import NamedTuple

from kmcodec.container.layout import CODINGS, Header
from kmcodec.container.writer import plan_header, write_image
from kmcodec.image import IndexedImage
from kmcodec.threads import OnProgress

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
    is_coded: bool,
    threads: int | None,
    on_progress: OnProgress | None,
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
    is_coded : bool
        Whether indices are coded where that has to be done to know the size, which is None otherwise.
    threads : int or None
        None: all processors.
    on_progress : callable or None
        Is told "context coding", and pixels coded and in all.
    """
    other = find_other(header.coding)
    file_bytes: dict[str, int | None] = {header.coding: header.file_bytes, other: None}
    # A palette of one colour is packed, whatever coding is asked for.
    if other == "packed" or header.n_colors == 1:
        file_bytes[other] = _plan(header, other).file_bytes
    elif is_coded:
        tell = on_progress and _rename(on_progress)
        file_bytes[other] = len(write_image(image, coding=other, threads=threads, on_progress=tell))
    return {coding: _measure(header, file_bytes[coding], source_bytes) for coding in CODINGS}


def _rename(on_progress: OnProgress) -> OnProgress:
    """Return what is told of writing, and tells of coding: no file is written here."""
    return lambda name, done, total: on_progress("context coding", done, total)


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
