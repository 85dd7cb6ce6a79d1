"""What lies where in a .kmq file, and the checks of the fixed header and of the sections.

Knows neither files nor pixels.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kmcodec.coding import packed
from kmcodec.errors import KmqFormatError
from kmcodec.image import Section

SIGNATURE = b"\x89KMQ\r\n\x1a\n"
MAJOR_VERSION = 1
MINOR_VERSION = 0

#: Names of the codings, at their numbers.
CODINGS = ("packed", "context")

HEADER_BYTES = 32
CRC_BYTES = 4
_VERSION_OFFSET = 8
_ALPHA_FLAG = 0x10
_CODING_MASK = 0x0F
# All of the header but its checksum: signature, version, storage, last_index, width, height, strip_rows,
# sections_bytes.
_FIELDS = struct.Struct("<8sBBHIIII")
_SECTION_HEAD = struct.Struct("<4sI")
_MIN_SECTIONS_BYTES = _SECTION_HEAD.size + CRC_BYTES
_U32_MAX = 2**32 - 1
_TABLE_ENTRY = np.dtype("<u4")

#: Pixels of a context-coded strip at most.
MAX_CONTEXT_PIXELS = 2**31
# A pixel takes at most 19 decisions (a run, two flags, 16 steps), of at most 12 bits each.
_MOST_CONTEXT_BYTES = 29


@dataclass(frozen=True)
class Header:
    """Hold the fields of a header (section 3), and what follows from them: where everything lies.

    With context coding, the strips lie where the strip table says; with_table gives a header that knows it.

    Attributes
    ----------
    width, height : int
        Pixels, 1..2**32 - 1.
    last_index : int
        K - 1, 0..65535.
    has_alpha : bool
    strip_rows : int
        Rows of a strip, 1..height.
    sections_bytes : int
        0, or at least 12.
    minor_version : int
        0..15.
    coding : str
        "packed" or "context".
    strip_offsets : ndarray, shape (strip_count + 1,), int64, or None
        Where each strip begins, and the last one ends, as far as a table says it.
    """

    width: int
    height: int
    last_index: int
    has_alpha: bool
    strip_rows: int
    sections_bytes: int
    minor_version: int = MINOR_VERSION
    coding: str = CODINGS[0]
    strip_offsets: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

    @property
    def n_colors(self) -> int:
        """K, 1..65536."""
        return self.last_index + 1

    @property
    def index_bits(self) -> int:
        """Bits of an index, 0..16."""
        return self.last_index.bit_length()

    @property
    def channels(self) -> int:
        """Bytes of a palette entry: 4 with alpha, else 3."""
        return 4 if self.has_alpha else 3

    @property
    def palette_bytes(self) -> int:
        """Bytes of the palette without its checksum."""
        return self.n_colors * self.channels

    @property
    def sections_offset(self) -> int:
        """Byte at which the sections begin, if there are any."""
        return HEADER_BYTES + self.palette_bytes + CRC_BYTES

    @property
    def table_offset(self) -> int:
        """Byte at which the strip table begins, if there is one."""
        return self.sections_offset + self.sections_bytes

    @property
    def table_bytes(self) -> int:
        """Bytes of the strip table with its checksum: an entry for each strip but the last."""
        return CRC_BYTES * self.strip_count if self.has_table else 0

    @property
    def has_fixed_sizes(self) -> bool:
        """Whether the sizes of the strips follow from the header, so that no table has to say them."""
        return self.coding == "packed"

    @property
    def has_table(self) -> bool:
        """Whether there is a strip table."""
        return not self.has_fixed_sizes and self.strip_count > 1

    @property
    def strips_offset(self) -> int:
        """Byte at which strip 0 begins."""
        return self.table_offset + self.table_bytes

    @property
    def strip_count(self) -> int:
        """Number of strips, at least 1."""
        return -(-self.height // self.strip_rows)

    def rows_of_strip(self, number: int) -> int:
        """Return the rows of a strip: strip_rows, or what is left for the last."""
        return min(self.strip_rows, self.height - number * self.strip_rows)

    def payload_bytes(self, number: int) -> int:
        """Return the bytes of a strip without its checksum."""
        if self.strip_offsets is not None:
            return int(self.strip_offsets[number + 1] - self.strip_offsets[number]) - CRC_BYTES
        return packed.count_bytes(self.rows_of_strip(number) * self.width, self.index_bits)

    def strip_offset(self, number: int) -> int:
        """Return the byte at which a strip's payload begins."""
        if self.strip_offsets is not None:
            return int(self.strip_offsets[number])
        return self.strips_offset + number * (self.payload_bytes(0) + CRC_BYTES)

    @property
    def file_bytes(self) -> int:
        """Size of the whole file."""
        last = self.strip_count - 1
        return self.strip_offset(last) + self.payload_bytes(last) + CRC_BYTES

    @property
    def least_file_bytes(self) -> int:
        """Size of the whole file at least, as far as the header says."""
        if self.has_fixed_sizes:
            return self.file_bytes
        return self.strips_offset + CRC_BYTES * self.strip_count

    @property
    def most_file_bytes(self) -> int:
        """Size of the whole file at most, as far as the header says."""
        if self.has_fixed_sizes:
            return self.file_bytes
        return self.least_file_bytes + _MOST_CONTEXT_BYTES * self.width * self.height

    def with_table(self, payload_bytes: NDArray[np.int64], file_bytes: int) -> Header:
        """Return a header that knows where the strips lie.

        Parameters
        ----------
        payload_bytes : ndarray, shape (strip_count - 1,), int64
            Of each strip but the last, which has what is left of the file.
        file_bytes : int
        """
        offsets = np.empty(self.strip_count + 1, np.int64)
        offsets[0] = self.strips_offset
        offsets[1:-1] = self.strips_offset + np.cumsum(payload_bytes + CRC_BYTES)
        offsets[-1] = file_bytes
        return replace(self, strip_offsets=offsets)

    def count_begun_strips(self, file_bytes: int) -> int:
        """Return how many strips begin before the end of a file that may be too short."""
        if self.strip_offsets is not None:
            return int(np.searchsorted(self.strip_offsets[:-1], file_bytes))
        stored_bytes = self.payload_bytes(0) + CRC_BYTES
        return min(max(0, -(-(file_bytes - self.strips_offset) // stored_bytes)), self.strip_count)

    def to_bytes(self) -> bytes:
        """Return the 32 bytes of the header."""
        fields = _FIELDS.pack(
            SIGNATURE,
            MAJOR_VERSION << 4 | self.minor_version,
            CODINGS.index(self.coding) | (_ALPHA_FLAG if self.has_alpha else 0),
            self.last_index,
            self.width,
            self.height,
            self.strip_rows,
            self.sections_bytes,
        )
        return fields + crc_bytes(fields)

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Parse and check a header (section 7, step 1).

        Parameters
        ----------
        data : bytes
            The first 32 bytes of a file, or all that there are.

        Raises
        ------
        KmqFormatError
        """
        if data[:8] != SIGNATURE:
            raise KmqFormatError(0, "signature", found=show_bytes(data[:8]), expected=show_bytes(SIGNATURE))
        if len(data) > _VERSION_OFFSET and data[_VERSION_OFFSET] >> 4 != MAJOR_VERSION:
            raise KmqFormatError(
                _VERSION_OFFSET,
                "version",
                found=f"{data[_VERSION_OFFSET] >> 4}",
                expected=f"{MAJOR_VERSION}",
            )
        if len(data) < HEADER_BYTES:
            raise KmqFormatError(
                len(data), "header", found="the end of the file", expected=f"{HEADER_BYTES} bytes"
            )
        _, version, storage, last_index, width, height, strip_rows, sections_bytes = _FIELDS.unpack(
            data[: _FIELDS.size]
        )
        check_crc(data[: _FIELDS.size], data[_FIELDS.size :], _FIELDS.size, "header_crc")
        number = storage & _CODING_MASK
        if number >= len(CODINGS):
            raise KmqFormatError(
                9, "storage", found=f"coding {number}", expected="coding 0 (packed) or 1 (context)"
            )
        if storage & ~(_CODING_MASK | _ALPHA_FLAG):
            raise KmqFormatError(9, "storage", found=f"0x{storage:02x}", expected="bits 5..7 zero")
        coding = CODINGS[number]
        if coding == "context" and last_index == 0:
            raise KmqFormatError(10, "last_index", found="0", expected="1..65535 with context coding")
        for offset, name, value in ((12, "width", width), (16, "height", height)):
            if value == 0:
                raise KmqFormatError(offset, name, found="0", expected="1..4294967295")
        if not 1 <= strip_rows <= height:
            raise KmqFormatError(20, "strip_rows", found=f"{strip_rows}", expected=f"1..{height}")
        if coding == "context" and strip_rows * width > MAX_CONTEXT_PIXELS:
            raise KmqFormatError(
                20,
                "strip_rows",
                found=f"{strip_rows}",
                expected=f"at most {MAX_CONTEXT_PIXELS // width} with context coding",
            )
        if 0 < sections_bytes < _MIN_SECTIONS_BYTES:
            raise KmqFormatError(
                24,
                "sections_bytes",
                found=f"{sections_bytes}",
                expected=f"0 or at least {_MIN_SECTIONS_BYTES}",
            )
        has_alpha = bool(storage & _ALPHA_FLAG)
        return cls(width, height, last_index, has_alpha, strip_rows, sections_bytes, version & 0x0F, coding)


def build_table(payload_bytes: list[int]) -> bytes:
    """Return the strip table with its checksum (section 6), of all strips but the last."""
    table = np.array(payload_bytes, _TABLE_ENTRY).tobytes()
    return table + crc_bytes(table)


def parse_table(table: bytes | memoryview) -> NDArray[np.int64]:
    """Return the payload_bytes of a strip table without its checksum."""
    return np.frombuffer(table, _TABLE_ENTRY).astype(np.int64)


def crc_bytes(*parts: bytes | memoryview) -> bytes:
    """Return the stored form of the CRC-32 of parts, one after another (section 1)."""
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc.to_bytes(CRC_BYTES, "little")


def strip_crc(number: int, payload: bytes | memoryview) -> bytes:
    """Return the stored form of a strip's checksum: crc32(number || payload) (section 6)."""
    return crc_bytes(number.to_bytes(4, "little"), payload)


def check_crc(data: bytes | memoryview, stored: bytes | memoryview, offset: int, field: str) -> None:
    """Raise KmqFormatError unless stored, which lies at offset, is the CRC-32 of data."""
    compare_crc(crc_bytes(data), stored, offset, field)


def compare_crc(computed: bytes, stored: bytes | memoryview, offset: int, field: str) -> None:
    """Raise KmqFormatError unless stored, which lies at offset, is the checksum computed."""
    if computed != stored:
        raise KmqFormatError(
            offset,
            field,
            found=f"0x{int.from_bytes(stored, 'little'):08x}",
            expected=f"0x{int.from_bytes(computed, 'little'):08x}, the checksum of what is there",
        )


def show_bytes(data: bytes) -> str:
    """Return bytes for a message."""
    return data.hex(" ") if data else "no bytes"


def build_sections(sections: tuple[Section, ...]) -> bytes:
    """Return the section area with its checksum (section 5), b"" for no sections.

    Raises
    ------
    TypeError
        If a type or a payload is not bytes.
    ValueError
        If a type is not four ASCII letters with a small one first (version 1.0 knows no required
        sections), or the area exceeds 2**32 - 1 bytes.
    """
    if not sections:
        return b""
    parts = []
    for section in sections:
        if not (isinstance(section.type, bytes) and isinstance(section.payload, bytes)):
            raise TypeError("type and payload of a section must be bytes")
        if not is_section_type(section.type) or is_required(section.type):
            raise ValueError(
                f"a section type must be four ASCII letters, the first small, found {section.type!r}"
            )
        if len(section.payload) > _U32_MAX:
            raise ValueError(f"a section holds at most {_U32_MAX} bytes, found {len(section.payload)!r}")
        parts += [_SECTION_HEAD.pack(section.type, len(section.payload)), section.payload]
    area = b"".join(parts)
    if len(area) + CRC_BYTES > _U32_MAX:
        raise ValueError(f"sections take at most {_U32_MAX} bytes, found {len(area) + CRC_BYTES!r}")
    return area + crc_bytes(area)


def build_entries(palette: NDArray[np.uint8]) -> bytes:
    """Return a palette, of shape (K, 3) or (K, 4), as it is stored (section 4)."""
    # "All colours come first, then all alphas."
    return palette[:, :3].tobytes() + palette[:, 3:].tobytes()


def parse_sections(area: bytes, offset: int) -> tuple[Section, ...]:
    """Parse and check a section area that lies at offset (section 5).

    Raises
    ------
    KmqFormatError
    """
    if not area:
        return ()
    end = len(area) - CRC_BYTES
    check_crc(area[:end], area[end:], offset + end, "sections_crc")
    sections = []
    at = 0
    while at < end:
        if end - at < _SECTION_HEAD.size:
            raise KmqFormatError(
                offset + at, "section", found=f"{end - at} bytes", expected="type and length, 8 bytes"
            )
        type_, length = _SECTION_HEAD.unpack_from(area, at)
        if not is_section_type(type_):
            raise KmqFormatError(
                offset + at, "section type", found=show_bytes(type_), expected="four ASCII letters"
            )
        if is_required(type_):
            raise KmqFormatError(
                offset + at,
                "section type",
                found=f"the required section {type_.decode()!r}",
                expected="one that this version knows",
            )
        at += _SECTION_HEAD.size
        if length > end - at:
            raise KmqFormatError(
                offset + at - 4, "section length", found=f"{length}", expected=f"at most {end - at}"
            )
        sections.append(Section(type_, area[at : at + length]))
        at += length
    return tuple(sections)


def is_section_type(type_: bytes) -> bool:
    """Return whether type_ is four ASCII letters."""
    return len(type_) == 4 and type_.isalpha()


def is_required(type_: bytes) -> bool:
    """Return whether a reader that does not know this section type must reject the file."""
    return type_[:1].isupper()
