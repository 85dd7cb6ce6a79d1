"""Weighted Lloyd iterations to convergence, with repair of empty clusters.

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

from kmcodec.kernels import kdtree
from kmcodec.quantize.seeding import divide_rounded
from kmcodec.threads import Workers, cut_range

#: Lloyd iterations stop here if they have not converged before.
MAX_ITERATIONS = 100

# Points below which a node of the tree is not cut further: cutting on costs more than it saves.
_LEAF_POINTS = 8

# Subtrees that are handed to threads one by one; many more than threads, so that none waits long.
_SUBTREES = 64

# Points that are assigned in about the time that it takes to hand them to a thread.
_LEAST_POINTS = 1 << 12


class Assignment(NamedTuple):
    """Hold what an assignment of all points to their nearest centroids sums up to.

    Attributes
    ----------
    weights : ndarray, shape (K,), int64
        Pixels of each cluster.
    sums : ndarray, shape (K, 4), int64
        Weighted sums of the points of each cluster.
    inertia : int
        Weighted sum of the squared distances of all points to their centroids.
    """

    weights: NDArray[np.int64]
    sums: NDArray[np.int64]
    inertia: int


class PointTree:
    """Find nearest centroids for weighted points that stay while the centroids move.

    Ties go to the lowest index.

    Parameters
    ----------
    points : ndarray, shape (n, 4), int16
        n at least 1. Not modified.
    weights : ndarray, shape (n,), int64
        At least 1 each. Not modified.
    workers : Workers
    """

    def __init__(self, points: NDArray[np.int16], weights: NDArray[np.int64], workers: Workers) -> None:
        self.points = points
        self.weights = weights
        self._workers = workers
        self._tree_points, self._tree_weights = points.copy(), weights.copy()
        self._order = np.arange(len(points), dtype=np.int32)
        stack = np.empty((64, 3), np.int32)
        room = len(points) // 2 + 64
        n_nodes = -1
        while n_nodes < 0:
            boxes = np.empty((room, 8), np.int16)
            spans = np.empty((room, 4), np.int32)
            moments = np.empty((room, 6), np.int64)
            n_nodes = kdtree.build_tree(
                self._tree_points,
                self._tree_weights,
                self._order,
                _LEAF_POINTS,
                boxes,
                spans,
                moments,
                stack,
            )
            room *= 2
        self._boxes, self._spans, self._moments = boxes[:n_nodes], spans[:n_nodes], moments[:n_nodes]
        self._levels = int(self._spans[:, 3].max()) + 2
        self._roots = self._choose_roots()
        self._least_roots = -(-_LEAST_POINTS * len(self._roots) // len(points))

    def _choose_roots(self) -> NDArray[np.int32]:
        """Return nodes whose subtrees hold all points, each about as many."""
        roots, ahead = [], [0]
        while ahead:
            node = ahead.pop()
            first, end, next_node, _ = self._spans[node].tolist()
            if next_node == node + 1 or (end - first) * _SUBTREES <= len(self.points):
                roots.append(node)
            else:
                left = node + 1
                ahead += [int(self._spans[left, 2]), left]
        return np.array(roots, np.int32)

    def _run(self, centroids: NDArray[np.int16], labels: NDArray[np.int32]) -> Assignment:
        def accumulate(run: tuple[int, int]) -> tuple[NDArray[np.int64], int]:
            totals = np.zeros((len(centroids), 5), np.int64)
            inertia = kdtree.accumulate(
                self._tree_points,
                self._tree_weights,
                self._boxes,
                self._spans,
                self._moments,
                self._roots[slice(*run)],
                centroids,
                np.empty((self._levels, len(centroids)), np.int32),
                np.empty(self._levels, np.int32),
                totals,
                labels,
            )
            return totals, inertia

        parts = self._workers.map(
            accumulate, cut_range(len(self._roots), self._workers.count, self._least_roots)
        )
        totals = sum((part[0] for part in parts[1:]), parts[0][0])
        return Assignment(totals[:, 0], totals[:, 1:], sum(part[1] for part in parts))

    def sum_clusters(self, centroids: NDArray[np.int16]) -> Assignment:
        """Assign each point to its nearest centroid and sum each cluster up.

        Parameters
        ----------
        centroids : ndarray, shape (K, 4), int16
        """
        return self._run(centroids, np.empty(0, np.int32))

    def assign(self, centroids: NDArray[np.int16]) -> NDArray[np.int32]:
        """Return for each point the index of its nearest centroid.

        Parameters
        ----------
        centroids : ndarray, shape (K, 4), int16

        Returns
        -------
        ndarray, shape (n,), int32
        """
        tree_labels = np.empty(len(self.points), np.int32)
        self._run(centroids, tree_labels)
        labels = np.empty_like(tree_labels)
        labels[self._order] = tree_labels
        return labels

    def find_worst(
        self, centroids: NDArray[np.int16], labels: NDArray[np.int32], count: int
    ) -> NDArray[np.intp]:
        """Return the points that add most to the inertia, worst first.

        Parameters
        ----------
        centroids : ndarray, shape (K, 4), int16
        labels : ndarray, shape (n,), int32
            The centroid of each point.
        count : int

        Returns
        -------
        ndarray, shape (at most count,), intp
            Only points that do not lie on their centroid.
        """
        differences = self.points.astype(np.int32) - centroids[labels]
        errors: NDArray[np.int64] = self.weights * (differences * differences).sum(axis=1)
        # Stable, so that of equal errors the first comes first.
        worst = np.argsort(-errors, kind="stable")[:count]
        served_badly: NDArray[np.intp] = worst[errors[worst] > 0]
        return served_badly


class Iteration(NamedTuple):
    """Describe one iteration.

    Attributes
    ----------
    number : int
        0, 1, 2, ...
    inertia : int
        Weighted sum of the squared distances of all points to the centroids below.
    centroids : ndarray, shape (K, 4), int16
    """

    number: int
    inertia: int
    centroids: NDArray[np.int16]


def refine_centroids(
    tree: PointTree,
    centroids: NDArray[np.int16],
    on_iteration: Callable[[Iteration], None] | None = None,
) -> NDArray[np.int16]:
    """Move centroids to the means of their clusters until nothing changes.

    An empty cluster is given the point that adds most to the inertia, or dropped if every point lies on
    its centroid. The inertia falls with every iteration, although means are rounded: of all points with whole
    coordinates, the rounded mean is the one of least squared error.

    Parameters
    ----------
    tree : PointTree
    centroids : ndarray, shape (K, 4), int16
        Where to start. Not modified.
    on_iteration : callable, optional
        Is told each iteration, with the centroids before they move.

    Returns
    -------
    ndarray, shape (at most K, 4), int16
    """
    inertia = None
    for number in range(MAX_ITERATIONS):
        assignment = tree.sum_clusters(centroids)
        while not assignment.weights.all():
            centroids = _fill_empty_clusters(tree, centroids, assignment.weights)
            assignment = tree.sum_clusters(centroids)
        if assignment.inertia == inertia:
            # Nothing but ties has moved, which could go on for ever.
            break
        inertia = assignment.inertia
        if on_iteration is not None:
            on_iteration(Iteration(number, assignment.inertia, centroids))
        moved = divide_rounded(assignment.sums, assignment.weights[:, None]).astype(np.int16)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


def _fill_empty_clusters(
    tree: PointTree, centroids: NDArray[np.int16], weights: NDArray[np.int64]
) -> NDArray[np.int16]:
    empty = np.flatnonzero(weights == 0)
    worst = tree.find_worst(centroids, tree.assign(centroids), len(empty))
    filled = centroids.copy()
    filled[empty[: len(worst)]] = tree.points[worst]
    return np.delete(filled, empty[len(worst) :], axis=0)
