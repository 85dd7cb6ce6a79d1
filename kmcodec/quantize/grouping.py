"""Points -> groups of near points, so that most of the work is done once for a group.

Owns how fine the groups are: fine where many pixels lie, coarse elsewhere, so that what is lost within
groups is small next to what is lost between palette and picture. Knows nothing of clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.kernels import assignment as radii_kernel
from kmcodec.kernels import grouping as kernel


class Groups(NamedTuple):
    """Hold weighted points, and what is known of groups of them.

    Attributes
    ----------
    points : ndarray, shape (n, 4), int16
    weights : ndarray, shape (n,), int64
        Pixels of each point.
    starts : ndarray, shape (m + 1,), int32
        Group g has the points from starts[g] to before starts[g + 1].
    centers : ndarray, shape (m, 4), int16
        The rounded mean of each group.
    radii : ndarray, shape (m,), int32
        Distance from the centre to the farthest point, rounded up.
    """

    points: NDArray[np.int16]
    weights: NDArray[np.int64]
    starts: NDArray[np.int32]
    centers: NDArray[np.int16]
    radii: NDArray[np.int32]


def group_points(
    codes: NDArray[np.uint32], points: NDArray[np.int16], weights: NDArray[np.int64], n_groups: int
) -> tuple[Groups, NDArray[np.int64]]:
    """Cut points, in the order of their codes, into at most n_groups runs of little inertia.

    Parameters
    ----------
    codes : ndarray, shape (n,), uint32
        Ascending Morton codes of the points' colours.
    points : ndarray, shape (n, 4), int16
    weights : ndarray, shape (n,), int64
        Pixels of each point, at least 1.
    n_groups : int
        At least 1. With n or more, each point is a group.

    Returns
    -------
    Groups
    ndarray, shape (m,), int64
        Pixels of each group.
    """
    n = len(points)
    if n_groups >= n:
        starts = np.arange(n + 1, dtype=np.int32)
        return Groups(points, weights, starts, points, np.zeros(n, np.int32)), weights
    runs, moments = np.empty((n_groups, 3), np.int32), np.empty((n_groups, 6), np.int64)
    scratch = np.empty((n // 16 + 1, 6), np.int64), np.empty(256, np.int32)
    n_runs = kernel.cut_runs(codes, points, weights, scratch[0], moments, runs, scratch[1])
    order = np.argsort(runs[:n_runs, 0])
    moments = moments[order]
    starts = np.append(runs[order, 0], np.int32(n))
    centers = divide_rounded(moments[:, 1:5], moments[:, :1]).astype(np.int16)
    radii = np.empty(n_runs, np.int32)
    radii_kernel.measure_radii(points, starts, centers, radii)
    return Groups(points, weights, starts, centers, radii), moments[:, 0].copy()


def divide_rounded(sums: NDArray[np.int64], weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sums / weights, rounded to nearest, ties up."""
    return (2 * sums + weights) // (2 * weights)
