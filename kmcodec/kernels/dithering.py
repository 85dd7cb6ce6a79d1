# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Choose palette entries so that neighbouring pixels make up for each other's errors.

Points and neighbors are as in assignment. Knows nothing of colours; validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["diffuse_errors", "place_mixtures", "plan_mixtures"]

Index = cython.fused_type(cython.uchar, cython.ushort)

# A linear congruential generator (Knuth, TAOCP 3.3.4, line 26).
MULTIPLIER = cython.declare(cython.ulonglong, 1664525)
INCREMENT = cython.declare(cython.ulonglong, 1013904223)
LOW_32_BITS = cython.declare(cython.ulonglong, 0xFFFFFFFF)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _distance(
    centroids: cython.const[cython.short][:, ::1],
    a: cython.Py_ssize_t,
    t0: cython.int,
    t1: cython.int,
    t2: cython.int,
    t3: cython.int,
) -> cython.int:
    d0: cython.int = t0 - centroids[a, 0]
    d1: cython.int = t1 - centroids[a, 1]
    d2: cython.int = t2 - centroids[a, 2]
    d3: cython.int = t3 - centroids[a, 3]
    return d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_nearest(
    centroids: cython.const[cython.short][:, ::1],
    neighbors: cython.const[cython.int][:, :, ::1],
    start: cython.Py_ssize_t,
    t0: cython.int,
    t1: cython.int,
    t2: cython.int,
    t3: cython.int,
) -> cython.Py_ssize_t:
    """Return the centroid nearest to t; of equally near ones, the first."""
    room: cython.Py_ssize_t = neighbors.shape[1]
    nearest: cython.Py_ssize_t = start
    least: cython.int = _distance(centroids, start, t0, t1, t2, t3)
    limit: cython.longlong = least
    distance: cython.int
    k: cython.Py_ssize_t = 0
    b: cython.Py_ssize_t
    limit *= 4
    while k < room and neighbors[start, k, 0] <= limit:
        b = neighbors[start, k, 1]
        distance = _distance(centroids, b, t0, t1, t2, t3)
        if distance < least or (distance == least and b < nearest):
            least = distance
            nearest = b
        k += 1
    if k == room and room < centroids.shape[0] - 1:
        for b in range(centroids.shape[0]):
            distance = _distance(centroids, b, t0, t1, t2, t3)
            if distance < least or (distance == least and b < nearest):
                least = distance
                nearest = b
    return nearest


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _aim(point: cython.int, error: cython.int, least: cython.int, greatest: cython.int) -> cython.int:
    """Return point + error, but no farther outside least..greatest than point is.

    What lies outside can never be made up for: without this, errors would pile up and smear.
    """
    target: cython.int = point + error
    if target < least and error < 0:
        target = least if least < point else point
    if target > greatest and error > 0:
        target = greatest if greatest > point else point
    return target


