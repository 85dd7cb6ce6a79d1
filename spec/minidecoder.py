#!/usr/bin/env python3
"""Decode KMQ pictures: a decoder written from kmq-1.md alone, with the standard library only.

It is meant to be read beside that document: where a rule of it is followed, a comment or docstring has the
number of the section and quotes the words.

    python minidecoder.py IN.kmq OUT.png     write the picture as PNG
    python minidecoder.py --info IN.kmq      print what is in the file, as JSON
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import math
import struct
import sys
import zlib
from array import array
from functools import cache, lru_cache
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIGNATURE = bytes.fromhex("89 4B 4D 51 0D 0A 1A 0A")
CHUNK = 1 << 16  # pixels that are worked on at a time: a multiple of 8, so that each chunk begins with a byte
DEEPEST = 100  # nesting of a recipe that is still accepted; 11: "JSON may be deeply nested."
HIGH = 1 if sys.byteorder == "little" else 0  # where this machine has the high byte of 16 bits


class InvalidError(Exception):
    """Say what is wrong with a file.

    7.1: "the offset, the field, what was found and what was expected."
    """

    def __init__(self, offset: int, field: str, expected: str, found: str) -> None:
        super().__init__(f"{field} at offset {offset}: expected {expected}, found {found}")
        self.offset, self.field, self.expected, self.found = offset, field, expected, found


class TooLargeError(Exception):
    """Say which limit a file is over.

    7: "A file over a limit is not invalid; say so in other words."
    """


class Picture(NamedTuple):
    """Hold a decoded picture; pixels and indices are row by row from the top."""

    width: int
    height: int
    channels: int  # 3 or 4
    pixels: bytes
    palette: list[tuple[int, ...]]
    indices: array[int]
    strip_rows: int
    coding: str
    sections: list[tuple[str, bytes]]  # type and payload of each, known or not
    metadata: list[dict[str, Any]]  # for each section what _parse_section makes of it, or an empty one


class Header:
    """Check the header (7, step 1), hold its fields, and derive from them what sections 3 and 6.1 derive."""

    def __init__(self, data: bytes) -> None:
        # 7: "That there are 8 bytes and that they are the signature; the high four bits of `version`, if
        # there is a ninth byte; then that there are 32 bytes; then `header_crc`; then the range of every
        # other field, in the order of their offsets."
        # 7.1: "the file has 0..7 bytes"
        if data[:8] != SIGNATURE:
            raise InvalidError(0, "signature", SIGNATURE.hex(" "), data[:8].hex(" ") or "nothing")
        # 9: "A decoder must reject every other major version, before it looks at anything behind that byte.
        # It must ignore the minor version."
        if len(data) > 8 and data[8] >> 4 != 1:
            raise InvalidError(8, "version", "major version 1", f"major version {data[8] >> 4}")
        # 7.1: "the file has 8..31 bytes, and signature and version, as far as they go, are right"
        if len(data) < 32:
            raise InvalidError(len(data), "header", "at least 32 bytes", f"{len(data)} bytes")
        _check_crc(data, 28, "header_crc", zlib.crc32(data[:28]))
        # 1: "Integers are unsigned and little-endian"
        fields: tuple[int, ...] = struct.unpack("<BHIIII", data[9:28])
        storage, self.last_index, self.width, self.height, self.strip_rows, self.sections_bytes = fields
        # 3.2: "Bits 5..7 must be zero." and the codings 2..15 are
        # 3.2: "not assigned; must be rejected"
        if storage & ~0x11:
            raise InvalidError(9, "storage", "0x00, 0x01, 0x10 or 0x11", f"0x{storage:02x}")
        self.context = storage & 0x01 != 0
        if self.context and self.last_index == 0:  # 3: "with context coding, 1..65535"
            raise InvalidError(10, "last_index", "1..65535", "0")
        for offset, name in (12, "width"), (16, "height"):
            if getattr(self, name) == 0:  # 3: "1..2^32-1 pixels"
                raise InvalidError(offset, name, "1..2^32-1", "0")
        if not 1 <= self.strip_rows <= self.height:  # 3: "1..`height` rows"
            raise InvalidError(20, "strip_rows", f"1..{self.height}", f"{self.strip_rows}")
        # 3: "with context coding, `strip_rows` * `width` is at most 2^31"
        if self.context and self.strip_rows * self.width > 1 << 31:
            raise InvalidError(20, "strip_rows", f"1..{(1 << 31) // self.width}", f"{self.strip_rows}")
        if 0 < self.sections_bytes < 12:  # 3: "0, or 12..2^32-1"
            raise InvalidError(24, "sections_bytes", "0, or 12..2^32-1", f"{self.sections_bytes}")
        self.colors = self.last_index + 1  # K
        self.index_bits = self.last_index.bit_length()
        self.channels = 4 if storage & 0x10 else 3  # 3.2: "Bit 4, A, is set when the palette has alpha."
        self.palette_end = 32 + self.colors * self.channels
        self.strip_count = -(-self.height // self.strip_rows)
        self.table_offset = self.palette_end + 4 + self.sections_bytes
        # 3: "4 * strip_count if the coding is context and strip_count > 1, else 0"
        self.table_bytes = 4 * self.strip_count if self.context and self.strip_count > 1 else 0
        self.strips_offset = self.table_offset + self.table_bytes
        # 6: "the last strip has the rows that are left, 1..`strip_rows`"
        self.last_rows = self.height - (self.strip_count - 1) * self.strip_rows
        # 6.1: "size of the file = strips_offset + (strip_count - 1) * (S + 4) + L + 4"
        self.file_size = (
            self.strips_offset
            + self.payload_bytes(self.last_rows)
            + 4
            + ((self.strip_count - 1) * (self.payload_bytes(self.strip_rows) + 4))
        )
        if self.context:
            # 7: "With context coding, the header gives the least size only: strips_offset + 4 * strip_count."
            self.file_size = self.strips_offset + 4 * self.strip_count

    def payload_bytes(self, rows: int) -> int:
        """Compute 6.1: "payload_bytes of a strip of r rows = ceil(r * width * index_bits / 8)"."""
        return -(-rows * self.width * self.index_bits // 8)


def decode(data: bytes, *, max_pixels: int = 2**28) -> Picture:
    """Decode the bytes of a KMQ file.

    Parameters
    ----------
    data
        The whole file.
    max_pixels
        Largest number of pixels to accept; an eighth of it where the palette has only one entry.

    Raises
    ------
    InvalidError, TooLargeError
        The file breaks a rule of the format; it is over the limit.
    """
    # 7: "A decoder checks in this order." -- what follows are its steps 1 to 7.
    header = Header(data)
    # 8: "good defaults are 2^28, and 2^25 for K = 1"
    limit = max_pixels if header.index_bits else max_pixels // 8
    if header.width * header.height > limit:
        raise TooLargeError(f"too large: {header.width} x {header.height} pixels, but the limit is {limit}")
    # 7: "The error lies where the file ends too early, or where it should have ended."
    if len(data) < header.file_size or (len(data) > header.file_size and not header.context):
        offset = min(len(data), header.file_size)
        least = "at least " if header.context else ""
        raise InvalidError(offset, "file", f"{least}{header.file_size} bytes", f"{len(data)} bytes")
    palette = _read_palette(data, header)
    sections = _read_sections(data, header)
    sizes = _read_table(data, header)
    indices = _read_strips(data, header, palette, sizes)
    return Picture(
        header.width,
        header.height,
        header.channels,
        _paint(indices, palette, header.channels),
        palette,
        indices,
        header.strip_rows,
        "context" if header.context else "packed",
        sections,
        _read_metadata(sections),
    )


def _check_crc(data: bytes, offset: int, field: str, computed: int) -> None:
    """Compare a checksum with the stored one; 1: "It is stored as a u32."."""
    stored = int.from_bytes(data[offset : offset + 4], "little")
    if stored != computed:
        raise InvalidError(offset, field, f"{computed:08x}", f"{stored:08x}")


def _read_palette(data: bytes, header: Header) -> list[tuple[int, ...]]:
    """Check the palette and make one tuple for each entry."""
    # 4: "crc32 of the palette_bytes bytes before it"
    _check_crc(data, header.palette_end, "palette_crc", zlib.crc32(data[32 : header.palette_end]))
    # 4: "red, green, blue of entry 0, of entry 1, ..." and, behind all of these,
    # 4: "opacity of entry 0, of entry 1, ...: 0 transparent, 255 opaque"
    alpha = 32 + 3 * header.colors
    planes = [data[start:alpha:3] for start in (32, 33, 34)]
    if header.channels == 4:
        planes.append(data[alpha : header.palette_end])
    return list(zip(*planes, strict=True))


def _read_sections(data: bytes, header: Header) -> list[tuple[str, bytes]]:
    """Check the sections and cut them apart. 5: "Present when `sections_bytes` is not 0"."""
    sections: list[tuple[str, bytes]] = []
    position, end = header.palette_end + 4, header.table_offset - 4
    if header.sections_bytes:  # 5: "crc32 of all bytes of the area before it"
        _check_crc(data, end, "sections_crc", zlib.crc32(data[position:end]))
    while position < end:  # 5: "a run of one section or more, which must fill it exactly"
        # 5: "Where 1..7 bytes are left before `sections_crc`, no section can begin"
        if end - position < 8:
            raise InvalidError(position, "section", "at least 8 bytes", f"{end - position}")
        name = data[position : position + 4]
        if not name.isalpha():  # 5: "four ASCII letters, A..Z or a..z"
            raise InvalidError(position, "section type", "four ASCII letters", name.hex(" "))
        # 5: "a capital (A..Z): *required*. The pixels cannot be understood without it; the file must be
        # rejected." -- and of the known types, 5.1: "All of them are optional"
        if name[:1].isupper():
            raise InvalidError(
                position, "section type", "a type that is optional or known", name.decode("ascii")
            )
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        # 5: "at most the number of bytes between this field and `sections_crc`"
        if length > end - position - 8:
            raise InvalidError(position + 4, "section length", f"at most {end - position - 8}", f"{length}")
        sections.append((name.decode("ascii"), data[position + 8 : position + 8 + length]))
        position += 8 + length
    return sections


def _read_table(data: bytes, header: Header) -> Iterator[int]:
    """Check the strip table, if there is one, and return the size of the payload of each strip."""
    if not header.context:
        sizes = itertools.repeat(header.payload_bytes(header.strip_rows), header.strip_count - 1)
        return itertools.chain(sizes, [header.payload_bytes(header.last_rows)])
    table: tuple[int, ...] = ()
    if header.table_bytes:
        # 6: "crc32 of all bytes of the table before it"
        start, end = header.table_offset, header.strips_offset - 4
        _check_crc(data, end, "table_crc", zlib.crc32(data[start:end]))
        table = struct.unpack(f"<{header.strip_count - 1}I", data[start:end])
    # 7: "that it is at least strips_offset + the sum of the table's payload_bytes + 4 * strip_count"
    least = header.strips_offset + sum(table) + 4 * header.strip_count
    if len(data) < least:
        raise InvalidError(len(data), "file", f"at least {least} bytes", f"{len(data)} bytes")
    # 6: "The size of the last strip is not in the table: its payload has what is left of the file"
    return iter([*table, len(data) - least])


def _read_strips(
    data: bytes, header: Header, palette: list[tuple[int, ...]], sizes: Iterator[int]
) -> array[int]:
    """Check every strip. 7: "Each strip in turn: `strip_crc`, then its indices, then its padding bits"."""
    indices = array("H" if header.index_bits > 8 else "B")
    offset = header.strips_offset
    for number, size in enumerate(sizes):
        rows = header.strip_rows if number < header.strip_count - 1 else header.last_rows
        count, end = rows * header.width, offset + size
        payload = data[offset:end]
        # 6: "`strip_crc` is crc32(number || payload), where `number` is the number of the strip, 0 for the
        # topmost, as a u32."
        _check_crc(data, end, "strip_crc", zlib.crc32(payload, zlib.crc32(number.to_bytes(4, "little"))))
        if header.context:
            # 7: "with context coding, then the length of its payload and its last byte (6.2.1)."
            indices.extend(decode_context(payload, rows, header.width, palette, offset))
            offset = end + 4
            continue
        if header.index_bits:
            _unpack(payload, offset, count, header, indices)
        else:  # 6.1: "each strip is its checksum alone, and every pixel has index 0."
            indices.frombytes(bytes(count))
        # 6.1: "The bits of the last byte that are left over (none to seven) must be zero."
        padding = len(payload) * 8 - count * header.index_bits
        if padding and payload[-1] & ((1 << padding) - 1):
            raise InvalidError(
                end - 1, "padding", f"{padding} bits of zero", f"last byte 0x{payload[-1]:02x}"
            )
        offset = end + 4  # 2: "The parts follow each other without gap."
    return indices


def _unpack(payload: bytes, offset: int, count: int, header: Header, indices: array[int]) -> None:
    """Append the indices of one strip.

    6.1: "Nothing stands between two indices, nor between two rows: an index may begin anywhere in a byte."
    So 8 indices take `index_bits` bytes, and the nth of them has the same bits in each such group of bytes.
    """
    bits = header.index_bits
    for first in range(0, count, CHUNK):
        chunk = min(CHUNK, count - first)
        groups = -(-chunk // 8)
        part = payload[first * bits // 8 : (first + CHUNK) * bits // 8].ljust(groups * bits, b"\0")
        raw = bytearray(groups * 8 * indices.itemsize)
        for column in range(8):
            bit = column * bits
            if bits <= 8:
                raw[column::8] = _take_bits(part, bits, bit, bits)
            else:
                raw[2 * column + HIGH :: 16] = _take_bits(part, bits, bit, bits - 8)
                raw[2 * column + 1 - HIGH :: 16] = _take_bits(part, bits, bit + bits - 8, 8)
        unpacked = array(indices.typecode, bytes(raw[: chunk * indices.itemsize]))
        if max(unpacked) > header.last_index:  # 6.1: "Every index must be at most `last_index`."
            place = next(place for place, index in enumerate(unpacked) if index > header.last_index)
            # 7.1: "byte in which the first bit of the index lies"
            raise InvalidError(
                offset + (first + place) * bits // 8,
                "index",
                f"at most {header.last_index}",
                f"{unpacked[place]}",
            )
        indices.extend(unpacked)


def _take_bits(part: bytes, period: int, first_bit: int, count: int) -> bytes:
    """Take the same 1..8 bits out of each group of `period` bytes, as one byte for each group."""
    byte, bit = divmod(first_bit, 8)
    shift = 16 - bit - count  # in two bytes; 1: "Index bits are packed from the most significant bit on"
    left = part[byte::period].translate(_shift_table(8, shift, count))
    if bit + count <= 8:
        return left
    right = part[byte + 1 :: period].translate(_shift_table(0, shift, count))
    return (int.from_bytes(left, "big") | int.from_bytes(right, "big")).to_bytes(len(left), "big")


@cache
def _shift_table(up: int, down: int, count: int) -> bytes:
    """Tabulate for every byte: shift it up, then down, and keep the lowest `count` bits."""
    return bytes((value << up >> down) & ((1 << count) - 1) for value in range(256))


# 6.2.2: "*Logistic.*"
LOGISTIC = [
    *(32768, 38841, 44511, 49474, 53581, 56822, 59287, 61109, 62428, 63368, 64030, 64494, 64816, 65039),
    *(65194, 65300, 65374, 65425, 65459, 65483, 65500, 65511, 65519, 65524, 65528, 65530, 65532, 65533),
    *(65534, 65535, 65535, 65535, 65535),
]
LOGISTIC = [65536 - value for value in LOGISTIC[:0:-1]] + LOGISTIC  # L[-32] comes first
# 6.2.2: "squash(x)  = (L[x >> 6] * (64 - (x & 63)) + L[(x >> 6) + 1] * (x & 63) + 32) >> 6"
SQUASH = [  # squash(x - 2048): L[-32] and x = -2048 are moved to 0 alike
    (LOGISTIC[x >> 6] * (64 - (x & 63)) + LOGISTIC[(x >> 6) + 1] * (x & 63) + 32) >> 6 for x in range(4096)
]
# 6.2.2: "the least x with squash(x) >= 16 * q + 8"
STRETCH = [bisect.bisect_left(SQUASH, 16 * q + 8, 1, 4095) - 2048 for q in range(4096)]
# 6.2.2: "a pair with m = min(z, o) is a state if m <= 7 and max(z, o) <= C[m]."
MOST = (31, 31, 24, 18, 14, 11, 9, 8)  # C
# 6.2.2: "States are numbered from 0 in the order of z + o, those of the same sum in the order of z"
STATES = sorted(
    ((z, o) for z in range(32) for o in range(32) if min(z, o) <= 7 and max(z, o) <= MOST[min(z, o)]),
    key=lambda state: (sum(state), state),
)


def _next_state(count: int, other: int) -> tuple[int, int]:
    """Count one more of what a decision was, and forget of the other."""
    # 6.2.2: "the count of what it was grows by 1; then the other count, if it is more than 2, becomes
    # (other + 2) // 2; then the larger of the two becomes C[smaller], if it is more than that."
    count, other = count + 1, (other + 2) // 2 if other > 2 else other
    most = MOST[min(count, other)]
    return min(count, most), min(other, most)


NEXT = (
    bytes(STATES.index(_next_state(z, o)) for z, o in STATES),
    bytes(STATES.index(_next_state(o, z)[::-1]) for z, o in STATES),
)

# 6.2.6: "With the multipliers"
M_W, M_N, M_NW, M_NE, M_WW, M_NN = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1, 0xD3A2646D
M_NEE, M_NNE, M_NWW, M_NNW, M_WWW = 0xFD7046C5, 0xB55A4F09, 0x8DA6B343, 0xD8163841, 0xCB1AB31F
M_NEEE, M_W4, M_W5, M_W6, M_NE4 = 0xA2F5C2C9, 0x2545F491, 0x3C6EF373, 0x78DDE6E5, 0x60BEE2BF
M_NE5, M_NWWW, M_NNEE, M_NNWW = 0xDAA66D2B, 0x7FEB352D, 0x846CA68B, 0x9E6C63D1
M_KIND, M_NODE, M_BROKEN = 0x3D4D51CB, 0x2F0B4C47, 0x5851F42D


def _hash(key: int) -> int:
    """Compute 6.2.6: "hash(key)"."""
    h = key * M_W & 0xFFFFFFFF
    return (h ^ h >> 15) * M_N & 0xFFFFFFFF


def _clamp(value: int, least: int, most: int) -> int:
    """Compute 6.2: "clamp(v, a, b) is max(a, min(v, b))"."""
    return least if value < least else most if value > most else value


def _level(length: int) -> int:
    """Compute 6.2.5: "the length if that is less than 16; else 16 for lengths to 31, 17 to 63, 18 to 127"."""
    return length if length < 16 else min(length.bit_length() + 11, 21)


class Tree(NamedTuple):
    """Hold the tree of 6.2.3."""

    splits: dict[int, tuple[tuple[int, ...], int]]  # node: its channel of all entries, threshold
    leaf: list[int]  # "that index's leaf", for each index
    indices: dict[int, int]  # and the other way round


@lru_cache(1)
def _tree(palette: tuple[tuple[int, ...], ...]) -> Tree:
    """Halve the palette. 6.2.3: "A binary tree over the palette's entries."."""
    planes = list(zip(*palette, strict=True))
    # 6.2.3: "alpha (255 for every entry without flag A)": it would never be the channel of a node
    tree = Tree({}, [0] * len(palette), {})
    nodes = [(1, list(range(len(palette))))]
    for node, members in nodes:  # which grows meanwhile
        if len(members) == 1:
            tree.leaf[members[0]], tree.indices[node] = node, members[0]
            continue
        # 6.2.3: "the largest value in the list less the smallest, times 2, 4, 1 and 4 respectively; the
        # channel with the largest product is the node's, of equal ones the first."
        products = []
        for plane, factor in zip(planes, (2, 4, 1, 4), strict=False):
            values = [plane[member] for member in members]
            products.append((max(values) - min(values)) * factor)
        plane = planes[products.index(max(products))]
        # 6.2.3: "sorted by that channel, ascending, equal values staying in their order."
        members = sorted(members, key=plane.__getitem__)
        half = (len(members) + 1) // 2
        nodes += [(2 * node, members[:half]), (2 * node + 1, members[half:])]
        # 6.2.3: "threshold(n) = (a + b + 1) >> 1."
        tree.splits[node] = plane, (plane[members[half - 1]] + plane[members[half]] + 1) >> 1
    return tree


class Table:
    """Hold the flag or the step table of 6.2.5."""

    def __init__(self, bits: int, check_bits: int, count: int) -> None:
        self.shift, self.mask, self.count = 32 - bits, (1 << check_bits) - 1, count
        self.checks = array("H", bytes(2 << bits))
        self.states = bytearray(count << bits)

    def find(self, keys: Sequence[int]) -> list[int]:
        """Find the entry of each of eight keys, or take one: the places of their first states."""
        checks, states, count, mask = self.checks, self.states, self.count, self.mask
        # 6.2.6: "h = hash(key[i] + i * M_KIND)"
        hashes = [_hash(key + i * M_KIND) for i, key in enumerate(keys)]
        # 6.2.6: "First the checks of all eight entries e are read; then the eight contexts are done in their
        # order, each with what those before it have left of the entry e xor 1 (its check too) and of the s0
        # of both entries."
        entries = [h >> self.shift for h in hashes]
        places = []
        for h, e, found in zip(hashes, entries, [checks[e] for e in entries], strict=True):
            check = h & mask or 1
            if found != check:
                other = e ^ 1
                if checks[other] == check:
                    e = other
                else:  # 6.2.6: "e xor 1 if its s0 is less than that of e, else e."
                    if states[other * count] < states[e * count]:
                        e = other
                    checks[e] = check
                    states[e * count : (e + 1) * count] = bytes(count)
            places.append(e * count)
        return places


class Decisions:
    """Take decisions from a payload (6.2.1), and learn from them (6.2.7)."""

    def __init__(self, payload: bytes) -> None:
        self.payload, self.position = payload, 4  # of "the next byte of the payload"
        self.low, self.high, self.window = 0, 0xFFFFFFFF, int.from_bytes(payload[:4].ljust(4, b"\0"), "big")
        # 6.2.5: "((2 o + 1) * 32768) // (z + o + 1) for state (z, o)"
        first = [((2 * o + 1) * 32768) // (z + o + 1) for z, o in STATES]
        self.maps = [[first.copy() for _ in range(8)] for _ in range(4)]
        # 6.2.5: "squash(clamp(j * 4096 // 23 - 2048, -2047, 2047)) for entry j"
        first = [SQUASH[_clamp(j * 4096 // 23, 1, 4095)] for j in range(24)]
        self.refine_a, self.refine_b = ([first.copy() for _ in range(4096)] for _ in range(2))
        # 6.2.5: "3072 for the entries 0, 2, 4, ..., 14, else 0"
        self.weights = [[3072, 0] * 8 + [0] * 8 for _ in range(4286)]
        self.finals = [[5461] * 3 for _ in range(20)]
        self.count = 0  # "decisions"

    def decide(
        self,
        kind: int,
        final: int,
        states: bytearray,
        places: list[int],
        extra: list[int],
        vectors: tuple[int, int, int],
        a: int,
        b: int,
    ) -> int:
        """Make a decision of what 6.2.7 says is "given", in the steps that it numbers."""
        maps, stretch, squash = self.maps[kind], STRETCH, SQUASH
        # step 1; 6.2.7: "If the state is not 0, input[2 i] = stretch(chance) and input[2 i + 1] = (chance -
        # 2048) >> 1; else input[2 i] = stretch(chance) >> 2 and input[2 i + 1] = 0."
        numbers = [states[place] for place in places]
        inputs: list[int] = []
        for state_map, state in zip(maps, numbers, strict=True):
            chance = state_map[state] >> 4
            inputs += (stretch[chance], (chance - 2048) >> 1) if state else (stretch[chance] >> 2, 0)
        inputs += extra
        # step 2; 6.2.7: "v0 grows by the number of the contexts 1, 2 and 3 whose state is not 0."
        v0, v1, v2 = vectors
        v0 += 3 - numbers[1:4].count(0)
        # step 3; 6.2.7: "t_m = clamp((sum of input[j] * w[j]) >> 14, -2047, 2047)."
        weights = [self.weights[v0], self.weights[v1], self.weights[v2]]
        ts = [_clamp(sum(map(mul, inputs, w)) >> 14, -2047, 2047) for w in weights]
        u = self.finals[final]
        t = _clamp(sum(map(mul, ts, u)) >> 14, -2047, 2047)
        p = squash[t + 2048]
        # step 4; 6.2.7: "scaled = (t + 2048) * 23, slot = scaled >> 12, part = scaled & 4095."
        scaled = (t + 2048) * 23
        slot, part = scaled >> 12, scaled & 4095
        ra, rb = self.refine_a[_hash(a) >> 20], self.refine_b[_hash(b) >> 20]
        pa = (ra[slot] * (4096 - part) + ra[slot + 1] * part) >> 12
        pb = (rb[slot] * (4096 - part) + rb[slot + 1] * part) >> 12
        # step 5; 6.2.7: "P = clamp((2 * p + pa + pb + 2) >> 2, 16, 65520) is the probability for 6.2.1"
        decision = self._take(_clamp((2 * p + pa + pb + 2) >> 2, 16, 65520))
        # step 6; 6.2.7: "With goal = 65535 if d is 1, else 0, all is updated."
        goal = 65535 if decision else 0
        slot += part >> 11
        ra[slot] += (goal - ra[slot]) >> 6
        rb[slot] += (goal - rb[slot]) >> 6
        error = (goal - p) >> 4
        changed = [v + ((t * error * 6 + 131072) >> 18) for v, t in zip(u, ts, strict=True)]
        u[:] = [_clamp(v, -30000, 30000) for v in changed]
        rate = 20 + 9830400 // (65536 + self.count)
        self.count = min(self.count + 1, 1 << 24)
        for w, t in zip(weights, ts, strict=True):
            error = _clamp(((goal - squash[t + 2048]) * rate) >> 8, -32767, 32767)
            w[:] = [v + ((x * error + 32768) >> 16) for v, x in zip(w, inputs, strict=True)]
            if max(w) > 30000 or min(w) < -30000:
                w[:] = [_clamp(v, -30000, 30000) for v in w]
        follow = NEXT[decision]
        for state_map, state, place in zip(maps, numbers, places, strict=True):
            state_map[state] += (goal - state_map[state]) >> 7
            # 6.2.7: "Where contexts share an entry, this is done once for each of them"
            states[place] = follow[states[place]]
        return decision

    def _take(self, probability: int) -> int:
        """Decode a decision. 6.2.1: "whose probability of being 1 is P / 65536"."""
        low, high = self.low, self.high
        span = high - low
        middle = low + (span >> 16) * probability + (((span & 65535) * probability) >> 16)
        decision = 1 if self.window <= middle else 0
        if decision:
            high = middle
        else:
            low = middle + 1
        while low >> 24 == high >> 24:
            low = low << 8 & 0xFFFFFFFF
            high = (high << 8 & 0xFFFFFFFF) + 255
            # 6.2.1: "Beyond its end, the payload reads as zeros."
            byte = self.payload[self.position] if self.position < len(self.payload) else 0
            self.window = (self.window << 8 & 0xFFFFFFFF) + byte
            self.position += 1
        self.low, self.high = low, high
        return decision

    def check_end(self, offset: int) -> None:
        """Check the payload, which begins at the offset, after the last decision."""
        # 6.2.1: "The payload must have `shifts` bytes if low is 0, else one more, which must be
        # (low >> 24) + 1."
        size = self.position - 4 + (self.low != 0)
        if len(self.payload) != size:
            # 7.1: "first byte too many, or the end of the payload"
            where = offset + min(size, len(self.payload))
            raise InvalidError(where, "payload", f"{size} bytes", f"{len(self.payload)} bytes")
        last = (self.low >> 24) + 1
        if self.low and self.payload[-1] != last:
            raise InvalidError(
                offset + size - 1, "payload", f"last byte 0x{last:02x}", f"0x{self.payload[-1]:02x}"
            )


class ContextStrip:
    """Decode a strip of context coding: 6.2.8 and 6.2.9."""

    def __init__(self, payload: bytes, rows: int, width: int, palette: list[tuple[int, ...]]) -> None:
        self.width, self.rows, self.palette, self.tree = width, rows, palette, _tree(tuple(palette))
        self.decisions = Decisions(payload)
        # 6.2.5: "With size = bit_length(pixels - 1) + 3, flag_bits = clamp(size, 8, 18),
        # step_bits = clamp(size, 8, 18) and match_bits = clamp(size - 3, 8, 16)"
        size = (rows * width - 1).bit_length() + 3
        self.flags = Table(_clamp(size, 8, 18), 16, 2)
        self.steps = Table(_clamp(size, 8, 18), 8, 7)
        self.match_shift = 32 - _clamp(size - 3, 8, 16)
        self.match_tables = [[0] * (1 << _clamp(size - 3, 8, 16)) for _ in range(2)]
        self.counters = [[[49152] * 3 for _ in range(22)] for _ in range(2)]
        self.match, self.matched = [0, 0], [0, 0]  # pixel numbers and lengths of the matches
        self.unchanged = [0] * width
        self.broken = 0
        # all indices so far and, with six more on the left and five on the right for what 6.2.4 says of
        # columns that are not there, those of this row and of the two above it
        self.indices: list[int] = []
        self.row = self.above = self.above2 = [0] * (width + 11)

    def decode(self) -> list[int]:
        """Decode all rows. 6.2.8: "Rows go from the top, pixels from the left."."""
        for y in range(self.rows):
            self.broken = 0
            self.above2, self.above = self.above, self.row
            # 6.2.4: "if x < 0, then at(0, y - 1) is taken instead; if x >= width, at(width - 1, y)"
            self.row = row = [self.above[6]] * 6
            while len(row) < self.width + 6:
                x = len(row) - 6
                run = self._run(x, y)
                if not run:
                    run = [self._pixel(x)]
                row += run
                self.indices += run
            row += row[-1:] * 5
        return self.indices

    def _run(self, x: int, y: int) -> list[int]:
        """Look for a run, and return its pixels: none if there is none."""
        row, above, above2, width = self.row, self.above, self.above2, self.width
        W = row[-1]
        # 6.2.8: "if broken is 0 and y >= 2 and W = NW and WW = NWW"
        if self.broken or y < 2 or above[x + 5] != W or row[-2] != above[x + 4]:
            return []
        # 6.2.8: "counted up to the first that differs, to column width - 1, or to 32 columns, whichever comes
        # first. If it was ended by one that differs, it is made 2 less; if by the last column or the 32nd,
        # whatever follows, it is not."
        length, most = 0, min(width - x, 32)
        while length < most and above[x + 6 + length] == above2[x + 6 + length]:
            length += 1
        if length < most:
            length -= 2
        if length < 6:
            return []
        run = above[x + 6 : x + 6 + length]
        least, most = min(self.unchanged[x : x + length]), max(self.unchanged[x : x + length])
        same = 1 if run.count(W) == length else 0
        left = 0
        while left < min(x, 32) and row[-1 - left] == W:
            left += 1
        match, matched = self.match[0], self.matched[0]
        # 6.2.8: "else 1 if match + length <= y * width + x and the pixels match .. match + length - 1 are
        # those of row y - 1 from column x on; else 2"
        told = 0
        if matched:
            # what is taken is shorter at the end of what is known
            told = 1 if self.indices[match : match + length] == run else 2
        level = _level(matched)
        shape = 0 if length < 8 else 1 if length < 16 else 2 if length < 32 else 3
        still = min(least, 40)
        base = (1 + 9 * shape + 3 * told + same) * M_NODE + 2 * M_BROKEN
        keys = (
            base + (x >> 3) * M_W,
            base + W * M_W + still * M_N,
            base + least * M_W,
            base + left * M_W + still * M_N,
            base + W * M_W + least * M_N,
            base + level * M_W,
            base + most * M_W,
            base + above[x + length + 7] * M_W + above[x + length + 6] * M_N + still * M_NW,
        )
        decision = self.decisions.decide(
            2,
            2,
            self.flags.states,
            self.flags.find(keys),  # "s0 of the flag entries"
            [256, (0, 32, -32)[told] * level, 0, 0, 0, 0, 0, 0],
            (528 + 4 * still, 1272 + (W & 255), 2876 + left),
            W * M_W + shape * M_KIND,
            still * M_W + (3 * shape + told) * M_KIND,
        )
        if decision:
            self.broken = 1
            return []
        for column in range(x, x + length):
            self.unchanged[column] = min(self.unchanged[column] + 1, 255)
        # 6.2.8: "The length of match 0 grows by `length`, up to 65535, if told is 1, else it becomes
        # 0; its pixel number grows by `length`; the length of match 1 becomes 0."
        self.matched = [min(matched + length, 65535) if told == 1 else 0, 0]
        self.match[0] += length
        return run

    def _pixel(self, x: int) -> int:
        """Decode a pixel."""
        W6, W5, W4, WWW, WW, W = self.row[-6:]
        NWWW, NWW, NW, N, NE, NEE, NEEE, NE4, NE5 = self.above[x + 3 : x + 12]
        NNWW, NNW, NN, NNE, NNEE = self.above2[x + 4 : x + 9]
        w, n, indices = W * M_W, N * M_N, self.indices
        key8 = w + n + NW * M_NW + NE * M_NE + WW * M_WW + NN * M_NN + NEE * M_NEE + NNE * M_NNE
        key12 = key8 + NWW * M_NWW + NNW * M_NNW + WWW * M_WWW + NEEE * M_NEEE
        key20 = key12 + W4 * M_W4 + W5 * M_W5 + W6 * M_W6 + NE4 * M_NE4 + NE5 * M_NE5
        key20 += NWWW * M_NWWW + NNEE * M_NNEE + NNWW * M_NNWW

        # 6.2.9: "what they hold are the *candidates* 0 and 1; then both are set to the number of this pixel."
        candidates, number = [], len(indices)
        for table, key in zip(self.match_tables, (key20, key12), strict=True):
            entry = _hash(key) >> self.match_shift
            candidates.append(table[entry])
            table[entry] = number
        # 6.2.9: "If the length of match q is not 0, it *predicts* the index of the pixel that has its pixel
        # number: g[q]; else g[q] = -1."
        g = [indices[self.match[q]] if self.matched[q] else -1 for q in (0, 1)]
        level = [_level(self.matched[q]) for q in (0, 1)]

        def T(v: int) -> int:  # 6.2.9: "T(v) = 0 if v = N, else 1 if v = W, else 2."
            return 0 if v == N else 1 if v == W else 2

        texture = 54 * T(NW) + 18 * T(NE) + 6 * T(WW) + 2 * T(NN) + (W == N)
        near = 27 * texture + 9 * T(NNE) + 3 * T(NWW) + T(NEE)
        far = 27 * near + 9 * T(WWW) + 3 * T(NNW) + T(NEEE)

        base = self.broken * M_BROKEN
        north, west = n + NE * M_NE + NEE * M_NEE, w + n + WW * M_WW
        match_0 = (g[0] + 1) * M_NN + level[0] * M_NODE
        match_1 = n + (g[1] + 1) * M_NN + level[1] * M_NODE
        keys = (near * M_KIND, key12, key8, north, west, w + n + match_0, match_1, far * M_KIND)
        places = self.flags.find([base + key for key in keys])
        # 6.2.9: "A decision of kind 0 is made with `guess` = N and, if it is 0, W differs from N, and K is
        # not 2, one of kind 1 with `guess` = W; 1 means that the pixel is the guess."
        for kind, guess in enumerate((N,) if W == N or len(self.palette) == 2 else (N, W)):
            extra, agree = [256], [0, 0]
            counters = [self.counters[q][level[q]] for q in (0, 1)]
            for q in (0, 1):
                counter = counters[q][kind]
                agree[q] = 0 if g[q] == -1 else 1 if g[q] == guess else 2
                if agree[q] == 0:
                    extra += (0, 0)
                elif agree[q] == 1:
                    extra += (STRETCH[counter >> 4], (counter - 32768) >> 4)
                else:
                    extra += (-STRETCH[counter >> 4], 0)
            decision = self.decisions.decide(
                kind,
                kind,
                self.flags.states,
                [place + kind for place in places],  # "s0 for kind 0, s1 for kind 1"
                [*extra, 0, 0, 0],
                (
                    4 * (3 * (22 * kind + level[0]) + agree[0]),
                    760 + 256 * kind + (guess & 255),
                    2552 + 162 * kind + texture,
                ),
                w + n + (kind + 4) * M_KIND,
                near * M_W + (kind + 4) * M_KIND,
            )
            for q in (0, 1):
                # 6.2.9: "if agree[q] is 1, counter becomes counter + ((65535 * d - counter) >> 6); if
                # agree[q] is 2 and d is 1, counter becomes counter + ((0 - counter) >> 6)."
                if agree[q] == 1:
                    counters[q][kind] += (65535 * decision - counters[q][kind]) >> 6
                elif agree[q] == 2 and decision:
                    counters[q][kind] += -counters[q][kind] >> 6
            if decision:
                pixel = guess
                break
        else:  # 6.2.9: "*Steps.* If the pixel is neither"
            pixel = self._descend(W, WW, NW, N, NE, NEE, NN, key12, g, level)

        # 6.2.9: "*After the pixel.*"
        if pixel != N:
            self.unchanged[x] = self.broken = 0
        else:
            self.unchanged[x] = min(self.unchanged[x] + 1, 255)
        for q in (0, 1):
            if g[q] == pixel:
                self.match[q] += 1
                self.matched[q] = min(self.matched[q] + 1, 65535)
            else:  # 6.2.9: "the length becomes 1 if candidate q is not 0 and the pixel with that number has
                # the index of this one, else 0."
                self.match[q] = candidates[q] + 1
                self.matched[q] = 1 if candidates[q] and indices[candidates[q]] == pixel else 0
        return pixel

    def _descend(
        self,
        W: int,
        WW: int,
        NW: int,
        N: int,
        NE: int,
        NEE: int,
        NN: int,
        key12: int,
        g: list[int],
        level: list[int],
    ) -> int:
        """Find a pixel by 6.2.9: "going down the tree (6.2.3) from the root to a leaf"."""
        tree, w, n = self.tree, W * M_W, N * M_N
        # 6.2.9: "Excluded are the indices N and W, or N alone if K is 2."
        excluded = {tree.leaf[N]} if len(self.palette) == 2 else {tree.leaf[N], tree.leaf[W]}
        counters = [self.counters[q][level[q]] for q in (0, 1)]
        leaves = [tree.leaf[g[q]] if g[q] != -1 else 0 for q in (0, 1)]
        keys = (
            0,
            key12,
            w + n,
            n + NE * M_NE + NEE * M_NEE,
            w + n + WW * M_WW,
            w + (g[0] + 1) * M_NN + level[0] * M_NODE,
            n + (g[1] + 1) * M_NN + level[1] * M_NODE,
            w + n + NW * M_NW + NE * M_NE,
        )
        differences = 27 * self._diff(W, NW) + 9 * self._diff(N, NW)
        differences += 3 * self._diff(N, NE) + self._diff(W, WW)

        def empty(child: int) -> bool:
            # 6.2.9: "if it is the leaf of an excluded index, or if both its children are leaves of excluded
            # indices."
            return child in excluded or (2 * child in excluded and 2 * child + 1 in excluded)

        node, group, places = 1, 0, []
        while node in tree.splits:
            if empty(2 * node):
                node = 2 * node + 1
                continue
            if empty(2 * node + 1):
                node = 2 * node
                continue
            depth = node.bit_length() - 1
            third = depth % 3
            if node >> third != group:
                # 6.2.9: "found at the first decision in a group, and used by all others of the pixel in it."
                group = node >> third
                salt = group * M_NODE + 1
                places = self.steps.find([key + salt for key in keys])
            # 6.2.9: "the number is 2^(depth mod 3) plus the lower depth mod 3 bits of n"
            state = (1 << third) + (node & ((1 << third) - 1))
            V, D = tree.splits[node]
            M = (2 * V[W] + V[N] + V[NE]) >> 2
            guesses = (V[W] + V[N] - V[NW], M, V[W] + V[NE] - V[N], 2 * V[N] - V[NN], 2 * V[W] - V[WW])
            extra = [256]
            # M is never less than 0, nor over 255
            extra += [_clamp(16 * (_clamp(guess, 0, 255) - D), -1000, 1000) for guess in guesses]
            sides = [-1, -1]  # on which the leaf of g[q] is
            for q in (0, 1):
                up = leaves[q].bit_length() - depth - 2  # levels from the leaf up to a child of the node
                if up >= 0 and leaves[q] >> up >> 1 == node:
                    sides[q] = leaves[q] >> up & 1
                stretched = STRETCH[counters[q][2] >> 4]
                extra.append((stretched, -stretched, 0)[1 - sides[q]])
            decision = self.decisions.decide(
                3,
                3 + depth,
                self.steps.states,
                [place + state - 1 for place in places],  # of s1..s7, s1 is at the place
                extra,
                (692 + 4 * depth, 1528 + min(node, 1023), 2909 + 81 * depth + differences),
                node * M_W + ((_clamp(M - D, -128, 127) + 128) >> 3) * M_N,
                node * M_W + W * M_NW,
            )
            for q in (0, 1):
                # 6.2.9: "counter becomes counter + ((65535 - counter) >> 6) if the leaf was on the side that
                # was taken, else counter + ((0 - counter) >> 6)."
                if sides[q] != -1:
                    counters[q][2] += ((65535 if sides[q] == decision else 0) - counters[q][2]) >> 6
            node = 2 * node + decision
        return tree.indices[node]

    def _diff(self, i: int, j: int) -> int:
        """Compare two colours. 6.2.9: "0 if sum < 7, 1 if sum < 70, else 2"."""
        if i == j:
            return 0
        pairs = zip(self.palette[i], self.palette[j], (2, 4, 1, 4), strict=False)
        total = sum(abs(left - right) * factor for left, right, factor in pairs)
        return 0 if total < 7 else 1 if total < 70 else 2


def decode_context(
    payload: bytes, rows: int, width: int, palette: list[tuple[int, ...]], offset: int = 0
) -> list[int]:
    """Decode a strip of 6.2, whose payload begins at the offset, to its indices, row by row."""
    strip = ContextStrip(payload, rows, width, palette)
    indices = strip.decode()
    strip.decisions.check_end(offset)
    return indices


def _paint(indices: array[int], palette: list[tuple[int, ...]], channels: int) -> bytes:
    """Make pixels. 7: "red, green, blue (and alpha) of the palette entry that its index names."."""
    pixels = bytearray()
    if indices.itemsize == 1:
        pixels, plane = bytearray(len(indices) * channels), indices.tobytes()
        for channel in range(channels):
            pixels[channel::channels] = plane.translate(bytes(e[channel] for e in palette).ljust(256, b"\0"))
    else:
        entries = [bytes(entry) for entry in palette]
        for first in range(0, len(indices), CHUNK):
            pixels += b"".join(map(entries.__getitem__, indices[first : first + CHUNK]))
    return bytes(pixels)


def _read_metadata(sections: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Parse what is known and well-formed. 5.1: "No payload of them can make a file invalid."."""
    metadata: list[dict[str, Any]] = []
    seen: set[str] = set()
    for name, payload in sections:
        # 5.1: "A decoder must treat a payload that breaks the rules of its type (5.2 to 5.4) like an unknown
        # optional section" and
        # 5.1: "every occurrence but the first of a type that occurs at most once, whether the first was
        # well-formed or not"
        try:
            metadata.append({} if name in seen else _parse_section(name, payload))
        except (ValueError, RecursionError):  # not UTF-8 and not JSON are ValueErrors
            metadata.append({})
        if name != "text":
            seen.add(name)
    return metadata


