"""Damage .kmq files, always in the same way for the same seed, and give them right checksums again.

Knows the layout of specification sections 3 to 6, but nothing of kmcodec: it works on headers that kmcodec
refuses. Says nothing of what should become of the files.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "spec" / "vectors"

HEADER_BYTES = 32
CRC_BYTES = 4

#: Strips whose checksums are repaired, at most: what a header claims must not take the time of a run.
MAX_STRIPS = 2000

# Values at which sizes, signs, widths of integers and limits change.
_BYTES = (0, 1, 0x7F, 0x80, 0xFF)
_U16 = (0, 1, 2, 3, 7, 15, 127, 128, 254, 255, 256, 257, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_U32 = (*_U16, 11, 12, 0x10000, 1 << 20, 1 << 25, 1 << 28, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)

# Offset and width of the header's fields behind the signature.
_HEADER_FIELDS = ((8, 1), (9, 1), (10, 2), (12, 4), (16, 4), (20, 4), (24, 4), (28, 4))
_FIELDS = struct.Struct("<BHIIII")
_FIELDS_OFFSET = 9

# Longest block that is inserted, removed, repeated or exchanged.
_MAX_BLOCK = 64


class Layout(NamedTuple):
    """Hold what a header claims, right or wrong.

    Attributes
    ----------
    pixels, strip_count, file_bytes : int
        Not bounded by anything; 0 strips where strip_rows is 0.
    palette_end, sections_end, strips_offset : int
        Bytes at which palette_crc begins, the sections end, and strip 0 begins.
    payload_bytes : tuple of int
        Of the first MAX_STRIPS strips.
    """

    pixels: int
    strip_count: int
    file_bytes: int
    palette_end: int
    sections_end: int
    strips_offset: int
    payload_bytes: tuple[int, ...]


def read_layout(data: bytes | bytearray) -> Layout:
    """Derive the layout from the header of data, which has at least 32 bytes; no field is checked."""
    storage, last_index, width, height, strip_rows, sections_bytes = _FIELDS.unpack_from(data, _FIELDS_OFFSET)
    palette_end = HEADER_BYTES + (last_index + 1) * (4 if storage & 0x10 else 3)
    sections_end = palette_end + CRC_BYTES + sections_bytes
    row_bits = width * last_index.bit_length()
    strip_count = -(-height // strip_rows) if strip_rows else 0
    shown = min(strip_count, MAX_STRIPS)
    if storage & 0x0F == 1:
        # What the table says, as far as it is there; the last strip has the rest.
        strips_offset = sections_end + (CRC_BYTES * strip_count if strip_count > 1 else 0)
        table = bytes(data[sections_end : sections_end + 4 * shown]).ljust(4 * shown, b"\0")
        sizes = list(struct.unpack(f"<{shown}I", table))
        file_bytes = max(len(data), strips_offset + CRC_BYTES * strip_count)
        if 0 < shown == strip_count:
            before = strips_offset + sum(sizes[:-1]) + CRC_BYTES * (shown - 1)
            sizes[-1] = max(0, file_bytes - CRC_BYTES - before)
    else:
        strips_offset = sections_end
        strip_bytes = -(-strip_rows * row_bits // 8)
        last_bytes = -(-(height - (strip_count - 1) * strip_rows) * row_bits // 8)
        sizes = [last_bytes if number == strip_count - 1 else strip_bytes for number in range(shown)]
        file_bytes = strips_offset
        if strip_count:
            file_bytes += (strip_count - 1) * (strip_bytes + CRC_BYTES) + last_bytes + CRC_BYTES
    return Layout(
        width * height, strip_count, file_bytes, palette_end, sections_end, strips_offset, tuple(sizes)
    )


def repair(data: bytes) -> bytes:
    """Make the checksums right of all parts that are whole, of at most MAX_STRIPS strips."""
    if len(data) < HEADER_BYTES:
        return data
    layout = read_layout(data)
    repaired = bytearray(data)
    _put_crc(repaired, 0, HEADER_BYTES - CRC_BYTES)
    _put_crc(repaired, HEADER_BYTES, layout.palette_end)
    sections_offset = layout.palette_end + CRC_BYTES
    if layout.sections_end >= sections_offset + CRC_BYTES:
        _put_crc(repaired, sections_offset, layout.sections_end - CRC_BYTES)
    if layout.strips_offset > layout.sections_end:
        _put_crc(repaired, layout.sections_end, layout.strips_offset - CRC_BYTES)
    start = layout.strips_offset
    for number, length in enumerate(layout.payload_bytes):
        if start >= len(repaired):
            break
        _put_crc(repaired, start, start + length, number.to_bytes(4, "little"))
        start += length + CRC_BYTES
    return bytes(repaired)


def fit(data: bytes, max_bytes: int) -> bytes:
    """Cut data, or fill it up with zeros, to the size that its header gives; not over max_bytes."""
    if len(data) < HEADER_BYTES:
        return data
    size = read_layout(data).file_bytes
    return data[:size].ljust(size, b"\0") if size <= max_bytes else data


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change data in one place, or in a few."""
    mutated = bytearray(data)
    for _ in range(1 + min(rng.getrandbits(3), rng.getrandbits(3), rng.getrandbits(3))):
        rng.choice(_MUTATIONS)(mutated, rng)
    return bytes(mutated)


