"""Measure a .kmq file against its original.

Owns what is measured. Knows nothing of how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec import metrics
from kmcodec.checks import check_pixels
from kmcodec.container.layout import CRC_BYTES, HEADER_BYTES, Header
from kmcodec.container.reader import KmqReader
from kmcodec.container.source import FileLike
from kmcodec.image import MAX_COLORS, IndexedImage, drop_opaque_alpha
from kmcodec.recipe import PixelHash
from kmcodec.report.codings import CodedSize, measure_codings
from kmcodec.report.steps import Steps
from kmcodec.threads import OnProgress, Workers


@dataclass(frozen=True)
class Size:
    """Say what a .kmq file takes.

    Attributes
    ----------
    width, height : int
        Pixels.
    colors : int
        K, entries of the palette.
    index_bits : int
        Bits of a packed index: ceil(log2 K).
    file_bytes : int
        The whole .kmq file.
    raw_bytes : int
        The pixels at 8 bits a channel: 3 bytes each, 4 with alpha.
    source_bytes : int or None
        The original file, where there is one.
    ratio : float
        raw_bytes / file_bytes.
    bits_per_pixel : float
        Of the whole file.
    """

    width: int
    height: int
    colors: int
    index_bits: int
    file_bytes: int
    raw_bytes: int
    source_bytes: int | None
    ratio: float
    bits_per_pixel: float

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON: infinity as None."""
        # Not asdict, which goes to the depths of a recipe.
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: None if value == math.inf else value for key, value in values.items()}


class FileParts(NamedTuple):
    """Say where the bytes of a file go; they add up to the file.

    Attributes
    ----------
    header, palette, indices, metadata : int
        Bytes of each without its checksums.
    checksums : int
        Bytes of all checksums.
    """

    header: int
    palette: int
    indices: int
    metadata: int
    checksums: int