def diffuse_errors(
    points: cython.const[cython.short][:, ::1],
    labels: cython.const[cython.int][::1],
    rows: cython.const[cython.int][:, ::1],
    centroids: cython.const[cython.short][:, ::1],
    neighbors: cython.const[cython.int][:, :, ::1],
    box: cython.const[cython.short][:, ::1],
    strength: cython.int,
    errors: cython.int[:, :, ::1],
    random_state: cython.ulonglong[::1],
    first_row: cython.Py_ssize_t,
    indices: Index[:, ::1],
) -> None:
    """Go through rows of pixels in a serpentine, and hand on each one's error to those that come later.

    rows (height, width) has for each pixel the row of its colour in points and labels, the nearest centroids.
    box (2, 4) has the least and greatest coordinates of the centroids. strength is 0..256: the part of the
    error that is handed on, in 1/256. rows and indices begin in row first_row of the picture; before row 0,
    errors (2, width + 2, 4), in 1/16 of a step, is zero, and random_state (1,) is 1.
    """
    height: cython.Py_ssize_t = rows.shape[0]
    width: cython.Py_ssize_t = rows.shape[1]
    y: cython.Py_ssize_t
    i: cython.Py_ssize_t
    x: cython.Py_ssize_t
    row: cython.Py_ssize_t
    nearest: cython.Py_ssize_t
    here: cython.Py_ssize_t
    below: cython.Py_ssize_t
    ahead: cython.Py_ssize_t
    d: cython.int
    to_side: cython.int
    to_below: cython.int
    error: cython.int
    part: cython.int
    target = cython.declare(cython.int[4])
    random: cython.ulonglong = random_state[0]
    with cython.nogil:
        for y in range(height):
            here = (first_row + y) & 1
            below = 1 - here
            # Even rows from left to right, odd rows back.
            ahead = 1 if here == 0 else -1
            for x in range(width + 2):
                for d in range(4):
                    errors[below, x, d] = 0
            for i in range(width):
                x = i if here == 0 else width - 1 - i
                row = rows[y, x]
                for d in range(4):
                    target[d] = _aim(points[row, d], (errors[here, x + 1, d] + 8) >> 4, box[0, d], box[1, d])
                nearest = _find_nearest(
                    centroids, neighbors, labels[row], target[0], target[1], target[2], target[3]
                )
                indices[y, x] = nearest
                # Floyd and Steinberg's weights (7, 3, 5, 1), each pair a little perturbed, so that no
                # patterns arise in flat areas.
                random = (random * MULTIPLIER + INCREMENT) & LOW_32_BITS
                to_side = 7 + ((random >> 24) & 3) - ((random >> 28) & 3)
                to_below = 3 + ((random >> 20) & 1) - ((random >> 21) & 1)
                for d in range(4):
                    # In 1/16 of a step; of 256 * 16, so that shares are 1/16 of it.
                    error = ((target[d] - centroids[nearest, d]) * strength) >> 4
                    part = (error * to_side) >> 4
                    errors[here, x + 1 + ahead, d] += part
                    errors[below, x + 1, d] += ((error * 12) >> 4) - part
                    error -= (error * 12) >> 4
                    part = (error * to_below) >> 2
                    errors[below, x + 1 - ahead, d] += part
                    errors[below, x + 1 + ahead, d] += error - part
        random_state[0] = random


def plan_mixtures(
    points: cython.const[cython.short][:, ::1],
    labels: cython.const[cython.int][::1],
    centroids: cython.const[cython.short][:, ::1],
    neighbors: cython.const[cython.int][:, :, ::1],
    box: cython.const[cython.short][:, ::1],
    ranks: cython.const[cython.int][::1],
    strength: cython.int,
    mixtures: Index[:, ::1],
) -> None:
    """Find for each point centroids, as many as mixtures has columns, whose mean is near to it.

    Each one makes up for the errors of those before. They are sorted by rank. The other arguments are those
    of diffuse_errors.
    """
    n_parts: cython.Py_ssize_t = mixtures.shape[1]
    i: cython.Py_ssize_t
    j: cython.Py_ssize_t
    k: cython.Py_ssize_t
    nearest: cython.Py_ssize_t
    d: cython.int
    errors = cython.declare(cython.int[4])
    target = cython.declare(cython.int[4])
    with cython.nogil:
        for i in range(points.shape[0]):
            nearest = labels[i]
            for d in range(4):
                errors[d] = 0
            for j in range(n_parts):
                for d in range(4):
                    target[d] = _aim(points[i, d], (errors[d] * strength + 128) >> 8, box[0, d], box[1, d])
                nearest = _find_nearest(
                    centroids, neighbors, nearest, target[0], target[1], target[2], target[3]
                )
                for d in range(4):
                    errors[d] = target[d] - centroids[nearest, d]
                k = j
                while k > 0 and ranks[mixtures[i, k - 1]] > ranks[nearest]:
                    mixtures[i, k] = mixtures[i, k - 1]
                    k -= 1
                mixtures[i, k] = nearest


def place_mixtures(
    rows: cython.const[cython.int][:, ::1],
    mixtures: cython.const[Index][:, ::1],
    thresholds: cython.const[cython.uchar][:, ::1],
    first_row: cython.Py_ssize_t,
    indices: Index[:, ::1],
) -> None:
    """Choose for each pixel the part of its colour's mixture that the matrix of thresholds says.

    rows and indices begin in row first_row of the picture.
    """
    height: cython.Py_ssize_t = thresholds.shape[0]
    width: cython.Py_ssize_t = thresholds.shape[1]
    x: cython.Py_ssize_t
    y: cython.Py_ssize_t
    with cython.nogil:
        for y in range(rows.shape[0]):
            for x in range(rows.shape[1]):
                indices[y, x] = mixtures[rows[y, x], thresholds[(first_row + y) % height, x % width]]
