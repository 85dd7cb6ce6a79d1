# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keep, for every point, the squared distance to the nearest centroid chosen so far (k-means++).

Points are as in assignment. Validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["find_potential", "lower_distances"]


def lower_distances(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    chosen: cython.Py_ssize_t,
    distances: cython.int[::1],
) -> int:
    """Lower distances to those from point chosen, where these are less; return the weighted sum."""
    i: cython.Py_ssize_t
    d: cython.int
    difference: cython.int
    distance: cython.int
    potential: cython.longlong = 0
    with cython.nogil:
        for i in range(points.shape[0]):
            distance = 0
            for d in range(4):
                difference = points[i, d] - points[chosen, d]
                distance += difference * difference
            if distance < distances[i]:
                distances[i] = distance
            potential += weights[i] * distances[i]
    return potential


def find_potential(
    weights: cython.const[cython.longlong][::1],
    distances: cython.const[cython.int][::1],
    target: cython.longlong,
) -> int:
    """Return the first point up to which the weighted distances sum to more than target."""
    i: cython.Py_ssize_t = 0
    potential: cython.longlong = weights[0] * distances[0]
    with cython.nogil:
        while potential <= target:
            i += 1
            potential += weights[i] * distances[i]
    return i
