"""Make the test files of section 12 of the specification, kmq-1.md.

`python make_vectors.py` rewrites `vectors/valid` and `vectors/invalid` beside this file. It shares no code
with any decoder or encoder, so that a mistake of theirs does not become what is expected of them. Only the
payloads of context coding come from kmcodec's encoder, for a second one would be a copy of it: what is
expected of them are the pixels, and `minidecoder.py`, written from the specification alone, finds them.
"""

import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from kmcodec.coding import context

VECTORS = Path(__file__).resolve().parent / "vectors"
SEED = 20
SIGNATURE = bytes.fromhex("89 4B 4D 51 0D 0A 1A 0A")
HEADER = struct.Struct("<8sBBHIIII")
HEADER_OFFSETS = {
    "signature": 0,
    "version": 8,
    "storage": 9,
    "last_index": 10,
    "width": 12,
    "height": 16,
    "strip_rows": 20,
    "sections_bytes": 24,
    "header_crc": 28,
}
CODINGS = ("packed", "context")
HEADER_BYTES = 32
CRC_BYTES = 4
LARGEST = 2**32 - 1

# ------------------------------ The builder of files


def u32(*numbers: int) -> bytes:
    """Return the numbers as they are stored (section 1)."""
    return struct.pack(f"<{len(numbers)}I", *numbers)


def with_crc(part: bytes) -> bytes:
    """Return a part and its checksum."""
    return part + u32(zlib.crc32(part))


def packed(indices: tuple[int, ...], index_bits: int) -> bytes:
    """Return the payload of a strip (section 6.1)."""
    if index_bits == 0:
        return b""
    bits = "".join(f"{index:0{index_bits}b}" for index in indices)
    return b"".join(
        int(bits[start : start + 8].ljust(8, "0"), 2).to_bytes() for start in range(0, len(bits), 8)
    )


def strip_table(payloads: tuple[bytes, ...]) -> bytes:
    """Return the strip table of context coding (section 6)."""
    return with_crc(u32(*map(len, payloads[:-1]))) if len(payloads) > 1 else b""


@dataclass(frozen=True)
class Section:
    """A section, and what its payload says where it is well-formed."""

    type: bytes
    payload: bytes
    meaning: dict[str, object] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the section as it is stored."""
        return self.type + u32(len(self.payload)) + self.payload

    def describe(self) -> dict[str, object]:
        """Return what the JSON of a vector says of the section."""
        return {
            "type": self.type.decode("ascii"),
            "bytes": len(self.payload),
            "sha256": hashlib.sha256(self.payload).hexdigest(),
            **self.meaning,
        }

    def skipped(self) -> "Section":
        """Return the section where it is not the first of its type, and so without a meaning."""
        return replace(self, meaning={})


@dataclass(frozen=True)
class Parts:
    """The parts of a file, to be spoilt one by one: `encode` makes the checksums around them right."""

    fields: dict[str, int]
    palette: bytes
    area: bytes
    payloads: tuple[bytes, ...]
    table: bytes = b""

    @property
    def palette_crc(self) -> int:
        """Offset of the checksum of the palette."""
        return HEADER_BYTES + len(self.palette)

    @property
    def sections(self) -> int:
        """Offset of the section area."""
        return self.palette_crc + CRC_BYTES

    @property
    def sections_crc(self) -> int:
        """Offset of the checksum of the section area."""
        return self.sections + len(self.area) - CRC_BYTES

    @property
    def strip_table(self) -> int:
        """Offset of the strip table."""
        return self.sections + len(self.area)

    @property
    def table_crc(self) -> int:
        """Offset of the checksum of the strip table."""
        return self.strip_table + len(self.table) - CRC_BYTES

    def strip(self, number: int) -> int:
        """Return the offset of a strip; that of the one after the last is the size of the file."""
        before = self.payloads[:number]
        return self.strip_table + len(self.table) + sum(len(payload) + CRC_BYTES for payload in before)

    def strip_crc(self, number: int) -> int:
        """Return the offset of the checksum of a strip."""
        return self.strip(number + 1) - CRC_BYTES

    def size(self) -> int:
        """Return the size of the file."""
        return self.strip(len(self.payloads))

    def changed(self, **fields: int) -> "Parts":
        """Return the parts with other values in the header."""
        return replace(self, fields=self.fields | fields)

    def with_area(self, area: bytes) -> "Parts":
        """Return the parts with another section area, checksum included."""
        return replace(self, area=area).changed(sections_bytes=len(area))

    def with_payload(self, number: int, payload: bytes) -> "Parts":
        """Return the parts with another payload of one strip."""
        return replace(self, payloads=(*self.payloads[:number], payload, *self.payloads[number + 1 :]))

    def encode(self) -> bytes:
        """Return the file."""
        header = HEADER.pack(SIGNATURE, *self.fields.values())
        strips = (
            payload + u32(zlib.crc32(u32(number) + payload)) for number, payload in enumerate(self.payloads)
        )
        return with_crc(header) + with_crc(self.palette) + self.area + self.table + b"".join(strips)


@dataclass(frozen=True)
class Picture:
    """A picture, and how it is to be stored; with one colour, `indices` may be left out."""

    width: int
    height: int
    palette: tuple[bytes, ...]
    indices: tuple[int, ...]
    strip_rows: int
    sections: tuple[Section, ...] = ()
    version: int = 0x10
    coding: str = "packed"
    payloads: tuple[bytes, ...] = ()  # of context coding, where they are not the encoder's

    @property
    def index_bits(self) -> int:
        """Bits of an index."""
        return (len(self.palette) - 1).bit_length()

    @property
    def alpha(self) -> bool:
        """Whether the palette has alpha."""
        return len(self.palette[0]) == 4

    @property
    def strip_count(self) -> int:
        """Number of strips."""
        return -(-self.height // self.strip_rows)

    def parts(self) -> Parts:
        """Return the parts of the file."""
        colors = b"".join(entry[:3] for entry in self.palette)
        alpha = b"".join(entry[3:] for entry in self.palette)
        sections = b"".join(section.encode() for section in self.sections)
        area = with_crc(sections) if sections else b""
        strip_pixels = self.strip_rows * self.width
        fields = {
            "version": self.version,
            "storage": (0x10 if self.alpha else 0) + CODINGS.index(self.coding),
            "last_index": len(self.palette) - 1,
            "width": self.width,
            "height": self.height,
            "strip_rows": self.strip_rows,
            "sections_bytes": len(area),
        }
        strips = [
            self.indices[number * strip_pixels : (number + 1) * strip_pixels]
            for number in range(self.strip_count)
        ]
        if self.coding == "packed":
            payloads = tuple(packed(indices, self.index_bits) for indices in strips)
            return Parts(fields, colors + alpha, area, payloads)
        tree = context.build_tree(np.array([list(entry) for entry in self.palette], np.uint8))
        payloads = self.payloads or tuple(
            context.encode(np.array(indices, np.uint16).reshape(-1, self.width), tree) for indices in strips
        )
        return Parts(fields, colors + alpha, area, payloads, strip_table(payloads))

    def encode(self) -> bytes:
        """Return the file."""
        return self.parts().encode()

    def image(self) -> Image.Image:
        """Return the pixels."""
        pixels = b"".join(self.palette[index] for index in self.indices)
        return Image.frombytes("RGBA" if self.alpha else "RGB", (self.width, self.height), pixels)

    def index_offset(self, pixel: int) -> int:
        """Return the offset of the byte in which the index of a pixel begins."""
        number, rest = divmod(pixel, self.strip_rows * self.width)
        return self.parts().strip(number) + rest * self.index_bits // 8

    def with_index(self, pixel: int, index: int) -> "Picture":
        """Return the picture with another index at one pixel."""
        return replace(self, indices=(*self.indices[:pixel], index, *self.indices[pixel + 1 :]))


def distinct_palette(colors: int, alpha: bool = False) -> tuple[bytes, ...]:
    """Return a palette of different colours, with all kinds of alpha from transparent to opaque."""
    # A multiple of an odd number never repeats modulo a power of two.
    entries = (((0x123456 + index * 0x9E3779) % 2**24).to_bytes(3, "little") for index in range(colors))
    return tuple(entry + bytes([index * 85 % 256] * alpha) for index, entry in enumerate(entries))


def picture(
    width: int,
    height: int,
    colors: int,
    strip_rows: int = 0,
    *,
    alpha: bool = False,
    sections: tuple[Section, ...] = (),
    version: int = 0x10,
) -> Picture:
    """Return a random picture, in one strip unless told, whose first and last pixel have the last index."""
    generator = random.Random(SEED)
    indices = [generator.randrange(colors) for _ in range(width * height)]
    indices[0] = indices[-1] = colors - 1
    palette = distinct_palette(colors, alpha)
    return Picture(width, height, palette, tuple(indices), strip_rows or height, sections, version)


def plain(width: int, height: int, *, strip_rows: int = 0, alpha: bool = False) -> Picture:
    """Return a picture of one colour without its indices, so that it can have any size."""
    return Picture(width, height, distinct_palette(1, alpha), (), strip_rows or height)


def pattern(width: int, height: int, colors: int, strip_rows: int) -> Picture:
    """Return a picture that is large and whose PNG is small."""
    indices = tuple(
        row * column // 7 % colors for row in range(1, height + 1) for column in range(1, width + 1)
    )
    return Picture(width, height, distinct_palette(colors), indices, strip_rows)


def smallest_palette(index_bits: int) -> int:
    """Return the least number of colours that needs that many bits."""
    return 1 if index_bits == 0 else 2 ** (index_bits - 1) + 1


# ------------------------------ Sections


def icc_profile() -> bytes:
    """Return a profile of the primaries of sRGB with a gamma of 2.2, version 4 of ISO 15076-1."""

    def xyz(*values: float) -> bytes:
        return struct.pack(">3i", *(round(value * 65536) for value in values))

    def words(text: str) -> bytes:
        encoded = text.encode("utf-16-be")
        return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(encoded), 28) + encoded

    white = xyz(0.9642, 1, 0.8249)
    curve = struct.pack(">4s4xIH", b"curv", 1, round(2.2 * 256))
    contents = {
        b"desc": words("Gamma 2.2"),
        b"cprt": words("None"),
        b"wtpt": b"XYZ \0\0\0\0" + white,
        b"rXYZ": b"XYZ \0\0\0\0" + xyz(0.43607, 0.22249, 0.01392),
        b"gXYZ": b"XYZ \0\0\0\0" + xyz(0.38515, 0.71687, 0.09708),
        b"bXYZ": b"XYZ \0\0\0\0" + xyz(0.14307, 0.06061, 0.71410),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, data = struct.pack(">I", len(contents)), b""
    for tag, content in contents.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(contents) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4xI4s4s4s6H4s28x12s48x",
        *(128 + len(table) + len(data), 0x04300000, b"mntr", b"RGB ", b"XYZ ", 2000, 1, 1, 0, 0, 0, b"acsp"),
        white,
    )
    return header + table + data


def exif(byte_order: str) -> Section:
    """Return an EXIF section with an orientation of 6, a quarter turn; `byte_order` is "<" or ">"."""
    mark = b"II" if byte_order == "<" else b"MM"
    return Section(b"exif", mark + struct.pack(byte_order + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0))


def text(keyword: str, language: str, translated_keyword: str, words: str) -> Section:
    """Return a text section."""
    meaning: dict[str, object] = {
        "keyword": keyword,
        "language": language,
        "translated_keyword": translated_keyword,
        "text": words,
    }
    return Section(b"text", "\0".join((keyword, language, translated_keyword, words)).encode(), meaning)


def density(x: int, y: int, unit: int) -> Section:
    """Return a density section."""
    return Section(b"dens", struct.pack("<IIB", x, y, unit), {"x": x, "y": y, "unit": unit})


def recipe(**members: object) -> Section:
    """Return a recipe section."""
    return Section(b"rcpe", json.dumps(members, ensure_ascii=False).encode(), {"recipe": members})


ICC = Section(b"iccp", icc_profile())
EXIF = exif("<")
XMP = Section(
    b"axmp",
    """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"
xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="Ärger"/></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode(),
)
TITLE = text("Title", "", "", "A test")
METRE = density(3780, 3780, 1)
SMALL_RECIPE = recipe(program="example 1.0", colors=3, seed=0)
FULL_RECIPE = recipe(
    program="example 1.0",
    colors=4,
    space="oklab",
    init="k-means++",
    effort="größer",
    dither="none",
    seed=7,
    dither_strength=0.5,
    keep=["#ff0000", "#00000080"],
    palette=[],
    source_width=4,
    source_height=3,
    source_channels=4,
    source_sha256=hashlib.sha256(b"").hexdigest(),
    other={"nested": [1, None, True]},
)
UNKNOWN = Section(b"abcd", bytes(range(256)))
EMPTY = Section(b"abcd", b"")


# ------------------------------ Valid files


@dataclass(frozen=True)
class Valid:
    """A file that must be decoded or, where `limit` is set, be refused as too large."""

    name: str
    exercises: str
    picture: Picture
    limit: bool = False

    def files(self) -> dict[str, bytes | Image.Image]:
        """Return the files of the vector by suffix."""
        stored = self.picture
        description = {
            "exercises": self.exercises,
            **({"limit": True} if self.limit else {}),
            "width": stored.width,
            "height": stored.height,
            "colors": len(stored.palette),
            "index_bits": stored.index_bits,
            "coding": stored.coding,
            "alpha": stored.alpha,
            "strip_rows": stored.strip_rows,
            "strips": stored.strip_count,
            "sections": [section.describe() for section in stored.sections],
        }
        files: dict[str, bytes | Image.Image] = {"kmq": stored.encode(), "json": json_bytes(description)}
        return files if self.limit else files | {"png": stored.image()}


def index_widths() -> Iterator[Valid]:
    """Yield every width of an index, and palettes that just fill one."""
    for bits in range(17):
        colors = smallest_palette(bits)
        exercises = f"indices of {bits} bits, K = {colors}, strips that end within a byte (3, 6.1)"
        yield Valid(f"bits-{bits:02}", exercises, picture(7, 5, colors, 2))
    for colors in (4, 7, 8, 16, 64, 128, 255, 256, 512, 1000):
        yield Valid(f"colors-{colors}", f"K = {colors} (3)", picture(5, 5, colors, 3))
    yield Valid("colors-65536", "the largest palette, and its last index (3)", picture(3, 2, 65536))


def pixel_counts() -> Iterator[Valid]:
    """Yield strips with numbers of pixels around multiples of 8."""
    for bits in (1, 3, 6):
        for pixels in (7, 8, 9, 15, 16, 17, 63, 64, 65):
            yield Valid(
                f"pixels-{pixels:02}-bits-{bits}",
                f"two strips of {pixels} pixels of {bits} bits (6.1)",
                picture(pixels, 2, smallest_palette(bits), 1),
            )


