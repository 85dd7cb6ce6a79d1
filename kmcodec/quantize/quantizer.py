"""Pixels in, indexed image out: the steps of quantization in their order.

Owns the options and their checks, how much effort is made, and the way from centroids to a palette of
8-bit colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_choice, check_colors, check_fraction, check_integer, check_pixels
from kmcodec.image import MAX_COLORS, IndexedImage, Indices, to_indices
from kmcodec.quantize import lloyd
from kmcodec.quantize.colorspace import SPACES, ColorSpace, rank_colors, sort_palette
from kmcodec.quantize.dither import DITHERS, Ditherer, Task
from kmcodec.quantize.grouping import Groups, group_points
from kmcodec.quantize.histogram import Histogram, count_picture, look_up
from kmcodec.quantize.search import BATCH, Search
from kmcodec.quantize.seeding import SEEDINGS
from kmcodec.threads import Workers

#: Ways to choose the first centroids.
INITS = ("split", *SEEDINGS)


class Effort(NamedTuple):
    """Say how much is done for a lower error.

    Attributes
    ----------
    groups : int
        Points of the search, times the square root of K.
    first_steps, last_steps : int
        Lloyd steps at most before and after the swaps.
    swaps : int
        Swaps tried at most.
    patience : int
        Swaps that may fail one after the other.
    iterations : int
        Lloyd iterations on all colours at most.
    """

    groups: int
    first_steps: int
    swaps: int
    patience: int
    last_steps: int
    iterations: int

    @property
    def max_steps(self) -> int:
        """How often on_iteration is called at most."""
        searched = 3 + self.first_steps + -(-self.swaps // BATCH) + self.last_steps + self.iterations
        return max(searched, _UNSEARCHED_ITERATIONS)


#: Efforts, by the names that users give.
EFFORTS = {
    "fast": Effort(96, 3, 12, 5, 2, 1),
    "default": Effort(224, 4, 40, 14, 8, 1),
    "best": Effort(640, 20, 700, 160, 40, 8),
}

# The search is of use only while there are several points for each centroid; its time grows with the square
# of K, and that of a step with the number of points.
_LEAST_GROUPS = 512
_LEAST_GROUPS_PER_COLOR = 4
_MOST_GROUPS = 1 << 15
_MOST_SEARCHED = 1 << 13

# With more colours, there are so few points for each that those of a group have too many candidates.
_MOST_GROUPED = 1 << 10

# What makes up for most of the missing search.
_UNSEARCHED_ITERATIONS = 12


class Iteration(NamedTuple):
    """Describe one step of the search for the best centroids.

    Attributes
    ----------
    number : int
        0, 1, 2, ...
    inertia : float
        Sum over all pixels of the squared distance to their centroid, in units of the colour space: for
        sRGB the squared error in R, G, B (0..255), with alpha the mean of that error on black and on
        white; for Oklab its lightness is 0..1. During the search, near colours are taken together.
    centroids : ndarray, shape (K, 3) or (K, 4), float64
        sRGB, 0..255; with alpha premultiplied, and alpha as fourth column.
    """

    number: int
    inertia: float
    centroids: NDArray[np.float64]


def quantize(
    rgb: ArrayLike,
    n_colors: int = 64,
    *,
    space: str = "srgb",
    init: str = "split",
    effort: str = "default",
    seed: int = 0,
    dither: str = "none",
    dither_strength: float = 1.0,
    keep: ArrayLike | None = None,
    palette: ArrayLike | None = None,
    threads: int | None = None,
    on_iteration: Callable[[Iteration], Any] | None = None,
) -> IndexedImage:
    """Reduce a picture to at most n_colors colours with k-means.

    A picture with at most n_colors distinct colours comes back exactly. Otherwise the palette has
    n_colors distinct colours (fewer only where colours differ in nothing that can be seen), from dark to
    light, and without dithering each of them is used, and every pixel has the index of the nearest one.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        sRGB, with straight alpha as fourth channel. An alpha channel that is 255 everywhere is dropped.
        Not modified.
    n_colors : int, default 64
        K, 1..65536.
    space : {"srgb", "oklab"}, default "srgb"
        Where distances are taken: in sRGB, for the lowest error in the usual measures, or in Oklab, for the
        least visible differences.
    init : {"split", "kmeans++", "random"}, default "split"
        How the first centroids are chosen: by splitting the cluster that gains most across its principal
        axis; by k-means++; or as the colours of random pixels.
    effort : {"fast", "default", "best"}, default "default"
        How long to look for a lower error.
    seed : int, default 0
        0..2**64 - 1. For "kmeans++" and "random".
    dither : {"none", "diffusion", "ordered"}, default "none"
        Whether neighbouring pixels mix colours that the palette has not: by error diffusion, or with a
        matrix, which suits pictures that move or are compressed afterwards.
    dither_strength : float, default 1.0
        0..1: how much of the error is made up for.
    keep : array_like, shape (n, 3) or (n, 4), integers in 0..255, optional
        Colours that the palette has exactly, whether used or not; n is at most n_colors.
    palette : array_like, shape (K, 3) or (K, 4), integers in 0..255, optional
        The whole palette, in the order that it will have. There is no k-means then, and n_colors, init,
        effort, seed and keep do not count.
    threads : int, optional
        Default: all processors. The result does not depend on it.
    on_iteration : callable, optional
        Is called with an Iteration each time; ``history.append`` of a list records them all.

    Returns
    -------
    IndexedImage

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    pixels = _drop_opaque_alpha(check_pixels(rgb))
    request = check_options(
        n_colors,
        space=space,
        init=init,
        effort=effort,
        seed=seed,
        dither=dither,
        dither_strength=dither_strength,
        keep=keep,
        palette=palette,
        on_iteration=on_iteration,
    )
    with Workers(threads) as workers:
        histogram, rows = count_picture(pixels, workers)
        choice = choose_palette(histogram, request, workers)
        if choice.ditherer is None:
            indices = look_up(rows, choice.list_indices(), workers)
        else:
            indices = choice.ditherer.dither(rows, workers)
    return IndexedImage(choice.palette, indices)


