"""kmq info: what is in a .kmq file."""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import naming, show_path
from kmcodec.container.reader import KmqReader
from kmcodec.image import Section
from kmcodec.metadata import describe_section
from kmcodec.palettes.colors import hash_palette, list_colors
from kmcodec.report import measure
from kmcodec.report.contents import list_contents


def run(options: argparse.Namespace) -> int:
    """Print what is in a file."""
    with inputs.opening_kmq(options.input, max_pixels=None) as source, naming(options.input):
        reader = KmqReader(source, max_pixels=None)
        header, sections = reader.header, reader.sections
        # All is checked before anything is printed.
        palette, rows = reader.palette, list_contents(reader, show_path(options.input))
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
    print("\n".join(f"{label:<11}{value}" for label, value in rows))
    return 0


def _describe(section: Section) -> dict[str, Any]:
    """Return a section for JSON."""
    return {
        "type": section.type.decode(),
        "bytes": len(section.payload),
        "sha256": hashlib.sha256(section.payload).hexdigest(),
        **describe_section(section),
    }
