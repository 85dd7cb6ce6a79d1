"""kmq info: what is in a .kmq file."""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import naming, show_path
from kmcodec.container.layout import Header
from kmcodec.container.reader import KmqReader
from kmcodec.image import Section
from kmcodec.metadata import describe_section
from kmcodec.palettes.colors import hash_palette, list_colors
from kmcodec.report import measure, text

_NAMES = {b"iccp": "ICC profile", b"exif": "EXIF", b"axmp": "XMP"}

# Characters of a text that are shown.
_LONGEST_TEXT = 200


def run(options: argparse.Namespace) -> int:
    """Print what is in a file."""
    with inputs.opening_kmq(options.input, max_pixels=None) as source, naming(options.input):
        reader = KmqReader(source, max_pixels=None)
        header, sections = reader.header, reader.sections
        # Like them, checked before anything is printed.
        palette = reader.palette
    size = measure.measure_size(header)
    if options.json:
        values = {
            "version": f"1.{header.minor_version}",
            **size.to_dict(),
            "coding": header.coding,
            "alpha": header.has_alpha,
            "strip_rows": header.strip_rows,
            "strips": header.strip_count,
            "sections": [_describe(section) for section in sections],
            "palette": list_colors(palette),
            "palette_sha256": hash_palette(palette),
        }
        # Nothing is compared here, so that there is no source.
        del values["source_bytes"]
        outputs.print_json(values)
        return 0
    rows = [
        ("file", f"{show_path(options.input)}, KMQ version 1.{header.minor_version}"),
        ("picture", f"{header.width} x {header.height} pixels{', with alpha' if header.has_alpha else ''}"),
        ("palette", f"{text.count(header.n_colors, 'colour')}, SHA-256 {hash_palette(palette)}"),
        ("coding", f"{header.coding}, {_count_bits(header)} per pixel"),
        ("strips", f"{header.strip_count} of {text.count(header.strip_rows, 'row')}"),
        ("size", f"{size.file_bytes:,} bytes, {size.ratio:.2f} : 1 to the raw pixels"),
    ]
    for section in sections:
        rows += _list_rows(section)
    print("\n".join(f"{label:<11}{value}" for label, value in rows))
    return 0


def _count_bits(header: Header) -> str:
    """Return the bits of an index for a terminal: exact, or what it came to."""
    if header.coding == "packed":
        return text.bits(header.index_bits)
    return f"{8 * measure.measure_parts(header).indices / (header.width * header.height):.3f} bits"


def _describe(section: Section) -> dict[str, Any]:
    """Return a section for JSON."""
    return {
        "type": section.type.decode(),
        "bytes": len(section.payload),
        "sha256": hashlib.sha256(section.payload).hexdigest(),
        **describe_section(section),
    }


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