def _parse_section(name: str, payload: bytes) -> dict[str, Any]:
    """Parse one payload; raise ValueError where it breaks the rules of its type."""
    if name == "iccp":  # 11: "Pass it on as bytes"
        return {name: payload}
    if name == "exif" and payload[:4] in (b"II*\0", b"MM\0*"):  # 5.1: "49 49 2A 00 or 4D 4D 00 2A"
        return {name: payload}
    if name == "axmp":  # 5.1: "an XMP packet (ISO 16684-1), UTF-8"
        return {name: payload.decode("utf-8")}
    if name == "text":
        # 5.2: "Four strings, the first three of them ended by a byte of zero", and that
        # 5.2: "so that a payload has exactly three of these"
        keyword, language, translated, text = payload.decode("utf-8").split("\0")
        # 5.2: "`keyword` has at least one character. `language` is ASCII: a tag as of BCP 47, which a decoder
        # need not check, or empty."
        if keyword and language.isascii():
            return {"keyword": keyword, "language": language, "translated_keyword": translated, "text": text}
    if name == "dens" and len(payload) == 9:  # 5.3: "The payload has 9 bytes."
        x, y, unit = struct.unpack("<IIB", payload)
        if x and y and unit <= 1:  # 5.3: "0: not known, only the ratio of x and y counts; 1: metre"
            return {"x": x, "y": y, "unit": unit}
    if name == "rcpe":  # 5.4: "an object of JSON (RFC 8259), in UTF-8 without byte order mark"
        recipe = json.loads(payload.decode("utf-8"), parse_constant=_finite, parse_float=_finite)
        level = [recipe]
        for _ in range(DEEPEST):  # replace the items of one level by those of the next
            level = [
                child
                for item in level
                if isinstance(item, (dict, list))
                for child in (item.values() if isinstance(item, dict) else item)
            ]
        if isinstance(recipe, dict) and not level:
            return {"recipe": recipe}
    raise ValueError("not known, or not well-formed")


