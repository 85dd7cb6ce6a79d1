"""Pixels -> distinct colours and how often each occurs; and back, pixels -> what was found for their colour.

Owns the tables by which pixels are counted and looked up, and the order of colours: by Morton code, so that
colours that are near each other are mostly near each other in the list. Knows nothing of clusters.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

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

# Threads that count with a counter for each colour: 64 MiB each.
_MOST_COUNTERS = 4

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


class Histogram(NamedTuple):
    """Hold the distinct colours of a picture.

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

    def add_alpha(self) -> Histogram:
        """Return the histogram of three channels with a fourth, which is opaque everywhere.

        The order of colours is the same: their codes have all the same bits more.
        """
        colors = np.hstack([self.colors, np.full((len(self.colors), 1), 255, np.uint8)])
        return Histogram(colors, _encode_colors(colors), self.counts)


def count_picture(pixels: NDArray[np.uint8], workers: Workers) -> tuple[Histogram, NDArray[np.int32]]:
    """Count the colours of a picture.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3) or (height, width, 4), uint8
    workers : Workers

    Returns
    -------
    Histogram
    ndarray, shape (height, width), int32
        For each pixel the row of its colour.
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
    histogram = _join_tables(counted, channels)

    def find_rows(part: int) -> None:
        table = counted[part].slots
        row_of_slot = np.empty(len(table), np.int32)
        kernel.number_slots(histogram.codes, table, len(table).bit_length() - 1, row_of_slot)
        slots = rows[slice(*runs[part])]
        kernel.look_up(slots, row_of_slot, slots)

    workers.map(find_rows, range(len(runs)))
    return histogram, rows.reshape(height, width)


def look_up(rows: NDArray[np.int32], values: Indices, workers: Workers) -> Indices:
    """Return for each pixel the value of its colour.

    Parameters
    ----------
    rows : ndarray, shape (height, width), int32
        For each pixel the row of its colour.
    values : ndarray, shape (n,), uint8 or uint16
        A value for each row.
    workers : Workers

    Returns
    -------
    ndarray, shape (height, width), the dtype of values
    """
    found: Indices = np.empty(rows.shape, values.dtype)
    flat_rows, flat_found = rows.reshape(-1), found.reshape(-1)
    workers.map(
        lambda run: kernel.look_up(flat_rows[slice(*run)], values, flat_found[slice(*run)]),
        cut_range(found.size, workers.count, _LEAST_LOOKED_UP),
    )
    return found


class _Table:
    """Count colours in a hash table that grows."""

    def __init__(self, table_bits: int) -> None:
        self.bits = table_bits
        self.slots = np.zeros(1 << table_bits, np.uint64)
        self.known = 0

    def count(self, pixels: NDArray[np.uint8], channels: int, slots: NDArray[np.int32]) -> None:
        """Count pixels; slots receives the slot of each one's colour."""
        pixel = 0
        while True:
            pixel, self.known = kernel.count_colors(
                pixels, _spread_bits(channels), pixel, self.slots, self.bits, self.known, slots
            )
            if pixel == len(slots):
                return
            self.bits += _GROWTH_BITS
            larger = np.zeros(1 << self.bits, np.uint64)
            moved = np.empty(len(self.slots), np.int32)
            kernel.grow_table(self.slots, larger, self.bits, moved)
            kernel.look_up(slots[:pixel], moved, slots[:pixel])
            self.slots = larger


