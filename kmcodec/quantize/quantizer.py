"""Pixels in, indexed image out: the steps of quantization in their order.

Owns the options and their checks, and the way from centroids to a palette of 8-bit colours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_integer, check_pixels
from kmcodec.image import MAX_COLORS, IndexedImage, to_indices
from kmcodec.quantize import colorspace, lloyd
from kmcodec.quantize.histogram import Histogram
from kmcodec.quantize.seeding import SEEDINGS
from kmcodec.threads import Workers


class Iteration(NamedTuple):
    """Describe one iteration of k-means.

    Attributes
    ----------
    number : int
        0, 1, 2, ...
    inertia : float
        Sum over all pixels of the squared error in R, G, B (0..255) against the nearest centroid; with
        alpha the mean of that error on black and on white.
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
    init: str = "split",
    seed: int = 0,
    threads: int | None = None,
    on_iteration: Callable[[Iteration], Any] | None = None,
) -> IndexedImage:
    """Reduce a picture to at most n_colors colours with k-means.

    A picture with at most n_colors distinct colours comes back exactly. Otherwise the palette has
    n_colors distinct colours (fewer only where colours differ in nothing that can be seen), each of
    them used, from dark to light, and every pixel has the index of the nearest one.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        sRGB, with straight alpha as fourth channel. An alpha channel that is 255 everywhere is dropped.
        Not modified.
    n_colors : int, default 64
        K, 1..65536.
    init : {"split", "kmeans++", "random"}, default "split"
        How the first centroids are chosen: by splitting the worst cluster across its principal axis; by
        k-means++; or as the colours of random pixels.
    seed : int, default 0
        0..2**64 - 1. For "kmeans++" and "random".
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
    n_colors = check_integer("n_colors", n_colors, 1, MAX_COLORS)
    seed = check_integer("seed", seed, 0, 2**64 - 1)
    if init not in SEEDINGS:
        raise ValueError(f"init must be one of {', '.join(map(repr, SEEDINGS))}, found {init!r}")
    with Workers(threads) as workers:
        histogram = Histogram.count(pixels)
        colors = histogram.colors
        if len(colors) <= n_colors:
            palette, labels = _take_all(colors)
        else:
            tree = lloyd.PointTree(colorspace.to_points(colors), histogram.counts, workers)
            centroids = SEEDINGS[init](tree.points, tree.weights, n_colors, seed)
            centroids = lloyd.refine_centroids(tree, centroids, _translate(on_iteration, colors.shape[1]))
            palette, labels = _round_to_palette(tree, colors, centroids, n_colors)
        indices = histogram.look_up(pixels, to_indices(labels, len(palette)), workers)
    return IndexedImage(_drop_opaque_alpha(palette), indices)


def _drop_opaque_alpha(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return colors, of shape (..., 3) or (..., 4), without a fourth channel that is 255 everywhere."""
    if colors.shape[-1] == 4 and (colors[..., 3] == 255).all():
        return colors[..., :3]
    return colors


def _take_all(colors: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return distinct colours as a palette, and the index of each."""
    palette = colorspace.sort_palette(colors)
    labels = np.empty(len(colors), np.intp)
    labels[_lexical_order(colors)] = _lexical_order(palette)
    return palette, labels


def _lexical_order(colors: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.lexsort(colors.T[::-1])


def _translate(
    on_iteration: Callable[[Iteration], Any] | None, channels: int
) -> Callable[[lloyd.Iteration], None] | None:
    """Return a callback for lloyd that tells on_iteration in the units of colours."""
    if on_iteration is None:
        return None

    def tell(iteration: lloyd.Iteration) -> None:
        on_iteration(
            Iteration(
                iteration.number,
                iteration.inertia / colorspace.SCALE**2,
                colorspace.describe_points(iteration.centroids, channels),
            )
        )

    return tell


def _round_to_palette(
    tree: lloyd.PointTree, colors: NDArray[np.uint8], centroids: NDArray[np.int16], n_colors: int
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return a palette of n_colors 8-bit colours, all used, and the index of the nearest for each colour.

    Rounding can make centroids equal, or leave one without points. Then the worst-served colours of the
    picture take the free places. This ends, since each round lowers the error.
    """
    palette = colorspace.to_colors(centroids, colors.shape[1])
    while True:
        palette = colorspace.sort_palette(palette)
        points = colorspace.to_points(palette)
        labels = tree.assign(points)
        used = np.zeros(len(palette), np.bool_)
        used[labels] = True
        free = n_colors - int(used.sum())
        worst = tree.find_worst(points, labels, free) if free else np.empty(0, np.intp)
        palette = palette[used]
        if len(worst) == 0:
            return palette, (np.cumsum(used) - 1)[labels]
        palette = np.vstack([palette, colors[worst]])
