# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Pack indices of 0 to 16 bits into bytes and take them out again.

Owns the bit order of packed coding: most significant bit first, nothing between two indices. Works
on *groups* of eight indices, because eight indices of b bits fill exactly b bytes: a group always
begins and ends on a byte border, whatever b is. What is left after the last whole group is the
caller's. Knows nothing of strips, palettes' meaning or files, and validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = [
    "pack_groups",
    "unpack_groups",
    "unpack_groups_to_rgb",
    "unpack_groups_to_rgba",
]

Index = cython.fused_type(cython.uchar, cython.ushort)

LOW_32_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFF)
LOW_40_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFFFF)
ILLEGAL = cython.declare(cython.ulonglong, 0x8000008000000000)
LOW_48_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFF)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _index(
    payload: cython.const[cython.uchar][::1],
    group_start: cython.Py_ssize_t,
    j: cython.int,
    index_bits: cython.int,
) -> cython.int:
    """Return index j, 0..7, of the group that begins at byte group_start."""
    # With j and index_bits known at compile time, all of this folds to one or two loads and a shift.
    first: cython.Py_ssize_t = group_start + (j * index_bits >> 3)
    end: cython.int = (j * index_bits & 7) + index_bits
    value: cython.int
    if end <= 8:
        value = payload[first] >> (8 - end)
    elif end <= 16:
        value = (payload[first] << 8 | payload[first + 1]) >> (16 - end)
    else:
        value = (payload[first] << 16 | payload[first + 1] << 8 | payload[first + 2]) >> (24 - end)
    return value & ((1 << index_bits) - 1)


def pack_groups(
    indices: cython.const[Index][::1], payload: cython.uchar[::1], index_bits: cython.int
) -> None:
    """Write len(indices) // 8 groups, index_bits bytes each, to the start of payload."""
    groups: cython.Py_ssize_t = indices.shape[0] // 8
    at: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    # At most 7 bits wait for their byte, and 16 come in: 23 bits hold the window.
    window: cython.int = 0
    waiting: cython.int = 0
    with cython.nogil:
        for i in range(8 * groups):
            window = (window << index_bits | indices[i]) & 0x7FFFFF
            waiting += index_bits
            while waiting >= 8:
                waiting -= 8
                payload[at] = (window >> waiting) & 0xFF
                at += 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unpack(
    payload: cython.const[cython.uchar][::1],
    indices: Index[::1],
    groups: cython.Py_ssize_t,
    index_bits: cython.int,
    last_index: cython.int,
) -> cython.int:
    excess: cython.int = 0
    g: cython.Py_ssize_t
    j: cython.int
    index: cython.int
    for g in range(groups):
        for j in range(8):
            index = _index(payload, g * index_bits, j, index_bits)
            # Negative, in every bit above the index's own, for an index that is too large.
            excess |= last_index - index
            indices[8 * g + j] = index
    return excess