@dataclass(frozen=True)
class Report(Size):
    """Say what a .kmq file takes, and how far it is from its original.

    Where either has alpha, both are laid on black and on white: mse and ssim are the means of the two, and
    delta E is that of all pixels of both.

    Attributes
    ----------
    mse : float
        Mean over the pixels of the squared errors in R, G and B (0..255), summed.
    psnr_db : float
        10 log10(255**2 / (mse / 3)), in decibels; infinite if there is no error.
    ssim : float or None
        Structural similarity, at most 1; None without scikit-image, and for a side below 7 pixels.
    delta_e_mean, delta_e_p95, delta_e_max : float or None
        CIEDE2000 over all pixels: mean, 95th percentile, largest; None without scikit-image.
    raw_bits_per_pixel : int
        24, or 32 with alpha in the palette.
    nominal_ratio : float or None
        raw_bits_per_pixel / index_bits: what the ratio would be of packed indices without header, palette and
        checksums. None for a single colour, whose pixels take no bits.
    source_ratio : float or None
        source_bytes / file_bytes, where there is an original file.
    parts : FileParts
        Where the bytes of the file go.
    coding : str
        "packed" or "context": how the file has its indices.
    codings : dict of CodedSize by coding
        What the file takes as it is, and what its pixels and metadata take in the other coding, with the
        strips that are its default. None for context coding that was not tried.
    colors_used : int
        Palette entries that some pixel has.
    colors_asked : int, str or None
        K as the recipe has it, if there is one: a number, or "auto".
    has_alpha : bool
        Whether errors are those on black and on white.
    worst_region : metrics.Region
        Of all regions of about 32 x 32 pixels the one of the largest error.
    recorded : dict or None
        The recipe of the file, if it has one: what its encoder said, and not measured here.
    is_recorded_source : bool or None
        Whether the original is the very picture of the recipe, by its SHA-256; None if that says nothing.
    """

    mse: float
    psnr_db: float
    ssim: float | None
    delta_e_mean: float | None
    delta_e_p95: float | None
    delta_e_max: float | None
    raw_bits_per_pixel: int
    nominal_ratio: float | None
    source_ratio: float | None
    parts: FileParts
    coding: str
    codings: Mapping[str, CodedSize | None]
    colors_used: int
    colors_asked: int | str | None
    has_alpha: bool
    worst_region: metrics.Region
    recorded: Mapping[str, Any] | None
    is_recorded_source: bool | None

    def picture_bytes(self, coding: str) -> int | None:
        """Return the size that the file would have in a coding, without metadata; None where not measured."""
        size = self.codings[coding]
        return size and size.file_bytes - (self.parts.metadata and self.parts.metadata + CRC_BYTES)

    @property
    def is_exact(self) -> bool:
        """Whether no pixel has an error that can be seen."""
        return self.mse == 0

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON (see schema.json): an infinite PSNR as None."""
        region = self.worst_region
        psnr_db = metrics.psnr_db(region.mse)
        return {
            **super().to_dict(),
            "parts": self.parts._asdict(),
            "codings": {coding: size and size._asdict() for coding, size in self.codings.items()},
            "is_exact": self.is_exact,
            "worst_region": {**region._asdict(), "psnr_db": None if math.isinf(psnr_db) else psnr_db},
        }


def measure_size(header: Header, *, source_bytes: int | None = None, file_bytes: int | None = None) -> Size:
    """Return the size of a file.

    Parameters
    ----------
    header : Header
    source_bytes : int, optional
        Size of the original file.
    file_bytes : int, optional
        Size of the file, if it is to have another than the one of the header: an estimate.
    """
    pixels = header.width * header.height
    raw_bytes = pixels * header.channels
    file_bytes = header.file_bytes if file_bytes is None else file_bytes
    return Size(
        width=header.width,
        height=header.height,
        colors=header.n_colors,
        index_bits=header.index_bits,
        file_bytes=file_bytes,
        raw_bytes=raw_bytes,
        source_bytes=source_bytes,
        ratio=raw_bytes / file_bytes,
        bits_per_pixel=8 * file_bytes / pixels,
    )


def measure_parts(header: Header) -> FileParts:
    """Return where the bytes of a file go."""
    indices = sum(header.payload_bytes(number) for number in range(header.strip_count))
    has_sections = header.sections_bytes > 0
    return FileParts(
        header=HEADER_BYTES - CRC_BYTES + header.table_bytes - CRC_BYTES * header.has_table,
        palette=header.palette_bytes,
        indices=indices,
        metadata=header.sections_bytes - CRC_BYTES * has_sections,
        checksums=CRC_BYTES * (2 + has_sections + header.has_table + header.strip_count),
    )


def report(
    rgb: ArrayLike,
    data: bytes | bytearray | memoryview | FileLike,
    *,
    source_bytes: int | None = None,
    perceptual: bool = True,
    codings: bool | None = None,
    threads: int | None = None,
) -> Report:
    """Measure a .kmq file against its original.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        The original, sRGB with straight alpha. Not modified.
    data : bytes-like or seekable binary file object
        The .kmq file.
    source_bytes : int, optional
        Size of the file from which the original was read.
    perceptual : bool, default True
        Whether to measure SSIM and CIEDE2000, too, which takes most of the time; it needs scikit-image.
    codings : bool, optional
        Whether to code the indices of a packed file in order to say what context coding makes of them, which
        takes about a microsecond a pixel, on as many threads as there are strips of four million pixels. The
        size of a context-coded file with packed indices is known without. Default: as perceptual.
    threads : int, optional
        Default: all processors.

    Returns
    -------
    Report

    Raises
    ------
    KmqError
        If data is not a valid file, or too large.
    TypeError, ValueError
        If rgb is no such array, or has another width or height than the file.
    """
    reader = KmqReader(data)
    image = reader.image(threads=threads)
    return measure_image(
        rgb,
        image,
        reader.header,
        recorded=reader.metadata.recipe,
        source_bytes=source_bytes,
        perceptual=perceptual,
        codings=codings,
        threads=threads,
    )


def measure_image(
    rgb: ArrayLike,
    image: IndexedImage,
    header: Header,
    *,
    recorded: Mapping[str, Any] | None = None,
    source_bytes: int | None = None,
    perceptual: bool = True,
    codings: bool | None = None,
    threads: int | None = None,
    on_task: OnProgress | None = None,
    on_coding: OnProgress | None = None,
) -> Report:
    """Do what report does, of a file that is already decoded; tell how far it is, in tasks and in pixels."""
    original = check_pixels(rgb)
    if original.shape[:2] != (header.height, header.width):
        raise ValueError(
            f"the original has {original.shape[1]} x {original.shape[0]} pixels,"
            f" the .kmq file {header.width} x {header.height}"
        )
    is_recorded_source = _compare_with_recorded(original, recorded)
    original, decoded = drop_opaque_alpha(original), drop_opaque_alpha(image.to_rgb())
    size = measure_size(header, source_bytes=source_bytes)
    mse = metrics.mean_squared_error(original, decoded)
    is_coded = perceptual if codings is None else codings
    perceptual = perceptual and metrics.has_scikit_image()
    steps = Steps(on_task, 2)
    ssim, difference = None, None
    if perceptual:
        with Workers(threads) as workers:
            steps.start("SSIM")
            ssim = metrics.structural_similarity(original, decoded, workers)
            steps.count_step()
            steps.start("delta E")
            difference = metrics.measure_color_difference(original, decoded, workers)
            steps.count_step()
    raw_bits = 8 * header.channels
    return Report(
        **asdict(size),
        raw_bits_per_pixel=raw_bits,
        nominal_ratio=raw_bits / header.index_bits if header.index_bits else None,
        source_ratio=None if source_bytes is None else source_bytes / header.file_bytes,
        parts=measure_parts(header),
        coding=header.coding,
        codings=measure_codings(
            image,
            header,
            source_bytes=source_bytes,
            is_coded=is_coded,
            threads=threads,
            on_progress=on_coding,
        ),
        colors_used=int(np.count_nonzero(np.bincount(image.indices.ravel()))),
        colors_asked=_find_colors_asked(recorded),
        has_alpha=4 in (original.shape[2], decoded.shape[2]),
        mse=mse,
        psnr_db=metrics.psnr_db(mse),
        ssim=ssim,
        delta_e_mean=difference and difference.mean,
        delta_e_p95=difference and difference.p95,
        delta_e_max=difference and difference.maximum,
        worst_region=metrics.find_worst_region(original, decoded),
        recorded=recorded,
        is_recorded_source=is_recorded_source,
    )


def _find_colors_asked(recorded: Mapping[str, Any] | None) -> int | str | None:
    """Return the K of a recipe, of which nothing can be relied upon."""
    asked = (recorded or {}).get("colors")
    if asked == "auto":
        return "auto"
    is_count = isinstance(asked, int) and not isinstance(asked, bool) and 1 <= asked <= MAX_COLORS
    return asked if is_count else None


def _compare_with_recorded(original: NDArray[np.uint8], recorded: Mapping[str, Any] | None) -> bool | None:
    if recorded is None or not isinstance(recorded.get("source_sha256"), str):
        return None
    pixels = PixelHash(original.shape)
    pixels.add(original)
    return all(recorded.get(name) == value for name, value in pixels.describe().items())
