"""Draw the first centroids: by k-means++, or at random.

Owns the random numbers, which are its own, since those of libraries change between releases. Knows
nothing of iterations or of colours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmcodec.kernels import distances as distances_kernel

_MASK = 2**64 - 1


class SplitMix64:
    """Generate pseudo-random integers (Steele, Lea and Flood, OOPSLA 2014).

    Parameters
    ----------
    seed : int
        0..2**64 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, n: int) -> int:
        """Return an integer in 0..n-1; the bias is below n / 2**64."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _MASK
        return (z ^ z >> 31) * n >> 64


def seed_random(
    points: NDArray[np.int16], weights: NDArray[np.int64], n_centroids: int, seed: int
) -> NDArray[np.int16]:
    """Choose the colours of random pixels, all distinct.

    The same as drawing pixels until n_centroids different colours are found.

    Parameters
    ----------
    points : ndarray, shape (n, 4), int16
    weights : ndarray, shape (n,), int64
        Pixels of each point.
    n_centroids : int
        1..n.
    seed : int
        0..2**64 - 1.

    Returns
    -------
    ndarray, shape (n_centroids, 4), int16
    """
    random = SplitMix64(seed)
    left = weights.copy()
    chosen: dict[int, None] = {}
    while len(chosen) < n_centroids:
        # In rounds, so that a colour that fills the picture, once drawn, is not drawn for ever.
        cumulative = np.cumsum(left)
        targets = [random.below(int(cumulative[-1])) for _ in range(n_centroids - len(chosen))]
        chosen.update(dict.fromkeys(np.searchsorted(cumulative, targets, side="right").tolist()))
        left[list(chosen)] = 0
    return points[list(chosen)]


def seed_plus_plus(
    points: NDArray[np.int16], weights: NDArray[np.int64], n_centroids: int, seed: int
) -> NDArray[np.int16]:
    """Choose pixels with probability proportional to the squared distance from those chosen before.

    k-means++: Arthur and Vassilvitskii, SODA 2007. Takes time in proportion to n * n_centroids.
    Parameters and result are those of seed_random; the result has fewer rows where points has fewer
    distinct ones.
    """
    random = SplitMix64(seed)
    distances = np.full(len(points), 2**31 - 1, np.int32)
    cumulative = np.cumsum(weights)
    first = int(np.searchsorted(cumulative, random.below(int(cumulative[-1])), side="right"))
    chosen = [first]
    while len(chosen) < n_centroids:
        potential = distances_kernel.lower_distances(points, weights, chosen[-1], distances)
        if potential == 0:
            break
        chosen.append(distances_kernel.find_potential(weights, distances, random.below(potential)))
    return points[chosen]


#: Ways to draw first centroids, by the names that users give; the third way, "split", is that of search.
SEEDINGS: dict[str, Callable[[NDArray[np.int16], NDArray[np.int64], int, int], NDArray[np.int16]]] = {
    "kmeans++": seed_plus_plus,
    "random": seed_random,
}
