# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keep clusters of weighted points, and improve them: Lloyd steps, splits, and swaps of centroids.

Owns the working state of the search, which lies in arrays of the caller's:

    members   (n, 4) int32   of each point: label, squared distance to its centroid, and the next and the
                             previous member of its cluster (-1: none)
    clusters  (K, 13) int64  of each cluster: the columns below
    centroids (K, 4) int16
    halves    (K, 8) int16   where the two centroids would lie, were the cluster split

Points are four int16, squared distances fit 31 bits, and weights sum to less than 2**32. The first
n_fixed centroids never move. Knows nothing of colours; validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["build_clusters", "move_centroids", "reassign", "split_clusters", "swap_centroids"]

# Columns of members.
LABEL = cython.declare(cython.int, 0)
DISTANCE = cython.declare(cython.int, 1)
NEXT = cython.declare(cython.int, 2)
PREVIOUS = cython.declare(cython.int, 3)

# Columns of clusters: sum of weights; weighted sums of the points' dimensions and of their squared lengths;
# weighted sum of squared distances to the centroid; what a split is expected to save and a removal to
# cost (estimates); failed swaps; first member; a bound on members' squared distances; three flags.
WEIGHT = cython.declare(cython.int, 0)
SUM = cython.declare(cython.int, 1)
SQUARES = cython.declare(cython.int, 5)
INERTIA = cython.declare(cython.int, 6)
GAIN = cython.declare(cython.int, 7)
COST = cython.declare(cython.int, 8)
MISSES = cython.declare(cython.int, 9)
HEAD = cython.declare(cython.int, 10)
RADIUS = cython.declare(cython.int, 11)
FLAGS = cython.declare(cython.int, 12)
COLUMNS = cython.declare(cython.int, 13)

# The centroid has moved since the last reassignment; members have come or gone; estimates are out of date.
MOVED = cython.declare(cython.longlong, 1)
CHANGED = cython.declare(cython.longlong, 2)
STALE = cython.declare(cython.longlong, 4)

# Components of a principal axis have at most 12 bits, so that weight * (axis . point) fits 64.
AXIS_BITS = cython.declare(cython.int, 12)
COVARIANCE_BITS = cython.declare(cython.int, 40)

