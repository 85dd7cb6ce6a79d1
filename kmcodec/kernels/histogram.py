# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Count distinct colours in a hash table, and look pixels up in it.

Owns the table: 2**table_bits slots of 64 bits, open addressing with linear probing; a slot is 0 when
empty, else (number of the colour + 1) << 32 | key. A key is red | green << 8 | blue << 16 | alpha << 24
(alpha 0 for three channels). Knows nothing of clusters, and validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["count_colors", "insert_keys", "look_up_pixels"]

Index = cython.fused_type(cython.uchar, cython.ushort)

# Multiplicative hashing (Knuth, TAOCP 6.4): 2**32 divided by the golden ratio, which spreads neighbours.
MULTIPLIER = cython.declare(cython.ulonglong, 0x9E3779B1)
LOW_32_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFF)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _key(
    pixels: cython.const[cython.uchar][::1], i: cython.Py_ssize_t, channels: cython.int
) -> cython.ulonglong:
    key: cython.ulonglong = pixels[channels * i]
    key |= pixels[channels * i + 1] << 8
    key |= pixels[channels * i + 2] << 16
    if channels == 4:
        # Widened first: in C, a byte shifted by 24 would reach the sign bit of an int.
        alpha: cython.ulonglong = pixels[channels * i + 3]
        key |= alpha << 24
    return key


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find(table: cython.ulonglong[::1], key: cython.ulonglong, table_bits: cython.int) -> cython.Py_ssize_t:
    """Return the slot that holds key, or the empty one where it belongs."""
    slot: cython.Py_ssize_t = ((key * MULTIPLIER) & LOW_32_BITS) >> (32 - table_bits)
    last: cython.Py_ssize_t = (1 << table_bits) - 1
    while table[slot] != 0 and (table[slot] & LOW_32_BITS) != key:
        slot = (slot + 1) & last
    return slot


def insert_keys(
    table: cython.ulonglong[::1], table_bits: cython.int, keys: cython.const[cython.uint][::1]
) -> None:
    """Enter keys[0], keys[1], ... as colours 0, 1, ... into an empty table."""
    i: cython.Py_ssize_t
    number: cython.ulonglong
    with cython.nogil:
        for i in range(keys.shape[0]):
            number = i + 1
            table[_find(table, keys[i], table_bits)] = number << 32 | keys[i]


def count_colors(
    pixels: cython.const[cython.uchar][::1],
    channels: cython.int,
    start: cython.Py_ssize_t,
    table: cython.ulonglong[::1],
    table_bits: cython.int,
    keys: cython.uint[::1],
    counts: cython.longlong[::1],
    known: cython.Py_ssize_t,
) -> tuple[int, int]:
    """Count pixels from start on; stop before a new colour for which keys has no room.

    Returns the pixel at which it stopped, and the number of colours known by then. keys has at most
    half as many entries as table.
    """
    n_pixels: cython.Py_ssize_t = pixels.shape[0] // channels
    room: cython.Py_ssize_t = keys.shape[0]
    i: cython.Py_ssize_t = start
    color: cython.Py_ssize_t = 0
    slot: cython.Py_ssize_t
    number: cython.ulonglong
    key: cython.ulonglong
    # No key: neighbouring pixels are often equal, and then need no search.
    previous: cython.ulonglong = 1 << 32
    with cython.nogil:
        while i < n_pixels:
            key = _key(pixels, i, channels)
            if key != previous:
                slot = _find(table, key, table_bits)
                if table[slot] == 0:
                    if known == room:
                        break
                    keys[known] = key
                    counts[known] = 0
                    known += 1
                    number = known
                    table[slot] = number << 32 | key
                color = (table[slot] >> 32) - 1
                previous = key
            counts[color] += 1
            i += 1
    return i, known


def look_up_pixels(
    pixels: cython.const[cython.uchar][::1],
    channels: cython.int,
    table: cython.ulonglong[::1],
    table_bits: cython.int,
    indices_of_colors: cython.const[Index][::1],
    indices: Index[::1],
) -> None:
    """Write to indices the entry of indices_of_colors for each pixel's colour, which is in table."""
    i: cython.Py_ssize_t
    color: cython.Py_ssize_t = 0
    key: cython.ulonglong
    previous: cython.ulonglong = 1 << 32
    with cython.nogil:
        for i in range(indices.shape[0]):
            key = _key(pixels, i, channels)
            if key != previous:
                color = (table[_find(table, key, table_bits)] >> 32) - 1
                previous = key
            indices[i] = indices_of_colors[color]
