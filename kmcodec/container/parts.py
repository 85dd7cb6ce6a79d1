"""The parts of a file, each read and checked by itself (section 7 of the specification).

Nothing is allocated on the word of a field that has not been checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from kmcodec.checks import check_number
from kmcodec.container import layout
from kmcodec.container.source import Source
from kmcodec.errors import KmqFormatError, LimitExceededError, PayloadError
from kmcodec.image import Section

#: Pixels that a picture may have unless the caller says otherwise.
DEFAULT_MAX_PIXELS = 1 << 28

# How often a pixel counts for which the file holds nothing.
_UNBACKED_WEIGHT = 8


def read_header(source: Source) -> layout.Header:
    """Return the header (step 1)."""
    return layout.Header.from_bytes(bytes(source.read(0, min(source.size, layout.HEADER_BYTES))))


def check_limit(header: layout.Header, max_pixels: int | None, *, file_bytes: int | None = None) -> None:
    """Compare the number of pixels with the caller's limit (step 2).

    A picture of one colour counts eightfold, for its file holds nothing for a pixel; and so does one of whose
    file most is missing. So a file of a few bytes cannot ask for much memory.

    Parameters
    ----------
    header : Header
    max_pixels : int or None
        None allows any number.
    file_bytes : int, optional
        Bytes that there are of the file, where some may be missing.

    Raises
    ------
    LimitExceededError
    TypeError
        If max_pixels is not a number.
    """
    if max_pixels is None:
        return
    check_number("max_pixels", max_pixels)
    pixels = header.width * header.height
    size = f"the picture has {header.width} x {header.height} = {pixels} pixels"
    if pixels > max_pixels:
        raise LimitExceededError(f"{size}, the limit is {max_pixels}")
    missing = file_bytes is not None and file_bytes < header.least_file_bytes // _UNBACKED_WEIGHT
    if (header.index_bits == 0 or missing) and _UNBACKED_WEIGHT * pixels > max_pixels:
        kind = "whose file is mostly missing" if missing else "of one colour"
        raise LimitExceededError(f"{size}, the limit for one {kind} is {max_pixels // _UNBACKED_WEIGHT}")


def check_strip_limit(header: layout.Header, max_pixels: int | None) -> None:
    """Compare the pixels of a strip with the caller's limit, where a strip is in memory at a time.

    For the pixels of most pictures the file has bytes, so that only memory is to be limited. For one of one
    colour it has none, and the limit is that of check_limit.

    Raises
    ------
    LimitExceededError
    """
    pixels = header.strip_rows * header.width
    if header.index_bits == 0:
        check_limit(header, max_pixels)
    elif max_pixels is not None and pixels > max_pixels:
        raise LimitExceededError(f"a strip has {pixels} pixels, the limit is {max_pixels}")


def check_size(header: layout.Header, size: int) -> None:
    """Compare the size of the file with what the header makes it (step 3).

    Raises
    ------
    KmqFormatError
    """
    expected = header.least_file_bytes
    if size < expected:
        at_least = "" if header.has_fixed_sizes else "at least "
        raise KmqFormatError(
            size, "file", found="the end of the file", expected=f"{at_least}{expected} bytes in all"
        )
    if header.has_fixed_sizes and size > expected:
        raise KmqFormatError(
            expected, "file", found=f"{size - expected} bytes more", expected="the end of the file"
        )


def read_palette(source: Source, header: layout.Header) -> NDArray[np.uint8]:
    """Return the palette, shape (K, 3) or (K, 4), uint8, read-only (step 4).

    Raises
    ------
    KmqFormatError
    """
    # Copied, since it outlives the source.
    stored = bytes(source.read(layout.HEADER_BYTES, header.palette_bytes + layout.CRC_BYTES))
    data, crc = stored[: header.palette_bytes], stored[header.palette_bytes :]
    layout.check_crc(data, crc, layout.HEADER_BYTES + header.palette_bytes, "palette_crc")
    flat = np.frombuffer(data, np.uint8)
    palette = flat[: 3 * header.n_colors].reshape(-1, 3)
    if header.has_alpha:
        palette = np.hstack([palette, flat[3 * header.n_colors :, None]])
    palette.flags.writeable = False
    return palette


def read_sections(source: Source, header: layout.Header) -> tuple[Section, ...]:
    """Return the sections (step 5).

    Raises
    ------
    KmqFormatError
    """
    if header.sections_bytes == 0:
        return ()
    area = bytes(source.read(header.sections_offset, header.sections_bytes))
    return layout.parse_sections(area, header.sections_offset)


def read_table(source: Source, header: layout.Header) -> layout.Header:
    """Return a header that knows where the strips lie, if a table has to say it (step 6).

    Raises
    ------
    KmqFormatError
    """
    if header.has_fixed_sizes:
        return header
    stored = source.read(header.table_offset, header.table_bytes)
    table, crc = stored[: -layout.CRC_BYTES], stored[-layout.CRC_BYTES :]
    if header.has_table:
        layout.check_crc(table, crc, header.table_offset + len(table), "table_crc")
    mapped = header.with_table(layout.parse_table(table), source.size)
    last_end = mapped.strip_offset(header.strip_count - 1) + layout.CRC_BYTES
    if last_end > source.size:
        raise KmqFormatError(
            source.size,
            "file",
            found="the end of the file",
            expected=f"at least {last_end} bytes in all",
        )
    return mapped


def read_strip(source: Source, header: layout.Header, number: int) -> bytes | memoryview:
    """Return the payload of a strip whose checksum is right (step 6).

    Raises
    ------
    KmqFormatError
    """
    length = header.payload_bytes(number)
    offset = header.strip_offset(number)
    stored = source.read(offset, length + layout.CRC_BYTES)
    payload = stored[:length]
    computed = layout.strip_crc(number, payload)
    layout.compare_crc(computed, stored[length:], offset + length, f"strip_crc of strip {number}")
    return payload


@contextmanager
def locating(header: layout.Header, number: int) -> Iterator[None]:
    """Turn a PayloadError of a strip into an error of the file."""
    try:
        yield
    except PayloadError as error:
        raise KmqFormatError(
            header.strip_offset(number) + error.bit // 8,
            f"{error.field} in strip {number}",
            found=error.found,
            expected=error.expected,
        ) from None
