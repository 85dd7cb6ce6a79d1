# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Measure a cluster of weighted points, and split it across its principal axis.

A cluster is a run of entries of `members`, which hold numbers of points. Points are as in kdtree.
Knows not which cluster is to be split; validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["measure_cluster", "split_cluster"]

# Components of a principal axis have at most 12 bits, so that weight * (axis . point) fits 64.
AXIS_BITS = cython.declare(cython.int, 12)
COVARIANCE_BITS = cython.declare(cython.int, 40)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _bits(value: cython.longlong) -> cython.int:
    """Return the bit length of value, which is not negative."""
    n: cython.int = 0
    while value > 0:
        value >>= 1
        n += 1
    return n


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _magnitude(value: cython.longlong) -> cython.longlong:
    return -value if value < 0 else value


def measure_cluster(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.const[cython.int][::1],
    first: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    moments: cython.longlong[::1],
    covariance: cython.longlong[:, ::1],
    axis: cython.longlong[::1],
) -> None:
    """Fill moments with sum of weights, weighted sums of dimensions 0..3 and sum of squared errors.

    axis gets the principal axis, by power iteration on the covariance matrix (scratch, 4 x 4) from the
    dimension of greatest variance. No step lowers the variance along the axis, so that the points
    differ along it if they differ at all.
    """
    i: cython.Py_ssize_t
    m: cython.Py_ssize_t
    a: cython.int
    b: cython.int
    _step: cython.int
    shift: cython.int
    widest: cython.int
    weight: cython.longlong
    total: cython.longlong
    largest: cython.longlong
    # The mean, rounded down: errors taken from it are small numbers, and their squares fit.
    mean0: cython.int
    mean1: cython.int
    mean2: cython.int
    mean3: cython.int
    # Deviations from the mean, and the next axis, in dimensions 0..3.
    d0: cython.longlong
    d1: cython.longlong
    d2: cython.longlong
    d3: cython.longlong
    with cython.nogil:
        for a in range(6):
            moments[a] = 0
        for i in range(first, end):
            m = members[i]
            weight = weights[m]
            moments[0] += weight
            for a in range(4):
                moments[1 + a] += weight * points[m, a]
        total = moments[0]
        mean0 = _floor_mean(moments[1], total)
        mean1 = _floor_mean(moments[2], total)
        mean2 = _floor_mean(moments[3], total)
        mean3 = _floor_mean(moments[4], total)
        for a in range(4):
            for b in range(4):
                covariance[a, b] = 0
        for i in range(first, end):
            m = members[i]
            weight = weights[m]
            d0 = points[m, 0] - mean0
            d1 = points[m, 1] - mean1
            d2 = points[m, 2] - mean2
            d3 = points[m, 3] - mean3
            covariance[0, 0] += weight * d0 * d0
            covariance[0, 1] += weight * d0 * d1
            covariance[0, 2] += weight * d0 * d2
            covariance[0, 3] += weight * d0 * d3
            covariance[1, 1] += weight * d1 * d1
            covariance[1, 2] += weight * d1 * d2
            covariance[1, 3] += weight * d1 * d3
            covariance[2, 2] += weight * d2 * d2
            covariance[2, 3] += weight * d2 * d3
            covariance[3, 3] += weight * d3 * d3
        for a in range(4):
            for b in range(a):
                covariance[a, b] = covariance[b, a]
            moments[5] += covariance[a, a]
        widest = 0
        for a in range(1, 4):
            if covariance[a, a] > covariance[widest, widest]:
                widest = a
        # No entry of a covariance matrix is larger than its largest diagonal entry.
        shift = _bits(covariance[widest, widest]) - COVARIANCE_BITS
        if shift > 0:
            for a in range(4):
                for b in range(4):
                    covariance[a, b] >>= shift
        for a in range(4):
            axis[a] = 0
        axis[widest] = 1 << AXIS_BITS
        # Eight steps suffice: the axis only has to be good, not exact.
        for _step in range(8):
            d0 = 0
            d1 = 0
            d2 = 0
            d3 = 0
            for a in range(4):
                d0 += covariance[0, a] * axis[a]
                d1 += covariance[1, a] * axis[a]
                d2 += covariance[2, a] * axis[a]
                d3 += covariance[3, a] * axis[a]
            largest = _magnitude(d0)
            if _magnitude(d1) > largest:
                largest = _magnitude(d1)
            if _magnitude(d2) > largest:
                largest = _magnitude(d2)
            if _magnitude(d3) > largest:
                largest = _magnitude(d3)
            shift = _bits(largest) - AXIS_BITS
            if shift < 0:
                shift = 0
            axis[0] = d0 >> shift
            axis[1] = d1 >> shift
            axis[2] = d2 >> shift
            axis[3] = d3 >> shift


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _floor_mean(total: cython.longlong, weight: cython.longlong) -> cython.int:
    """Return total / weight, rounded down for negative totals too (C would round towards zero)."""
    quotient: cython.longlong
    if total < 0:
        quotient = -((weight - 1 - total) // weight)
    else:
        quotient = total // weight
    return quotient


def split_cluster(
    points: cython.const[cython.short][:, ::1],
    members: cython.int[::1],
    first: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    moments: cython.const[cython.longlong][::1],
    axis: cython.const[cython.longlong][::1],
) -> int:
    """Reorder members[first:end] into those before the mean along axis and those behind it.

    Returns where the second part begins. The comparison is exact, so that neither part is empty if the
    points differ along axis.
    """
    left: cython.Py_ssize_t = first
    right: cython.Py_ssize_t = end - 1
    m: cython.Py_ssize_t
    a: cython.int
    member: cython.int
    projection: cython.longlong
    mean: cython.longlong = 0
    with cython.nogil:
        for a in range(4):
            mean += axis[a] * moments[1 + a]
        while left <= right:
            m = members[left]
            projection = 0
            for a in range(4):
                projection += axis[a] * points[m, a]
            if projection * moments[0] <= mean:
                left += 1
            else:
                member = members[left]
                members[left] = members[right]
                members[right] = member
                right -= 1
    return left
