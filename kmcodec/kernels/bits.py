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
__all__ = ["pack_groups", "unpack_groups", "unpack_groups_to_rgb", "unpack_groups_to_rgba"]

Index = cython.fused_type(cython.uchar, cython.ushort)

LOW_32_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFF)
LOW_40_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFFFF)
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
def _colors_of_pair(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.ulonglong][::1],
    group_start: cython.Py_ssize_t,
    pair: cython.int,
    index_bits: cython.int,
    in_pairs: cython.bint,
) -> cython.ulonglong:
    """Return the colours of indices 2 * pair and 2 * pair + 1 of a group, 24 bits each."""
    first: cython.ulonglong
    second: cython.ulonglong
    if in_pairs:
        # Eight indices of b bits are four of 2 b bits.
        return colors[_index(payload, group_start, pair, 2 * index_bits)]
    first = colors[_index(payload, group_start, 2 * pair, index_bits)]
    second = colors[_index(payload, group_start, 2 * pair + 1, index_bits)]
    return first | (second & LOW_40_BITS) << 24


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unpack_to_rgb(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.ulonglong][::1],
    words: cython.ulonglong[::1],
    groups: cython.Py_ssize_t,
    index_bits: cython.int,
    in_pairs: cython.bint,
) -> cython.bint:
    seen: cython.ulonglong = 0
    g: cython.Py_ssize_t
    a: cython.ulonglong
    b: cython.ulonglong
    c: cython.ulonglong
    d: cython.ulonglong
    for g in range(groups):
        a = _colors_of_pair(payload, colors, g * index_bits, 0, index_bits, in_pairs)
        b = _colors_of_pair(payload, colors, g * index_bits, 1, index_bits, in_pairs)
        c = _colors_of_pair(payload, colors, g * index_bits, 2, index_bits, in_pairs)
        d = _colors_of_pair(payload, colors, g * index_bits, 3, index_bits, in_pairs)
        seen |= a | b | c | d
        # Four pairs of 48 bits make three words: an eighth of the stores that bytes would need.
        words[3 * g] = a | (b & 0xFFFF) << 48
        words[3 * g + 1] = b >> 16 | (c & LOW_32_BITS) << 32
        words[3 * g + 2] = c >> 32 | (d & LOW_48_BITS) << 16
    return seen >> 63 == 0


def unpack_groups_to_rgb(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.ulonglong][::1],
    words: cython.ulonglong[::1],
    index_bits: cython.int,
    in_pairs: cython.bint,
) -> cython.bint:
    """Fill words with the colours of len(words) // 3 groups; return whether all indices are legal.

    words is the picture's R, G, B, R, ... eight bytes at a time, the first byte lowest. colors has
    an entry for each value that index_bits bits can have: red | green << 8 | blue << 16, and bits 39
    and 63 set where the index is illegal. With in_pairs (index_bits at most 6), it has an entry for each
    value of twice as many bits: first | second << 24 of the colours of the two indices in them.
    """
    groups: cython.Py_ssize_t = words.shape[0] // 3
    legal: cython.bint
    with cython.nogil:
        if index_bits == 1 and in_pairs:
            legal = _unpack_to_rgb(payload, colors, words, groups, 1, True)
        elif index_bits == 2 and in_pairs:
            legal = _unpack_to_rgb(payload, colors, words, groups, 2, True)
        elif index_bits == 3 and in_pairs:
            legal = _unpack_to_rgb(payload, colors, words, groups, 3, True)
        elif index_bits == 4 and in_pairs:
            legal = _unpack_to_rgb(payload, colors, words, groups, 4, True)
        elif index_bits == 5 and in_pairs:
            legal = _unpack_to_rgb(payload, colors, words, groups, 5, True)
        elif index_bits == 6 and in_pairs:
            legal = _unpack_to_rgb(payload, colors, words, groups, 6, True)
        elif index_bits == 7:
            legal = _unpack_to_rgb(payload, colors, words, groups, 7, False)
        elif index_bits == 8:
            legal = _unpack_to_rgb(payload, colors, words, groups, 8, False)
        else:
            legal = _unpack_to_rgb(payload, colors, words, groups, index_bits, False)
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
