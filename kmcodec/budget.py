"""How many colours a packed file of a given size can have: known beforehand, since its indices have one."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from kmcodec.checks import check_integer
from kmcodec.container.layout import build_sections
from kmcodec.container.writer import plan_header
from kmcodec.errors import TargetError
from kmcodec.image import MAX_COLORS, Section


def fit_colors(
    n_colors: int | Literal["auto"],
    options: Mapping[str, Any],
    max_bytes: int,
    *,
    width: int,
    height: int,
    has_alpha: bool,
    strip_rows: int | None,
    sections: tuple[Section, ...],
) -> tuple[int | Literal["auto"], dict[str, Any]]:
    """Lower the number of colours to what a file of a given size can have.

    Parameters
    ----------
    n_colors : int or "auto"
    options : mapping
        Options of kmcodec.quantize.
    max_bytes : int
        Size of the whole file at most, at least 1.
    width, height : int
        In pixels.
    has_alpha : bool
        Whether the palette will have alpha, as far as the picture decides it.
    strip_rows : int or None
        As for KmqWriter.
    sections : tuple of Section
        What else goes into the file.

    Returns
    -------
    n_colors : int or "auto"
    options : dict

    Raises
    ------
    TargetError
        If the least that is asked for does not fit.
    """
    check_integer("max_bytes", max_bytes, 1)
    chosen = [options[name] for name in ("keep", "palette") if options.get(name) is not None]
    colors = [np.asarray(each) for each in chosen]
    has_alpha = has_alpha or any(each.ndim == 2 and (each[:, 3:] != 255).any() for each in colors)

    sections_bytes = len(build_sections(sections))

    def measure(k: int) -> int:
        plan = plan_header(
            k,
            width,
            height,
            has_alpha=has_alpha,
            strip_rows=strip_rows,
            sections_bytes=sections_bytes,
        )
        return plan.file_bytes

    least = max(1, *(len(each) for each in colors)) if colors else 1
    most = bisect.bisect_right(range(1, MAX_COLORS + 1), max_bytes, key=measure)
    if most < least:
        words = "1 colour" if least == 1 else f"{least} colours"
        raise out_of_reach(max_bytes, f"with {words} the file takes {measure(least)}", sections_bytes)
    if n_colors == "auto":
        return n_colors, {**options, "max_colors": min(options.get("max_colors", MAX_COLORS), most)}
    return min(n_colors, most), dict(options)


def out_of_reach(max_bytes: int, takes: str, sections_bytes: int) -> TargetError:
    """Return the error of a size that is too small; takes says what the least is."""
    metadata = f", {sections_bytes} of them for metadata" if sections_bytes else ""
    return TargetError(f"{max_bytes} bytes are out of reach: {takes}{metadata}")