def shapes() -> Iterator[Valid]:
    """Yield pictures and strips of all shapes."""
    yield Valid("example", "the example of section 10", EXAMPLE)
    yield Valid("pixel", "1 x 1 pixel, K = 1: strips without payload (6.1)", picture(1, 1, 1))
    yield Valid("pixel-index-1", "1 x 1 pixel of index 1: 7 bits of padding (6.1)", picture(1, 1, 2))
    yield Valid("column", "one column, in one strip (6.1)", picture(1, 13, 3))
    yield Valid("column-strips", "one column, in strips of one pixel (6)", picture(1, 13, 5, 1))
    yield Valid("row", "one row (6.1)", picture(13, 1, 3))
    yield Valid("row-70000", "width above 65535 (3)", pattern(70000, 1, 2, 1))
    yield Valid("column-65537", "height and strip_rows above 65535 (3)", pattern(1, 65537, 5, 65537))
    yield Valid("larger", "strips of some kilobytes (6.1)", pattern(257, 129, 6, 64))
    yield Valid("larger-bits-9", "strips of some kilobytes, of 9 bits (6.1)", pattern(131, 67, 300, 40))
    yield Valid("rows-within-byte", "rows that end within a byte, one strip (6.1)", picture(3, 7, 5))
    yield Valid("rows-within-byte-9", "rows of indices of 9 bits that end within a byte", picture(3, 7, 257))
    yield Valid("strips-one-row", "strips of one row (6)", picture(6, 5, 9, 1))
    yield Valid("strips-even", "a last strip as high as the others (6)", picture(5, 6, 5, 3))
    yield Valid("strips-uneven", "a last strip of one row after strips of three (6)", picture(5, 7, 5, 3))
    yield Valid("strips-two-left", "a last strip of two rows after strips of five (6)", picture(3, 12, 3, 5))
    yield Valid("strips-height-less-1", "strip_rows = height - 1 (6)", picture(3, 6, 3, 5))
    yield Valid("strips-height", "strip_rows = height: one strip (3)", picture(4, 6, 17, 6))
    yield Valid("strips-within-byte", "five strips, each ending within a byte (6.1)", picture(3, 5, 3, 1))
    yield Valid("strips-whole-bytes", "strips without padding (6.1)", picture(8, 5, 5, 2))
    yield Valid("strips-3000", "3000 strips of one row (6)", picture(3, 3000, 3, 1))
    yield Valid("strips-3000-one-color", "3000 strips without payload (6.1)", picture(2, 3000, 1, 1))
    after = picture(4, 300, 3, 1, sections=(TITLE, UNKNOWN, ICC))
    yield Valid("strips-300-sections", "300 strips after sections (2)", after)


def palettes() -> Iterator[Valid]:
    """Yield palettes of all kinds, with alpha and without."""
    small, clear = picture(5, 4, 4, 2), picture(5, 4, 4, 2, alpha=True)
    red, green = b"\xff\0\0", b"\0\xff\0"
    hidden = (b"\x12\x34\x56\0", b"\x65\x43\x21\0", b"\x65\x43\x21\x01", b"\xff\xff\xff\xff")
    opaque = tuple(entry[:3] + b"\xff" for entry in clear.palette)
    yield Valid("palette-equal", "equal entries (4)", replace(small, palette=(red, green, red, red)))
    yield Valid("palette-all-equal", "no two entries differ (4)", replace(small, palette=(green,) * 4))
    yield Valid("palette-unused", "unused entries: only index 2 of 4 (4)", replace(small, indices=(2,) * 20))
    yield Valid("palette-only-first", "index 0 alone (4)", replace(small, indices=(0,) * 20))
    yield Valid("palette-only-last", "the last index alone (4)", replace(small, indices=(3,) * 20))
    every = replace(picture(16, 16, 256, 5), indices=tuple(range(256)))
    yield Valid("palette-each-once", "256 indices, each once (6.1)", every)
    yield Valid("alpha", "alpha of 0, 85, 170 and 255 (4)", clear)
    yield Valid("alpha-opaque", "alpha, all of it 255 (4)", replace(clear, palette=opaque))
    yield Valid("alpha-clear", "alpha, all of it 0 (4)", picture(4, 4, 1, 2, alpha=True))
    yield Valid("alpha-straight", "colours of transparent entries, kept (4)", replace(clear, palette=hidden))
    yield Valid("alpha-one-color", "alpha with K = 1 (4)", replace(picture(3, 2, 1), palette=hidden[2:3]))
    yield Valid("alpha-2", "alpha with K = 2 (4)", picture(7, 3, 2, 2, alpha=True))
    yield Valid("alpha-300", "alpha with K = 300 (4)", picture(7, 3, 300, 2, alpha=True))
    yield Valid("alpha-sections", "alpha before sections (2)", replace(clear, sections=(ICC, TITLE, METRE)))


def with_sections(name: str, exercises: str, *sections: Section) -> Valid:
    """Return a vector of a small picture with sections."""
    return Valid(name, exercises, picture(4, 3, 3, 2, sections=sections))


def metadata() -> Iterator[Valid]:
    """Yield sections of all kinds; the pixels are the same with them and without."""
    long_keyword = text("K" * 200, "zh-Hant-TW", "標題", "長" * 50)
    accents = text("Beschreibung ä", "de", "Schlüsselwort", "Grüße, 世界 \U0001f600\nzweite Zeile")
    english, other_title = text("Title", "en", "Title", "A"), text("Title", "", "", "B")
    every = (ICC, EXIF, XMP, TITLE, accents, METRE, FULL_RECIPE)
    edges = (Section(b"aAzZ", b"1"), Section(b"zZaA", b""))
    capitals = (Section(b"iCCP", b"a"), Section(b"tEXT", b"b"), Section(b"rcpE", b"{"), Section(b"deNs", b""))
    disguised = Section(b"abcd", b"ABCD" + u32(0) + TITLE.encode())
    control = text("Comment", "", "", "\x1b[31mred\x07\r\n\t\x7f\u202e")
    well_formed: dict[str, tuple[str, tuple[Section, ...]]] = {
        "iccp": ("a profile; the numbers of the palette stay as they are (5.1)", (ICC,)),
        "exif-little-endian": ("EXIF that begins with 49 49; it must not turn the picture (5.1)", (EXIF,)),
        "exif-big-endian": ("EXIF that begins with 4D 4D; it must not turn the picture (5.1)", (exif(">"),)),
        "axmp": ("XMP; its orientation must not turn the picture (5.1)", (XMP,)),
        "text": ("a text without language and translated keyword (5.2)", (TITLE,)),
        "text-language": ("a text with language and translated keyword (5.2)", (english,)),
        "text-non-ascii": ("a text beyond ASCII (5.2)", (accents,)),
        "text-long-keyword": ("a keyword of 200 characters (5.2)", (long_keyword,)),
        "text-empty": ("a text of no characters (5.2)", (text("Comment", "", "", ""),)),
        "text-control": ("control characters in a text (5.2, 11)", (control,)),
        "text-two": ("two texts, in their order (5.1)", (TITLE, accents)),
        "text-same-keyword": ("three texts, two of them equal (5.1)", (TITLE, other_title, TITLE)),
        "dens-metre": ("pixels per metre (5.3)", (METRE,)),
        "dens-ratio": ("a ratio of densities, unit 0 (5.3)", (density(4, 3, 0),)),
        "dens-extremes": ("the least and the largest density (5.3)", (density(1, LARGEST, 1),)),
        "rcpe": ("a recipe (5.4)", (FULL_RECIPE,)),
        "rcpe-empty": ("a recipe without members (5.4)", (recipe(),)),
        "all": ("every type of section (5.1)", every),
        "all-reversed": ("every type of section, in another order (5)", every[::-1]),
        "unknown": ("an unknown optional section (5)", (UNKNOWN,)),
        "unknown-empty": ("a section area of 12 bytes: one section without payload (3, 5)", (EMPTY,)),
        "unknown-last-empty": ("a section without payload after others (5)", (TITLE, UNKNOWN, EMPTY)),
        "unknown-edges": ("the first and last letters of the alphabet in types (5)", edges),
        "unknown-capitals": ("unknown types that differ from known ones in capitals (5)", capitals),
        "unknown-looks-like-sections": ("a payload that looks like sections (5)", (disguised, TITLE)),
        "unknown-around-known": ("unknown sections around a known one (5)", (EMPTY, METRE, UNKNOWN)),
        "private": ("a private optional section (5)", (Section(b"xMIN", b"anything"),)),
        "many": ("60 sections without payload (5)", (EMPTY,) * 60),
    }
    for name, (exercises, sections) in well_formed.items():
        yield with_sections(f"section-{name}", exercises, *sections)


