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
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import Indices, empty_indices
from kmcodec.kernels import dithering as kernel
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
    points : ndarray, shape (n, 4), int16
        The points of the picture's colours.
    labels : ndarray, shape (n,), int32
        The nearest palette entry of each.
    palette : ndarray, shape (K, 4), int16
        The points of the palette.
    ranks : ndarray, shape (K,), int32
        Place of each entry of the palette from dark to light.
    strength : int
        0..256: the part of the error that is made up for, in 1/256.
    """

    points: NDArray[np.int16]
    labels: NDArray[np.int32]
    palette: NDArray[np.int16]
    ranks: NDArray[np.int32]
    strength: int


class Ditherer(Protocol):
    """Choose palette entries for the rows of a picture, which come from the top, any number at a time."""

    def dither(self, rows: NDArray[np.int32], workers: Workers) -> Indices:
        """Return the indices of the next rows.

        Parameters
        ----------
        rows : ndarray, shape (height, width), int32
            For each pixel the row of its colour in the points of the task.
        workers : Workers

        Returns
        -------
        ndarray, shape (height, width), uint8 or uint16
        """


class _Diffusion:
    def __init__(self, task: Task, workers: Workers) -> None:
        self._task = task
        self._neighbors = list_neighbors(task.palette, workers)
        self._box = _find_box(task.palette)
        self._errors = np.zeros((2, 0, 4), np.int32)
        self._random_state = np.ones(1, np.uint64)
        self._first_row = 0

    def dither(self, rows: NDArray[np.int32], workers: Workers) -> Indices:
        task, (height, width) = self._task, rows.shape
        if self._first_row == 0:
            self._errors = np.zeros((2, width + 2, 4), np.int32)
        indices = empty_indices((height, width), len(task.palette))
        kernel.diffuse_errors(
            task.points,
            task.labels,
            rows,
            task.palette,
            self._neighbors,
            self._box,
            task.strength,
            self._errors,
            self._random_state,
            self._first_row,
            indices,
        )
        self._first_row += height
        return indices


class _Ordered:
    def __init__(self, task: Task, workers: Workers) -> None:
        self._n_colors = len(task.palette)
        self._mixtures = empty_indices((len(task.points), _PARTS), self._n_colors)
        self._matrix = _make_matrix()
        self._first_row = 0
        neighbors = list_neighbors(task.palette, workers)
        box = _find_box(task.palette)

        def plan_run(run: tuple[int, int]) -> None:
            part = slice(*run)
            points, labels, mixtures = task.points[part], task.labels[part], self._mixtures[part]
            kernel.plan_mixtures(
                points, labels, task.palette, neighbors, box, task.ranks, task.strength, mixtures
            )

        workers.map(plan_run, cut_range(len(task.points), workers.count, _LEAST_COLORS))

    def dither(self, rows: NDArray[np.int32], workers: Workers) -> Indices:
        indices = empty_indices(rows.shape, self._n_colors)

        def place_run(run: tuple[int, int]) -> None:
            part, first_row = slice(*run), self._first_row + run[0]
            kernel.place_mixtures(rows[part], self._mixtures, self._matrix, first_row, indices[part])

        workers.map(place_run, cut_range(len(rows), workers.count, _LEAST_ROWS))
        self._first_row += len(rows)
        return indices


#: Ways to dither, by the names that users give.
DITHERS: dict[str, Callable[[Task, Workers], Ditherer]] = {"diffusion": _Diffusion, "ordered": _Ordered}
