"""kmq report: a .kmq file beside its original."""

from __future__ import annotations

import argparse

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import CommandError, UsageError, naming, show_path
from kmcodec.container.reader import KmqReader
from kmcodec.pictures import encode_picture, join_pictures
from kmcodec.report import measure, text


def run(options: argparse.Namespace) -> int:
    """Compare a file with its original."""
    if options.original == options.input == "-":
        raise UsageError("only one of ORIGINAL and IN.kmq can be standard input")
    drawing = options.side_by_side
    if drawing is not None:
        outputs.check(drawing, [options.original, options.input], force=options.force)
    picture, source_bytes = inputs.load(options.original)
    original = picture.pixels
    with inputs.opening_kmq(options.input) as file, naming(options.input):
        try:
            report = measure.report(original, file, source_bytes=source_bytes)
            decoded = KmqReader(file).pixels() if drawing is not None else None
        except ValueError as error:
            raise CommandError(f"{show_path(options.input)}: {error}") from None
    if drawing is not None and decoded is not None:
        captions = (
            f"original: {8 * report.raw_bytes // (report.width * report.height)} bits per pixel",
            f"{text.count(report.colors, 'colour')}: {text.bits(report.index_bits)} per pixel",
        )
        joined = join_pictures(original, decoded, captions)
        outputs.write(drawing, encode_picture(joined), force=options.force)
    if options.json:
        outputs.print_json(report.to_dict())
    else:
        names = {"original": show_path(options.original), "file": show_path(options.input)}
        print(text.format_report(report, **names))
    return 0
