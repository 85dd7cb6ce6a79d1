"""Histogram in, palette out: the way from the colours of a picture to those of its palette.

Knows no pixels: it needs to see each colour but once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import Indices, drop_opaque_alpha, to_indices
from kmcodec.quantize import lloyd
from kmcodec.quantize.colorspace import ColorSpace, rank_colors, sort_palette
from kmcodec.quantize.dither import DITHERS, Ditherer, Task
from kmcodec.quantize.grouping import Groups, group_points
from kmcodec.quantize.histogram import Histogram
from kmcodec.quantize.options import EFFORTS, UNSEARCHED_ITERATIONS, Effort, Iteration, Request
from kmcodec.quantize.search import Search
from kmcodec.quantize.seeding import SEEDINGS
from kmcodec.threads import Workers

# The search is of use only while there are several points for each centroid; its time grows with the square
# of K, and that of a step with the number of points.
_LEAST_GROUPS = 512
_LEAST_GROUPS_PER_COLOR = 4
_MOST_GROUPS = 1 << 15
_MOST_SEARCHED = 1 << 13

# With more colours, there are so few points for each that those of a group have too many candidates.
_MOST_GROUPED = 1 << 10

#: Is told the inertia and the centroids of each step of the search.
OnStep: TypeAlias = Callable[[int, NDArray[np.int16]], None]


class Choice(NamedTuple):
    """Hold a palette and how the colours of a picture come to its entries.

    Attributes
    ----------
    palette : ndarray, shape (K, 3) or (K, 4), uint8
    labels : ndarray, shape (n,), int32
        For each colour of the histogram its palette entry.
    ditherer : Ditherer or None
        What chooses the entries of the pixels; without one, they are those of their colours.
    """

    palette: NDArray[np.uint8]
    labels: NDArray[np.int32]
    ditherer: Ditherer | None

    def list_indices(self) -> Indices:
        """Return the labels as indices."""
        return to_indices(self.labels, len(self.palette))


def choose_palette(histogram: Histogram, request: Request, workers: Workers) -> Choice:
    """Find a palette for a picture of which only the histogram is known.

    Parameters
    ----------
    histogram : Histogram
        With four channels only if some alpha is not 255.
    request : Request
        Whose n_colors counts, and not its goal.
    workers : Workers
    """
    channels = max(histogram.colors.shape[1], request.fixed.shape[1])
    if histogram.colors.shape[1] < channels:
        histogram = histogram.add_alpha()
    fixed = add_alpha(request.fixed, channels)
    if not request.is_given:
        exact = take_all(histogram.colors, fixed, request.n_colors)
        if exact is not None:
            # Nothing to search, and nothing to dither.
            found, labels = exact
            return Choice(drop_opaque_alpha(found), labels, None)
    points = request.space.to_points(histogram.colors)
    if request.is_given:
        found = fixed
        labels = _find_nearest(histogram, points, request.space.to_points(fixed), workers)
    else:
        on_step = _translate(request.on_iteration, request.space, channels)
        request = request._replace(fixed=fixed)
        found, labels = _find_palette(histogram, points, request, on_step, workers)
    ditherer = None
    if request.dither != "none":
        task = Task(points, labels, request.space.to_points(found), rank_colors(found), request.strength)
        ditherer = DITHERS[request.dither](task, workers)
    return Choice(drop_opaque_alpha(found), labels, ditherer)


def add_alpha(colors: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return colors, of shape (..., 3) or (..., 4), with as many channels; a new alpha is opaque."""
    if colors.shape[-1] == channels:
        return colors
    return np.concatenate([colors, np.full((*colors.shape[:-1], 1), 255, np.uint8)], axis=-1)


def _translate(
    on_iteration: Callable[[Iteration], Any] | None, space: ColorSpace, channels: int
) -> OnStep | None:
    """Return a callback for the search that tells on_iteration in the units of colours."""
    if on_iteration is None:
        return None
    number = 0

    def tell(inertia: int, centroids: NDArray[np.int16]) -> None:
        nonlocal number
        described = space.describe_points(centroids, channels)
        on_iteration(Iteration(number, inertia / space.scale**2, described))
        number += 1

    return tell


def take_all(
    colors: NDArray[np.uint8], fixed: NDArray[np.uint8], n_colors: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]] | None:
    """Return fixed and distinct colours as a palette, and the index of each colour; None if they are more."""
    if len(colors) > n_colors:
        return None
    palette, places = sort_palette(np.concatenate([fixed, colors]))
    return None if len(palette) > n_colors else (palette, places[len(fixed) :])


def count_groups(n_colors: int, effort: Effort) -> int:
    """Return into how many groups the colours are cut for a search for n_colors centroids."""
    if n_colors > _MOST_SEARCHED:
        return n_colors
    n_groups = min(effort.groups * math.isqrt(n_colors), _MOST_GROUPS)
    return max(n_groups, _LEAST_GROUPS, _LEAST_GROUPS_PER_COLOR * n_colors)


