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
def _unpack_to_rgb(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.uint][::1],
    words: cython.uint[::1],
    groups: cython.Py_ssize_t,
    index_bits: cython.int,
) -> cython.int:
    seen: cython.uint = 0
    g: cython.Py_ssize_t
    half: cython.int
    a: cython.uint
    b: cython.uint
    c: cython.uint
    d: cython.uint
    at: cython.Py_ssize_t = 0
    start: cython.Py_ssize_t
    for g in range(groups):
        start = g * index_bits
        for half in range(2):
            a = colors[_index(payload, start, 4 * half, index_bits)]
            b = colors[_index(payload, start, 4 * half + 1, index_bits)]
            c = colors[_index(payload, start, 4 * half + 2, index_bits)]
            d = colors[_index(payload, start, 4 * half + 3, index_bits)]
            seen |= a | b | c | d
            # Four colours of 24 bits make three words: a quarter of the stores that bytes would need.
            words[at] = a | (b & 0xFF) << 24
            words[at + 1] = b >> 8 | (c & 0xFFFF) << 16
            words[at + 2] = c >> 16 | (d & 0xFFFFFF) << 8
            at += 3
    return seen >> 31


def unpack_groups_to_rgb(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.uint][::1],
    words: cython.uint[::1],
    index_bits: cython.int,
) -> cython.bint:
    """Fill words with the colours of len(words) // 6 groups; return whether all indices are legal.

    colors has 2**index_bits entries, so that no index leads outside: red | green << 8 | blue << 16,
    and bit 31 set in those whose index is illegal. words is the picture's R, G, B, R, ... four bytes
    at a time, the first byte lowest.
    """
    groups: cython.Py_ssize_t = words.shape[0] // 6
    illegal: cython.int
    with cython.nogil:
        if index_bits == 1:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 1)
        elif index_bits == 2:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 2)
        elif index_bits == 3:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 3)
        elif index_bits == 4:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 4)
        elif index_bits == 5:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 5)
        elif index_bits == 6:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 6)
        elif index_bits == 7:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 7)
        elif index_bits == 8:
            illegal = _unpack_to_rgb(payload, colors, words, groups, 8)
        else:
            illegal = _unpack_to_rgb(payload, colors, words, groups, index_bits)
    return illegal == 0


def unpack_groups_to_rgba(
    payload: cython.const[cython.uchar][::1],
    colors: cython.const[cython.uint][::1],
    words: cython.uint[::1],
    index_bits: cython.int,
    last_index: cython.int,
) -> cython.bint:
    """Do what unpack_groups_to_rgb does, for colours with alpha << 24 and one word a pixel."""
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
