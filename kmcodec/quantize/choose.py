"""How many colours: at the elbow of the error curve, or as few as reach a quality.

Knows nothing of bytes: what a size allows is for others to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.errors import TargetError
from kmcodec.metrics import psnr_db, square_errors
from kmcodec.quantize import lloyd
from kmcodec.quantize.colorspace import SPACES, ColorSpace
from kmcodec.quantize.grouping import group_points
from kmcodec.quantize.histogram import Histogram
from kmcodec.quantize.options import EFFORTS, Goal, Request
from kmcodec.quantize.palette import Choice, choose_palette, count_groups, take_all
from kmcodec.quantize.search import Search
from kmcodec.threads import Workers

#: The K of an error curve: powers of two, and a step between each two.
CURVE_COLORS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)

# Steps are short: each begins with the centroids of the one before.
_EFFORT = EFFORTS["fast"]

# Where the search for a target begins.
_FIRST_GUESS = 16

# From this K on, the least number of colours is looked for with a precision of one part in so many.
_COARSE = 256


class CurvePoint(NamedTuple):
    """Hold a point of an error curve.

    Attributes
    ----------
    n_colors : int
        K.
    mse : float
        As metrics.mean_squared_error has it.
    palette : ndarray, shape (K, 3) or (K, 4), uint8
    labels : ndarray, shape (n,), int32
        For each colour of the histogram its palette entry.
    """

    n_colors: int
    mse: float
    palette: NDArray[np.uint8]
    labels: NDArray[np.int32]


class Quality(NamedTuple):
    """Hold what a number of colours reaches.

    Attributes
    ----------
    psnr_db : float
    ssim : float or None
        None where it was not asked for.
    """

    psnr_db: float
    ssim: float | None


def measure_labels(histogram: Histogram, palette: NDArray[np.uint8], labels: NDArray[np.int32]) -> float:
    """Return the mean squared error of a picture of which each colour becomes a palette entry."""
    counts = histogram.counts
    return float((square_errors(histogram.colors, palette[labels]) * counts).sum() / counts.sum())


def trace_curve(
    histogram: Histogram,
    workers: Workers,
    *,
    space: ColorSpace = SPACES["srgb"],
    max_colors: int = CURVE_COLORS[-1],
) -> list[CurvePoint]:
    """Quantize a picture with more and more colours; each palette grows out of the one before.

    The errors are within a few percent of those that quantizing with each number of colours by itself gives,
    at a small part of the time.

    Parameters
    ----------
    histogram : Histogram
    workers : Workers
    space : ColorSpace
    max_colors : int
        The largest K.

    Returns
    -------
    list of CurvePoint
        K from CURVE_COLORS, as far as max_colors and the number of distinct colours allow; the last is the
        smaller of these two, if it is below 256.
    """
    last = min(len(histogram.colors), max_colors, CURVE_COLORS[-1])
    sizes = [k for k in CURVE_COLORS if k < last] + [last]
    points = space.to_points(histogram.colors)
    groups, weights = group_points(histogram.codes, points, histogram.counts, count_groups(last, _EFFORT))
    centroids, group_labels = groups.centers[:1], np.zeros(len(groups.centers), np.int32)
    curve = []
    for n_colors in sizes:
        exact = take_all(histogram.colors, histogram.colors[:0], n_colors)
        if exact is not None:
            curve.append(CurvePoint(n_colors, 0.0, *exact))
            break
        search = Search(groups.centers, weights, centroids, group_labels, n_colors)
        search.iterate(_EFFORT.first_steps)
        search.swap(_EFFORT.swaps, _EFFORT.patience)
        search.iterate(_EFFORT.last_steps)
        centroids, group_labels = search.centroids.copy(), search.labels.copy()
        refined, assignment = lloyd.refine_centroids(
            groups,
            centroids,
            np.repeat(group_labels, np.diff(groups.starts)),
            workers,
            max_iterations=_EFFORT.iterations,
        )
        # Assigning all colours once more would lower the error by half a percent, and take twice the time.
        palette = space.to_colors(refined, histogram.colors.shape[1])
        mse = measure_labels(histogram, palette, assignment.labels)
        curve.append(CurvePoint(n_colors, mse, palette, assignment.labels))
    return curve


def find_elbow(n_colors: Sequence[float], errors: Sequence[float]) -> int:
    """Return which point of an error curve is its elbow.

    It is the point farthest below the line from the first point to the last. Source: V. Satopaa, J. Albrecht,
    D. Irwin and B. Raghavan, "Finding a 'Kneedle' in a Haystack: Detecting Knee Points in System Behavior",
    ICDCS Workshops, 2011, with no smoothing, and the one knee that is most pronounced.

    Parameters
    ----------
    n_colors : sequence of float
        K, rising.
    errors : sequence of float
        For each K.

    Returns
    -------
    int
        0..len(n_colors) - 1; the first of equally good ones.
    """
    x, y = np.asarray(n_colors, float), np.asarray(errors, float)
    # How far the line is above the point, times a constant.
    depths = (y[0] - y) * (x[-1] - x[0]) - (y[0] - y[-1]) * (x - x[0])
    return int(depths.argmax())


def choose_n_colors(
    histogram: Histogram,
    request: Request,
    workers: Workers,
    measure: Callable[[int], Quality],
) -> int:
    """Return the number of colours that is asked for: as it is given, or as the goal decides.

    Parameters
    ----------
    histogram : Histogram
    request : Request
    workers : Workers
    measure : callable
        Returns the quality that a number of colours reaches.

    Raises
    ------
    TargetError
        If no number of colours reaches the targets.
    """
    goal = request.goal
    if goal is None:
        return request.n_colors
    least = max(1, len(request.fixed))
    if goal.target_psnr is None and goal.target_ssim is None:
        curve = trace_curve(histogram, workers, space=request.space, max_colors=goal.max_colors)
        elbow = find_elbow([point.n_colors for point in curve], [point.mse for point in curve])
        return max(least, curve[elbow].n_colors)

    measured: dict[int, Quality] = {}

    def reaches(n_colors: int) -> bool:
        measured[n_colors] = measure(n_colors)
        return not _list_misses(measured[n_colors], goal)

    most = max(least, min(goal.max_colors, len(histogram.colors) + len(request.fixed)))
    found = find_least(reaches, least, most)
    if found is None:
        missed = " and ".join(_list_misses(measured[most], goal))
        colors = "1 colour" if most == 1 else f"{most} colours"
        raise TargetError(f"out of reach: {colors}, the most that are possible here, reach {missed}")
    return found


def find_least(reaches: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return a number of least..most that reaches something while the one before does not.

    From 256 on, "the one before" is one that is smaller by at most 1/256: the trials get expensive.

    Parameters
    ----------
    reaches : callable
        Is false up to some number and true from it on, or nearly so.
    least, most : int

    Returns
    -------
    int or None
        None if most does not reach it, and nothing that was tried on the way to it.
    """
    below, n = least - 1, min(max(least, _FIRST_GUESS), most)
    while not reaches(n):
        if n == most:
            return None
        below, n = n, min(2 * n, most)
    while n - below > 1 + n // _COARSE:
        middle = (below + n) // 2
        if reaches(middle):
            n = middle
        else:
            below = middle
    return n