def malformed_metadata() -> Iterator[Valid]:
    """Yield payloads that break the rules of their type, which makes no file invalid (5.1)."""
    payloads = {
        "iccp-empty": b"",
        "iccp-noise": b"no profile",
        "iccp-cut-short": ICC.payload[:100],
        "iccp-gray": ICC.payload.replace(b"RGB ", b"GRAY"),
        "exif-empty": b"",
        "exif-prefix": b"Exif\0\0" + EXIF.payload,
        "exif-mixed-order": b"II\0*" + EXIF.payload[4:],
        "axmp-empty": b"",
        "axmp-not-utf8": b"<x>\xff\xfe</x>",
        "axmp-not-xml": b"<x><y></x>",
        "text-empty": b"",
        "text-no-zero": b"Title",
        "text-one-zero": b"Title\0",
        "text-two-zeros": b"Title\0\0",
        "text-no-keyword": b"\0\0\0words",
        "text-zero-within": b"Title\0\0\0wo\0rds",
        "text-keyword-not-utf8": b"T\xe4\0\0\0words",
        "text-translated-not-utf8": b"Title\0en\0\xc3\0words",
        "text-words-not-utf8": b"Title\0\0\0w\xf6rds",
        "text-overlong": b"Title\0\0\0\xc0\x80",
        "text-surrogate": b"Title\0\0\0\xed\xa0\x80",
        "text-language-not-ascii": "Title\0dé\0\0words".encode(),
        "text-language-no-tag": b"Title\0not a tag!\0\0words",
        "dens-empty": b"",
        "dens-8-bytes": METRE.payload[:8],
        "dens-10-bytes": METRE.payload + b"\0",
        "dens-x-0": density(0, 1, 1).payload,
        "dens-y-0": density(1, 0, 1).payload,
        "dens-unit-2": density(1, 1, 2).payload,
        "dens-unit-255": density(1, 1, 255).payload,
        "rcpe-empty": b"",
        "rcpe-not-json": b"{'seed': 1}",
        "rcpe-nan": b'{"seed": NaN}',
        "rcpe-cut-short": b'{"seed": 1',
        "rcpe-list": b"[1, 2]",
        "rcpe-null": b"null",
        "rcpe-not-utf8": b'{"program": "\xff"}',
        "rcpe-utf16": '{"seed": 1}'.encode("utf-16"),
    }
    for name, payload in payloads.items():
        kind, _, fault = name.partition("-")
        exercises = f"a payload of {kind} that breaks its rules, {fault.replace('-', ' ')}: skipped (5.1)"
        yield with_sections(f"malformed-{name}", exercises, Section(kind.encode(), payload), UNKNOWN)
    # Parsers may have limits, so that what these recipes say is not expected of a decoder; the pixels are.
    hostile = {
        "depth": b'{"other": ' + b"[" * 4000 + b"]" * 4000 + b"}",
        "number": b'{"seed": ' + b"9" * 5000 + b"}",
        "float": b'{"seed": 1e999999}',
        "surrogate": b'{"program": "\\ud800"}',
    }
    for fault, payload in hostile.items():
        exercises = f"a recipe to strain a parser: {fault} (11)"
        yield with_sections(f"hostile-rcpe-{fault}", exercises, Section(b"rcpe", payload))


def repeated_metadata() -> Iterator[Valid]:
    """Yield types that occur twice though they may occur but once."""
    pairs = (
        (ICC, Section(b"iccp", b"another")),
        (EXIF, exif(">")),
        (XMP, Section(b"axmp", b"<x/>")),
        (METRE, density(1, 2, 0)),
        (SMALL_RECIPE, FULL_RECIPE),
    )
    for first, second in pairs:
        kind = first.type.decode()
        exercises = f"a second occurrence of {kind}, which is skipped (5.1)"
        yield with_sections(f"repeated-{kind}", exercises, first, UNKNOWN, second.skipped(), TITLE)
    exercises = "a well-formed occurrence of dens after a malformed one, both skipped (5.1)"
    malformed = Section(b"dens", b"malformed")
    yield with_sections("repeated-dens-malformed-first", exercises, malformed, METRE.skipped())


def versions() -> Iterator[Valid]:
    """Yield later minor versions."""
    yield Valid("version-1-1", "minor version 1, which is ignored (9)", picture(5, 4, 5, 3, version=0x11))
    later = picture(5, 4, 5, 3, version=0x1F, sections=(UNKNOWN, TITLE))
    yield Valid("version-1-15", "minor version 15 with an unknown optional section (9)", later)


