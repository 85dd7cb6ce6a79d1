"""Report -> tables, and tables -> lines for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kmcodec.metrics import HINT, has_scikit_image, psnr_db
from kmcodec.report.codings import ADJECTIVES, find_other
from kmcodec.report.compare import Comparison
from kmcodec.report.measure import Report, Size
from kmcodec.report.tune import Curve

# Characters of a recorded value that are shown.
_LONGEST_VALUE = 64

_BOLD = "\x1b[1m"
_PLAIN = "\x1b[0m"


class Table(NamedTuple):
    """Hold a table for people.

    Attributes
    ----------
    title : str
    header : tuple of str
        Empty where rows are a label and a value each.
    rows : sequence of tuple of str
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def list_tables(report: Report, *, original: str, file: str, path: str | None = None) -> list[Table]:
    """Return what a report says.

    Parameters
    ----------
    report : Report
    original, file : str
        Names to show.
    path : str, optional
        Of the file, for commands. Default: its name.
    """
    picture = f"{original}, {report.width} x {report.height} pixels"
    tables = [
        Table("Files", (), [("original", picture), ("file", file)]),
        Table("What it takes", (), _list_sizes(report)),
    ]
    if report.colors > 1:
        tables.append(_tabulate_codings(report, path or file))
    tables.append(Table("How it looks, measured now", (), _list_errors(report)))
    if report.recorded is not None:
        tables.append(Table("Recorded in the file by its encoder", (), _list_recorded(report)))
    return tables


def name_recoding(path: str, coding: str) -> str:
    """Return the command that gives the file at a path another coding, in its place: nothing is lost."""
    return f"kmq recode {shlex.quote(path)} --coding {coding}{'' if path == '-' else ' --force'}"


def list_notes(report: Report) -> list[str]:
    """Return what a reader of the tables has to know."""
    notes = []
    if report.has_alpha:
        notes.append("There is alpha: errors are those on black and those on white, averaged.")
    return notes + list_hints()


def format_tables(tables: Sequence[Table], notes: Sequence[str] = (), *, is_colored: bool = False) -> str:
    """Return tables as aligned lines.

    Parameters
    ----------
    tables : sequence of Table
    notes : sequence of str
    is_colored : bool
        Whether the terminal understands bold titles.
    """
    # One width for all that is label and value.
    width = 2 + max((len(row[0]) for table in tables if not table.header for row in table.rows), default=0)
    blocks = []
    for table in tables:
        lines = []
        if table.title:
            lines.append(f"{_BOLD}{table.title}{_PLAIN}" if is_colored else table.title)
        indent = "  " if table.title else ""
        if table.header:
            lines += [indent + line for line in _align([table.header, *table.rows])]
        else:
            lines += [f"{indent}{label:<{width + 2 - len(indent)}}{value}" for label, value in table.rows]
        blocks.append("\n".join(lines))
    if notes:
        blocks.append("\n".join(notes))
    return "\n\n".join(blocks)


def tabulate_comparison(comparison: Comparison) -> Table:
    """Return the files that were compared, and why others were not."""
    rows = []
    for rival in comparison.rivals:
        kind = "same pixels" if rival.is_lossless else "same PSNR"
        if rival.file_bytes is None:
            rows.append((rival.name, "", "", "", "", kind, rival.note))
            continue
        rows.append(
            (
                rival.name,
                f"{rival.file_bytes:,}",
                "" if rival.seconds is None else f"{rival.seconds:.3f}",
                "" if rival.psnr_db is None else format_db(rival.psnr_db),
                "" if rival.ssim is None else f"{rival.ssim:.4f}",
                "exact" if rival.name == "original file" else kind,
                rival.settings,
            )
        )
    header = ("format", "bytes", "seconds", "PSNR", "SSIM", "gives", "settings")
    return Table("Against other formats", header, rows)


def tabulate_curve(curve: Curve) -> Table:
    """Return what each number of colours costs and gives."""
    points = curve.points
    columns: dict[str, list[str]] = {
        "colours": [str(point.colors) for point in points],
        "bits": [str(point.index_bits) for point in points],
        "bytes packed": [f"{point.file_bytes:,}" for point in points],
    }
    if any(point.context_bytes is not None for point in points):
        columns["context-coded"] = [f"{point.context_bytes:,}" for point in points]
    columns["PSNR"] = [format_db(point.psnr_db) for point in points]
    if any(point.ssim is not None for point in points):
        columns["SSIM"] = ["" if point.ssim is None else f"{point.ssim:.4f}" for point in points]
    if any(point.delta_e_mean is not None for point in points):
        columns["delta E"] = [f"{point.delta_e_mean:.2f}" for point in points]
        columns["95 %"] = [f"{point.delta_e_p95:.2f}" for point in points]
    columns[""] = ["elbow" if point.colors == curve.elbow else "" for point in points]
    return Table("", tuple(columns), list(zip(*columns.values(), strict=True)))


def list_hints() -> list[str]:
    """Return how to get what is missing for all measures."""
    return [] if has_scikit_image() else [f"{HINT}."]


def summarize(report: Report) -> str:
    """Return in a sentence what a file takes and how it looks."""
    quality = "no error" if report.is_exact else f"a PSNR of {report.psnr_db:.2f} dB"
    return (
        f"{report.width} x {report.height} pixels in {count(report.colors, 'colour')}, {report.file_bytes:,}"
        f" bytes: {report.ratio:.2f} : 1 to the raw pixels, with {quality}."
    )


