"""What is learned of a picture from a part of it, quickly: how it looks, and about how large it would be."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import write_image
from kmcodec.image import IndexedImage
from kmcodec.report.measure import measure_parts

# Enough for measures to come within some hundredths, and few enough for all of them to take some 50 ms.
_SAMPLE_PIXELS = 1 << 16

# Pixels that lie beside each other in the sample should do so in the picture, too: at the seams of tiles they
# do not, which windows of SSIM and contexts of pixels reach across.
_TILE_SIDE = 64

#: Rows and columns of a sample: what NumPy's ix_ returns.
Tiles: TypeAlias = tuple[NDArray[np.intp], ...]


def choose_tiles(height: int, width: int) -> Tiles:
    """Return tiles that are evenly spread over a picture: an index into its pixels; all of a small one."""
    tile_height, tile_width = min(_TILE_SIDE, height), min(_TILE_SIDE, width)
    if height * width <= _SAMPLE_PIXELS:
        return np.ix_(np.arange(height), np.arange(width))
    n_tiles = _SAMPLE_PIXELS // (tile_height * tile_width)
    n_rows = round(math.sqrt(n_tiles * (height / tile_height) / (width / tile_width)))
    n_rows = min(max(1, n_rows), n_tiles, height // tile_height)
    n_columns = min(max(1, n_tiles // n_rows), width // tile_width)
    return np.ix_(_spread(height, tile_height, n_rows), _spread(width, tile_width, n_columns))


def _spread(length: int, side: int, count: int) -> NDArray[np.intp]:
    """Return the places of some tiles along a length; of one, those in the middle."""
    room = length - side
    starts = np.linspace(0, room, count) if count > 1 else np.array([room / 2])
    return (starts.astype(np.intp)[:, None] + np.arange(side)).ravel()


def estimate_index_bytes(image: IndexedImage, coding: str) -> float:
    """Return about how many bytes the indices of an image would take in a coding."""
    height, width = image.indices.shape
    indices: NDArray[Any] = np.ascontiguousarray(image.indices[choose_tiles(height, width)])
    header = KmqReader(write_image(IndexedImage(image.palette, indices), coding=coding, threads=1)).header
    return measure_parts(header).indices * image.indices.size / indices.size