FARTHEST = cython.declare(cython.int, 0x7FFFFFFF)
# More than any cost, and small enough to add half of it.
DEAREST = cython.declare(cython.longlong, 0x2AAAAAAAAAAAAAAA)
LARGE_WEIGHT = cython.declare(cython.longlong, 0x20000000)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _distance(
    points: cython.const[cython.short][:, ::1],
    i: cython.Py_ssize_t,
    centroids: cython.const[cython.short][:, ::1],
    a: cython.Py_ssize_t,
) -> cython.int:
    d0: cython.int = points[i, 0] - centroids[a, 0]
    d1: cython.int = points[i, 1] - centroids[a, 1]
    d2: cython.int = points[i, 2] - centroids[a, 2]
    d3: cython.int = points[i, 3] - centroids[a, 3]
    return d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _divide_rounded(total: cython.longlong, weight: cython.longlong) -> cython.longlong:
    """Return total / weight, rounded to nearest, ties up (C would round negatives towards zero)."""
    double_total: cython.longlong = 2 * total + weight
    double_weight: cython.longlong = 2 * weight
    quotient: cython.longlong
    if double_total < 0:
        quotient = -((double_weight - 1 - double_total) // double_weight)
    else:
        quotient = double_total // double_weight
    return quotient


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _joining_cost(w1: cython.longlong, w2: cython.longlong, distance: cython.longlong) -> cython.longlong:
    """Return what joining clusters of these weights adds to the inertia, their means so far apart (squared).

    That is w1 * w2 / (w1 + w2) * distance, with four bits of the fraction.
    """
    cost: cython.longlong
    if w1 + w2 >= LARGE_WEIGHT:
        cost = ((w1 >> 4) * (w2 >> 4) // (((w1 + w2) >> 4) + 1) << 4) * distance
    elif w1 + w2 > 0:
        cost = ((w1 * w2 << 4) // (w1 + w2)) * distance >> 4
    else:
        cost = 0
    return cost


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unlink(
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    i: cython.Py_ssize_t,
    a: cython.Py_ssize_t,
) -> cython.int:
    following: cython.int = members[i, NEXT]
    before: cython.int = members[i, PREVIOUS]
    if before >= 0:
        members[before, NEXT] = following
    else:
        clusters[a, HEAD] = following
    if following >= 0:
        members[following, PREVIOUS] = before
    return following


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _link(
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    i: cython.Py_ssize_t,
    a: cython.Py_ssize_t,
) -> cython.int:
    following: cython.int = clusters[a, HEAD]
    members[i, LABEL] = a
    members[i, NEXT] = following
    members[i, PREVIOUS] = -1
    if following >= 0:
        members[following, PREVIOUS] = i
    clusters[a, HEAD] = i
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _add(
    points: cython.const[cython.short][:, ::1],
    clusters: cython.longlong[:, ::1],
    i: cython.Py_ssize_t,
    a: cython.Py_ssize_t,
    weight: cython.longlong,
) -> cython.int:
    """Add a point to the sums of a cluster, or, with its weight negative, take it away."""
    x0: cython.longlong = points[i, 0]
    x1: cython.longlong = points[i, 1]
    x2: cython.longlong = points[i, 2]
    x3: cython.longlong = points[i, 3]
    clusters[a, WEIGHT] += weight
    clusters[a, SUM] += weight * x0
    clusters[a, SUM + 1] += weight * x1
    clusters[a, SUM + 2] += weight * x2
    clusters[a, SUM + 3] += weight * x3
    clusters[a, SQUARES] += weight * (x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3)
    clusters[a, FLAGS] |= CHANGED
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _move(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    i: cython.Py_ssize_t,
    a: cython.Py_ssize_t,
    b: cython.Py_ssize_t,
) -> cython.int:
    """Move point i from cluster a to b; return the member of a that came after it."""
    following: cython.int = _unlink(members, clusters, i, a)
    _add(points, clusters, i, a, -weights[i])
    _link(members, clusters, i, b)
    _add(points, clusters, i, b, weights[i])
    return following


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _update(
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    a: cython.Py_ssize_t,
    n_fixed: cython.Py_ssize_t,
) -> cython.int:
    """Move a centroid to the mean of its cluster, and take the cluster's inertia anew."""
    weight: cython.longlong = clusters[a, WEIGHT]
    inertia: cython.longlong = clusters[a, SQUARES]
    coordinate: cython.longlong
    d: cython.int
    for d in range(4):
        coordinate = centroids[a, d]
        if a >= n_fixed and weight > 0:
            coordinate = _divide_rounded(clusters[a, SUM + d], weight)
            if coordinate != centroids[a, d]:
                centroids[a, d] = coordinate
                clusters[a, FLAGS] |= MOVED
        inertia += (weight * coordinate - 2 * clusters[a, SUM + d]) * coordinate
    clusters[a, INERTIA] = inertia
    clusters[a, FLAGS] |= STALE
    clusters[a, FLAGS] &= ~CHANGED
    return 0


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


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _plan_split(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    halves: cython.short[:, ::1],
    a: cython.Py_ssize_t,
    n_fixed: cython.Py_ssize_t,
) -> cython.int:
    """Set halves to the means of the members on both sides of the mean, and GAIN to what a split saves.

    The sides are taken along the principal axis, found by power iteration on the covariance matrix from
    the dimension of greatest variance: no step lowers the variance along the axis.
    """
    weight: cython.longlong = clusters[a, WEIGHT]
    half_weight: cython.longlong = 0
    w: cython.longlong
    i: cython.int
    d: cython.int
    _step: cython.int
    shift: cython.int
    mean0: cython.longlong
    mean1: cython.longlong
    mean2: cython.longlong
    mean3: cython.longlong
    e0: cython.longlong
    e1: cython.longlong
    e2: cython.longlong
    e3: cython.longlong
    c00: cython.longlong = 0
    c01: cython.longlong = 0
    c02: cython.longlong = 0
    c03: cython.longlong = 0
    c11: cython.longlong = 0
    c12: cython.longlong = 0
    c13: cython.longlong = 0
    c22: cython.longlong = 0
    c23: cython.longlong = 0
    c33: cython.longlong = 0
    a0: cython.longlong = 0
    a1: cython.longlong = 0
    a2: cython.longlong = 0
    a3: cython.longlong = 0
    largest: cython.longlong
    threshold: cython.longlong
    s0: cython.longlong = 0
    s1: cython.longlong = 0
    s2: cython.longlong = 0
    s3: cython.longlong = 0
    away: cython.longlong
    clusters[a, GAIN] = 0
    if weight == 0:
        return 0
    mean0 = _divide_rounded(clusters[a, SUM], weight)
    mean1 = _divide_rounded(clusters[a, SUM + 1], weight)
    mean2 = _divide_rounded(clusters[a, SUM + 2], weight)
    mean3 = _divide_rounded(clusters[a, SUM + 3], weight)
    i = clusters[a, HEAD]
    while i >= 0:
        w = weights[i]
        e0 = points[i, 0] - mean0
        e1 = points[i, 1] - mean1
        e2 = points[i, 2] - mean2
        e3 = points[i, 3] - mean3
        c00 += w * e0 * e0
        c01 += w * e0 * e1
        c02 += w * e0 * e2
        c03 += w * e0 * e3
        c11 += w * e1 * e1
        c12 += w * e1 * e2
        c13 += w * e1 * e3
        c22 += w * e2 * e2
        c23 += w * e2 * e3
        c33 += w * e3 * e3
        i = members[i, NEXT]
    # No entry of a covariance matrix is larger than its largest diagonal entry.
    largest = c00
    if c11 > largest:
        largest = c11
    if c22 > largest:
        largest = c22
    if c33 > largest:
        largest = c33
    if a < n_fixed:
        # A fixed centroid may lie far from its members; a second one at their mean helps most then.
        away = clusters[a, INERTIA] - (c00 + c11 + c22 + c33)
        if away > largest:
            for d in range(4):
                halves[a, d] = centroids[a, d]
            halves[a, 4] = mean0
            halves[a, 5] = mean1
            halves[a, 6] = mean2
            halves[a, 7] = mean3
            clusters[a, GAIN] = away
            return 0
    if largest == 0:
        return 0
    if c00 == largest:
        a0 = 1 << AXIS_BITS
    elif c11 == largest:
        a1 = 1 << AXIS_BITS
    elif c22 == largest:
        a2 = 1 << AXIS_BITS
    else:
        a3 = 1 << AXIS_BITS
    shift = _bits(largest) - COVARIANCE_BITS
    if shift > 0:
        c00 >>= shift
        c01 >>= shift
        c02 >>= shift
        c03 >>= shift
        c11 >>= shift
        c12 >>= shift
        c13 >>= shift
        c22 >>= shift
        c23 >>= shift
        c33 >>= shift
    # A few steps suffice: the axis only has to be good, not exact.
    for _step in range(6):
        e0 = c00 * a0 + c01 * a1 + c02 * a2 + c03 * a3
        e1 = c01 * a0 + c11 * a1 + c12 * a2 + c13 * a3
        e2 = c02 * a0 + c12 * a1 + c22 * a2 + c23 * a3
        e3 = c03 * a0 + c13 * a1 + c23 * a2 + c33 * a3
        shift = _bits(_magnitude(e0) | _magnitude(e1) | _magnitude(e2) | _magnitude(e3)) - AXIS_BITS
        if shift < 0:
            shift = 0
        a0 = e0 >> shift
        a1 = e1 >> shift
        a2 = e2 >> shift
        a3 = e3 >> shift
    # Compared with the exact mean, so that neither side is empty.
    threshold = (
        a0 * clusters[a, SUM]
        + a1 * clusters[a, SUM + 1]
        + a2 * clusters[a, SUM + 2]
        + a3 * clusters[a, SUM + 3]
    )
    i = clusters[a, HEAD]
    while i >= 0:
        e0 = a0 * points[i, 0] + a1 * points[i, 1] + a2 * points[i, 2] + a3 * points[i, 3]
        if e0 * weight <= threshold:
            w = weights[i]
            half_weight += w
            s0 += w * points[i, 0]
            s1 += w * points[i, 1]
            s2 += w * points[i, 2]
            s3 += w * points[i, 3]
        i = members[i, NEXT]
    if half_weight == 0 or half_weight == weight:
        return 0
    w = weight - half_weight
    halves[a, 0] = _divide_rounded(s0, half_weight)
    halves[a, 1] = _divide_rounded(s1, half_weight)
    halves[a, 2] = _divide_rounded(s2, half_weight)
    halves[a, 3] = _divide_rounded(s3, half_weight)
    halves[a, 4] = _divide_rounded(clusters[a, SUM] - s0, w)
    halves[a, 5] = _divide_rounded(clusters[a, SUM + 1] - s1, w)
    halves[a, 6] = _divide_rounded(clusters[a, SUM + 2] - s2, w)
    halves[a, 7] = _divide_rounded(clusters[a, SUM + 3] - s3, w)
    e0 = halves[a, 4] - halves[a, 0]
    e1 = halves[a, 5] - halves[a, 1]
    e2 = halves[a, 6] - halves[a, 2]
    e3 = halves[a, 7] - halves[a, 3]
    clusters[a, GAIN] = _joining_cost(half_weight, w, e0 * e0 + e1 * e1 + e2 * e2 + e3 * e3)
    if a < n_fixed:
        # One of the two stays where it is: the one nearer to its half.
        e0 = 0
        e1 = 0
        for d in range(4):
            away = halves[a, d] - centroids[a, d]
            e0 += away * away
            away = halves[a, 4 + d] - centroids[a, d]
            e1 += away * away
        for d in range(4):
            if e0 > e1:
                halves[a, 4 + d] = halves[a, d]
            halves[a, d] = centroids[a, d]
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _split(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    halves: cython.short[:, ::1],
    a: cython.Py_ssize_t,
    b: cython.Py_ssize_t,
) -> cython.int:
    """Give the members of a that are nearer to its second half to b, which is empty."""
    i: cython.int = clusters[a, HEAD]
    d: cython.int
    difference: cython.int
    nearer: cython.longlong
    for d in range(4):
        centroids[b, d] = halves[a, 4 + d]
    while i >= 0:
        nearer = 0
        for d in range(4):
            difference = points[i, d] - halves[a, d]
            nearer -= difference * difference
            difference = points[i, d] - halves[a, 4 + d]
            nearer += difference * difference
        if nearer < 0:
            i = _move(points, weights, members, clusters, i, a, b)
        else:
            i = members[i, NEXT]
    return 0


def build_clusters(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
) -> None:
    """Set up clusters, all zero before, for the labels in members and for centroids."""
    n_clusters: cython.Py_ssize_t = clusters.shape[0]
    n_points: cython.Py_ssize_t = points.shape[0]
    i: cython.Py_ssize_t
    a: cython.Py_ssize_t
    with cython.nogil:
        for a in range(n_clusters):
            clusters[a, HEAD] = -1
        # From the back, so that the lists run forwards in memory.
        for i in range(n_points - 1, -1, -1):
            a = members[i, LABEL]
            _link(members, clusters, i, a)
            _add(points, clusters, i, a, weights[i])
        for a in range(n_clusters):
            # As if fixed: the inertia of the centroids as they are.
            _update(clusters, centroids, a, n_clusters)
            clusters[a, FLAGS] = MOVED | STALE


def move_centroids(
    clusters: cython.longlong[:, ::1], centroids: cython.short[:, ::1], n_fixed: cython.Py_ssize_t
) -> int:
    """Move each centroid to the mean of its cluster; return the inertia."""
    inertia: cython.longlong = 0
    a: cython.Py_ssize_t
    with cython.nogil:
        for a in range(clusters.shape[0]):
            _update(clusters, centroids, a, n_fixed)
            inertia += clusters[a, INERTIA]
    return inertia


def split_clusters(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    halves: cython.short[:, ::1],
    known: cython.Py_ssize_t,
    n_fixed: cython.Py_ssize_t,
) -> int:
    """Split, after the first `known` clusters, the one that gains most, until there are as many as asked.

    Returns how many clusters there are then: fewer than clusters has rows if no split gains anything.
    """
    a: cython.Py_ssize_t
    best: cython.Py_ssize_t
    with cython.nogil:
        for a in range(known):
            _update(clusters, centroids, a, n_fixed)
            _plan_split(points, weights, members, clusters, centroids, halves, a, n_fixed)
        while known < clusters.shape[0]:
            best = 0
            for a in range(known):
                if clusters[a, GAIN] > clusters[best, GAIN]:
                    best = a
            if clusters[best, GAIN] == 0:
                break
            clusters[known, HEAD] = -1
            _split(points, weights, members, clusters, centroids, halves, best, known)
            _update(clusters, centroids, best, n_fixed)
            _update(clusters, centroids, known, n_fixed)
            _plan_split(points, weights, members, clusters, centroids, halves, best, n_fixed)
            _plan_split(points, weights, members, clusters, centroids, halves, known, n_fixed)
            if clusters[known, WEIGHT] == 0:
                # Only rounding made this split look useful.
                clusters[best, GAIN] = 0
            known += 1
        for a in range(known):
            clusters[a, FLAGS] = MOVED | STALE
    return known


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _reassign(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    rivals: cython.int[:, ::1],
    moves: cython.int[:, ::1],
    n_fixed: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Do one Lloyd step; return how many points changed their cluster."""
    n_clusters: cython.Py_ssize_t = clusters.shape[0]
    n_moved: cython.Py_ssize_t = 0
    n_moves: cython.Py_ssize_t = 0
    n_rivals: cython.Py_ssize_t
    n_tried: cython.Py_ssize_t
    a: cython.Py_ssize_t
    b: cython.Py_ssize_t
    j: cython.Py_ssize_t
    k: cython.Py_ssize_t
    i: cython.int
    distance: cython.int
    own: cython.int
    least: cython.int
    nearest: cython.int
    radius: cython.int
    limit: cython.longlong
    # Column 2 of rivals lists the centroids that have moved.
    for a in range(n_clusters):
        if clusters[a, FLAGS] & MOVED:
            rivals[n_moved, 2] = a
            n_moved += 1
    if n_moved == 0:
        return 0
    for a in range(n_clusters):
        if clusters[a, HEAD] < 0:
            continue
        n_tried = n_moved
        if clusters[a, FLAGS] & MOVED:
            n_tried = n_clusters
            radius = 0
            i = clusters[a, HEAD]
            while i >= 0:
                distance = _distance(points, i, centroids, a)
                members[i, DISTANCE] = distance
                if distance > radius:
                    radius = distance
                i = members[i, NEXT]
            clusters[a, RADIUS] = radius
        # By the triangle inequality, a centroid at twice a member's distance or more is not nearer to it.
        # Where the own centroid stands still, those that do so too were compared before.
        limit = 4 * clusters[a, RADIUS]
        n_rivals = 0
        for j in range(n_tried):
            b = j if n_tried == n_clusters else rivals[j, 2]
            distance = _distance(centroids, b, centroids, a)
            if distance < limit and b != a:
                k = n_rivals
                while k > 0 and rivals[k - 1, 0] > distance:
                    rivals[k, 0] = rivals[k - 1, 0]
                    rivals[k, 1] = rivals[k - 1, 1]
                    k -= 1
                rivals[k, 0] = distance
                rivals[k, 1] = b
                n_rivals += 1
        if n_rivals == 0:
            continue
        radius = 0
        i = clusters[a, HEAD]
        while i >= 0:
            own = members[i, DISTANCE]
            least = own
            nearest = a
            limit = own
            limit *= 4
            for k in range(n_rivals):
                if rivals[k, 0] >= limit:
                    break
                distance = _distance(points, i, centroids, rivals[k, 1])
                if distance < least:
                    least = distance
                    nearest = rivals[k, 1]
            if nearest != a:
                moves[n_moves, 0] = i
                moves[n_moves, 1] = nearest
                n_moves += 1
                members[i, DISTANCE] = least
            elif own > radius:
                radius = own
            i = members[i, NEXT]
        clusters[a, RADIUS] = radius
    for a in range(n_clusters):
        clusters[a, FLAGS] &= ~MOVED
    for j in range(n_moves):
        i = moves[j, 0]
        b = moves[j, 1]
        _move(points, weights, members, clusters, i, members[i, LABEL], b)
        if members[i, DISTANCE] > clusters[b, RADIUS]:
            clusters[b, RADIUS] = members[i, DISTANCE]
    for a in range(n_clusters):
        if clusters[a, FLAGS] & CHANGED:
            _update(clusters, centroids, a, n_fixed)
    return n_moves


def reassign(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    rivals: cython.int[:, ::1],
    moves: cython.int[:, ::1],
    n_fixed: cython.Py_ssize_t,
) -> int:
    """Assign each point to its nearest centroid, then move centroids to the means of changed clusters.

    Returns how many points have changed their cluster. rivals (K, 3) and moves (n, 2) are scratch.
    """
    n_moves: cython.Py_ssize_t
    with cython.nogil:
        n_moves = _reassign(points, weights, members, clusters, centroids, rivals, moves, n_fixed)
    return n_moves


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _estimate_cost(
    clusters: cython.longlong[:, ::1], centroids: cython.short[:, ::1], a: cython.Py_ssize_t
) -> cython.int:
    """Set COST to the least that joining cluster a to another would add to the inertia."""
    weight: cython.longlong = clusters[a, WEIGHT]
    least: cython.longlong = DEAREST
    bound: cython.longlong
    distance: cython.longlong
    b: cython.Py_ssize_t
    for b in range(clusters.shape[0]):
        if b == a:
            continue
        distance = _distance(centroids, b, centroids, a)
        bound = clusters[b, WEIGHT]
        if weight < bound:
            bound = weight
        # Half the smaller weight is less than the exact factor, which takes a division.
        if (bound >> 1) * distance < least:
            bound = _joining_cost(weight, clusters[b, WEIGHT], distance)
            if bound < least:
                least = bound
    clusters[a, COST] = least
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _remove(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    a: cython.Py_ssize_t,
) -> cython.int:
    """Give each member of a to the nearest other cluster."""
    i: cython.int = clusters[a, HEAD]
    b: cython.Py_ssize_t
    nearest: cython.Py_ssize_t
    distance: cython.int
    least: cython.int
    while i >= 0:
        least = FARTHEST
        nearest = 0
        for b in range(clusters.shape[0]):
            distance = _distance(points, i, centroids, b)
            if distance < least and b != a:
                least = distance
                nearest = b
        i = _move(points, weights, members, clusters, i, a, nearest)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _copy(
    from_members: cython.int[:, ::1],
    from_clusters: cython.longlong[:, ::1],
    from_centroids: cython.short[:, ::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
) -> cython.int:
    i: cython.Py_ssize_t
    j: cython.Py_ssize_t
    for i in range(members.shape[0]):
        for j in range(4):
            members[i, j] = from_members[i, j]
    for i in range(clusters.shape[0]):
        for j in range(COLUMNS):
            clusters[i, j] = from_clusters[i, j]
        for j in range(4):
            centroids[i, j] = from_centroids[i, j]
    return 0


def swap_centroids(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    members: cython.int[:, ::1],
    clusters: cython.longlong[:, ::1],
    centroids: cython.short[:, ::1],
    halves: cython.short[:, ::1],
    kept_members: cython.int[:, ::1],
    kept_clusters: cython.longlong[:, ::1],
    kept_centroids: cython.short[:, ::1],
    rivals: cython.int[:, ::1],
    moves: cython.int[:, ::1],
    n_fixed: cython.Py_ssize_t,
    n_swaps: cython.Py_ssize_t,
    patience: cython.Py_ssize_t,
    max_steps: cython.Py_ssize_t,
    failures: cython.Py_ssize_t,
) -> int:
    """Try n_swaps times to take a centroid from where it is missed least to where it helps most.

    After each, up to max_steps Lloyd steps; then the swap stays if the inertia has fallen, else all is as
    before. Stops after `patience` failures in a row, of which `failures` came before this call; returns
    how many there are now. kept_... are scratch of the shapes of the state.
    """
    n_clusters: cython.Py_ssize_t = clusters.shape[0]
    inertia: cython.longlong = 0
    after: cython.longlong
    before: cython.longlong
    value: cython.longlong
    best: cython.longlong
    a: cython.Py_ssize_t
    split: cython.Py_ssize_t
    removed: cython.Py_ssize_t
    last_split: cython.Py_ssize_t = -1
    last_removed: cython.Py_ssize_t = -1
    _swap: cython.Py_ssize_t
    step: cython.Py_ssize_t
    _miss: cython.longlong
    n_empty: cython.Py_ssize_t
    d: cython.int
    with cython.nogil:
        for a in range(n_clusters):
            inertia += clusters[a, INERTIA]
        for _swap in range(n_swaps):
            if failures >= patience:
                break
            split = -1
            removed = -1
            best = 0
            for a in range(n_clusters):
                if clusters[a, FLAGS] & STALE:
                    _plan_split(points, weights, members, clusters, centroids, halves, a, n_fixed)
                    _estimate_cost(clusters, centroids, a)
                    clusters[a, FLAGS] &= ~STALE
                value = clusters[a, GAIN]
                for _miss in range(clusters[a, MISSES]):
                    value -= value >> 2
                if value > best:
                    best = value
                    split = a
            best = DEAREST
            for a in range(n_fixed, n_clusters):
                value = clusters[a, COST]
                for _miss in range(clusters[a, MISSES]):
                    if value < DEAREST:
                        value += value >> 1
                # What has just failed would fail again.
                if value < best and a != split and not (a == last_removed and split == last_split):
                    best = value
                    removed = a
            if split < 0 or removed < 0:
                failures = patience
                break
            _copy(members, clusters, centroids, kept_members, kept_clusters, kept_centroids)
            _remove(points, weights, members, clusters, centroids, removed)
            _split(points, weights, members, clusters, centroids, halves, split, removed)
            for a in range(n_clusters):
                if clusters[a, FLAGS] & CHANGED:
                    clusters[a, FLAGS] |= MOVED
                    _update(clusters, centroids, a, n_fixed)
            before = 0
            for step in range(max_steps):
                if _reassign(points, weights, members, clusters, centroids, rivals, moves, n_fixed) == 0:
                    break
                after = 0
                for a in range(n_clusters):
                    after += clusters[a, INERTIA]
                # Steps that gain little are left to the end of the search.
                if step > 0 and before - after < after >> 10:
                    break
                before = after
            after = 0
            n_empty = 0
            for a in range(n_clusters):
                after += clusters[a, INERTIA]
                if clusters[a, WEIGHT] == 0:
                    n_empty += 1
                if kept_clusters[a, WEIGHT] == 0:
                    n_empty -= 1
            if after < inertia and n_empty <= 0:
                inertia = after
                failures = 0
                last_split = -1
                for a in range(n_clusters):
                    for d in range(4):
                        if centroids[a, d] != kept_centroids[a, d]:
                            clusters[a, MISSES] = 0
            else:
                _copy(kept_members, kept_clusters, kept_centroids, members, clusters, centroids)
                clusters[split, MISSES] += 1
                clusters[removed, MISSES] += 1
                last_split = split
                last_removed = removed
                failures += 1
    return failures