def recommend(report: Report) -> str:
    """Return in a sentence what the other coding saves, "" if nothing."""
    size = report.codings[find_other(report.coding)]
    if size is None or size.file_bytes >= report.file_bytes:
        return ""
    word = ADJECTIVES[find_other(report.coding)].capitalize()
    return f"{word} it would take {size.file_bytes:,} bytes, {size.ratio:.2f} : 1."


def format_size(size: Size) -> str:
    """Return the size of a file as one line."""
    return (
        f"{size.width} x {size.height}, {count(size.colors, 'colour')}, {size.file_bytes:,} bytes,"
        f" {size.bits_per_pixel:.3f} bits per pixel, {size.ratio:.2f} : 1 to the raw pixels"
    )


def bits(n: int) -> str:
    """Return a number of bits in words."""
    return count(n, "bit")


def count(n: int, noun: str) -> str:
    """Return a number of things, with an s where there are not just one."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def format_db(decibels: float) -> str:
    """Return a PSNR in words."""
    return f"{decibels:.2f} dB" if decibels < float("inf") else "infinite"


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows, the first of which is a header, as lines; columns of numbers to the right."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    is_number = [
        all(cell[:1].isdigit() or cell in ("", "infinite") for cell in column[1:]) for column in columns
    ]
    return [
        "  ".join(
            f"{cell:>{width}}" if number else f"{cell:<{width}}"
            for cell, width, number in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in rows
    ]


def _list_sizes(report: Report) -> list[tuple[str, ...]]:
    raw = f"{report.raw_bytes:,} bytes, {report.raw_bits_per_pixel} bits per pixel"
    nominal = f"{bits(report.index_bits)} per pixel instead of {report.raw_bits_per_pixel}"
    if report.nominal_ratio is not None:
        nominal += f", {report.nominal_ratio:.2f} : 1"
    really = f"{report.file_bytes:,} bytes, {report.bits_per_pixel:.3f} bits per pixel"
    if report.coding != "packed":
        nominal += ", if indices are packed"
        really += f", {ADJECTIVES[report.coding]}"
    rows: list[tuple[str, ...]] = [
        ("raw pixels", raw),
        ("nominally", nominal),
        ("really", really),
        ("ratio", f"{report.ratio:.2f} : 1 to the raw pixels"),
    ]
    if report.source_bytes is not None and report.source_ratio is not None:
        rows.append(("", _compare_with_source(report.source_ratio, report.source_bytes)))
    parts = report.parts._asdict()
    rows.append(("bytes of", ", ".join(f"{name} {size:,}" for name, size in parts.items() if size)))
    return rows


def _tabulate_codings(report: Report, path: str) -> Table:
    """Return what the pixels take in either coding, and how to get there."""
    columns: dict[str, list[str]] = {
        name: [] for name in ("coding", "bytes", "bits per pixel", "to raw pixels", "to the original", "")
    }
    for coding, size in report.codings.items():
        numbers = ["", "", "", ""]
        if size is not None:
            numbers = [
                f"{size.file_bytes:,}",
                f"{size.bits_per_pixel:.3f}",
                f"{size.ratio:.2f} : 1",
                "" if size.source_ratio is None else f"{size.source_ratio:.2f} : 1",
            ]
        remark = "this file" if coding == report.coding else name_recoding(path, coding)
        for column, cell in zip(columns.values(), [ADJECTIVES[coding], *numbers, remark], strict=True):
            column.append(cell)
    if report.source_bytes is None:
        del columns["to the original"]
    return Table(
        "The same pixels in either coding", tuple(columns), list(zip(*columns.values(), strict=True))
    )


def _compare_with_source(ratio: float, source_bytes: int) -> str:
    if ratio < 1:
        return (
            f"{ratio:.2f} : 1 to the original file, which has {source_bytes:,} bytes: the original is smaller"
        )
    return f"{ratio:.2f} : 1 to the original file, which has {source_bytes:,} bytes"


def _list_errors(report: Report) -> list[tuple[str, ...]]:
    used = "all used" if report.colors_used == report.colors else f"of which {report.colors_used} used"
    asked = "" if report.colors_asked is None else f"; {report.colors_asked} asked for"
    rows: list[tuple[str, ...]] = [("colours", f"{report.colors}, {used}{asked}")]
    if report.is_exact:
        rows.append(("PSNR", "infinite: no pixel has an error"))
    else:
        rows.append(("PSNR", format_db(report.psnr_db)))
        rows.append(("squared error", f"{report.mse:.3f} per pixel, summed over R, G, B"))
    if report.ssim is not None:
        rows.append(("SSIM", f"{report.ssim:.4f}"))
    differences = {"mean": report.delta_e_mean, "95 %": report.delta_e_p95, "largest": report.delta_e_max}
    rows += [(f"delta E {name}", f"{value:.2f}") for name, value in differences.items() if value is not None]
    if not report.is_exact:
        region = report.worst_region
        rows.append(
            (
                "worst region",
                f"{region.width} x {region.height} pixels at x {region.x}, y {region.y}:"
                f" {format_db(psnr_db(region.mse))}",
            )
        )
    return rows


def _list_recorded(report: Report) -> list[tuple[str, ...]]:
    recorded: Mapping[str, Any] = report.recorded or {}
    rows: list[tuple[str, ...]] = [(show(str(name)), show(str(value))) for name, value in recorded.items()]
    if report.is_recorded_source is not None:
        verdict = "is" if report.is_recorded_source else "is not"
        rows.append(("this original", f"{verdict} the picture that was encoded, by its hash"))
    return rows


def show(text: str, longest: int = _LONGEST_VALUE) -> str:
    """Return text from a file for a terminal: one line, of characters that can be seen."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."