def _find_nearest(
    histogram: Histogram, points: NDArray[np.int16], centroids: NDArray[np.int16], workers: Workers
) -> NDArray[np.int32]:
    """Return for each colour the index of the nearest centroid."""
    n_groups = len(points)
    if len(centroids) <= _MOST_GROUPED:
        n_groups = count_groups(len(centroids), EFFORTS["default"])
    groups, _ = group_points(histogram.codes, points, histogram.counts, n_groups)
    return lloyd.assign(groups, centroids, workers).labels


def _find_palette(
    histogram: Histogram,
    points: NDArray[np.int16],
    request: Request,
    on_step: OnStep | None,
    workers: Workers,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return a palette, and for each colour the index of the nearest."""
    n_colors, effort = request.n_colors, request.effort
    n_groups = count_groups(n_colors, effort)
    groups, weights = group_points(histogram.codes, points, histogram.counts, n_groups)
    on_search = None if on_step is None else _add_inertia(on_step, _measure_within(groups))
    centroids, labels = _find_centroids(groups, weights, request, on_search, workers)
    if n_colors > _MOST_GROUPED:
        groups, _ = group_points(histogram.codes, points, histogram.counts, len(points))
    centroids, assignment = lloyd.refine_centroids(
        groups,
        centroids,
        labels,
        workers,
        max_iterations=effort.iterations if n_colors <= _MOST_SEARCHED else UNSEARCHED_ITERATIONS,
        n_fixed=len(request.fixed),
        on_iteration=on_step,
    )
    return _round_to_palette(groups, histogram.colors, centroids, assignment.labels, request, workers)


def _measure_within(groups: Groups) -> int:
    """Return the inertia of the points about the centres of their groups, which the search does not see."""
    labels = np.repeat(np.arange(len(groups.centers), dtype=np.int32), np.diff(groups.starts))
    return lloyd.sum_clusters(groups, labels, len(groups.centers)).measure_inertia(groups.centers)


def _add_inertia(on_step: OnStep, inertia: int) -> OnStep:
    return lambda found, centroids: on_step(found + inertia, centroids)


def _find_centroids(
    groups: Groups,
    group_weights: NDArray[np.int64],
    request: Request,
    on_step: OnStep | None,
    workers: Workers,
) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Return centroids, the fixed ones first, and for each point the label of one that is near."""
    n_colors, effort = request.n_colors, request.effort
    first = request.space.to_points(request.fixed)
    n_fixed = len(first)
    if request.init != "split":
        n_drawn = min(n_colors, len(groups.points))
        drawn = SEEDINGS[request.init](groups.points, groups.weights, n_drawn, request.seed)
        first = np.concatenate([first, drawn[: n_colors - n_fixed]])
    elif n_colors > _MOST_SEARCHED:
        # The groups themselves are as good a start as can be had in reasonable time.
        first = np.concatenate([first, groups.centers[: n_colors - n_fixed]])
        near = n_fixed + np.arange(len(groups.centers), dtype=np.int32)
        near[near >= len(first)] = 0
        return first, np.repeat(near, np.diff(groups.starts))
    elif n_fixed == 0:
        first = groups.centers[:1]
    labels = np.zeros(len(groups.points), np.int32)
    if n_colors > _MOST_SEARCHED:
        return first, labels
    if len(first) > 1:
        labels = lloyd.assign(groups, first, workers).labels
    group_labels = labels[groups.starts[:-1]]
    search = Search(groups.centers, group_weights, first, group_labels, n_colors, n_fixed, on_step)
    search.iterate(effort.first_steps)
    search.swap(effort.swaps, effort.patience)
    search.iterate(effort.last_steps)
    return search.centroids, np.repeat(search.labels, np.diff(groups.starts))


def _round_to_palette(
    groups: Groups,
    colors: NDArray[np.uint8],
    centroids: NDArray[np.int16],
    labels: NDArray[np.int32],
    request: Request,
    workers: Workers,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return a palette of 8-bit colours, all used but the fixed ones, and the nearest for each colour.

    Rounding can make centroids equal, or leave one without points. Then the worst-served colours of the
    picture take the free places. This ends, since each round lowers the error.
    """
    n_fixed = len(request.fixed)
    palette = request.space.to_colors(centroids, colors.shape[1])
    palette[:n_fixed] = request.fixed
    while True:
        palette, places = sort_palette(palette)
        points = request.space.to_points(palette)
        assignment = lloyd.sum_clusters(groups, places[labels], len(points))
        lloyd.reassign(groups, points, assignment, workers)
        kept = assignment.weights > 0
        kept[places[:n_fixed]] = True
        labels = assignment.labels
        if not kept.all():
            labels = (np.cumsum(kept, dtype=np.int32) - 1)[labels]
            palette = palette[kept]
        free = request.n_colors - len(palette)
        if free == 0:
            return palette, labels
        worst = lloyd.find_worst(groups, points[kept], labels, free)
        if len(worst) == 0:
            return palette, labels
        # The fixed colours first, as above.
        palette = np.concatenate([request.fixed, palette, colors[worst]])
        labels = labels + np.int32(n_fixed)