#: Is told the inertia and the centroids of each step of the search.
OnStep: TypeAlias = Callable[[int, NDArray[np.int16]], None]


class Request(NamedTuple):
    """Hold the arguments of quantize, checked."""

    n_colors: int
    space: ColorSpace
    init: str
    effort: Effort
    seed: int
    dither: str
    strength: int
    #: Colours to keep, shape (n, 3) or (n, 4); or the whole palette.
    fixed: NDArray[np.uint8]
    is_given: bool
    on_iteration: Callable[[Iteration], Any] | None


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


def check_options(
    n_colors: int = 64,
    *,
    space: str = "srgb",
    init: str = "split",
    effort: str = "default",
    seed: int = 0,
    dither: str = "none",
    dither_strength: float = 1.0,
    keep: ArrayLike | None = None,
    palette: ArrayLike | None = None,
    on_iteration: Callable[[Iteration], Any] | None = None,
) -> Request:
    """Check the arguments of quantize, which are described there.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    n_colors = check_integer("n_colors", n_colors, 1, MAX_COLORS)
    check_choice("dither", dither, ("none", *DITHERS))
    fixed = np.zeros((0, 3), np.uint8)
    if palette is not None:
        fixed = _drop_opaque_alpha(check_colors("palette", palette))
    elif keep is not None:
        fixed = _drop_opaque_alpha(check_colors("keep", keep))
        fixed = fixed[np.sort(np.unique(fixed, axis=0, return_index=True)[1])]
        if len(fixed) > n_colors:
            raise ValueError(f"keep has {len(fixed)} colours, more than n_colors, which is {n_colors}")
    return Request(
        n_colors=n_colors,
        space=SPACES[check_choice("space", space, SPACES)],
        init=check_choice("init", init, INITS),
        effort=EFFORTS[check_choice("effort", effort, EFFORTS)],
        seed=check_integer("seed", seed, 0, 2**64 - 1),
        dither=dither,
        strength=round(256 * check_fraction("dither_strength", dither_strength)),
        fixed=fixed,
        is_given=palette is not None,
        on_iteration=on_iteration,
    )


def choose_palette(histogram: Histogram, request: Request, workers: Workers) -> Choice:
    """Find a palette for a picture of which only the histogram is known.

    Parameters
    ----------
    histogram : Histogram
        With four channels only if some alpha is not 255.
    request : Request
    workers : Workers
    """
    channels = max(histogram.colors.shape[1], request.fixed.shape[1])
    if histogram.colors.shape[1] < channels:
        histogram = histogram.add_alpha()
    fixed = _add_alpha(request.fixed, channels)
    if not request.is_given:
        exact = _take_all(histogram.colors, fixed, request.n_colors)
        if exact is not None:
            # Nothing to search, and nothing to dither.
            found, labels = exact
            return Choice(_drop_opaque_alpha(found), labels, None)
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
    return Choice(_drop_opaque_alpha(found), labels, ditherer)


def _drop_opaque_alpha(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return colors, of shape (..., 3) or (..., 4), without a fourth channel that is 255 everywhere."""
    if colors.shape[-1] == 4 and (colors[..., 3] == 255).all():
        return colors[..., :3]
    return colors


def _add_alpha(colors: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
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


def _take_all(
    colors: NDArray[np.uint8], fixed: NDArray[np.uint8], n_colors: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]] | None:
    """Return fixed and distinct colours as a palette, and the index of each colour; None if they are more."""
    if len(colors) > n_colors:
        return None
    palette, places = sort_palette(np.concatenate([fixed, colors]))
    return None if len(palette) > n_colors else (palette, places[len(fixed) :])


def _count_groups(n_colors: int, effort: Effort) -> int:
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
        n_groups = _count_groups(len(centroids), EFFORTS["default"])
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
    n_groups = _count_groups(n_colors, effort)
    groups, weights = group_points(histogram.codes, points, histogram.counts, n_groups)
    centroids, labels = _find_centroids(groups, weights, request, on_step, workers)
    if n_colors > _MOST_GROUPED:
        groups, _ = group_points(histogram.codes, points, histogram.counts, len(points))
    centroids, assignment = lloyd.refine_centroids(
        groups,
        centroids,
        labels,
        workers,
        max_iterations=effort.iterations if n_colors <= _MOST_SEARCHED else _UNSEARCHED_ITERATIONS,
        n_fixed=len(request.fixed),
        on_iteration=on_step,
    )
    return _round_to_palette(groups, histogram.colors, centroids, assignment.labels, request, workers)


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
