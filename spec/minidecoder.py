#!/usr/bin/env python3
"""Decode KMQ pictures: a decoder written from kmq-1.md alone, with the standard library only.

It is meant to be read beside that document: where a rule of it is followed, a comment or docstring has the
number of the section and quotes the words.

    python minidecoder.py IN.kmq OUT.png     write the picture as PNG
    python minidecoder.py --info IN.kmq      print what is in the file, as JSON
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import sys
import zlib
from array import array
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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
        # 3.2: "Bits 5..7 must be zero." and of the codings, 1 is
        # 3.2: "reserved for a later version; must be rejected", the others are
        # 3.2: "not assigned; must be rejected"
        if storage & ~0x10:
            raise InvalidError(9, "storage", "0x00 or 0x10", f"0x{storage:02x}")
        for offset, name in (12, "width"), (16, "height"):
            if getattr(self, name) == 0:  # 3: "1..2^32-1 pixels"
                raise InvalidError(offset, name, "1..2^32-1", "0")
        if not 1 <= self.strip_rows <= self.height:  # 3: "1..`height` rows"
            raise InvalidError(20, "strip_rows", f"1..{self.height}", f"{self.strip_rows}")
        if 0 < self.sections_bytes < 12:  # 3: "0, or 12..2^32-1"
            raise InvalidError(24, "sections_bytes", "0, or 12..2^32-1", f"{self.sections_bytes}")
        self.colors = self.last_index + 1  # K
        self.index_bits = self.last_index.bit_length()
        self.channels = 4 if storage & 0x10 else 3  # 3.2: "Bit 4, A, is set when the palette has alpha."
        self.palette_end = 32 + self.colors * self.channels
        self.strips_offset = self.palette_end + 4 + self.sections_bytes
        self.strip_count = -(-self.height // self.strip_rows)
        # 6: "the last strip has the rows that are left, 1..`strip_rows`"
        self.last_rows = self.height - (self.strip_count - 1) * self.strip_rows
        # 6.1: "size of the file = strips_offset + (strip_count - 1) * (S + 4) + L + 4"
        self.file_size = (
            self.strips_offset
            + self.payload_bytes(self.last_rows)
            + 4
            + ((self.strip_count - 1) * (self.payload_bytes(self.strip_rows) + 4))
        )

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
    # 7: "A decoder checks in this order." -- what follows are its steps 1 to 6.
    header = Header(data)
    # 8: "good defaults are 2^28, and 2^25 for K = 1"
    limit = max_pixels if header.index_bits else max_pixels // 8
    if header.width * header.height > limit:
        raise TooLargeError(f"too large: {header.width} x {header.height} pixels, but the limit is {limit}")
    # 7: "The error lies where the file ends too early, or where it should have ended."
    if len(data) != header.file_size:
        offset = min(len(data), header.file_size)
        raise InvalidError(offset, "file", f"{header.file_size} bytes", f"{len(data)} bytes")
    palette = _read_palette(data, header)
    sections = _read_sections(data, header)
    indices = _read_strips(data, header)
    return Picture(
        header.width,
        header.height,
        header.channels,
        _paint(indices, palette, header.channels),
        palette,
        indices,
        header.strip_rows,
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
    position, end = header.palette_end + 4, header.strips_offset - 4
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


def _read_strips(data: bytes, header: Header) -> array[int]:
    """Check every strip. 7: "Each strip in turn: `strip_crc`, then its indices, then its padding bits."."""
    indices = array("H" if header.index_bits > 8 else "B")
    offset = header.strips_offset
    for number in range(header.strip_count):
        rows = header.strip_rows if number < header.strip_count - 1 else header.last_rows
        count, end = rows * header.width, offset + header.payload_bytes(rows)
        payload = data[offset:end]
        # 6: "`strip_crc` is crc32(number || payload), where `number` is the number of the strip, 0 for the
        # topmost, as a u32."
        _check_crc(data, end, "strip_crc", zlib.crc32(payload, zlib.crc32(number.to_bytes(4, "little"))))
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
