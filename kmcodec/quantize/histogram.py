"""Pixels -> distinct colours and how often each occurs; and back, pixels -> what was found for their colour.

Owns the tables by which pixels are counted and looked up, and the order of colours: by Morton code, so that
colours that are near each other are mostly near each other in the list. Knows nothing of clusters.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.kernels import histogram as kernel
from kmcodec.threads import Workers, cut_range

# A full table grows fourfold. A new one has room for a quarter of the pixels to be different colours, but
# for no more than fit the nearer caches.
_LEAST_TABLE_BITS = 8
_MOST_FIRST_TABLE_BITS = 18
_GROWTH_BITS = 2

# Pixels that are counted in about the time that it takes to hand them to a thread, and to join what the
# threads have counted.
_LEAST_COUNTED = 1 << 19

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
    spread = _spread_bits(channels)[:, :16]
    values = np.arange(16, dtype=np.uint32)
    gathered = np.zeros(1 << 4 * channels, np.uint32)
    for channel in range(channels):
        # Every combination with the channels before: those are filled, the others still zero.
        filled = np.flatnonzero(gathered) if channel else np.zeros(0, np.intp)
        known = np.concatenate([np.zeros(1, np.intp), filled])
        places = known[:, None] | spread[channel].astype(np.intp)
        gathered[places] = gathered[known][:, None] | values << (8 * channel)
    return gathered


class _Part(NamedTuple):
    """Hold what was counted in a part of a picture: for each pixel its slot in the table."""

    table: NDArray[np.uint64]
    slots: NDArray[np.int32]


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
    """

    colors: NDArray[np.uint8]
    codes: NDArray[np.uint32]
    counts: NDArray[np.int64]
    _parts: list[_Part]
    _shape: tuple[int, int]

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
        # For each thread a table; more only where a counter could overflow.
        n_parts = max(workers.count, -(-height * width // _MOST_COUNTED))
        runs = cut_range(height * width, n_parts, _LEAST_COUNTED)
        counted = workers.map(
            lambda run: _count_part(flat[channels * run[0] : channels * run[1]], channels), runs
        )
        entries = _sort_entries(np.concatenate([part[1] for part in counted]), channels)
        colors = np.empty((len(entries), channels), np.uint8)
        codes, counts = np.empty(len(entries), np.uint32), np.empty(len(entries), np.int64)
        n = kernel.unpack_entries(entries, _gather_bits(channels), colors, codes, counts)
        return cls(colors[:n], codes[:n], counts[:n], [part[0] for part in counted], (height, width))

    def look_up(self, values: Any, workers: Workers) -> Any:
        """Return for each pixel the value of its colour.

        Parameters
        ----------
        values : ndarray, shape (n,), uint8, uint16 or int32
            A value for each row of colors.
        workers : Workers

        Returns
        -------
        ndarray, shape (height, width), the dtype of values
        """
        found = np.empty(self._shape, values.dtype)
        ends = np.cumsum([len(part.slots) for part in self._parts])

        def look_up_part(number: int) -> None:
            table, slots = self._parts[number]
            slot_values = np.empty(len(table), values.dtype)
            kernel.label_slots(self.codes, values, table, len(table).bit_length() - 1, slot_values)
            part = found.reshape(-1)[ends[number] - len(slots) : ends[number]]
            kernel.look_up_slots(slots, slot_values, part)

        workers.map(look_up_part, range(len(self._parts)))
        return found


def _count_part(pixels: NDArray[np.uint8], channels: int) -> tuple[_Part, NDArray[np.uint64]]:
    """Count pixels; also return the distinct colours, in no order, as code << 32 | count."""
    n_pixels = len(pixels) // channels
    slots = np.empty(n_pixels, np.int32)
    table_bits = min(max((n_pixels // 3).bit_length(), _LEAST_TABLE_BITS), _MOST_FIRST_TABLE_BITS)
    table = np.zeros(1 << table_bits, np.uint64)
    pixel = known = 0
    while True:
        pixel, known = kernel.count_colors(
            pixels, _spread_bits(channels), pixel, table, table_bits, known, slots
        )
        if pixel == n_pixels:
            break
        table_bits += _GROWTH_BITS
        larger = np.zeros(1 << table_bits, np.uint64)
        moved = np.empty(len(table), np.int32)
        kernel.grow_table(table, larger, table_bits, moved)
        slots[:pixel] = moved[slots[:pixel]]
        table = larger
    entries = np.empty(known + 1, np.uint64)
    kernel.list_entries(table, entries)
    return _Part(table, slots), entries[:known]


def _sort_entries(entries: NDArray[np.uint64], channels: int) -> NDArray[np.uint64]:
    digit_bits, passes = _DIGITS[channels]
    scratch = np.empty_like(entries)
    kernel.sort_entries(entries, scratch, digit_bits, np.zeros((passes, 1 << digit_bits), np.intp))
    return scratch if passes % 2 else entries
