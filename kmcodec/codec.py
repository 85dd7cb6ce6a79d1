"""Pictures <-> .kmq, as one call each: quantization and container put together."""

from __future__ import annotations

import builtins
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import write_image
from kmcodec.files import write_atomically
from kmcodec.quantize.quantizer import quantize


def encode(rgb: ArrayLike, n_colors: int = 64, *, strip_rows: int | None = None, **options: Any) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        sRGB, with straight alpha as fourth channel. Not modified.
    n_colors : int, default 64
        K, 1..65536. A picture of at most that many distinct colours is stored exactly.
    strip_rows : int, optional
        Rows that are stored and checked together; default: about a million pixels' worth.
    **options
        Options of kmcodec.quantize.

    Returns
    -------
    bytes
        A .kmq file; the same on every machine.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    return write_image(quantize(rgb, n_colors, **options), strip_rows=strip_rows)


def decode(
    data: bytes | bytearray | memoryview, *, max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a picture.

    Parameters
    ----------
    data : bytes-like
        A .kmq file.
    max_pixels : int or None, default 2**28
        A picture of more pixels is refused; None allows any.

    Returns
    -------
    ndarray, shape (height, width, 3) or, if the file has alpha, (height, width, 4), uint8

    Raises
    ------
    KmqFormatError
        If data is not a valid file, by the least bit.
    LimitExceededError
        If the picture has more than max_pixels pixels.
    TypeError
        If data is not bytes-like.
    """
    return KmqReader(data, max_pixels=max_pixels).pixels()


def write(path: str | os.PathLike[str], rgb: ArrayLike, n_colors: int = 64, **options: Any) -> None:
    """Encode a picture into a file, which is replaced only when the new one is complete.

    Parameters
    ----------
    path : path-like
    rgb, n_colors, **options
        As for encode.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is then still there.
    TypeError, ValueError
        As for encode.
    """
    write_atomically(path, encode(rgb, n_colors, **options), overwrite=True)


def open(path: str | os.PathLike[str], *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> KmqReader:
    """Open a file to read parts of it; use it in a with-block, or close it.

    Parameters
    ----------
    path : path-like
    max_pixels : int or None, default 2**28
        As for decode.

    Returns
    -------
    KmqReader

    Raises
    ------
    OSError
        If the file cannot be read.
    KmqFormatError, LimitExceededError
        As for decode.
    """
    file = builtins.open(path, "rb")  # noqa: SIM115  # the reader keeps and closes it
    try:
        return KmqReader(file, max_pixels=max_pixels)
    except BaseException:
        file.close()
        raise


def read(path: str | os.PathLike[str], *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a file.

    Parameters, result and errors are those of open and decode.
    """
    with open(path, max_pixels=max_pixels) as reader:
        return reader.pixels()
