"""How the number of colours trades size for quality: a whole curve at the price of a few encodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec import metrics
from kmcodec.checks import check_choice, check_pixels
from kmcodec.container.writer import plan_header, write_image
from kmcodec.image import IndexedImage, drop_opaque_alpha, to_indices
from kmcodec.quantize.choose import CurvePoint, find_elbow, trace_curve
from kmcodec.quantize.colorspace import SPACES
from kmcodec.quantize.histogram import Histogram, count_picture, look_up
from kmcodec.threads import OnProgress, Workers, relay_progress


class TunePoint(NamedTuple):
    """Say what a number of colours costs, and what it gives.

    Attributes
    ----------
    colors : int
        K.
    index_bits : int
        Bits of a packed index.
    file_bytes : int
        Of the .kmq file with packed indices, without metadata.
    mse, psnr_db : float
        As Report has them.
    ssim, delta_e_mean, delta_e_p95 : float or None
        As Report has them; None where they were not measured.
    context_bytes : int or None
        Of the context-coded .kmq file, without metadata; None where it was not tried. Palettes are
        nearly those of kmcodec.quantize, and so is this.
    """

    colors: int
    index_bits: int
    file_bytes: int
    mse: float
    psnr_db: float
    ssim: float | None
    delta_e_mean: float | None
    delta_e_p95: float | None
    context_bytes: int | None = None


@dataclass(frozen=True)
class Curve:
    """Hold the trade of size for quality of a picture.

    Attributes
    ----------
    points : tuple of TunePoint
        For rising K.
    elbow : int
        K at the elbow of the error, which ``n_colors="auto"`` takes.
    """

    points: tuple[TunePoint, ...]
    elbow: int

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON: an infinite PSNR as None."""
        points = []
        for point in self.points:
            psnr_db = None if point.mse == 0 else point.psnr_db
            points.append({**point._asdict(), "psnr_db": psnr_db, "is_exact": point.mse == 0})
        return {"elbow": self.elbow, "points": points}


def tune(
    rgb: ArrayLike,
    *,
    space: str = "srgb",
    perceptual: bool = True,
    codings: bool | None = None,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Curve:
    """Measure what 2 to 256 colours cost and give.

    Errors are within a few percent of those of kmcodec.quantize; each palette grows out of the one before.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        sRGB, with straight alpha as fourth channel. Not modified.
    space : {"srgb", "oklab"}, default "srgb"
        As for kmcodec.quantize.
    perceptual : bool, default True
        Whether to measure SSIM and CIEDE2000, too, which takes most of the time; it needs scikit-image.
    codings : bool, optional
        Whether to measure what context coding makes of each point, which takes about as long as those, on
        one core two or three times. Default: as perceptual.
    threads : int, optional
        Default: all processors.
    on_progress : callable, optional
        Is told the name of the work, and steps done and in all.

    Returns
    -------
    Curve
        K is 2, 3, 4, 6, 8, ... 256: powers of two and a step between each two. With at most 256 colours in
        the picture, the last is their number.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    pixels = drop_opaque_alpha(check_pixels(rgb))
    chosen = SPACES[check_choice("space", space, SPACES)]
    is_coded = perceptual if codings is None else codings
    perceptual = perceptual and metrics.has_scikit_image()
    tell = on_progress or (lambda name, done, total: None)
    with Workers(threads) as workers:
        histogram, rows = count_picture(pixels, workers)
        curve = trace_curve(histogram, workers, space=chosen)

        def index(point: CurvePoint, workers: Workers) -> IndexedImage:
            labels = to_indices(point.labels, len(point.palette))
            return IndexedImage(point.palette, look_up(rows, labels, workers))

        points = []
        for done, point in enumerate(curve):
            tell("measuring", done, len(curve))
            picture = index(point, workers).to_rgb() if perceptual else None
            points.append(_measure(pixels, histogram, point, picture, workers))
        tell("measuring", len(curve), len(curve))
        if is_coded:
            sizes = _code(curve, index, rows.size, workers, on_progress)
            points = [p._replace(context_bytes=size) for p, size in zip(points, sizes, strict=True)]
    elbow = find_elbow([point.n_colors for point in curve], [point.mse for point in curve])
    return Curve(tuple(points), curve[elbow].n_colors)


def _code(
    curve: Sequence[CurvePoint],
    index: Callable[[CurvePoint, Workers], IndexedImage],
    n_pixels: int,
    workers: Workers,
    on_progress: OnProgress | None,
) -> list[int]:
    """Return what each point takes with context coding."""
    tell = workers.count_work("context coding", n_pixels * len(curve), on_progress)

    def code(point: CurvePoint) -> int:
        # Points side by side keep all threads busy; the strips of one often do not.
        with Workers(1) as alone:
            image = index(point, alone)
        return len(write_image(image, coding="context", threads=1, on_progress=relay_progress(tell)))

    # Those that take longest first, so that none is left for the end.
    return workers.map(code, reversed(curve))[::-1]


def _measure(
    pixels: NDArray[np.uint8],
    histogram: Histogram,
    point: CurvePoint,
    picture: NDArray[np.uint8] | None,
    workers: Workers,
) -> TunePoint:
    """Return a point of the curve; where there is the picture that it gives, with what the eye sees."""
    height, width, channels = pixels.shape
    header = plan_header(
        point.n_colors, width, height, has_alpha=channels == 4, strip_rows=None, sections_bytes=0
    )
    difference = None
    if picture is not None:
        # Each colour once, which is much faster than all pixels.
        difference = metrics.measure_color_difference(
            histogram.colors[None], point.palette[point.labels][None], workers, histogram.counts[None]
        )
    return TunePoint(
        colors=point.n_colors,
        index_bits=header.index_bits,
        file_bytes=header.file_bytes,
        mse=point.mse,
        psnr_db=metrics.psnr_db(point.mse),
        ssim=None if picture is None else metrics.structural_similarity(pixels, picture, workers),
        delta_e_mean=difference and difference.mean,
        delta_e_p95=difference and difference.p95,
    )