def unpack_groups(
    payload: cython.const[cython.uchar][::1],
    indices: Index[::1],
    index_bits: cython.int,
    last_index: cython.int,
) -> cython.bint:
    """Fill indices with len(indices) // 8 groups; return whether all are at most last_index."""
    groups: cython.Py_ssize_t = indices.shape[0] // 8
    excess: cython.int
    with cython.nogil:
        if index_bits == 1:
            excess = _unpack(payload, indices, groups, 1, last_index)
        elif index_bits == 2:
            excess = _unpack(payload, indices, groups, 2, last_index)
        elif index_bits == 3:
            excess = _unpack(payload, indices, groups, 3, last_index)
        elif index_bits == 4:
            excess = _unpack(payload, indices, groups, 4, last_index)
        elif index_bits == 5:
            excess = _unpack(payload, indices, groups, 5, last_index)
        elif index_bits == 6:
            excess = _unpack(payload, indices, groups, 6, last_index)
        elif index_bits == 7:
            excess = _unpack(payload, indices, groups, 7, last_index)
        elif index_bits == 8:
            excess = _unpack(payload, indices, groups, 8, last_index)
        else:
            excess = _unpack(payload, indices, groups, index_bits, last_index)
    return excess >= 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _eight_bytes(payload: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.ulonglong:
    """Return the eight bytes from at on as one number, the first byte highest."""
    window: cython.ulonglong = 0
    i: cython.Py_ssize_t
    if cython.compiled:
        # Compilers make one load of this, but only if it goes through a pointer.
        p: cython.pointer(cython.const[cython.uchar]) = cython.address(payload[at])
        window = (
            cython.cast(cython.ulonglong, p[0]) << 56
            | cython.cast(cython.ulonglong, p[1]) << 48
            | cython.cast(cython.ulonglong, p[2]) << 40
            | cython.cast(cython.ulonglong, p[3]) << 32
            | cython.cast(cython.ulonglong, p[4]) << 24
            | cython.cast(cython.ulonglong, p[5]) << 16
            | cython.cast(cython.ulonglong, p[6]) << 8
            | cython.cast(cython.ulonglong, p[7])
        )
    else:
        for i in range(8):
            window = window << 8 | payload[at + i]
    return window


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _last_bytes(payload: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.ulonglong:
    """Do what _eight_bytes does where fewer are left, with zeros behind the end."""
    window: cython.ulonglong = 0
    i: cython.Py_ssize_t
    for i in range(8):
        window = window << 8
        if at + i < payload.shape[0]:
            window |= payload[at + i]
    return window


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _store_pairs(
    words: cython.ulonglong[::1],
    at: cython.Py_ssize_t,
    a: cython.ulonglong,
    b: cython.ulonglong,
    c: cython.ulonglong,
    d: cython.ulonglong,
) -> cython.void:
    """Write four pairs of colours, 48 bits each, as three words: few stores, and so fast."""
    words[at] = a | (b & 0xFFFF) << 48
    words[at + 1] = b >> 16 | (c & LOW_32_BITS) << 32
    words[at + 2] = c >> 32 | (d & LOW_48_BITS) << 16


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unpack_group_in_pairs(
    window: cython.ulonglong,
    pairs: cython.const[cython.ulonglong][::1],
    words: cython.ulonglong[::1],
    at: cython.Py_ssize_t,
    index_bits: cython.int,
) -> cython.ulonglong:
    """Write the colours of the group at the top of window; return what was looked up, all together."""
    # Eight indices of b bits are four pairs of 2 b bits.
    mask: cython.ulonglong = (1 << 2 * index_bits) - 1
    a: cython.ulonglong = pairs[window >> (64 - 2 * index_bits)]
    b: cython.ulonglong = pairs[window >> (64 - 4 * index_bits) & mask]
    c: cython.ulonglong = pairs[window >> (64 - 6 * index_bits) & mask]
    d: cython.ulonglong = pairs[window >> (64 - 8 * index_bits) & mask]
    _store_pairs(words, at, a, b, c, d)
    return a | b | c | d


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unpack_pairs_to_rgb(
    payload: cython.const[cython.uchar][::1],
    pairs: cython.const[cython.ulonglong][::1],
    words: cython.ulonglong[::1],
    index_bits: cython.int,
) -> cython.bint:
    groups: cython.Py_ssize_t = words.shape[0] // 3
    # Groups from whose start on there are eight bytes, be they another group's.
    windows: cython.Py_ssize_t = 0
    seen: cython.ulonglong = 0
    g: cython.Py_ssize_t
    if payload.shape[0] >= 8:
        windows = min(groups, (payload.shape[0] - 8) // index_bits + 1)
    for g in range(windows):
        seen |= _unpack_group_in_pairs(_eight_bytes(payload, g * index_bits), pairs, words, 3 * g, index_bits)
    for g in range(windows, groups):
        seen |= _unpack_group_in_pairs(_last_bytes(payload, g * index_bits), pairs, words, 3 * g, index_bits)
    return seen >> 63 == 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _pair(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.ulonglong][::1],
    group_start: cython.Py_ssize_t,
    j: cython.int,
    index_bits: cython.int,
) -> cython.ulonglong:
    """Return the colours of indices j and j + 1 of a group, 24 bits each."""
    first: cython.ulonglong = colors[_index(payload, group_start, j, index_bits)]
    second: cython.ulonglong = colors[_index(payload, group_start, j + 1, index_bits)]
    return first | (second & LOW_40_BITS) << 24


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unpack_to_rgb(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.ulonglong][::1],
    words: cython.ulonglong[::1],
    index_bits: cython.int,
) -> cython.bint:
    seen: cython.ulonglong = 0
    g: cython.Py_ssize_t
    a: cython.ulonglong
    b: cython.ulonglong
    c: cython.ulonglong
    d: cython.ulonglong
    for g in range(words.shape[0] // 3):
        a = _pair(payload, colors, g * index_bits, 0, index_bits)
        b = _pair(payload, colors, g * index_bits, 2, index_bits)
        c = _pair(payload, colors, g * index_bits, 4, index_bits)
        d = _pair(payload, colors, g * index_bits, 6, index_bits)
        seen |= a | b | c | d
        _store_pairs(words, 3 * g, a, b, c, d)
    return seen >> 63 == 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _color(palette: cython.const[cython.uchar][:, ::1], index: cython.Py_ssize_t) -> cython.ulonglong:
    """Return red | green << 8 | blue << 16, and two marks for an index that the palette does not have.

    In a pair, the mark of the first colour is bit 63, and so is that of the second, 24 bits up.
    """
    color: cython.ulonglong = ILLEGAL
    if index < palette.shape[0]:
        color = palette[index, 0] | palette[index, 1] << 8 | palette[index, 2] << 16
    return color


def unpack_groups_to_rgb(
    payload: cython.const[cython.uchar][::1],
    palette: cython.const[cython.uchar][:, ::1],
    table: cython.ulonglong[::1],
    words: cython.ulonglong[::1],
    index_bits: cython.int,
) -> cython.bint:
    """Fill words with the colours of len(words) // 3 groups; return whether all indices are legal.

    words is the picture's R, G, B, R, ... eight bytes at a time, the first byte lowest. table is scratch:
    with an entry for each value of 2 * index_bits bits (index_bits at most 6), indices are looked up in
    pairs; else it has one for each value of index_bits bits.
    """
    singles: cython.Py_ssize_t = 1 << index_bits
    in_pairs: cython.bint = table.shape[0] > singles
    legal: cython.bint
    i: cython.Py_ssize_t
    j: cython.Py_ssize_t
    with cython.nogil:
        # The first index of a pair is in the higher bits.
        for i in range(singles):
            if in_pairs:
                for j in range(singles):
                    table[i << index_bits | j] = _color(palette, i) | (_color(palette, j) & LOW_40_BITS) << 24
            else:
                table[i] = _color(palette, i)
        if index_bits == 1 and in_pairs:
            legal = _unpack_pairs_to_rgb(payload, table, words, 1)
        elif index_bits == 2 and in_pairs:
            legal = _unpack_pairs_to_rgb(payload, table, words, 2)
        elif index_bits == 3 and in_pairs:
            legal = _unpack_pairs_to_rgb(payload, table, words, 3)
        elif index_bits == 4 and in_pairs:
            legal = _unpack_pairs_to_rgb(payload, table, words, 4)
        elif index_bits == 5 and in_pairs:
            legal = _unpack_pairs_to_rgb(payload, table, words, 5)
        elif index_bits == 6 and in_pairs:
            legal = _unpack_pairs_to_rgb(payload, table, words, 6)
        elif index_bits == 7:
            legal = _unpack_to_rgb(payload, table, words, 7)
        elif index_bits == 8:
            legal = _unpack_to_rgb(payload, table, words, 8)
        else:
            legal = _unpack_to_rgb(payload, table, words, index_bits)
    return legal


def unpack_groups_to_rgba(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.uint][::1],
    words: cython.uint[::1],
    index_bits: cython.int,
    last_index: cython.int,
) -> cython.bint:
    """Fill words with the colours of len(words) // 8 groups; return whether all indices are legal.

    words is the picture's R, G, B, A, R, ... four bytes at a time, the first byte lowest. colors has
    2**index_bits entries, so that no index leads outside: red | green << 8 | blue << 16 | alpha << 24.
    """
    groups: cython.Py_ssize_t = words.shape[0] // 8
    g: cython.Py_ssize_t
    j: cython.int
    index: cython.int
    excess: cython.int = 0
    with cython.nogil:
        for g in range(groups):
            for j in range(8):
                index = _index(payload, g * index_bits, j, index_bits)
                excess |= last_index - index
                words[8 * g + j] = colors[index]
    return excess >= 0
