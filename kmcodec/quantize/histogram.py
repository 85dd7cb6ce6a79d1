"""Pixels -> distinct colours and how often each occurs; and back, pixels -> what was found for their colour.

Owns the tables by which pixels are counted and looked up, and the order of colours: by Morton code, so that
colours that are near each other are mostly near each other in the list. Knows nothing of clusters.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import Indices
from kmcodec.kernels import histogram as kernel
from kmcodec.threads import Workers, cut_range

# A full table grows twofold. A new one has room for a quarter of the pixels to be different colours, but
# for no more than fit the nearer caches.
_LEAST_TABLE_BITS = 8
_MOST_FIRST_TABLE_BITS = 18
_GROWTH_BITS = 1

# Pixels that are counted in about the time that it takes to hand them to a thread, and to join what the
# threads have counted.
_LEAST_COUNTED = 1 << 19

# Pixels that are looked up in about the time that it takes to hand them to a thread.
_LEAST_LOOKED_UP = 1 << 20

# Counters have 32 bits, and so have slots.
_MOST_COUNTED = (1 << 31) - 1

# Bits of a digit by which codes are sorted, and the number of digits, for three and for four channels.
_DIGITS = {3: (12, 2), 4: (11, 3)}


@functools.cache
def _spread_bits(channels: int) -> NDArray[np.uint32]:
    """Return for each channel and value the bits of a Morton code, red before green before blue."""
    values = np.arange(256, dtype=np.uint32)
    spread = np.zeros((channels, 256), np.uint32)
    for channel in range(channels):
        for bit in range(8):
            spread[channel] |= ((values >> bit) & 1) << (bit * channels + channels - 1 - channel)
    return spread


@functools.cache
def _gather_bits(channels: int) -> NDArray[np.uint32]:
    """Return for each half of a Morton code the four bits of each channel, a channel a byte."""
    spread = _spread_bits(channels)
    # Every combination of four bits in each channel.
    values = np.indices((16,) * channels, np.uint32).reshape(channels, -1)
    gathered = np.empty(1 << 4 * channels, np.uint32)
    codes = sum(spread[channel, values[channel]] for channel in range(channels))
    gathered[codes] = sum(values[channel] << 8 * channel for channel in range(channels))
    return gathered


@dataclass(frozen=True, eq=False)
class Histogram:
    """Hold the distinct colours of a picture, and which colour each pixel has.

    Attributes
    ----------
    colors : ndarray, shape (n, 3) or (n, 4), uint8
        The distinct colours, in the order of their codes.
    codes : ndarray, shape (n,), uint32
        Morton codes: the bits of all channels, the highest bits of all first. Ascending.
    counts : ndarray, shape (n,), int64
        Pixels of each colour, at least 1.
    rows : ndarray, shape (height, width), int32
        For each pixel the row of its colour in colors.
    """

    colors: NDArray[np.uint8]
    codes: NDArray[np.uint32]
    counts: NDArray[np.int64]
    rows: NDArray[np.int32]

    @classmethod
    def count(cls, pixels: NDArray[np.uint8], workers: Workers) -> Histogram:
        """Count the colours of a picture.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        workers : Workers
        """
        height, width, channels = pixels.shape
        flat = np.ascontiguousarray(pixels).reshape(-1)
        # At first the slot of each pixel's colour in the table of its part.
        rows = np.empty(height * width, np.int32)
        # For each thread a part; more only where a counter could overflow.
        n_parts = max(workers.count, -(-height * width // _MOST_COUNTED))
        runs = cut_range(height * width, n_parts, _LEAST_COUNTED)
        counted = workers.map(
            lambda run: _count_part(flat[channels * run[0] : channels * run[1]], channels, rows[slice(*run)]),
            runs,
        )
        # All in one array, since copies of many colours would take much memory.
        entries = np.empty(sum(known for _, known in counted) + 1, np.uint64)
        end = 0
        for table, known in counted:
            kernel.list_entries(table, entries[end : end + known + 1])
            end += known
        entries = _sort_entries(entries[:end], channels)
        colors = np.empty((end, channels), np.uint8)
        codes, counts = np.empty(end, np.uint32), np.empty(end, np.int64)
        n = kernel.unpack_entries(entries, _gather_bits(channels), colors, codes, counts)
        colors, codes, counts = colors[:n], codes[:n], counts[:n]

        def find_rows(part: int) -> None:
            table = counted[part][0]
            row_of_slot = np.empty(len(table), np.int32)
            kernel.number_slots(codes, table, len(table).bit_length() - 1, row_of_slot)
            slots = rows[slice(*runs[part])]
            kernel.look_up(slots, row_of_slot, slots)

        workers.map(find_rows, range(len(runs)))
        return cls(colors, codes, counts, rows.reshape(height, width))

    def look_up(self, values: Indices, workers: Workers) -> Indices:
        """Return for each pixel the value of its colour.

        Parameters
        ----------
        values : ndarray, shape (n,), uint8 or uint16
            A value for each row of colors.
        workers : Workers

        Returns
        -------
        ndarray, shape (height, width), the dtype of values
        """
        found: Indices = np.empty(self.rows.shape, values.dtype)
        flat_rows, flat_found = self.rows.reshape(-1), found.reshape(-1)
        workers.map(
            lambda run: kernel.look_up(flat_rows[slice(*run)], values, flat_found[slice(*run)]),
            cut_range(found.size, workers.count, _LEAST_LOOKED_UP),
        )
        return found


def _count_part(
    pixels: NDArray[np.uint8], channels: int, slots: NDArray[np.int32]
) -> tuple[NDArray[np.uint64], int]:
    """Count pixels; return the table and how many colours are in it. slots receives each pixel's slot."""
    table_bits = min(max((len(slots) // 3).bit_length(), _LEAST_TABLE_BITS), _MOST_FIRST_TABLE_BITS)
    table = np.zeros(1 << table_bits, np.uint64)
    pixel = known = 0
    while True:
        pixel, known = kernel.count_colors(
            pixels, _spread_bits(channels), pixel, table, table_bits, known, slots
        )
        if pixel == len(slots):
            return table, known
        table_bits += _GROWTH_BITS
        larger = np.zeros(1 << table_bits, np.uint64)
        moved = np.empty(len(table), np.int32)
        kernel.grow_table(table, larger, table_bits, moved)
        kernel.look_up(slots[:pixel], moved, slots[:pixel])
        table = larger


def _sort_entries(entries: NDArray[np.uint64], channels: int) -> NDArray[np.uint64]:
    digit_bits, passes = _DIGITS[channels]
    scratch = np.empty_like(entries)
    kernel.sort_entries(entries, scratch, digit_bits, np.zeros((passes, 1 << digit_bits), np.intp))
    return scratch if passes % 2 else entries
