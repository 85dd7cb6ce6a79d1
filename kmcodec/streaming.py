"""Pictures too large for memory -> .kmq files, in two passes over their rows.

The first pass counts colours, the second assigns them to the palette. The file is the one that encoding the
picture as a whole gives.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from kmcodec.budget import fit_colors
from kmcodec.checks import check_integer
from kmcodec.container.layout import Header
from kmcodec.container.writer import KmqWriter, check_coding
from kmcodec.lossy import check_lossy, is_lossy
from kmcodec.metadata import Metadata, check_metadata
from kmcodec.quantize.choose import check_needs_no_pixels, choose_palette_for_goal
from kmcodec.quantize.histogram import ColorCounter, ColorTable
from kmcodec.quantize.options import check_options
from kmcodec.recipe import PixelHash, build_recipe
from kmcodec.threads import OnProgress, Workers

# Pixels that are in memory at a time: some for each thread.
_BLOCK_PIXELS = 1 << 22


class Rows(Protocol):
    """Be a picture that gives its rows by slicing: an ndarray, a memory map, an array of h5py or zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""

    @property
    def dtype(self) -> Any:
        """uint8."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Return rows as an array."""


def is_on_disk(picture: Any) -> bool:
    """Return whether a picture is not in memory, but gives its rows by slicing."""
    if isinstance(picture, np.ndarray):
        return isinstance(picture, np.memmap)
    return all(hasattr(picture, name) for name in ("shape", "dtype", "__getitem__"))


def write_rows(
    target: str | os.PathLike[str] | BinaryIO,
    rows: Rows,
    n_colors: int | Literal["auto"] = 64,
    *,
    coding: str = "packed",
    strip_rows: int | None = None,
    metadata: Metadata | None = None,
    recipe: bool = False,
    max_bytes: int | None = None,
    lossy: float | None = None,
    on_progress: OnProgress | None = None,
    threads: int | None = None,
    **options: Any,
) -> Header:
    """Encode a picture of which only a block of rows is in memory at a time.

    Parameters
    ----------
    target : path-like or binary file object
        As for KmqWriter.
    rows : Rows
        Shape (height, width, 3) or (height, width, 4), uint8; is read twice from top to bottom.
    on_progress : callable, optional
        Is told the name of the work, and pixels done and in all.
    n_colors, coding, strip_rows, metadata, recipe, max_bytes, lossy, threads, **options
        As for kmcodec.encode, but target_ssim, target_psnr with dithering, lossy, and max_bytes with context
        coding, which need all pixels at once.

    Returns
    -------
    Header
        Of the file.

    Raises
    ------
    OSError
        If rows cannot be read, or the file not be written.
    TargetError
        If max_bytes or target_psnr is out of reach.
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    shape = tuple(rows.shape)
    if rows.dtype != np.uint8:
        raise TypeError(f"pixels must be of dtype uint8, found {rows.dtype}")
    if len(shape) != 3 or shape[2] not in (3, 4) or 0 in shape:
        raise ValueError(f"pixels must have shape (height, width, 3 or 4), found {shape!r}")
    request = check_options(n_colors, **options)
    check_needs_no_pixels(request)
    check_coding(coding)
    check_lossy(lossy, coding, max_bytes)
    if is_lossy(coding, lossy, max_bytes):
        raise ValueError("lossy, and max_bytes with context coding, need the picture in memory")
    # All that can be wrong is found before the work begins.
    metadata = check_metadata(metadata)
    metadata.to_sections()
    if strip_rows is not None:
        check_integer("strip_rows", strip_rows, 1)
    height, width, _ = shape
    with Workers(threads) as workers:
        counter = ColorCounter(workers)
        digest = PixelHash(shape)
        for pixels in read_blocks(rows, "counting colours", on_progress):
            counter.add(pixels)
            if recipe:
                digest.add(pixels)
        histogram = counter.finish()
        if recipe:
            asked = build_recipe(n_colors, options, max_bytes=max_bytes)
            metadata = replace(metadata, recipe=asked | digest.describe())
        sections = metadata.to_sections()
        if max_bytes is not None:
            n_colors, options = fit_colors(
                n_colors,
                options,
                max_bytes,
                width=width,
                height=height,
                has_alpha=histogram.colors.shape[1] == 4,
                strip_rows=strip_rows,
                sections=sections,
            )
            request = check_options(n_colors, **options)
        choice = choose_palette_for_goal(histogram, request, workers)
        values: NDArray[Any] = choice.list_indices()
        if choice.ditherer is not None:
            values = np.arange(len(histogram.colors), dtype=np.int32)
        table = ColorTable(histogram, values)
        with KmqWriter(
            target,
            choice.palette,
            width,
            height,
            strip_rows=strip_rows,
            sections=sections,
            coding=coding,
            threads=threads,
            on_progress=on_progress,
        ) as writer:
            for pixels in read_blocks(rows):
                found = table.find(pixels, workers)
                writer.append(found if choice.ditherer is None else choice.ditherer.dither(found, workers))
        return writer.header


def read_blocks(
    rows: Rows, name: str = "", on_progress: OnProgress | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield a picture a block of rows at a time; on_progress is told the name, and pixels done and in all.

    Raises
    ------
    OSError
        If rows cannot be read.
    ValueError
        If they have another shape or dtype than the picture.
    """
    height, width, channels = rows.shape
    step = max(1, _BLOCK_PIXELS // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        block = np.asarray(rows[start:stop])
        if block.shape != (stop - start, width, channels) or block.dtype != np.uint8:
            raise ValueError(f"rows {start} to {stop} have shape {block.shape!r}, dtype {block.dtype}")
        yield block
        _release(rows)
        if on_progress is not None:
            on_progress(name, stop * width, height * width)


def _release(rows: Rows) -> None:
    """Let go of the pages of a memory map that have been read, which else pile up in this process."""
    # Only where nothing written to them could be lost.
    pages: Any = getattr(rows, "_mmap", None)
    if isinstance(rows, np.memmap) and rows.mode == "r" and hasattr(pages, "madvise"):
        pages.madvise(mmap.MADV_DONTNEED)