def _finite(digits: str) -> float:
    """Read a number of JSON, which has none for what Python calls NaN and Infinity."""
    if not math.isfinite(float(digits)):
        raise ValueError("not finite")
    return float(digits)


def encode_png(picture: Picture) -> bytes:
    """Write a picture as PNG: 8 bits for each channel, no filters, as many IDAT as needed."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    color_type = 6 if picture.channels == 4 else 2
    parts = [
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", picture.width, picture.height, 8, color_type, 0, 0, 0)),
    ]
    compressor, body, stride = zlib.compressobj(), bytearray(), picture.width * picture.channels
    for start in range(0, len(picture.pixels), stride):
        body += compressor.compress(b"\0" + picture.pixels[start : start + stride])
        if len(body) > 1 << 20:
            parts.append(chunk(b"IDAT", bytes(body)))
            body.clear()
    parts += [chunk(b"IDAT", bytes(body) + compressor.flush()), chunk(b"IEND", b"")]
    return b"".join(parts)


def describe(picture: Picture) -> dict[str, Any]:
    """Make the object that `--info` prints."""
    sections: list[dict[str, Any]] = []
    for (name, payload), parsed in zip(picture.sections, picture.metadata, strict=True):
        sections.append({"type": name, "bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()})
        if name in ("text", "dens", "rcpe"):
            sections[-1].update(parsed)
    return {
        "width": picture.width,
        "height": picture.height,
        "colors": len(picture.palette),
        "index_bits": (len(picture.palette) - 1).bit_length(),
        "coding": picture.coding,
        "alpha": picture.channels == 4,
        "strip_rows": picture.strip_rows,
        "strips": -(-picture.height // picture.strip_rows),
        "sections": sections,
    }


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    information = arguments[:1] == ["--info"]
    if len(arguments) != 2 or any(argument.startswith("-") for argument in arguments[information:]):
        print("usage: minidecoder.py IN.kmq OUT.png | --info IN.kmq", file=sys.stderr)
        return 2
    try:
        picture = decode(Path(arguments[information]).read_bytes())
        if information:
            print(json.dumps(describe(picture)))
        else:
            Path(arguments[1]).write_bytes(encode_png(picture))
    except (InvalidError, TooLargeError, OSError, MemoryError) as error:
        print(f"minidecoder: {str(error) or 'not enough memory'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
