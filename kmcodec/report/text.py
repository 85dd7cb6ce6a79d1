"""Report -> lines for a terminal."""

from __future__ import annotations

import math

from kmcodec.report.measure import Report, Size


def format_report(report: Report, *, original: str, file: str) -> str:
    """Return a report as aligned lines.

    Parameters
    ----------
    report : Report
    original, file : str
        Names to show.
    """
    exact = "none: every pixel is exact"
    error = f"mse {report.mse:.3f} per pixel, PSNR {report.psnr_db:.2f} dB"
    rows = [("picture", f"{original}, {report.width} x {report.height} pixels")]
    rows += [
        ("colours", f"{report.colors}, {bits(report.index_bits)} per pixel instead of {_raw_bits(report)}"),
        ("raw pixels", f"{report.raw_bytes:,} bytes"),
        ("this file", f"{report.file_bytes:,} bytes, {report.bits_per_pixel:.3f} bits per pixel: {file}"),
        ("ratio", f"{report.ratio:.2f} : 1 to the raw pixels"),
    ]
    if report.source_bytes is not None:
        rows.append(("", _compare_with_source(report, report.source_bytes, original)))
    rows.append(("error", exact if math.isinf(report.psnr_db) else error))
    return "\n".join(f"{label:<12}{value}" for label, value in rows)


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


def _compare_with_source(report: Report, source_bytes: int, original: str) -> str:
    if source_bytes < report.file_bytes:
        times = f"{report.file_bytes / source_bytes:.2f} times the size"
        return f"but {times} of {original} as it is ({source_bytes:,} bytes)"
    return f"{source_bytes / report.file_bytes:.2f} : 1 to {original} as it is ({source_bytes:,} bytes)"


def _raw_bits(size: Size) -> int:
    return 8 * size.raw_bytes // (size.width * size.height)
