"""kmq thumbnail: .kmq to a small PNG, for programs that show folders."""

from __future__ import annotations

import argparse

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import naming
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import KmqReader
from kmcodec.metadata import Metadata
from kmcodec.pictures import encode_picture
from kmcodec.thumbnails import make_thumbnail


def run(options: argparse.Namespace) -> int:
    """Write the PNG; an existing file is replaced, for file managers make an empty one beforehand."""
    output = outputs.resolve(options.output, options.input, ".png", force=True)
    with inputs.opening_kmq(options.input, max_pixels=None) as source, naming(options.input):
        reader = KmqReader(source, max_pixels=None)
        pixels = make_thumbnail(reader, options.size, max_pixels=DEFAULT_MAX_PIXELS)
        # Of the metadata, what the colours are.
        profile = Metadata(icc_profile=reader.metadata.icc_profile)
    outputs.write(output, encode_picture(pixels, "PNG", profile), force=True)
    return 0
