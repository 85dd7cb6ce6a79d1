""".kmq file -> a small picture of it, in little memory however large it is. Knows no picture format."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kmcodec.container.parts import check_strip_limit
from kmcodec.container.reader import KmqReader

# Pixels that are averaged at a time.
_BLOCK_PIXELS = 1 << 18


def make_thumbnail(reader: KmqReader, size: int, *, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Return a picture made small: each pixel is the mean of all that it covers.

    Means are taken of the stored values, which is what dithering mixes; with alpha, of colours by their
    opacity. The memory is that of a strip.

    Parameters
    ----------
    reader : KmqReader
    size : int
        Width and height are at most this many pixels. A picture that is as small already stays as it is.
    max_pixels : int, optional
        A strip, or a picture of one colour, of more pixels is refused.

    Returns
    -------
    ndarray, shape (height, width, 3 or 4), uint8
        Straight alpha.

    Raises
    ------
    KmqFormatError
        If the file is damaged.
    LimitExceededError
        If max_pixels forbids it.
    """
    header = reader.header
    check_strip_limit(header, max_pixels)
    if max(header.width, header.height) <= size:
        return reader.pixels()
    height, width = fit_size(header.height, header.width, size)
    # Premultiplied, so that the colour of what is transparent does not shine through.
    palette = reader.palette.astype(np.float32)
    if header.has_alpha:
        palette[:, :3] *= palette[:, 3:] / 255
    totals = np.zeros((height, width, header.channels))
    # The rows of the picture are the edges of those of the thumbnail, times this.
    scale = header.height / height
    row = 0
    for indices in _cut_rows(reader):
        sums = _sum_columns(indices, palette, width)
        first = int(row / scale)
        last = min(math.ceil((row + len(indices)) / scale), height)
        edges = np.arange(first, last + 1) * scale - row
        totals[first:last] += _sum_between(sums, np.clip(edges, 0, len(indices)))
        row += len(indices)
    means = totals / (scale * header.width / width)
    if header.has_alpha:
        means[:, :, :3] *= 255 / np.maximum(means[:, :, 3:], 0.5)
    return np.clip(np.rint(means), 0, 255).astype(np.uint8)


def fit_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Return height and width with the larger one of a size, the other rounded, at least 1."""
    longest = max(height, width)
    return max(1, round(height * size / longest)), max(1, round(width * size / longest))


def _cut_rows(reader: KmqReader) -> Iterator[NDArray[np.unsignedinteger]]:
    """Yield the indices in blocks of rows."""
    step = max(1, _BLOCK_PIXELS // reader.width)
    for strip in reader.strips():
        for start in range(0, len(strip), step):
            yield strip[start : start + step]


def _sum_columns(
    indices: NDArray[np.unsignedinteger], palette: NDArray[np.float32], width: int
) -> NDArray[np.float64]:
    """Return the sum of the colours that each pixel of a row of the thumbnail covers in each row."""
    scale = indices.shape[1] / width
    sums = np.empty((len(indices), width, palette.shape[1]))
    # A row alone can be larger than all that is to be in memory.
    step = max(1, int(_BLOCK_PIXELS / (scale * len(indices))))
    for start in range(0, width, step):
        stop = min(start + step, width)
        left, right = int(start * scale), min(math.ceil(stop * scale), indices.shape[1])
        edges = np.clip(np.arange(start, stop + 1) * scale - left, 0, right - left)
        colors = palette[indices[:, left:right]].transpose(1, 0, 2)
        sums[:, start:stop] = _sum_between(colors, edges).transpose(1, 0, 2)
    return sums


def _sum_between(values: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums along the first axis between edges, which may lie within an element."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, dtype=np.float64, out=sums[1:])
    whole = np.minimum(edges.astype(np.intp), len(values) - 1)
    part = (edges - whole).reshape(-1, *[1] * (values.ndim - 1))
    at_edges: NDArray[np.float64] = sums[whole] + part * (sums[whole + 1] - sums[whole])
    return at_edges[1:] - at_edges[:-1]
