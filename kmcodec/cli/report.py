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
from kmcodec.cli.interrupts import ending_at_once
from kmcodec.cli.progress import Progress
from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import write_image
from kmcodec.image import IndexedImage
from kmcodec.pictures import encode_picture, find_format, join_pictures
from kmcodec.quantize.quantizer import quantize
from kmcodec.report import measure, plots, text
from kmcodec.report.codings import find_other
from kmcodec.report.compare import Comparison, compare
from kmcodec.report.figures import choose_options, draw_figures
from kmcodec.report.page import build_page
from kmcodec.report.rival import Recoded


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
    drawn, page = None, None
    with ending_at_once(), Progress() as progress:
        subject = _measure(options, progress)
        comparison = _compare(options, subject, progress) if options.compare else None
        names = {"original": show_path(options.original), "file": show_path(options.input)}
        tables = text.list_tables(subject.report, **names, path=_show_for_shell(options.input))
        notes = text.list_notes(subject.report)
        if comparison is not None:
            tables.append(text.tabulate_comparison(comparison))
            if subject.report.parts.metadata:
                notes.append("All but the original file are compared without metadata.")
        if options.side_by_side is not None:
            progress.show_task("drawing side by side")
            joined = _draw_side_by_side(subject)
            with naming(options.side_by_side):
                drawn = encode_picture(joined, find_format(options.side_by_side))
        if options.html is not None:
            page = _build_page(options, subject, comparison, tables, notes, progress)
    if drawn is not None:
        outputs.write(options.side_by_side, drawn, force=options.force)
    if page is not None:
        outputs.write(options.html, page.encode(), force=options.force)
    if options.json:
        extra = {} if comparison is None else {"comparison": comparison.to_dict()}
        outputs.print_json({**subject.report.to_dict(), **extra})
    else:
        verdict = [] if comparison is None else [comparison.sentence]
        print(text.format_tables(tables, [*verdict, *notes], is_colored=outputs.is_colored()))
    return 0


def _measure(options: argparse.Namespace, progress: Progress) -> _Subject:
    progress.show_task("reading")
    picture, source_bytes = inputs.load(options.original)
    with inputs.opening_kmq(options.input) as file, naming(options.input):
        reader = KmqReader(file, on_progress=progress.show_share)
        image = reader.image(threads=options.threads)
        try:
            report = measure.measure_image(
                picture.pixels,
                image,
                reader.header,
                recorded=reader.metadata.recipe,
                source_bytes=source_bytes,
                threads=options.threads,
                on_task=progress.show_task,
                on_coding=progress.show_share,
            )
        except ValueError as error:
            raise CommandError(f"{show_path(options.input)}: {error}") from None
    return _Subject(picture.pixels, image, report)


def _compare(options: argparse.Namespace, subject: _Subject, progress: Progress) -> Comparison:
    """Encode the picture in other formats; and once more as .kmq, for the time that it takes."""
    report = subject.report
    recorded = report.recorded or {}
    # Of a file whose indices were chosen by what they cost, encoding again without that would tell nothing.
    is_lossy = "lossy" in recorded or ("max_bytes" in recorded and report.coding == "context")
    search: dict[str, Any] = choose_options(report.recorded)
    progress.show_task("encoding again")
    start = time.perf_counter()
    image = quantize(subject.original, report.colors, threads=options.threads, **search)
    search_seconds = time.perf_counter() - start

    def time_encode(coding: str) -> float | None:
        if is_lossy:
            return None
        start = time.perf_counter()
        write_image(image, coding=coding, threads=options.threads)
        return search_seconds + time.perf_counter() - start

    own, other = report.picture_bytes(report.coding), find_other(report.coding)
    assert own is not None
    recoded_bytes = report.picture_bytes(other)
    recoded = None
    if recoded_bytes is not None and report.colors > 1:
        command = text.name_recoding(_show_for_shell(options.input), other)
        recoded = Recoded(other, recoded_bytes, time_encode(other), command)
    return compare(
        subject.original,
        subject.image,
        kmq_bytes=own,
        kmq_seconds=time_encode(report.coding),
        coding=report.coding,
        recoded=recoded,
        source_bytes=report.source_bytes,
        source_name=os.path.basename(show_path(options.original)),
        threads=options.threads,
        on_progress=progress.show_task,
    )


def _show_for_shell(path: str) -> str:
    return path if path == "-" else show_path(path)


def _draw_side_by_side(subject: _Subject) -> NDArray[np.uint8]:
    report = subject.report
    # Packed indices take what the palette says; others, what they come to.
    taken = text.bits(report.index_bits) if report.coding == "packed" else f"{report.bits_per_pixel:.2f} bits"
    captions = (
        f"original: {report.raw_bits_per_pixel} bits per pixel",
        f"{text.count(report.colors, 'colour')}: {taken} per pixel",
    )
    return join_pictures(subject.original, subject.image.to_rgb(), captions)


def _build_page(
    options: argparse.Namespace,
    subject: _Subject,
    comparison: Comparison | None,
    tables: list[text.Table],
    notes: list[str],
    progress: Progress,
) -> str:
    # The verdict speaks of either coding, too, of files without metadata.
    more = text.recommend(subject.report) if comparison is None else comparison.sentence
    summary = f"{text.summarize(subject.report)} {more}".rstrip()
    figures = []
    if plots.has_matplotlib():
        figures = draw_figures(
            subject.original,
            subject.image,
            subject.report.recorded,
            threads=options.threads,
            on_progress=progress.show_task,
        )
    else:
        notes = [*notes, f"{plots.HINT}."]
    progress.show_task("building the page")
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
