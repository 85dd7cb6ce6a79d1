"""Pixels -> distinct colours and how often each occurs; and back, pixels -> what was found for their colour.

Owns the hash table's growth. Knows nothing of clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import Indices
from kmcodec.kernels import histogram as kernel
from kmcodec.threads import Workers, cut_range

# A new table has room for 2**11 colours; a full one grows fourfold.
_FIRST_TABLE_BITS = 12
_GROWTH_BITS = 2

# Pixels that are looked up in about the time that it takes to start a thread.
_LEAST_PIXELS = 1 << 15


@dataclass(frozen=True, eq=False)
class Histogram:
    """Hold the distinct colours of a picture.

    Attributes
    ----------
    colors : ndarray, shape (n, 3) or (n, 4), uint8
        The distinct colours, in an order that depends on nothing but the colours.
    counts : ndarray, shape (n,), int64
        Pixels of each colour, at least 1.
    """

    colors: NDArray[np.uint8]
    counts: NDArray[np.int64]
    _table: NDArray[np.uint64]
    # For each colour in the order in which the table counted them, its row in colors.
    _rows: NDArray[np.intp]

    @classmethod
    def count(cls, pixels: NDArray[np.uint8]) -> Histogram:
        """Count the colours of a picture.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        """
        channels = pixels.shape[2]
        flat = np.ascontiguousarray(pixels).reshape(-1)
        n_pixels = len(flat) // channels
        table_bits = _FIRST_TABLE_BITS
        keys, counts = np.empty(0, np.uint32), np.empty(0, np.int64)
        pixel = known = 0
        while True:
            table = np.zeros(1 << table_bits, np.uint64)
            kernel.insert_keys(table, table_bits, keys)
            # At most half full, so that searches stay short.
            more = (len(table) // 2) - len(keys)
            keys = np.concatenate([keys, np.empty(more, np.uint32)])
            counts = np.concatenate([counts, np.empty(more, np.int64)])
            pixel, known = kernel.count_colors(flat, channels, pixel, table, table_bits, keys, counts, known)
            if pixel == n_pixels:
                break
            table_bits += _GROWTH_BITS
        order = np.argsort(keys[:known])
        rows = np.empty(known, np.intp)
        rows[order] = np.arange(known)
        colors = keys[order].astype("<u4").view(np.uint8).reshape(-1, 4)[:, :channels]
        return cls(np.ascontiguousarray(colors), counts[order], table, rows)

    def look_up(
        self,
        pixels: NDArray[np.uint8],
        values: Indices,
        workers: Workers,
    ) -> Indices:
        """Return for each pixel the value of its colour.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3 or 4), uint8
            The picture that was counted, or any whose colours all occur in it.
        values : ndarray, shape (n,), uint8 or uint16
            A value for each row of colors.
        workers : Workers

        Returns
        -------
        ndarray, shape (height, width), the dtype of values
        """
        channels = pixels.shape[2]
        flat = np.ascontiguousarray(pixels).reshape(-1)
        found: Indices = np.empty(pixels.shape[:2], values.dtype)
        counted_values = values[self._rows]
        table_bits = len(self._table).bit_length() - 1

        def look_up_run(run: tuple[int, int]) -> None:
            start, end = run
            kernel.look_up_pixels(
                flat[channels * start : channels * end],
                channels,
                self._table,
                table_bits,
                counted_values,
                found.reshape(-1)[start:end],
            )

        workers.map(look_up_run, cut_range(found.size, workers.count, _LEAST_PIXELS))
        return found