def _list_misses(quality: Quality, goal: Goal) -> list[str]:
    """Return, in words, which targets are missed, and what is reached instead."""
    misses = []
    if goal.target_psnr is not None and quality.psnr_db < goal.target_psnr:
        misses.append(f"a PSNR of {quality.psnr_db:.2f} dB instead of {goal.target_psnr:g}")
    if goal.target_ssim is not None and quality.ssim is not None and quality.ssim < goal.target_ssim:
        misses.append(f"an SSIM of {quality.ssim:.4f} instead of {goal.target_ssim:g}")
    return misses


def check_needs_no_pixels(request: Request) -> None:
    """Raise ValueError if a goal can be told only with all pixels in memory."""
    goal = request.goal
    if goal is not None and goal.target_ssim is not None:
        raise ValueError("target_ssim needs a picture in memory")
    if goal is not None and goal.target_psnr is not None and request.dither != "none":
        raise ValueError("target_psnr with dithering needs a picture in memory")


def choose_palette_for_goal(histogram: Histogram, request: Request, workers: Workers) -> Choice:
    """Do what choose_palette does, with as many colours as the goal of the request asks for, if it has one.

    Parameters
    ----------
    histogram : Histogram
    request : Request
        That needs no pixels.
    workers : Workers

    Raises
    ------
    TargetError
        As for choose_n_colors.
    """

    def measure(n_colors: int) -> Quality:
        choice = choose_palette(histogram, request._replace(n_colors=n_colors), workers)
        return Quality(psnr_db(measure_labels(histogram, choice.palette, choice.labels)), None)

    n_colors = choose_n_colors(histogram, request, workers, measure)
    return choose_palette(histogram, request._replace(n_colors=n_colors), workers)
