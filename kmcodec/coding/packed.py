"""Packed coding: every index in the same number of bits, 0 to 16 (specification, section 6.1).

Whole groups of eight indices, which begin and end on byte borders, go through compiled kernels. Where
bits meet byte borders otherwise (the last, incomplete group; a region that begins within a byte),
bitarray does the work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from bitarray import bitarray
from numpy.typing import NDArray

from kmcodec.errors import PayloadError
from kmcodec.image import Indices, empty_indices
from kmcodec.kernels import bits as kernel

# Looking two indices up at once is faster as long as the table (8 * 4**index_bits bytes) fits the
# first-level cache of a processor.
_MAX_PAIRED_BITS = 6

# Pixels of a row of fill.
_FILL_PIXELS = 1 << 12

# Indices that check_payload has in memory at a time.
_CHECK_INDICES = 1 << 20


def count_bytes(n_indices: int, index_bits: int) -> int:
    """Return the bytes that n_indices take, of index_bits bits (0..16) each."""
    return (n_indices * index_bits + 7) // 8


def pack(indices: Indices, index_bits: int) -> bytes:
    """Pack indices, most significant bit first, and fill the last byte with zero bits.

    Parameters
    ----------
    indices : ndarray, shape (n,), contiguous, uint8 or uint16
        Each below 2**index_bits.
    index_bits : int
        0..16.

    Returns
    -------
    bytes
        count_bytes(n, index_bits) of them.
    """
    if index_bits == 0:
        return b""
    # Imported late, here and below: a picture without a tail is decoded sooner.
    from bitarray.util import int2ba

    in_groups = len(indices) // 8 * 8
    payload = np.empty(in_groups * index_bits // 8, np.uint8)
    kernel.pack_groups(indices, payload, index_bits)
    tail = bitarray(endian="big")
    for index in indices[in_groups:].tolist():
        tail += int2ba(index, index_bits, "big")
    return payload.tobytes() + tail.tobytes()


def unpack(payload: bytes | memoryview, n_indices: int, index_bits: int, last_index: int) -> Indices:
    """Unpack indices.

    Parameters
    ----------
    payload : bytes-like
        count_bytes(n_indices, index_bits) of them.
    n_indices : int
    index_bits : int
        0..16.
    last_index : int
        Largest legal index, below 2**index_bits.

    Returns
    -------
    ndarray, shape (n_indices,), uint8 (last_index <= 255) or uint16

    Raises
    ------
    PayloadError
        If an index exceeds last_index, or a padding bit is set.
    """
    if index_bits == 0:
        return np.zeros(n_indices, np.uint8)
    indices = empty_indices(n_indices, last_index + 1)
    source = np.frombuffer(payload, np.uint8)
    in_groups = n_indices // 8 * 8
    legal = kernel.unpack_groups(source, indices[:in_groups], index_bits, last_index)
    if not legal:
        i = int(np.argmax(indices[:in_groups] > last_index))
        raise _illegal_index(i, int(indices[i]), index_bits, last_index)
    for i, index in _unpack_tail(payload, in_groups, n_indices, index_bits):
        indices[i] = index
        if index > last_index:
            raise _illegal_index(i, index, index_bits, last_index)
    return indices


def unpack_run(
    read: Callable[[slice], bytes | memoryview],
    start: int,
    n_indices: int,
    index_bits: int,
    last_index: int,
) -> Indices:
    """Unpack indices from the midst of a payload.

    Parameters
    ----------
    read : callable
        Returns the bytes of a slice of the payload; is asked for just those in which the indices lie.
    start : int
        Number of the first index, from 0.
    n_indices, index_bits, last_index
        As for unpack, and so are result and errors.
    """
    if index_bits == 0:
        return np.zeros(n_indices, np.uint8)
    first_bit, end_bit = start * index_bits, (start + n_indices) * index_bits
    first_byte = first_bit // 8
    data = bitarray(buffer=read(slice(first_byte, -(-end_bit // 8))), endian="big")
    run = data[first_bit - 8 * first_byte : end_bit - 8 * first_byte]
    with _counting_from(first_bit):
        return unpack(run.tobytes(), n_indices, index_bits, last_index)


def unpack_to_pixels(
    payload: bytes | memoryview,
    palette: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
) -> None:
    """Unpack indices and look their colours up, in one pass.

    Parameters
    ----------
    payload : bytes-like
    palette : ndarray, shape (K, 3) or (K, 4), uint8
    pixels : ndarray, shape (n * 3,) or (n * 4,), contiguous, uint8
        Is filled with the colours of n indices.

    Raises
    ------
    PayloadError
        If an index is K or more, or a padding bit is set.
    """
    n_colors, channels = palette.shape
    index_bits = (n_colors - 1).bit_length()
    n_indices = len(pixels) // channels
    if index_bits == 0:
        fill(pixels, palette[0])
        return
    source = np.frombuffer(payload, np.uint8)
    groups = n_indices // 8
    target = pixels[: 8 * groups * channels]
    words: NDArray[Any] = target.view(np.uint64 if channels == 3 else np.uint32)
    # A strip may begin at any byte of the picture, the kernels' words may not.
    aligned = words if words.flags.aligned else np.empty_like(words)
    if channels == 3:
        table_bits = 2 * index_bits if index_bits <= _MAX_PAIRED_BITS else index_bits
        table = np.empty(1 << table_bits, np.uint64)
        legal = kernel.unpack_groups_to_rgb(source, palette, table, aligned, index_bits)
    else:
        rgba = np.zeros((1 << index_bits, 4), np.uint8)
        rgba[:n_colors] = palette
        colors = rgba.view("<u4")[:, 0].astype(np.uint32)
        legal = kernel.unpack_groups_to_rgba(source, colors, aligned, index_bits, n_colors - 1)
    if not legal:
        # Once more, for the error that says where.
        unpack(payload, n_indices, index_bits, n_colors - 1)
    if sys.byteorder == "big":
        aligned.byteswap(inplace=True)
    if aligned is not words:
        words[:] = aligned
    if n_indices > 8 * groups:
        rest = _unpack_from(payload, groups, n_indices, index_bits, n_colors - 1)
        pixels[8 * groups * channels :] = palette[rest].reshape(-1)


def fill(pixels: NDArray[np.uint8], color: NDArray[np.uint8]) -> None:
    """Fill pixels, shape (n,), with one colour, in rows long enough to be copied as fast as memory allows."""
    row = np.tile(color, _FILL_PIXELS)
    whole = len(pixels) // len(row) * len(row)
    pixels[:whole].reshape(-1, len(row))[:] = row
    pixels[whole:] = row[: len(pixels) - whole]


def check_payload(payload: bytes | memoryview, n_indices: int, index_bits: int, last_index: int) -> None:
    """Raise what unpack would raise, in little memory."""
    for start in range(0, n_indices if index_bits else 0, _CHECK_INDICES):
        end = min(start + _CHECK_INDICES, n_indices)
        _unpack_from(payload[: count_bytes(end, index_bits)], start // 8, end, index_bits, last_index)


def _unpack_from(
    payload: bytes | memoryview, group: int, n_indices: int, index_bits: int, last_index: int
) -> Indices:
    """Unpack all indices from a group on, with the errors that unpacking all would raise."""
    start = group * index_bits
    with _counting_from(8 * start):
        return unpack(payload[start:], n_indices - 8 * group, index_bits, last_index)


@contextmanager
def _counting_from(bit: int) -> Iterator[None]:
    """Move the place of a PayloadError, found in a part that begins at bit, to where it is in the whole."""
    try:
        yield
    except PayloadError as error:
        raise PayloadError(bit + error.bit, error.field, found=error.found, expected=error.expected) from None


def _unpack_tail(
    payload: bytes | memoryview, start: int, n_indices: int, index_bits: int
) -> Iterator[tuple[int, int]]:
    """Yield number and value of the indices after the last whole group; then check the padding."""
    if start == n_indices:
        return
    from bitarray.util import ba2int

    bits = bitarray(endian="big")
    bits.frombytes(bytes(payload[start * index_bits // 8 :]))
    used = (n_indices - start) * index_bits
    for i in range(n_indices - start):
        yield start + i, ba2int(bits[i * index_bits : (i + 1) * index_bits])
    if bits[used:].any():
        raise PayloadError(
            n_indices * index_bits,
            "padding",
            found=f"bits {bits[used:].to01()}",
            expected="zero bits",
        )


def _illegal_index(i: int, index: int, index_bits: int, last_index: int) -> PayloadError:
    return PayloadError(i * index_bits, "index", found=str(index), expected=f"at most {last_index}")
