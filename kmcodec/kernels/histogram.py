# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Count distinct colours in a hash table, sort them, and find pixels' colours again.

A colour is known by its Morton code: the bits of its channels interleaved, so that near codes are near
colours. spread (channels, 256) holds the bits of each value of each channel at their places.

A table has 2**table_bits slots of 64 bits, open addressing with linear probing; a slot is code << 32 |
count; an empty slot is 0. Knows nothing of clusters, and validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = [
    "count_codes",
    "count_colors",
    "find_codes",
    "find_colors",
    "grow_table",
    "list_entries",
    "look_up",
]
__all__ += ["number_slots", "sort_entries", "unpack_entries"]

Index = cython.fused_type(cython.uchar, cython.ushort, cython.int)

# Multiplicative hashing (Knuth, TAOCP 6.4): 2**32 divided by the golden ratio, which spreads neighbours.
MULTIPLIER = cython.declare(cython.ulonglong, 0x9E3779B1)
LOW_32_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFF)

# No code has this.
NONE = cython.declare(cython.ulonglong, 0x100000000)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _code(
    pixels: cython.const[cython.uchar][::1],
    i: cython.Py_ssize_t,
    channels: cython.Py_ssize_t,
    spread: cython.const[cython.uint][:, ::1],
) -> cython.ulonglong:
    code: cython.ulonglong = spread[0, pixels[channels * i]]
    code |= spread[1, pixels[channels * i + 1]]
    code |= spread[2, pixels[channels * i + 2]]
    if channels == 4:
        code |= spread[3, pixels[channels * i + 3]]
    return code


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find(table: cython.ulonglong[::1], code: cython.ulonglong, table_bits: cython.int) -> cython.Py_ssize_t:
    """Return the slot that holds code, or the empty one where it belongs."""
    slot: cython.Py_ssize_t = ((code * MULTIPLIER) & LOW_32_BITS) >> (32 - table_bits)
    last: cython.Py_ssize_t = (1 << table_bits) - 1
    while table[slot] != 0 and (table[slot] >> 32) != code:
        slot = (slot + 1) & last
    return slot


def grow_table(
    table: cython.const[cython.ulonglong][::1],
    larger: cython.ulonglong[::1],
    larger_bits: cython.int,
    moved: cython.int[::1],
) -> None:
    """Enter a table's slots into a larger one, which is empty; moved receives where each slot went."""
    i: cython.Py_ssize_t
    slot: cython.Py_ssize_t
    with cython.nogil:
        for i in range(table.shape[0]):
            if table[i] != 0:
                slot = _find(larger, table[i] >> 32, larger_bits)
                larger[slot] = table[i]
                moved[i] = slot


def count_colors(
    pixels: cython.const[cython.uchar][::1],
    spread: cython.const[cython.uint][:, ::1],
    start: cython.Py_ssize_t,
    table: cython.ulonglong[::1],
    table_bits: cython.int,
    known: cython.Py_ssize_t,
    slots: cython.int[::1],
) -> tuple[int, int]:
    """Count pixels, fewer than 2**32, from start on; stop before a new colour when three quarters are full.

    slots receives the slot of each pixel's colour. Returns the pixel at which it stopped, and the number of
    colours known by then.
    """
    channels: cython.Py_ssize_t = spread.shape[0]
    n_pixels: cython.Py_ssize_t = slots.shape[0]
    room: cython.Py_ssize_t = table.shape[0] // 4 * 3
    i: cython.Py_ssize_t = start
    slot: cython.Py_ssize_t = 0
    code: cython.ulonglong
    previous: cython.ulonglong = NONE
    with cython.nogil:
        while i < n_pixels:
            code = _code(pixels, i, channels, spread)
            # Neighbouring pixels are often equal, and then need no search.
            if code != previous:
                slot = _find(table, code, table_bits)
                if table[slot] == 0:
                    if known == room:
                        break
                    known += 1
                    table[slot] = code << 32
                previous = code
            table[slot] += 1
            slots[i] = slot
            i += 1
    return i, known


def list_entries(table: cython.const[cython.ulonglong][::1], entries: cython.ulonglong[::1]) -> None:
    """Write the slots of table that are not empty to entries, which has room for just one more."""
    n: cython.Py_ssize_t = 0
    slot: cython.Py_ssize_t
    with cython.nogil:
        for slot in range(table.shape[0]):
            # Written always, and kept if it was not empty: a branch would be guessed wrong half the time.
            entries[n] = table[slot]
            n += table[slot] != 0


