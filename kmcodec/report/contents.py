"""What is in a .kmq file, for people to read."""

from __future__ import annotations

from kmcodec.container.layout import Header
from kmcodec.container.reader import KmqReader
from kmcodec.image import Section
from kmcodec.metadata import describe_section
from kmcodec.palettes.colors import hash_palette
from kmcodec.report import text
from kmcodec.report.measure import measure_parts, measure_size

_NAMES = {b"iccp": "ICC profile", b"exif": "EXIF", b"axmp": "XMP"}

# Characters of a text that are shown.
_LONGEST_TEXT = 200


def list_contents(reader: KmqReader, name: str) -> list[tuple[str, str]]:
    """Return what is in a file, as labels and values.

    Parameters
    ----------
    reader : KmqReader
    name : str
        Of the file, to be shown.

    Raises
    ------
    KmqFormatError
        If the palette or the metadata are damaged.
    """
    header, sections = reader.header, reader.sections
    size = measure_size(header)
    rows = [
        ("file", f"{name}, KMQ version 1.{header.minor_version}"),
        ("picture", f"{header.width} x {header.height} pixels{', with alpha' if header.has_alpha else ''}"),
        ("palette", f"{text.count(header.n_colors, 'colour')}, SHA-256 {hash_palette(reader.palette)}"),
        ("coding", f"{header.coding}, {_count_bits(header)} per pixel"),
        ("strips", f"{header.strip_count} of {text.count(header.strip_rows, 'row')}"),
        ("size", f"{size.file_bytes:,} bytes, {size.ratio:.2f} : 1 to the raw pixels"),
    ]
    for section in sections:
        rows += _list_rows(section)
    return rows


def _count_bits(header: Header) -> str:
    """Return the bits of an index for a terminal: exact, or what it came to."""
    if header.coding == "packed":
        return text.bits(header.index_bits)
    return f"{8 * measure_parts(header).indices / (header.width * header.height):.3f} bits"


def _list_rows(section: Section) -> list[tuple[str, str]]:
    """Return a section as labels and lines for a terminal."""
    name = _NAMES.get(section.type, f"section {section.type.decode()}")
    described = describe_section(section)
    if "text" in described:
        keyword, words = (text.show(described[name], _LONGEST_TEXT) for name in ("keyword", "text"))
        return [("text", f"{keyword}: {words}")]
    if "unit" in described:
        unit = " pixels per metre" if described["unit"] else ", a ratio"
        return [("density", f"{described['x']} x {described['y']}{unit}")]
    if "recipe" in described:
        return [
            ("recipe", f"{text.show(str(key))}: {text.show(str(value), _LONGEST_TEXT)}")
            for key, value in described["recipe"].items()
        ]
    return [("metadata", f"{name}, {len(section.payload):,} bytes")]
