"""Measure a .kmq file against its original.

Owns the definitions of the measures. Knows nothing of how they are shown.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_pixels
from kmcodec.container.layout import Header
from kmcodec.container.reader import KmqReader
from kmcodec.container.source import FileLike

# Pixels that are compared at a time.
_BLOCK_PIXELS = 1 << 18


@dataclass(frozen=True)
class Size:
    """Say what a .kmq file takes.

    Attributes
    ----------
    width, height : int
        Pixels.
    colors : int
        K, entries of the palette.
    index_bits : int
        Bits of a packed index: ceil(log2 K).
    file_bytes : int
        The whole .kmq file.
    raw_bytes : int
        The pixels at 8 bits a channel: 3 bytes each, 4 with alpha.
    source_bytes : int or None
        The original file, where there is one.
    ratio : float
        raw_bytes / file_bytes.
    bits_per_pixel : float
        Of the whole file.
    """

    width: int
    height: int
    colors: int
    index_bits: int
    file_bytes: int
    raw_bytes: int
    source_bytes: int | None
    ratio: float
    bits_per_pixel: float

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON: infinity as None."""
        return {key: None if value == math.inf else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Report(Size):
    """Say what a .kmq file takes, and how far it is from its original.

    Attributes
    ----------
    mse : float
        Mean over the pixels of the squared errors in R, G and B (0..255), summed. With alpha the mean of
        that of both pictures on black and that of both on white.
    psnr_db : float
        10 log10(255**2 / (mse / 3)), in decibels; infinite for an exact copy.
    """

    mse: float
    psnr_db: float


def measure_size(header: Header, *, source_bytes: int | None = None) -> Size:
    """Return the size of a file.

    Parameters
    ----------
    header : Header
    source_bytes : int, optional
        Size of the original file.
    """
    pixels = header.width * header.height
    raw_bytes = pixels * header.channels
    return Size(
        width=header.width,
        height=header.height,
        colors=header.n_colors,
        index_bits=header.index_bits,
        file_bytes=header.file_bytes,
        raw_bytes=raw_bytes,
        source_bytes=source_bytes,
        ratio=raw_bytes / header.file_bytes,
        bits_per_pixel=8 * header.file_bytes / pixels,
    )


def report(
    rgb: ArrayLike, data: bytes | bytearray | memoryview | FileLike, *, source_bytes: int | None = None
) -> Report:
    """Measure a .kmq file against its original.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        The original, sRGB with straight alpha. Not modified.
    data : bytes-like or seekable binary file object
        The .kmq file.
    source_bytes : int, optional
        Size of the file from which the original was read.

    Returns
    -------
    Report

    Raises
    ------
    KmqError
        If data is not a valid file, or too large.
    TypeError, ValueError
        If rgb is no such array, or has another width or height than the file.
    """
    original = check_pixels(rgb)
    reader = KmqReader(data)
    if original.shape[:2] != (reader.height, reader.width):
        raise ValueError(
            f"the original has {original.shape[1]} x {original.shape[0]} pixels,"
            f" the .kmq file {reader.width} x {reader.height}"
        )
    size = measure_size(reader.header, source_bytes=source_bytes)
    mse = mean_squared_error(original, reader.pixels())
    return Report(**asdict(size), mse=mse, psnr_db=psnr_db(mse))


def mean_squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean over the pixels of the squared errors, summed over R, G and B.

    Parameters
    ----------
    a, b : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        Of equal height and width. Where either has alpha, the mean of the errors on black and on white.
    """
    total = 0.0
    rows = max(1, _BLOCK_PIXELS // a.shape[1])
    for top in range(0, len(a), rows):
        total += _squared_error(a[top : top + rows], b[top : top + rows])
    return total / (int(a.shape[0]) * int(a.shape[1]))


def psnr_db(mse: float) -> float:
    """Return the peak signal-to-noise ratio in dB of a mean squared error summed over three channels."""
    return math.inf if mse == 0 else 10 * math.log10(255**2 / (mse / 3))


def _squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    if a.shape[2] == 3 and b.shape[2] == 3:
        difference = a.astype(np.int32) - b
        return float(np.einsum("ijk,ijk->", difference, difference, dtype=np.int64))
    (a_color, a_alpha), (b_color, b_alpha) = _premultiply(a), _premultiply(b)
    on_black = a_color - b_color
    on_white = on_black - 255 * (a_alpha - b_alpha)
    return float((np.square(on_black).sum() + np.square(on_white).sum()) / 2)


def _premultiply(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return colour times alpha (0..255), and alpha (0..1), shape (height, width, 1)."""
    if pixels.shape[2] == 3:
        return pixels.astype(np.float64), np.ones((*pixels.shape[:2], 1))
    alpha = pixels[:, :, 3:] / 255
    return pixels[:, :, :3] * alpha, alpha
