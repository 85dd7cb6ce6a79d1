"""kmq report: a .kmq file beside its original."""

from __future__ import annotations

import argparse
import os
import sys

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import CommandError, UsageError, naming, show_path
from kmcodec.container.reader import KmqReader
from kmcodec.pictures import encode_picture, join_pictures
from kmcodec.report import measure, plots, text
from kmcodec.report.figures import draw_figures
from kmcodec.report.page import build_page


def run(options: argparse.Namespace) -> int:
    """Compare a file with its original."""
    if options.original == options.input == "-":
        raise UsageError("only one of ORIGINAL and IN.kmq can be standard input")
    for drawing in (options.side_by_side, options.html):
        if drawing is not None:
            outputs.check(drawing, [options.original, options.input], force=options.force)
    picture, source_bytes = inputs.load(options.original)
    with inputs.opening_kmq(options.input) as file, naming(options.input):
        reader = KmqReader(file)
        image = reader.image()
        try:
            report = measure.measure_image(
                picture.pixels,
                image,
                reader.header,
                recorded=reader.metadata.recipe,
                source_bytes=source_bytes,
                threads=options.threads,
            )
        except ValueError as error:
            raise CommandError(f"{show_path(options.input)}: {error}") from None
    if options.side_by_side is not None:
        captions = (
            f"original: {report.raw_bits_per_pixel} bits per pixel",
            f"{text.count(report.colors, 'colour')}: {text.bits(report.index_bits)} per pixel",
        )
        joined = join_pictures(picture.pixels, image.to_rgb(), captions)
        outputs.write(options.side_by_side, encode_picture(joined), force=options.force)
    original_name, file_name = show_path(options.original), show_path(options.input)
    tables = text.list_tables(report, original=original_name, file=file_name)
    notes = text.list_notes(report)
    if options.html is not None:
        figures = []
        if plots.has_matplotlib():
            figures = draw_figures(picture.pixels, image, report.recorded, threads=options.threads)
        page = build_page(
            title=f"{os.path.basename(options.input)} beside {os.path.basename(options.original)}",
            summary=text.summarize(report),
            tables=tables,
            original=picture.pixels,
            image=image,
            figures=figures,
            notes=[*notes, *([] if figures else [f"{plots.HINT}."])],
        )
        outputs.write(options.html, page.encode(), force=options.force)
    if options.json:
        outputs.print_json(report.to_dict())
    else:
        print(text.format_tables(tables, notes, is_colored=_is_colored()))
    return 0


def _is_colored() -> bool:
    """Return whether standard output is a terminal that is to show colours (see no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
