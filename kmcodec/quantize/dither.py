"""Pixels -> indices, so that areas show colours that the palette has not.

Owns the two ways to dither and their matrix. Works on points, in the space in which distances are taken, and
against any palette.

Source: R. W. Floyd and L. Steinberg, "An adaptive algorithm for spatial greyscale", Proc. SID 17(2), 1976,
with the serpentine and perturbed weights of R. A. Ulichney, "Dithering with blue noise", Proc. IEEE 76(1),
1988; B. E. Bayer, "An optimum method for two-level rendition of continuous-tone pictures", ICC 1973, with
mixtures of any palette entries as in T. Knoll's pattern dithering (US patent 6,606,166, expired).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import Indices, empty_indices
from kmcodec.kernels import dithering as kernel
from kmcodec.quantize.histogram import Histogram
from kmcodec.quantize.lloyd import list_neighbors
from kmcodec.threads import Workers, cut_range

# Parts of a mixture: shades between two palette entries.
_PARTS = 16

# What is worth a thread: colours to plan, rows to fill (of any length).
_LEAST_COLORS = 1 << 12
_LEAST_ROWS = 64


def _make_matrix() -> NDArray[np.uint8]:
    """Return Bayer's matrix of order 8, its thresholds in 0.._PARTS - 1."""
    matrix = np.zeros((1, 1), np.int64)
    for _ in range(3):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return (matrix * _PARTS // matrix.size).astype(np.uint8)


def _find_box(palette: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the least and greatest coordinates that a pixel and its neighbours' errors may come to.

    A little outside the palette's: to aim at a colour beyond its most extreme ones helps to come near to
    colours between them and the picture's own extremes, but errors that nothing can make up for must not
    pile up.
    """
    least, greatest = palette.min(axis=0).astype(np.int32), palette.max(axis=0).astype(np.int32)
    margin = (greatest - least) // 4
    limits = np.iinfo(np.int16)
    box: NDArray[np.int32] = np.clip([least - margin, greatest + margin], limits.min, limits.max)
    return box.astype(np.int16)


class Task(NamedTuple):
    """Hold what is to be dithered.

    Attributes
    ----------
    histogram : Histogram
        Of the picture.
    points : ndarray, shape (n, 4), int16
        The points of its colours.
    labels : ndarray, shape (n,), int32
        The nearest palette entry of each.
    palette : ndarray, shape (K, 4), int16
        The points of the palette.
    ranks : ndarray, shape (K,), int32
        Place of each entry of the palette from dark to light.
    strength : int
        0..256: the part of the error that is made up for, in 1/256.
    """

    histogram: Histogram
    points: NDArray[np.int16]
    labels: NDArray[np.int32]
    palette: NDArray[np.int16]
    ranks: NDArray[np.int32]
    strength: int


def _diffuse(task: Task, workers: Workers) -> Indices:
    rows = task.histogram.rows
    indices = empty_indices(rows.shape, len(task.palette))
    kernel.diffuse_errors(
        task.points,
        task.labels,
        rows,
        task.palette,
        list_neighbors(task.palette, workers),
        _find_box(task.palette),
        task.strength,
        np.zeros((2, rows.shape[1] + 2, 4), np.int32),
        indices,
    )
    return indices


def _order(task: Task, workers: Workers) -> Indices:
    mixtures = empty_indices((len(task.points), _PARTS), len(task.palette))
    neighbors = list_neighbors(task.palette, workers)
    box = _find_box(task.palette)

    def plan_run(run: tuple[int, int]) -> None:
        part = slice(*run)
        points, labels = task.points[part], task.labels[part]
        kernel.plan_mixtures(
            points, labels, task.palette, neighbors, box, task.ranks, task.strength, mixtures[part]
        )

    workers.map(plan_run, cut_range(len(task.points), workers.count, _LEAST_COLORS))
    rows = task.histogram.rows
    indices = empty_indices(rows.shape, len(task.palette))
    matrix = _make_matrix()

    def place_run(run: tuple[int, int]) -> None:
        part = slice(*run)
        kernel.place_mixtures(rows[part], mixtures, matrix, run[0], indices[part])

    workers.map(place_run, cut_range(len(rows), workers.count, _LEAST_ROWS))
    return indices


#: Ways to dither, by the names that users give; they return indices, shape (height, width).
DITHERS: dict[str, Callable[[Task, Workers], Indices]] = {"diffusion": _diffuse, "ordered": _order}