def _count_part(pixels: NDArray[np.uint8], channels: int, slots: NDArray[np.int32]) -> _Table:
    table = _Table(min(max((len(slots) // 3).bit_length(), _LEAST_TABLE_BITS), _MOST_FIRST_TABLE_BITS))
    table.count(pixels, channels, slots)
    return table


def _join_tables(tables: list[_Table], channels: int) -> Histogram:
    """Return the histogram of what is in all tables."""
    # All in one array, since copies of many colours would take much memory.
    entries = np.empty(sum(table.known for table in tables) + 1, np.uint64)
    end = 0
    for table in tables:
        kernel.list_entries(table.slots, entries[end : end + table.known + 1])
        end += table.known
    digit_bits, passes = _DIGITS[channels]
    entries, scratch = entries[:end], np.empty(end, np.uint64)
    kernel.sort_entries(entries, scratch, digit_bits, np.zeros((passes, 1 << digit_bits), np.intp))
    if passes % 2:
        entries = scratch
    colors = np.empty((end, channels), np.uint8)
    codes, counts = np.empty(end, np.uint32), np.empty(end, np.int64)
    n = kernel.unpack_entries(entries, _gather_bits(channels), colors, codes, counts)
    return Histogram(colors[:n], codes[:n], counts[:n])


class ColorCounter:
    """Count the colours of a picture that comes in parts.

    Its memory does not depend on the number of pixels: with three channels, there is a counter for each of
    the 2**24 colours and each thread; with four, a hash table grows with the number of colours.

    Parameters
    ----------
    workers : Workers
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._counters: list[NDArray[np.uint32]] = []
        self._totals: NDArray[np.int64] | None = None
        self._uncollected = 0
        self._tables: list[_Table] = []
        self._counted = 0

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Count pixels.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        """
        if pixels.shape[2] == 4 and not (pixels[:, :, 3] == 255).all():
            self._add_transparent(pixels)
        else:
            self._add_opaque(np.ascontiguousarray(pixels[:, :, :3]).reshape(-1))

    def _add_opaque(self, flat: NDArray[np.uint8]) -> None:
        n_pixels = len(flat) // 3
        if self._uncollected + n_pixels > _MOST_COUNTED:
            self._collect()
        self._uncollected += n_pixels
        runs = cut_range(n_pixels, min(self._workers.count, _MOST_COUNTERS), _LEAST_COUNTED)
        while len(self._counters) < len(runs):
            self._counters.append(np.zeros(1 << 24, np.uint32))

        def count_run(part: int) -> None:
            start, end = runs[part]
            kernel.count_codes(flat[3 * start : 3 * end], _spread_bits(3), self._counters[part])

        self._workers.map(count_run, range(len(runs)))

    def _add_transparent(self, pixels: NDArray[np.uint8]) -> None:
        flat = np.ascontiguousarray(pixels).reshape(-1)
        n_pixels = len(flat) // 4
        if not self._tables or self._counted + n_pixels > _MOST_COUNTED:
            self._tables.append(_Table(_MOST_FIRST_TABLE_BITS))
            self._counted = 0
        self._counted += n_pixels
        self._tables[-1].count(flat, 4, np.empty(n_pixels, np.int32))

    def _collect(self) -> None:
        if self._totals is None:
            self._totals = np.zeros(1 << 24, np.int64)
        for counter in self._counters:
            self._totals += counter
        self._counters = []
        self._uncollected = 0

    def finish(self) -> Histogram:
        """Return the histogram; with four channels only if a pixel was not opaque."""
        self._collect()
        assert self._totals is not None
        codes = np.flatnonzero(self._totals).astype(np.uint32)
        opaque = Histogram(_decode_colors(codes), codes, self._totals[codes])
        self._totals = None
        if not self._tables:
            return opaque
        histogram = _join_tables(self._tables, 4)
        self._tables = []
        return _merge(opaque.add_alpha(), histogram) if len(codes) else histogram


class ColorTable:
    """Find what was found for the colours of pixels that come in parts.

    Parameters
    ----------
    histogram : Histogram
        Has all colours of the pixels.
    values : ndarray, shape (n,), uint8, uint16 or int32
        A value for each colour.
    """

    def __init__(self, histogram: Histogram, values: NDArray[Any]) -> None:
        self._channels = histogram.colors.shape[1]
        self._dtype = values.dtype
        if self._channels == 3:
            self._values = np.zeros(1 << 24, values.dtype)
            self._values[histogram.codes] = values
            return
        n = len(histogram.colors)
        self._table = _Table(_LEAST_TABLE_BITS)
        slots = np.empty(n, np.int32)
        self._table.count(np.ascontiguousarray(histogram.colors).reshape(-1), 4, slots)
        self._values = np.zeros(len(self._table.slots), values.dtype)
        self._values[slots] = values

    def find(self, pixels: NDArray[np.uint8], workers: Workers) -> NDArray[Any]:
        """Return the value of each pixel, shape (height, width).

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3) or (height, width, 4), uint8
            With a fourth channel only if the histogram has one, or all are opaque.
        workers : Workers
        """
        height, width, channels = pixels.shape
        if channels > self._channels:
            pixels = pixels[:, :, :3]
        elif channels < self._channels:
            pixels = np.dstack([pixels, np.full((height, width), 255, np.uint8)])
        channels, flat = self._channels, np.ascontiguousarray(pixels).reshape(-1)
        found = np.empty(height * width, self._dtype)

        def find_run(run: tuple[int, int]) -> None:
            part, target = flat[channels * run[0] : channels * run[1]], found[slice(*run)]
            if channels == 3:
                kernel.find_codes(part, _spread_bits(3), self._values, target)
            else:
                table = self._table
                kernel.find_colors(part, _spread_bits(4), table.slots, table.bits, self._values, target)

        workers.map(find_run, cut_range(len(found), workers.count, _LEAST_LOOKED_UP))
        return found.reshape(height, width)


def _encode_colors(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the Morton codes of colours."""
    spread = _spread_bits(colors.shape[1])
    codes: NDArray[np.uint32] = spread[0][colors[:, 0]]
    for channel in range(1, colors.shape[1]):
        codes |= spread[channel][colors[:, channel]]
    return codes


def _decode_colors(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the colours, of three channels, of Morton codes."""
    gathered = _gather_bits(3)
    packed = gathered[codes >> 12] << 4 | gathered[codes & 0xFFF]
    return np.stack([packed & 0xFF, packed >> 8 & 0xFF, packed >> 16], axis=1).astype(np.uint8)


def _merge(a: Histogram, b: Histogram) -> Histogram:
    """Return the histogram of two pictures together."""
    codes, places = np.unique(np.concatenate([a.codes, b.codes]), return_inverse=True)
    colors = np.empty((len(codes), a.colors.shape[1]), np.uint8)
    counts = np.zeros(len(codes), np.int64)
    for part, part_places in ((a, places[: len(a.codes)]), (b, places[len(a.codes) :])):
        colors[part_places] = part.colors
        counts[part_places] += part.counts
    return Histogram(colors, codes, counts)
