"""kmq report: a .kmq file beside its original."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import CommandError, UsageError, naming, show_path
from kmcodec.cli.progress import Progress
from kmcodec.codec import encode
from kmcodec.container.reader import KmqReader
from kmcodec.image import IndexedImage
from kmcodec.pictures import encode_picture, find_format, join_pictures
from kmcodec.report import measure, plots, text
from kmcodec.report.compare import Comparison, compare
from kmcodec.report.figures import choose_options, draw_figures
from kmcodec.report.page import build_page


@dataclass(frozen=True)
class _Subject:
    """Hold what is reported on: the original, the decoded file, and what was measured."""

    original: NDArray[np.uint8]
    image: IndexedImage
    report: measure.Report


def run(options: argparse.Namespace) -> int:
    """Compare a file with its original."""
    if options.original == options.input == "-":
        raise UsageError("only one of ORIGINAL and IN.kmq can be standard input")
    drawings = [path for path in (options.side_by_side, options.html) if path is not None]
    for path in drawings:
        if path == "-":
            raise UsageError("--html and --side-by-side need files: standard output has the report")
        outputs.check(path, [options.original, options.input], force=options.force)
    if len({os.path.realpath(path) for path in drawings}) < len(drawings):
        raise UsageError("--html and --side-by-side name the same file")
    if options.side_by_side is not None:
        with naming(options.side_by_side):
            find_format(options.side_by_side)
    subject = _measure(options)
    comparison = _compare(options, subject) if options.compare else None
    if options.side_by_side is not None:
        joined = _draw_side_by_side(subject)
        with naming(options.side_by_side):
            drawn = encode_picture(joined, find_format(options.side_by_side))
        outputs.write(options.side_by_side, drawn, force=options.force)
    names = {"original": show_path(options.original), "file": show_path(options.input)}
    tables = text.list_tables(subject.report, **names)
    notes = text.list_notes(subject.report)
    if comparison is not None:
        tables.append(text.tabulate_comparison(comparison))
        if subject.report.parts.metadata:
            notes.append("All but the original file are compared without metadata.")
    if options.html is not None:
        page = _build_page(options, subject, comparison, tables, notes)
        outputs.write(options.html, page.encode(), force=options.force)
    if options.json:
        extra = {} if comparison is None else {"comparison": comparison.to_dict()}
        outputs.print_json({**subject.report.to_dict(), **extra})
    else:
        verdict = [] if comparison is None else [comparison.sentence]
        print(text.format_tables(tables, [*verdict, *notes], is_colored=outputs.is_colored()))
    return 0


def _measure(options: argparse.Namespace) -> _Subject:
    picture, source_bytes = inputs.load(options.original)
    with inputs.opening_kmq(options.input) as file, naming(options.input):
        reader = KmqReader(file)
        image = reader.image(threads=options.threads)
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
    return _Subject(picture.pixels, image, report)


def _compare(options: argparse.Namespace, subject: _Subject) -> Comparison:
    """Encode the picture in other formats; and once more as .kmq, for the time that it takes."""
    search: dict[str, Any] = choose_options(subject.report.recorded)
    start = time.perf_counter()
    encode(subject.original, subject.report.colors, threads=options.threads, **search)
    seconds = time.perf_counter() - start
    with Progress() as progress:
        return compare(
            subject.original,
            subject.image,
            kmq_bytes=subject.report.picture_bytes,
            kmq_seconds=seconds,
            source_bytes=subject.report.source_bytes,
            source_name=os.path.basename(show_path(options.original)),
            threads=options.threads,
            on_progress=progress.show_share,
        )


def _draw_side_by_side(subject: _Subject) -> NDArray[np.uint8]:
    report = subject.report
    captions = (
        f"original: {report.raw_bits_per_pixel} bits per pixel",
        f"{text.count(report.colors, 'colour')}: {text.bits(report.index_bits)} per pixel",
    )
    return join_pictures(subject.original, subject.image.to_rgb(), captions)


def _build_page(
    options: argparse.Namespace,
    subject: _Subject,
    comparison: Comparison | None,
    tables: list[text.Table],
    notes: list[str],
) -> str:
    summary = text.summarize(subject.report)
    if comparison is not None:
        summary = f"{summary} {comparison.sentence}"
    figures = []
    if plots.has_matplotlib():
        figures = draw_figures(
            subject.original, subject.image, subject.report.recorded, threads=options.threads
        )
    else:
        notes = [*notes, f"{plots.HINT}."]
    file, original = (os.path.basename(show_path(path)) for path in (options.input, options.original))
    return build_page(
        title=f"{file} beside {original}",
        summary=summary,
        # The title has the names.
        tables=tables[1:],
        original=subject.original,
        image=subject.image,
        figures=figures,
        notes=notes,
    )