def drawing(width: int, height: int, colors: int, *, noise: float = 0, strip_rows: int = 0) -> Picture:
    """Return a context-coded picture of boxes, repeated glyphs and a slope, with some noise."""
    generator = random.Random(SEED + colors)
    rows = [[0] * width for _ in range(height)]
    for y in range(height * 2 // 3, height):
        for x in range(width // 2, width):
            rows[y][x] = (x + y) * colors // (width + height)
    glyph = [[generator.choice((0, 0, 1, colors - 1)) for _ in range(5)] for _ in range(6)]
    for top in range(4, height // 2 - 6, 9):
        for left in range(2, width - 5, 8):
            for dy, line in enumerate(glyph):
                rows[top + dy][left : left + 5] = line
    for y in range(height // 2, height * 5 // 6):
        rows[y][3 : width // 3] = [colors // 2] * (width // 3 - 3)
    for row in rows:
        for x in range(width):
            if generator.random() < noise:
                row[x] = generator.randrange(colors)
    indices = tuple(index for row in rows for index in row)
    palette = distinct_palette(colors)
    return Picture(width, height, palette, indices, strip_rows or height, coding="context")


def still_picture() -> Picture:
    """Return a high context-coded picture of columns that hardly ever change."""
    width, height, colors = 16, 340, 7
    generator = random.Random(SEED)
    row = [generator.randrange(colors) for _ in range(width)]
    indices: list[int] = []
    for y in range(height):
        # The left half changes now and then, so that `least` takes all values up to 40; the right half once,
        # long after 255 rows.
        if y % 47 == 0:
            row[generator.randrange(width // 2)] = generator.randrange(colors)
        if y == height - 30:
            row[width - 3] = (row[width - 3] + 1) % colors
        indices += row
    return Picture(width, height, distinct_palette(colors), tuple(indices), height, coding="context")


def deep_picture() -> Picture:
    """Return a context-coded picture of few of 2500 colours, and so of the same nodes again and again.

    Most of them are bright, which are the last ones of each level of the tree.
    """
    generator = random.Random(SEED)
    palette = distinct_palette(2500)
    used = sorted(range(2500), key=lambda index: sum(palette[index]))[-24:]
    used += [generator.randrange(2500) for _ in range(12)]
    indices = tuple(generator.choice(used) for _ in range(20 * 10))
    return Picture(20, 20, palette, indices * 2, 20, coding="context")


def crowded_strips() -> Picture:
    """Return a context-coded picture in strips of two rows of noise that repeat.

    Their tables are so small that of eight entries that are looked for at once, one sometimes takes the place
    of one that follows.
    """
    width, strip_rows, colors = 11, 5, 16
    generator = random.Random(SEED)
    used = [generator.randrange(colors) for _ in range(16)]
    indices: list[int] = []
    for _ in range(12):
        noise = [generator.choice(used) for _ in range(2 * width)]
        indices += (noise * 3)[: strip_rows * width]
    height = len(indices) // width
    return Picture(width, height, distinct_palette(colors), tuple(indices), strip_rows, coding="context")


def repeated_noise() -> Picture:
    """Return a context-coded picture in which noise comes twice, with changes the second time.

    It is larger than 2^16 pixels, from where on no table grows any more, and of the entries for the noise, a
    hundred find their places taken. What lies between takes few decisions: rows of one colour, but for a
    pixel that changes every fourth row, so that a match becomes longer than 65535 pixels.
    """
    width, colors = 1024, 16
    generator = random.Random(SEED)
    still, changed = [0] * width, [0] * width
    changed[500] = 1
    noise = [generator.randrange(colors) for _ in range(3 * width)]
    again = noise[:width]
    for pixel in range(600, width, 60):
        again[pixel] = generator.randrange(colors)
    rows = (still * 2, noise, (still * 3 + changed) * 20, again)
    indices = tuple(index for part in rows for index in part)
    height = len(indices) // width
    return Picture(width, height, distinct_palette(colors), indices, height, coding="context")


def contexts() -> Iterator[Valid]:
    """Yield context-coded pictures."""
    for colors in (2, 3, 4, 5, 8, 9, 16, 17, 64, 100, 256, 257, 1025):
        stored = drawing(48, 40, colors, noise=0.03)
        yield Valid(f"context-{colors}-colors", f"context coding of {colors} colours (6.2)", stored)
    for colors in (2, 7, 300):
        stored = replace(picture(24, 16, colors), coding="context")
        yield Valid(f"context-noise-{colors}", f"context coding of noise of {colors} colours (6.2)", stored)
    stored = replace(picture(5, 3, 65536), coding="context")
    yield Valid("context-65536-colors", "context coding with a tree of 16 levels (6.2.3)", stored)
    for width, height in ((1, 1), (1, 60), (60, 1), (2, 30), (30, 2), (7, 7), (12, 12), (200, 9)):
        stored = drawing(width, height, 6, noise=0.1)
        yield Valid(f"context-{width}x{height}", f"{width} x {height} pixels in context (6.2.4)", stored)
    yield Valid("context-runs", "runs to the end of the row and beyond (6.2.8)", drawing(130, 90, 12))
    yield Valid("context-flat", "nothing but runs (6.2.8)", replace(drawing(64, 40, 3), indices=(1,) * 2560))
    slope = tuple((3 * x + 5 * y + x * y // 9) // 4 % 48 for y in range(48) for x in range(48))
    stored = replace(drawing(48, 48, 48), indices=slope)
    yield Valid("context-slope", "many steps down the tree (6.2.9)", stored)
    alike = (b"\x10\x20\x30", b"\x10\x20\x30", b"\x11\x20\x30", b"\x10\x20\x30", b"\xff\0\0")
    stored = replace(picture(20, 20, 5), palette=alike, coding="context")
    yield Valid("context-equal-entries", "a tree over entries that are equal (6.2.3)", stored)
    stored = replace(picture(20, 20, 40, alpha=True), coding="context")
    yield Valid("context-alpha", "a tree over colours with alpha (6.2.3)", stored)
    for strip_rows in (1, 7, 20, 39):
        stored = drawing(40, 40, 20, noise=0.05, strip_rows=strip_rows)
        yield Valid(f"context-strips-{strip_rows}", f"a strip table; strips of {strip_rows} rows (6)", stored)
    yield Valid("context-still", "columns that stay the same for over 255 rows (6.2.8)", still_picture())
    yield Valid("context-deep-tree", "decisions at nodes above 1023 (6.2.9)", deep_picture())
    exercises = "small tables, in which eight entries are in each other's way (6.2.6)"
    yield Valid("context-crowded", exercises, crowded_strips())
    exercises = "tables of the largest size, entries taken anew, matches of up to 65535 pixels (6.2.5, 6.2.6)"
    yield Valid("context-repeated-noise", exercises, repeated_noise())
    exercises = "a payload that ends with low = 0, and runs that are there but not taken (6.2.1, 6.2.8)"
    yield Valid("context-no-last-byte", exercises, ZEROS)
    half = drawing(40, 20, 20, noise=0.05)
    stored = replace(half, height=40, indices=half.indices * 2)
    yield Valid("context-strips-alike", "two strips alike, and so two payloads alike (6)", stored)
    stored = replace(CONTEXT, sections=(TITLE, UNKNOWN))
    yield Valid("context-sections", "a strip table behind sections (6)", stored)


def limits() -> Iterator[Valid]:
    """Yield files that claim more pixels than a default limit should allow."""
    claims = {
        "limit-largest": ("the largest picture", plain(LARGEST, LARGEST)),
        "limit-2-to-28-plus-1": ("2^28 + 1 pixels", plain(1, 2**28 + 1)),
        "limit-2-to-32": ("2^32 pixels: 0 in 32 bits", plain(65536, 65536)),
        "limit-2-to-32-strips": ("2^32 pixels in 16 strips", plain(65536, 65536, strip_rows=4096)),
        "limit-2-to-32-plus-1": ("2^32 + 1 pixels: 1 in 32 bits", plain(641, 6700417)),
        "limit-2-to-62-alpha": ("2^62 pixels of 4 bytes: 0 in 64 bits", plain(2**31, 2**31, alpha=True)),
        "limit-wide": ("the widest row", plain(LARGEST, 1)),
        "limit-high": ("the highest column", plain(1, LARGEST)),
    }
    for name, (claim, stored) in claims.items():
        yield Valid(name, f"{claim}, more than a default limit allows (8, 12)", stored, limit=True)


CONTEXT = drawing(40, 24, 20, noise=0.05, strip_rows=9)
# All decisions are 1, by which `low` is never raised: runs are broken, though each pixel is the one above it.
ZEROS = Picture(8, 12, distinct_palette(2), (0,) * 96, 12, coding="context", payloads=(b"\0",))
EXAMPLE = Picture(3, 2, (b"\xff\0\0", b"\0\xff\0", b"\0\0\xff"), (0, 1, 2, 2, 1, 0), 2)
VALID: tuple[Callable[[], Iterator[Valid]], ...] = (
    index_widths,
    pixel_counts,
    shapes,
    palettes,
    metadata,
    malformed_metadata,
    repeated_metadata,
    versions,
    contexts,
    limits,
)


# ------------------------------ Invalid files


@dataclass(frozen=True)
class Invalid:
    """A file that breaks one rule; everything else in it is right."""

    name: str
    breaks: str
    data: bytes
    offset: int
    field: str

    def files(self) -> dict[str, bytes | Image.Image]:
        """Return the files of the vector by suffix."""
        description = {"breaks": self.breaks, "error": "format", "offset": self.offset, "field": self.field}
        return {"kmq": self.data, "json": json_bytes(description)}


# Three strips of 30 bits each, after two sections.
SAMPLE = picture(5, 6, 5, 2, sections=(TITLE, Section(b"abcd", b"0123456789")))
CLEAR = picture(5, 6, 5, 2, alpha=True)
PARTS, CLEAR_PARTS = SAMPLE.parts(), CLEAR.parts()
WHOLE = SAMPLE.encode()
CONTEXT_PARTS = CONTEXT.parts()
CODED = CONTEXT.encode()


def flipped(data: bytes, offset: int, mask: int = 1) -> bytes:
    """Return the data with bits of one byte turned over."""
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]


def with_u32(data: bytes, offset: int, number: int) -> bytes:
    """Return the data with another number at an offset."""
    return data[:offset] + u32(number) + data[offset + 4 :]


def bad_signature() -> Iterator[Invalid]:
    """Yield signatures damaged in each way, and cut short."""

    def signed(signature: bytes) -> bytes:
        """Return a file with another signature of 8 bytes, and the header_crc of it."""
        return with_crc(signature + WHOLE[8 : HEADER_OFFSETS["header_crc"]]) + WHOLE[HEADER_BYTES:]

    damaged = {
        "7-bit": ("the high bits were cleared", signed(bytes(byte & 0x7F for byte in SIGNATURE))),
        "crlf-to-lf": ("CR LF became LF", WHOLE.replace(b"\r\n", b"\n")),
        "crlf-to-cr": ("CR LF became CR", WHOLE.replace(b"\r\n", b"\r")),
        "lf-to-crlf": ("LF became CR LF", WHOLE.replace(b"\n", b"\r\n")),
        "lone-lf-to-crlf": ("a lone LF became CR LF", WHOLE.replace(b"\x1a\n", b"\x1a\r\n")),
        "lf-to-cr": ("LF became CR", signed(SIGNATURE.replace(b"\n", b"\r"))),
        "cr-to-lf": ("CR became LF", signed(SIGNATURE.replace(b"\r", b"\n"))),
        "without-1a": ("the 1A was dropped", WHOLE.replace(b"\x1a", b"")),
        "png": ("that of PNG", signed(b"\x89PNG\r\n\x1a\n")),
        "empty-file": ("an empty file", b""),
        "1-byte": ("cut short after 1 byte", WHOLE[:1]),
        "7-bytes": ("cut short after 7 bytes", WHOLE[:7]),
        **{f"byte-{at}": (f"byte {at} differs", signed(flipped(SIGNATURE, at))) for at in range(8)},
    }
    for name, (damage, data) in damaged.items():
        yield Invalid(f"signature-{name}", f"section 3.1: {damage}", data, 0, "signature")


def bad_version() -> Iterator[Invalid]:
    """Yield other major versions, whatever is behind them."""
    for version in (0x00, 0x01, 0x20, 0x21, 0x90, 0xF0):
        breaks = f"section 9: major version {version >> 4}, minor version {version & 15}"
        data = PARTS.changed(version=version).encode()
        yield Invalid(f"version-{version:02x}", breaks, data, 8, "version")
    noise = random.Random(SEED).randbytes(40)
    for version in (0x00, 0x20):
        name, breaks = f"version-{version:02x}", f"section 9: major version {version >> 4}"
        start = SIGNATURE + bytes([version])
        yield Invalid(f"{name}-noise", f"{breaks}, and noise behind it", start + noise, 8, "version")
        yield Invalid(f"{name}-end", f"{breaks}, at the end of the file", start, 8, "version")


def bad_header() -> Iterator[Invalid]:
    """Yield headers cut short, damaged, and out of range."""
    for size in (8, 9, 10, 12, 28, 31):
        breaks = f"section 3: the file ends after {size} bytes of the header"
        yield Invalid(f"header-{size}-bytes", breaks, WHOLE[:size], size, "header")
    for damaged, offset in HEADER_OFFSETS.items():
        # The lowest bit of the version is one of the minor version, which no other rule looks at.
        if damaged != "signature":
            breaks = f"section 3: a damaged bit of {damaged} under header_crc"
            yield Invalid(f"header_crc-{damaged}", breaks, flipped(WHOLE, offset), 28, "header_crc")

    one_strip, no_payloads = picture(5, 6, 5).parts(), replace(PARTS, payloads=(b"",) * 3)
    # Where the height is 0, no strip_rows is legal; the height comes first (7).
    no_strips = replace(PARTS, payloads=())
    too_large = CONTEXT_PARTS.changed(width=2**16, height=2**16, strip_rows=2**15 + 1)
    ranges = {
        "storage-coding-2": ("3.2: coding 2 is not assigned", PARTS.changed(storage=2)),
        "storage-coding-8": ("3.2: coding 8 is not assigned", PARTS.changed(storage=8)),
        "storage-coding-15": ("3.2: coding 15 is not assigned", PARTS.changed(storage=15)),
        "storage-coding-2-alpha": ("3.2: coding 2, with alpha", CLEAR_PARTS.changed(storage=0x12)),
        "storage-bit-5": ("3.2: bit 5 must be zero", PARTS.changed(storage=0x20)),
        "storage-bit-6": ("3.2: bit 6 must be zero", PARTS.changed(storage=0x40)),
        "storage-bit-7": ("3.2: bit 7 must be zero", PARTS.changed(storage=0x80)),
        "storage-bit-5-alpha": ("3.2: bit 5, with alpha", CLEAR_PARTS.changed(storage=0x30)),
        "storage-later-version": ("9: coding 2 in version 1.1", PARTS.changed(storage=2, version=0x11)),
        "last_index-context": ("3: context coding of one colour", plain(3, 2).parts().changed(storage=1)),
        "strip_rows-context": ("3: a context-coded strip of 2^31 + 2^16 pixels", too_large),
        "width-0": ("3: a width of 0", no_payloads.changed(width=0)),
        "height-0": ("3: a height of 0", no_strips.changed(height=0)),
        "strip_rows-0": ("3: strip_rows of 0", one_strip.changed(strip_rows=0)),
        "strip_rows-over-height": ("3: strip_rows of height + 1", one_strip.changed(strip_rows=7)),
        "strip_rows-largest": ("3: strip_rows of 2^32 - 1", one_strip.changed(strip_rows=LARGEST)),
        "sections_bytes-1": ("3: a section area of 1 byte", PARTS.with_area(b"\0")),
        "sections_bytes-4": ("3: a section area of a checksum alone", PARTS.with_area(with_crc(b""))),
        "sections_bytes-8": ("3: a section area of 8 bytes", PARTS.with_area(with_crc(b"abcd"))),
        "sections_bytes-11": ("3: a section area of 11 bytes", PARTS.with_area(with_crc(b"abcd\0\0\0"))),
    }
    for name, (breaks, parts) in ranges.items():
        changed = name.partition("-")[0]
        yield Invalid(name, f"section {breaks}", parts.encode(), HEADER_OFFSETS[changed], changed)


def bad_size() -> Iterator[Invalid]:
    """Yield files that are too short or too long."""
    first, last = PARTS.strip(0), PARTS.strip_crc(2)
    large = {"width": 4096, "height": 4096, "strip_rows": 4096}
    cuts = {
        "before-palette": ("before the palette", WHOLE[:HEADER_BYTES]),
        "palette": ("within the palette", WHOLE[: HEADER_BYTES + 7]),
        "palette-alpha": ("within the alpha of the palette", CLEAR.encode()[: CLEAR_PARTS.palette_crc - 2]),
        "palette_crc": ("within palette_crc", WHOLE[: PARTS.palette_crc + 2]),
        "before-sections": ("before the sections", WHOLE[: PARTS.sections]),
        "section-type": ("within the type of a section", WHOLE[: PARTS.sections + 3]),
        "section-payload": ("within the payload of a section", WHOLE[: PARTS.sections + 12]),
        "sections_crc": ("within sections_crc", WHOLE[: PARTS.sections_crc + 1]),
        "before-strips": ("before the strips", WHOLE[:first]),
        "first-strip": ("within the first strip", WHOLE[: first + 1]),
        "first-strip_crc": ("within the first strip_crc", WHOLE[: PARTS.strip_crc(0) + 2]),
        "between-strips": ("between two strips", WHOLE[: PARTS.strip(1)]),
        "last-strip": ("within the last strip", WHOLE[: last - 1]),
        "before-last-strip_crc": ("before the last strip_crc", WHOLE[:last]),
        "last-strip_crc": ("within the last strip_crc: the last byte is missing", WHOLE[:-1]),
        "one-color": ("within the only strip_crc of a picture of one colour", plain(3, 2).encode()[:-1]),
        # More is claimed than is there, so that nothing should be allocated for it.
        "claims-palette": ("in a palette of 65536 colours", PARTS.changed(last_index=65535).encode()),
        "claims-sections": ("in a section area of 2^24 bytes", PARTS.changed(sections_bytes=2**24).encode()),
        "before-strip-table": ("before the strip table", CODED[: CONTEXT_PARTS.strip_table]),
        "strip-table": ("within the strip table", CODED[: CONTEXT_PARTS.strip_table + 5]),
        "context-strip": ("within a context-coded strip", CODED[: CONTEXT_PARTS.strip(1) + 3]),
        "context-last-strip": (
            "before the last strip_crc can end",
            CODED[: CONTEXT_PARTS.strip(2) + 3],
        ),
        "claims-pixels": ("in a strip of 2^24 pixels", PARTS.changed(**large).encode()),
    }
    for name, (place, data) in cuts.items():
        yield Invalid(f"file-cut-{name}", f"section 2: the file ends {place}", data, len(data), "file")
    one_color = plain(3, 2)
    additions = {
        "zero": ("a zero byte follows", SAMPLE, b"\0"),
        "line": ("an end of line follows", SAMPLE, b"\n"),
        "file": ("the file follows once more", SAMPLE, WHOLE),
        "zero-one-color": ("a zero byte follows a picture of one colour", one_color, b"\0"),
    }
    for name, (what, stored, more) in additions.items():
        data, size = stored.encode() + more, stored.parts().size()
        yield Invalid(f"file-followed-by-{name}", f"section 2: {what}", data, size, "file")


def bad_palette() -> Iterator[Invalid]:
    """Yield palettes whose checksum does not fit."""
    clear = CLEAR.encode()
    place, clear_place = PARTS.palette_crc, CLEAR_PARTS.palette_crc
    only_colors = with_u32(clear, clear_place, zlib.crc32(CLEAR_PARTS.palette[: 3 * 5]))
    damaged = {
        "palette_crc": ("a wrong checksum", flipped(WHOLE, place), place),
        "palette_crc-high-byte": ("a wrong last byte of the checksum", flipped(WHOLE, place + 3), place),
        "palette_crc-first-color": ("a damaged first colour", flipped(WHOLE, HEADER_BYTES), place),
        "palette_crc-last-color": ("a damaged last colour", flipped(WHOLE, place - 1), place),
        "palette_crc-alpha": ("a damaged alpha", flipped(clear, clear_place - 1), clear_place),
        "palette_crc-only-colors": ("colours, but not alpha,", only_colors, clear_place),
    }
    for name, (damage, data, offset) in damaged.items():
        yield Invalid(name, f"section 4: {damage} under palette_crc", data, offset, "palette_crc")


def bad_sections() -> Iterator[Invalid]:
    """Yield section areas that are damaged or not made of sections."""
    start = PARTS.sections
    damaged = {
        "sections_crc": ("a wrong checksum", PARTS.sections_crc),
        "sections_crc-type": ("a damaged type", start),
        "sections_crc-length": ("a damaged length", start + 4),
        "sections_crc-payload": ("a damaged payload", start + 8),
        "sections_crc-last-byte": ("a damaged last byte", PARTS.sections_crc - 1),
    }
    for name, (damage, offset) in damaged.items():
        breaks = f"section 5: {damage} under sections_crc"
        yield Invalid(name, breaks, flipped(WHOLE, offset), PARTS.sections_crc, "sections_crc")

    def spoilt(name: str, breaks: str, wrong: str, before: bytes, rest: bytes) -> Invalid:
        """Return a file with right sections and, after them, a `rest` that begins with a wrong one."""
        data = PARTS.with_area(with_crc(before + rest)).encode()
        offset = start + len(before) + (4 if wrong == "section length" else 0)
        return Invalid(f"section-{name}", f"section 5: {breaks}", data, offset, wrong)

    title = TITLE.encode()
    types = {
        "digit": b"tex1",
        "digit-first": b"1ext",
        "space": b"tex ",
        "zero": b"tex\0",
        "non-ascii": b"te\xe4t",
        "before-capitals": b"te@t",
        "after-capitals": b"te[t",
        "before-small": b"te`t",
        "after-small": b"te{t",
    }
    for name, kind in types.items():
        breaks = f"a type that is not four letters, {kind!r}"
        yield spoilt(f"type-{name}", breaks, "section type", b"", Section(kind, b"words").encode())
    rest = Section(b"\xe4bcd", b"").encode()
    yield spoilt("type-second", "a second section of a type beyond ASCII", "section type", title, rest)

    required = {
        "capitals": b"ABCD",
        "one-capital": b"Abcd",
        "private": b"Xabc",
        "last-letter": b"Zabc",
        "like-iccp": b"ICCP",
        "like-text": b"Text",
    }
    for name, kind in required.items():
        breaks = f"an unknown required section, {kind.decode()}"
        yield spoilt(f"required-{name}", breaks, "section type", title, Section(kind, b"12345").encode())
    rest = Section(b"ABCD", b"").encode()
    yield spoilt("required-alone", "an unknown required section, alone", "section type", b"", rest)

    lengths = {
        "1-over": ("one too large", 6),
        "into-sections_crc": ("with sections_crc in it", 9),
        "wraps": ("of 2^32 - 8, which wraps around in 32 bits", 2**32 - 8),
        "negative": ("of 2^31, negative in 32 bits with a sign", 2**31),
        "largest": ("of 2^32 - 1", LARGEST),
    }
    for name, (length, number) in lengths.items():
        rest = b"abcd" + u32(number) + b"words"
        yield spoilt(f"length-{name}", f"a length {length}", "section length", title, rest)
    rest = b"abcd" + u32(1)
    yield spoilt("length-no-payload", "a length of 1, without a payload", "section length", title, rest)
    rest = b"abcd" + u32(LARGEST) + b"words" + title
    yield spoilt("length-first", "a length of 2^32 - 1 in the first of two", "section length", b"", rest)

    for left in range(1, 8):
        breaks = f"{left} bytes left, too few for a section"
        yield spoilt(f"left-{left}", breaks, "section", title, b"abcd\0\0\0"[:left])
    yield spoilt("left-zeros", "zeros that fill up the area", "section", title, bytes(3))


def bad_strip_crc() -> Iterator[Invalid]:
    """Yield strips whose checksum does not fit."""
    at, (zero, one, _) = PARTS.strip_crc, PARTS.payloads
    first, second, last = (WHOLE[PARTS.strip(number) : PARTS.strip(number + 1)] for number in range(3))
    before = WHOLE[: PARTS.strip(0)]

    def checked(number: int, covered: bytes) -> tuple[int, bytes]:
        """Return the number of a strip and a file whose checksum there covers something else."""
        return number, with_u32(WHOLE, at(number), zlib.crc32(covered))

    damaged = {
        "first": ("a wrong checksum of the first strip", (0, flipped(WHOLE, at(0)))),
        "middle": ("a wrong checksum of the middle strip", (1, flipped(WHOLE, at(1)))),
        "last": ("a wrong last byte of the file", (2, flipped(WHOLE, at(2) + 3))),
        "payload-first-byte": ("a damaged first byte", (1, flipped(WHOLE, PARTS.strip(1), 0x80))),
        "payload-last-byte": ("a damaged last byte", (1, flipped(WHOLE, at(1) - 1, 0x04))),
        "strips-exchanged": ("the first two strips exchanged", (0, before + second + first + last)),
        "strip-repeated": ("the second strip again as the third", (2, before + first + second + second)),
        "no-number": ("a checksum of the payload alone", checked(0, zero)),
        "number-from-1": ("a checksum with the number 1 for strip 0", checked(0, u32(1) + zero)),
        "number-always-0": ("a checksum with the number 0 for strip 1", checked(1, u32(0) + one)),
        "number-big-endian": ("a checksum with a big-endian number", checked(1, struct.pack(">I", 1) + one)),
        "number-behind": ("a checksum with the number behind the payload", checked(1, one + u32(1))),
    }
    for name, (damage, (number, data)) in damaged.items():
        yield Invalid(f"strip_crc-{name}", f"section 6: {damage}", data, at(number), "strip_crc")
    one_color = plain(3, 6, strip_rows=2)
    offset = one_color.parts().strip_crc(1)
    breaks = "section 6: a wrong checksum of a strip without payload"
    yield Invalid("strip_crc-one-color", breaks, flipped(one_color.encode(), offset), offset, "strip_crc")


def bad_index() -> Iterator[Invalid]:
    """Yield indices above `last_index`."""

    def spoilt(name: str, stored: Picture, pixel: int, index: int) -> Invalid:
        """Return a picture with a wrong index at one pixel."""
        last = len(stored.palette) - 1
        breaks = f"section 6.1: index {index} of pixel {pixel}, where last_index is {last}"
        data = stored.with_index(pixel, index).encode()
        return Invalid(f"index-{name}", breaks, data, stored.index_offset(pixel), "index")

    # Two strips of 14 pixels and one of 7.
    for bits in (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16):
        stored = picture(7, 5, smallest_palette(bits), 2)
        yield spoilt(f"bits-{bits:02}", stored, 17, len(stored.palette))
    for bits in (2, 3, 9):
        stored, top = picture(7, 5, smallest_palette(bits), 2), 2**bits - 1
        yield spoilt(f"bits-{bits:02}-first-pixel", stored, 0, top)
        yield spoilt(f"bits-{bits:02}-first-strip", stored, 9, top)
        yield spoilt(f"bits-{bits:02}-first-strip-end", stored, 13, top)
        yield spoilt(f"bits-{bits:02}-second-strip", stored, 18, top)
        yield spoilt(f"bits-{bits:02}-last-strip", stored, 30, top)
        yield spoilt(f"bits-{bits:02}-last-pixel", stored, 34, top)
    for colors in (7, 255, 1023):
        yield spoilt(f"only-{colors}", picture(7, 5, colors, 2), 20, colors)
    yield spoilt("257", picture(7, 5, 257), 11, 257)
    yield spoilt("alpha", CLEAR, 13, 5)
    yield spoilt("sections", SAMPLE, 29, 6)
    yield spoilt("single-pixel", picture(1, 1, 3), 0, 3)
    two = SAMPLE.with_index(14, 7).with_index(22, 7)
    breaks = "section 6.1: index 7 of pixels 14 and 22, where last_index is 4; the first counts (7.1)"
    yield Invalid("index-two", breaks, two.encode(), SAMPLE.index_offset(14), "index")


def bad_padding() -> Iterator[Invalid]:
    """Yield bits of padding that are set."""

    def spoilt(name: str, stored: Picture, number: int, mask: int, which: str) -> Invalid:
        """Return a picture with padding bits set in one strip."""
        parts = stored.parts()
        payload = parts.payloads[number]
        data = parts.with_payload(number, flipped(payload, len(payload) - 1, mask)).encode()
        breaks = f"section 6.1: {which} set in strip {number} of {stored.strip_count}"
        # Padding is less than a byte: its first bit lies in the last byte of the payload.
        return Invalid(f"padding-{name}", breaks, data, parts.strip_crc(number) - 1, "padding")

    for number, name in enumerate(("first", "middle", "last")):
        yield spoilt(f"{name}-strip-first-bit", SAMPLE, number, 0b10, "the first of 2 padding bits")
        yield spoilt(f"{name}-strip-last-bit", SAMPLE, number, 0b01, "the last of 2 padding bits")
    yield spoilt("all-bits", SAMPLE, 1, 0b11, "both padding bits")
    pixel, seven, wide = picture(1, 1, 2), picture(7, 2, 2, 1), picture(7, 3, 257, 2)
    yield spoilt("7-bits-first", pixel, 0, 0x40, "the first of 7 padding bits")
    yield spoilt("7-bits-last", pixel, 0, 0x01, "the last of 7 padding bits")
    yield spoilt("1-bit", seven, 0, 0x01, "the only padding bit")
    yield spoilt("1-bit-last-strip", seven, 1, 0x01, "the only padding bit")
    yield spoilt("9-bit-indices", wide, 0, 0x01, "the last of 2 padding bits")
    yield spoilt("9-bit-indices-last-strip", wide, 1, 0x01, "the only padding bit")
    yield spoilt("alpha", CLEAR, 0, 0x01, "the last of 2 padding bits")


def bad_table() -> Iterator[Invalid]:
    """Yield strip tables that are damaged, or lead elsewhere."""
    table, table_crc = CONTEXT_PARTS.strip_table, CONTEXT_PARTS.table_crc
    for name, offset in {"first-entry": table, "last-entry": table + 7, "checksum": table_crc}.items():
        breaks = f"section 6: a damaged bit of the strip table's {name.replace('-', ' ')}"
        yield Invalid(f"table_crc-{name}", breaks, flipped(CODED, offset), table_crc, "table_crc")
    sizes = [len(payload) for payload in CONTEXT_PARTS.payloads]
    for name, number, size in (("first", 0, LARGEST), ("last", 1, sizes[1] + sizes[2] + 1)):
        claimed = [size if n == number else sizes[n] for n in range(2)]
        data = replace(CONTEXT_PARTS, table=with_crc(u32(*claimed))).encode()
        breaks = f"section 7: the {name} entry of the strip table leads beyond the file"
        yield Invalid(f"file-table-{name}-too-large", breaks, data, len(data), "file")
    moved = replace(CONTEXT_PARTS, table=with_crc(u32(sizes[0] + 1, sizes[1] - 1))).encode()
    offset = CONTEXT_PARTS.strip_crc(0) + 1
    breaks = "section 6: a strip table that moves a byte from one strip to the other"
    yield Invalid("strip_crc-table", breaks, moved, offset, "strip_crc")


def bad_payload() -> Iterator[Invalid]:
    """Yield context-coded payloads of a wrong length, or with a wrong end."""

    def spoilt(name: str, breaks: str, number: int, payload: bytes, place: int) -> Invalid:
        """Return a picture with another payload in one strip, and the table right for it."""
        changed = CONTEXT_PARTS.with_payload(number, payload)
        changed = replace(changed, table=strip_table(changed.payloads))
        offset = changed.strip(number) + place
        breaks = f"section 6.2.1: {breaks} in strip {number} of 3"
        return Invalid(f"payload-{name}-{number}", breaks, changed.encode(), offset, "payload")

    for number in (0, 2):
        payload = CONTEXT_PARTS.payloads[number]
        size = len(payload)
        yield spoilt("zero-more", "a zero byte too many", number, payload + b"\0", size)
        yield spoilt("much-more", "20 bytes too many", number, payload + bytes(range(20)), size)
        end = bytes([(payload[-1] + 1) % 256])
        yield spoilt("last-byte", "another last byte", number, payload[:-1] + end, size - 1)
    # Not every payload that is cut is invalid: that of strip 2 decodes to other pixels.
    payload = CONTEXT_PARTS.payloads[0]
    yield spoilt("cut", "2 bytes too few", 0, payload[:-2], len(payload) - 2)
    offset = ZEROS.parts().strip(0)
    for name, payload, place in (("one-more", b"\0\1", 1), ("empty", b"", 0)):
        data = ZEROS.parts().with_payload(0, payload).encode()
        breaks = f"section 6.2.1: a payload of {len(payload)} bytes instead of the 1 of low = 0"
        yield Invalid(f"payload-{name}-low-0", breaks, data, offset + place, "payload")


INVALID: tuple[Callable[[], Iterator[Invalid]], ...] = (
    bad_signature,
    bad_version,
    bad_header,
    bad_size,
    bad_palette,
    bad_sections,
    bad_strip_crc,
    bad_index,
    bad_padding,
    bad_table,
    bad_payload,
)


# ------------------------------ The folder


def json_bytes(description: dict[str, object]) -> bytes:
    """Return the JSON of a vector."""
    return json.dumps(description, indent=2).encode() + b"\n"


def write(path: Path, content: bytes | Image.Image) -> None:
    """Write a file; a PNG only where its pixels change, for no two versions of zlib compress alike."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    if path.exists():
        with Image.open(path) as present:
            if present.copy() == content:
                return
    content.save(path)


def main() -> None:
    """Rewrite the folder."""
    groups: dict[str, list[Valid | Invalid]] = {
        "valid": [vector for group in VALID for vector in group()],
        "invalid": [vector for group in INVALID for vector in group()],
    }
    for name, vectors in groups.items():
        folder = VECTORS / name
        folder.mkdir(parents=True, exist_ok=True)
        contents = {
            folder / f"{vector.name}.{suffix}": content
            for vector in vectors
            for suffix, content in vector.files().items()
        }
        # Some file systems do not tell capitals from small letters.
        if len({vector.name.lower() for vector in vectors}) != len(vectors):
            raise ValueError(f"two {name} vectors of one name")
        for path in set(folder.iterdir()) - set(contents):
            path.unlink()
        for path, content in contents.items():
            write(path, content)
        size = sum(path.stat().st_size for path in contents)
        print(f"{name:<8}{len(vectors):>4} vectors{size:>9} bytes")


if __name__ == "__main__":
    main()
