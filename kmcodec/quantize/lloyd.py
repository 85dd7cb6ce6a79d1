"""Weighted Lloyd iterations on all points, with repair of empty clusters.

Owns the assignment of points to centroids and the rule when to stop. Knows nothing of colours: points
are rows of four int16 (see colorspace), and every number that decides a result is an integer, so that
neither threads nor machines show in it.

Source: S. Lloyd, "Least squares quantization in PCM", IEEE Trans. Information Theory 28(2), 1982.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.kernels import assignment as kernel
from kmcodec.quantize.grouping import Groups, divide_rounded
from kmcodec.threads import Workers, cut_range

# Neighbours that are listed of each centroid. In three dimensions a centroid touches about 15 others; where
# the list is too short, all centroids are looked at.
_NEIGHBORS = 32

# What is worth a thread, which takes about a millisecond to wake up: points to assign, centroids whose
# neighbours are listed.
_LEAST_POINTS = 1 << 17
_LEAST_CENTROIDS = 1 << 10


class Assignment(NamedTuple):
    """Hold an assignment of all points to centroids, and what it sums up to.

    Attributes
    ----------
    labels : ndarray, shape (n,), int32
        The centroid of each point.
    totals : ndarray, shape (K, 6), int64
        Of each cluster: pixels, weighted sums of the points, weighted sum of their squared lengths.
    """

    labels: NDArray[np.int32]
    totals: NDArray[np.int64]

    @property
    def weights(self) -> NDArray[np.int64]:
        """Pixels of each cluster, shape (K,)."""
        return self.totals[:, 0]

    def find_means(self) -> NDArray[np.int16]:
        """Return the rounded mean of each cluster, shape (K, 4), int16; of an empty one, zeros."""
        return divide_rounded(self.totals[:, 1:5], np.maximum(self.totals[:, :1], 1)).astype(np.int16)

    def measure_inertia(self, centroids: NDArray[np.int16]) -> int:
        """Return the weighted sum of the squared distances of all points to their centroids."""
        wide = centroids.astype(np.int64)
        squares = self.totals[:, 5] + ((self.totals[:, :1] * wide - 2 * self.totals[:, 1:5]) * wide).sum(
            axis=1
        )
        return int(squares.sum())


def list_neighbors(centroids: NDArray[np.int16], workers: Workers) -> NDArray[np.int32]:
    """Return the nearest other centroids of each.

    Parameters
    ----------
    centroids : ndarray, shape (K, 4), int16
    workers : Workers

    Returns
    -------
    ndarray, shape (K, min(K - 1, 32), 3), int32
        Squared distances, indices and distances, rounded up; the nearest first.
    """
    spans = centroids.max(axis=0).astype(np.int32) - centroids.min(axis=0)
    axis = int(spans.argmax())
    order = np.argsort(centroids[:, axis], kind="stable").astype(np.int32)
    neighbors = np.empty((len(centroids), min(len(centroids) - 1, _NEIGHBORS), 3), np.int32)
    workers.map(
        lambda run: kernel.list_neighbors(centroids, axis, order, *run, neighbors),
        cut_range(len(centroids), workers.count, _LEAST_CENTROIDS),
    )
    return neighbors


def sum_clusters(groups: Groups, labels: NDArray[np.int32], n_centroids: int) -> Assignment:
    """Return an assignment as labels have it.

    Parameters
    ----------
    groups : Groups
    labels : ndarray, shape (n,), int32
        0..n_centroids - 1. Not copied, and changed by reassign.
    n_centroids : int
    """
    totals = np.zeros((n_centroids, 6), np.int64)
    kernel.sum_clusters(groups.points, groups.weights, labels, totals)
    return Assignment(labels, totals)


def reassign(groups: Groups, centroids: NDArray[np.int16], assignment: Assignment, workers: Workers) -> None:
    """Assign each point to its nearest centroid, of equally near ones the first.

    Parameters
    ----------
    groups : Groups
    centroids : ndarray, shape (K, 4), int16
    assignment : Assignment
        Changed in place. The nearer the centroids of its labels, the less time it takes.
    workers : Workers
    """
    neighbors = list_neighbors(centroids, workers)

    def assign_run(run: tuple[int, int]) -> NDArray[np.int64]:
        changes = np.zeros_like(assignment.totals)
        candidates = np.empty(len(centroids), np.int32)
        kernel.assign(*groups, *run, centroids, neighbors, assignment.labels, candidates, changes)
        return changes

    n_groups = len(groups.centers)
    least = -(-_LEAST_POINTS * n_groups // len(groups.points))
    for changes in workers.map(assign_run, cut_range(n_groups, workers.count, least)):
        assignment.totals[:] += changes


def assign(groups: Groups, centroids: NDArray[np.int16], workers: Workers) -> Assignment:
    """Return the assignment of all points to their nearest centroids.

    Parameters
    ----------
    groups : Groups
    centroids : ndarray, shape (K, 4), int16
    workers : Workers
    """
    assignment = sum_clusters(groups, np.zeros(len(groups.points), np.int32), len(centroids))
    reassign(groups, centroids, assignment, workers)
    return assignment


def find_worst(
    groups: Groups, centroids: NDArray[np.int16], labels: NDArray[np.int32], count: int
) -> NDArray[np.intp]:
    """Return the points that add most to the inertia, worst first.

    Parameters
    ----------
    groups : Groups
    centroids : ndarray, shape (K, 4), int16
    labels : ndarray, shape (n,), int32
        The centroid of each point.
    count : int

    Returns
    -------
    ndarray, shape (at most count,), intp
        Only points that do not lie on their centroid.
    """
    errors = np.empty(len(groups.points), np.int64)
    kernel.measure_errors(groups.points, groups.weights, centroids, labels, errors)
    # Stable, so that of equal errors the first comes first.
    worst = np.argsort(-errors, kind="stable")[:count]
    served_badly: NDArray[np.intp] = worst[errors[worst] > 0]
    return served_badly


def refine_centroids(
    groups: Groups,
    centroids: NDArray[np.int16],
    labels: NDArray[np.int32],
    workers: Workers,
    *,
    max_iterations: int,
    n_fixed: int = 0,
    on_iteration: Callable[[int, NDArray[np.int16]], None] | None = None,
) -> tuple[NDArray[np.int16], Assignment]:
    """Move centroids to the means of their clusters until nothing changes, or max_iterations times.

    An empty cluster is given the point that adds most to the inertia, or dropped if every point lies on
    its centroid. The inertia falls with every iteration, although means are rounded: of all points with whole
    coordinates, the rounded mean is the one of least squared error.

    Parameters
    ----------
    groups : Groups
    centroids : ndarray, shape (K, 4), int16
        Where to start. Not modified.
    labels : ndarray, shape (n,), int32
        A centroid for each point that is probably near.
    workers : Workers
    max_iterations : int
        At least 1.
    n_fixed : int
        The first so many centroids do not move.
    on_iteration : callable, optional
        Is told the inertia and the centroids each time, before they move.

    Returns
    -------
    ndarray, shape (at most K, 4), int16
        The centroids.
    Assignment
        To the centroids before their last move.
    """
    inertia = None
    assignment = sum_clusters(groups, labels.copy(), len(centroids))
    for _ in range(max_iterations):
        reassign(groups, centroids, assignment, workers)
        while not assignment.weights[n_fixed:].all():
            empty = n_fixed + np.flatnonzero(assignment.weights[n_fixed:] == 0)
            worst = find_worst(groups, centroids, assignment.labels, len(empty))
            centroids = centroids.copy()
            centroids[empty[: len(worst)]] = groups.points[worst]
            places = np.delete(np.arange(len(centroids)), empty[len(worst) :])
            labels = np.searchsorted(places, assignment.labels).astype(np.int32)
            centroids = centroids[places]
            assignment = sum_clusters(groups, labels, len(centroids))
            reassign(groups, centroids, assignment, workers)
        after = assignment.measure_inertia(centroids)
        if after == inertia:
            # Nothing but ties has moved, which could go on for ever.
            break
        inertia = after
        if on_iteration is not None:
            on_iteration(inertia, centroids)
        moved = assignment.find_means()
        moved[:n_fixed] = centroids[:n_fixed]
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids, assignment
