"""Look for good clusters of few points: Lloyd steps, and swaps of centroids that Lloyd cannot make.

Lloyd's iterations end in the nearest local minimum. A swap takes a centroid from where it is missed least
and sets it where a cluster gains most from being split; where the inertia is lower after a few steps, it
stays. Swaps go by estimates, not by chance, so that nothing here is random.

Source: the utility of centroids as in B. Fritzke, "The LBG-U method for vector quantization", Neural
Processing Letters 5(1), 1997, and G. Patane and M. Russo, "The enhanced LBG algorithm", Neural Networks
14(9), 2001; single swaps kept only if they help as in P. Franti and J. Kivijarvi, "Randomised local search
algorithm for the clustering problem", Pattern Analysis and Applications 3(4), 2000.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmcodec.kernels import clusters as kernel

# Lloyd steps after a swap: enough for the neighbours to settle, and to tell whether it was a good one.
_SWAP_STEPS = 4

#: Swaps between two calls of on_step.
BATCH = 16

# Lloyd steps before and after the swaps end when one gains less than this share of the inertia: what is left
# to gain is little next to what swaps gain, and to what is done with all colours afterwards.
_LEAST_SHARE_BITS = 8


# Columns of the kernel's clusters, and the one that is read here.
_COLUMNS = 13
_INERTIA = 6


class Search:
    """Hold clusters of points, and improve them.

    It begins with given centroids; where they are fewer than n_centroids, the worst clusters are split.

    Parameters
    ----------
    points : ndarray, shape (n, 4), int16
        Not modified.
    weights : ndarray, shape (n,), int64
        At least 1 each; not modified.
    centroids : ndarray, shape (1..n_centroids, 4), int16
        Not modified.
    labels : ndarray, shape (n,), int32
        A centroid for each point that is near.
    n_centroids : int
        K. Fewer come about if the points do not suffice.
    n_fixed : int
        The first so many centroids never move.
    on_step : callable, optional
        Is told the inertia and the centroids, shape (K, 4), after each step; they must not be kept.
    """

    def __init__(
        self,
        points: NDArray[np.int16],
        weights: NDArray[np.int64],
        centroids: NDArray[np.int16],
        labels: NDArray[np.int32],
        n_centroids: int,
        n_fixed: int = 0,
        on_step: Callable[[int, NDArray[np.int16]], None] | None = None,
    ) -> None:
        self._n_fixed = n_fixed
        self._on_step = on_step
        known = len(centroids)
        self._members = np.zeros((len(points), 4), np.int32)
        self._members[:, 0] = labels
        self._clusters = np.zeros((n_centroids, _COLUMNS), np.int64)
        self._centroids = np.zeros((n_centroids, 4), np.int16)
        self._centroids[:known] = centroids
        self._halves = np.zeros((n_centroids, 8), np.int16)
        self._state = (points, weights, self._members)
        kernel.build_clusters(*self._state, self._clusters[:known], self._centroids[:known])
        if known < n_centroids:
            found = kernel.split_clusters(
                *self._state, self._clusters, self._centroids, self._halves, known, n_fixed
            )
            self._clusters, self._centroids = self._clusters[:found], self._centroids[:found]
        else:
            self._tell()
            kernel.move_centroids(self._clusters, self._centroids, n_fixed)
        self._tell()
        self._rivals = np.empty((len(self._clusters), 3), np.int32)
        self._moves = np.empty((len(points), 2), np.int32)

    @property
    def centroids(self) -> NDArray[np.int16]:
        """The centroids, shape (K, 4), int16."""
        return self._centroids

    @property
    def labels(self) -> NDArray[np.int32]:
        """The cluster of each point, shape (n,), int32."""
        return self._members[:, 0]

    def _tell(self) -> int:
        inertia = int(self._clusters[:, _INERTIA].sum())
        if self._on_step is not None:
            self._on_step(inertia, self._centroids)
        return inertia

    def iterate(self, max_steps: int) -> None:
        """Do Lloyd steps until nothing moves, or little is gained."""
        inertia = None
        for _ in range(max_steps):
            if not kernel.reassign(
                *self._state, self._clusters, self._centroids, self._rivals, self._moves, self._n_fixed
            ):
                break
            after = self._tell()
            if inertia is not None and inertia - after < after >> _LEAST_SHARE_BITS:
                break
            inertia = after

    def swap(self, n_swaps: int, patience: int) -> None:
        """Try swaps: n_swaps, or fewer if `patience` in a row have failed."""
        kept_members, kept_clusters = np.empty_like(self._members), np.empty_like(self._clusters)
        kept_centroids = np.empty_like(self._centroids)
        failures = 0
        for done in range(0, n_swaps, BATCH):
            failures = kernel.swap_centroids(
                *self._state,
                self._clusters,
                self._centroids,
                self._halves,
                kept_members,
                kept_clusters,
                kept_centroids,
                self._rivals,
                self._moves,
                self._n_fixed,
                min(BATCH, n_swaps - done),
                patience,
                _SWAP_STEPS,
                failures,
            )
            self._tell()
            if failures >= patience:
                break