def splice(first: bytes, second: bytes, rng: random.Random) -> bytes:
    """Return the start of first and the end of second."""
    cut = _place(len(first) + 1, rng)
    # At the same place, most parts go on where they should.
    return first[:cut] + second[cut if rng.getrandbits(1) else _place(len(second) + 1, rng) :]


def _put_crc(data: bytearray, start: int, end: int, number: bytes = b"") -> None:
    """Write the checksum of number and of the bytes from start to end behind these, if all that is there."""
    if end + CRC_BYTES <= len(data):
        with memoryview(data) as view:
            crc = zlib.crc32(view[start:end], zlib.crc32(number))
        data[end : end + CRC_BYTES] = crc.to_bytes(CRC_BYTES, "little")


def _place(length: int, rng: random.Random) -> int:
    """Return an offset below length (0 for none), every other time where header and palette are."""
    if rng.getrandbits(1):
        length = min(length, 2 * HEADER_BYTES)
    return rng.randrange(length) if length > 1 else 0


def _block(data: bytearray, rng: random.Random) -> tuple[int, int]:
    """Return start and end of a block, empty only where data is."""
    start = _place(len(data), rng)
    return start, min(start + 1 + rng.randrange(_MAX_BLOCK), len(data))


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(len(data), rng)] ^= 1 << rng.getrandbits(3)


def _set_byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(len(data), rng)] = rng.choice(_BYTES)


def _set_u16(data: bytearray, rng: random.Random) -> None:
    _overwrite(data, _place(len(data), rng), rng.choice(_U16).to_bytes(2, "little"))


def _set_u32(data: bytearray, rng: random.Random) -> None:
    _overwrite(data, _place(len(data), rng), rng.choice(_U32).to_bytes(4, "little"))


def _set_field(data: bytearray, rng: random.Random) -> None:
    """Set a field of the header to a value at a border, near the old one, or to any."""
    offset, width = rng.choice(_HEADER_FIELDS)
    old = int.from_bytes(data[offset : offset + width], "little")
    near = old + rng.choice((-8, -2, -1, 1, 2, 8))
    value = rng.choice((rng.choice(_U32), near, near, 2 * old, old // 2, rng.getrandbits(32)))
    _overwrite(data, offset, (value % (1 << 8 * width)).to_bytes(width, "little"))


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(len(data) + 1, rng)
    data[at:at] = rng.randbytes(1 + rng.randrange(_MAX_BLOCK))


def _delete(data: bytearray, rng: random.Random) -> None:
    start, end = _block(data, rng)
    del data[start:end]


def _duplicate(data: bytearray, rng: random.Random) -> None:
    start, end = _block(data, rng)
    data[end:end] = data[start:end]


def _swap(data: bytearray, rng: random.Random) -> None:
    """Exchange two blocks of one length that do not overlap."""
    (start, end), other = _block(data, rng), _place(len(data), rng)
    low, high = min(start, other), max(start, other)
    length = min(end - start, high - low, len(data) - high)
    data[low : low + length], data[high : high + length] = (
        data[high : high + length],
        data[low : low + length],
    )


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[_place(len(data), rng) :]


def _extend(data: bytearray, rng: random.Random) -> None:
    n_bytes = 1 + rng.randrange(_MAX_BLOCK)
    data += rng.choice((bytes(n_bytes), rng.randbytes(n_bytes), bytes(data[-n_bytes:])))


def _overwrite(data: bytearray, offset: int, value: bytes) -> None:
    """Write value over what is there, as far as data goes."""
    end = min(offset + len(value), len(data))
    data[offset:end] = value[: max(end - offset, 0)]


# Fields come up more often: most of what a reader decides hangs on them.
_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _set_u16,
    _set_u32,
    _set_field,
    _set_field,
    _set_field,
    _insert,
    _delete,
    _duplicate,
    _swap,
    _truncate,
    _extend,
)