def sort_entries(
    entries: cython.ulonglong[::1],
    scratch: cython.ulonglong[::1],
    digit_bits: cython.int,
    starts: cython.Py_ssize_t[:, ::1],
) -> None:
    """Sort entries by code, in passes over digits of digit_bits.

    scratch has the shape of entries, starts (passes, 2**digit_bits) is zero. After an odd number of passes
    the result is in scratch, else in entries.
    """
    n: cython.Py_ssize_t = entries.shape[0]
    passes: cython.Py_ssize_t = starts.shape[0]
    mask: cython.ulonglong = (1 << digit_bits) - 1
    i: cython.Py_ssize_t
    place: cython.Py_ssize_t
    count: cython.Py_ssize_t
    digit: cython.Py_ssize_t
    p: cython.Py_ssize_t
    shift: cython.Py_ssize_t
    entry: cython.ulonglong
    with cython.nogil:
        for i in range(n):
            for p in range(passes):
                starts[p, (entries[i] >> (32 + digit_bits * p)) & mask] += 1
        for p in range(passes):
            place = 0
            for digit in range(starts.shape[1]):
                count = starts[p, digit]
                starts[p, digit] = place
                place += count
        for p in range(passes):
            shift = 32 + digit_bits * p
            for i in range(n):
                entry = scratch[i] if p & 1 else entries[i]
                digit = (entry >> shift) & mask
                place = starts[p, digit]
                starts[p, digit] = place + 1
                if p & 1:
                    entries[place] = entry
                else:
                    scratch[place] = entry


def unpack_entries(
    entries: cython.const[cython.ulonglong][::1],
    gathered: cython.const[cython.uint][::1],
    colors: cython.uchar[:, ::1],
    codes: cython.uint[::1],
    counts: cython.longlong[::1],
) -> int:
    """Take sorted entries apart, adding up those of one colour; return how many colours there are.

    gathered has for each half of a code, of 12 or 16 bits, the four bits of each channel, a channel a byte.
    """
    channels: cython.Py_ssize_t = colors.shape[1]
    half_bits: cython.int = 4 * channels
    n: cython.Py_ssize_t = -1
    i: cython.Py_ssize_t
    c: cython.Py_ssize_t
    code: cython.uint
    color: cython.uint
    previous: cython.ulonglong = NONE
    with cython.nogil:
        for i in range(entries.shape[0]):
            if entries[i] >> 32 != previous:
                previous = entries[i] >> 32
                n += 1
                code = previous
                codes[n] = code
                counts[n] = 0
                color = gathered[code >> half_bits] << 4 | gathered[code & ((1 << half_bits) - 1)]
                for c in range(channels):
                    colors[n, c] = (color >> 8 * c) & 0xFF
            counts[n] += entries[i] & LOW_32_BITS
    return n + 1


def number_slots(
    codes: cython.const[cython.uint][::1],
    table: cython.ulonglong[::1],
    table_bits: cython.int,
    rows: cython.int[::1],
) -> None:
    """Write to rows, for each code, its row in codes at its slot in table, if it has one."""
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(codes.shape[0]):
            # Where the table lacks a code, this writes to an empty slot, which nobody reads.
            rows[_find(table, codes[i], table_bits)] = i


def look_up(rows: cython.const[cython.int][::1], values: cython.const[Index][::1], found: Index[::1]) -> None:
    """Write to found the value of each row; found may be rows."""
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(rows.shape[0]):
            found[i] = values[rows[i]]


def count_codes(
    pixels: cython.const[cython.uchar][::1],
    spread: cython.const[cython.uint][:, ::1],
    counts: cython.uint[::1],
) -> None:
    """Add up pixels in counts, which has a counter for every code there can be."""
    channels: cython.Py_ssize_t = spread.shape[0]
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(pixels.shape[0] // channels):
            counts[_code(pixels, i, channels, spread)] += 1


def find_codes(
    pixels: cython.const[cython.uchar][::1],
    spread: cython.const[cython.uint][:, ::1],
    values: cython.const[Index][::1],
    found: Index[::1],
) -> None:
    """Write to found the value of each pixel; values has one for every code there can be."""
    channels: cython.Py_ssize_t = spread.shape[0]
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(found.shape[0]):
            found[i] = values[_code(pixels, i, channels, spread)]


def find_colors(
    pixels: cython.const[cython.uchar][::1],
    spread: cython.const[cython.uint][:, ::1],
    table: cython.ulonglong[::1],
    table_bits: cython.int,
    values: cython.const[Index][::1],
    found: Index[::1],
) -> None:
    """Write to found the value of each pixel; values has one for every slot of table, which knows all."""
    channels: cython.Py_ssize_t = spread.shape[0]
    i: cython.Py_ssize_t
    slot: cython.Py_ssize_t = 0
    code: cython.ulonglong
    previous: cython.ulonglong = NONE
    with cython.nogil:
        for i in range(found.shape[0]):
            code = _code(pixels, i, channels, spread)
            if code != previous:
                slot = _find(table, code, table_bits)
                previous = code
            found[i] = values[slot]
