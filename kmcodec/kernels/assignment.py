# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Find for each point the nearest centroid, a group of near points at a time.

Points are four int16, squared distances fit 31 bits. Of centroids equally near, the one of the lowest
index is the nearest. Knows no state but its arguments; validates nothing.

Source: the triangle inequality as in C. Elkan, "Using the triangle inequality to accelerate k-means", ICML
2003, and candidates that all points of a box have in common as in T. Kanungo et al., "An efficient k-means
clustering algorithm", IEEE Trans. PAMI 24(7), 2002.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["assign", "list_neighbors", "measure_errors", "measure_radii", "sum_clusters"]

FARTHEST = cython.declare(cython.int, 0x7FFFFFFF)


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
def _root(square: cython.longlong) -> cython.longlong:
    """Return the square root of a square below 2**32, rounded up."""
    # Floating point only guesses; the two comparisons decide.
    guess: cython.double = square
    root: cython.longlong = cython.cast(cython.longlong, guess**0.5)
    if root * root < square:
        root += 1
    if root > 0 and (root - 1) * (root - 1) >= square:
        root -= 1
    return root


def list_neighbors(
    centroids: cython.const[cython.short][:, ::1],
    axis: cython.Py_ssize_t,
    order: cython.const[cython.int][::1],
    first: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    neighbors: cython.int[:, :, ::1],
) -> None:
    """List the nearest other centroids of those at places first..end of order, nearest first.

    order sorts centroids along axis, so that the search can go outwards from each. neighbors
    (K, at most K - 1, 3) receives of each the squared distance, the index, and the distance, rounded up.
    """
    n_centroids: cython.Py_ssize_t = order.shape[0]
    room: cython.Py_ssize_t = neighbors.shape[1]
    place: cython.Py_ssize_t
    left: cython.Py_ssize_t
    right: cython.Py_ssize_t
    a: cython.Py_ssize_t
    b: cython.Py_ssize_t
    n: cython.Py_ssize_t
    k: cython.Py_ssize_t
    middle: cython.int
    gap: cython.int
    left_gap: cython.int
    distance: cython.int
    farthest: cython.int
    with cython.nogil:
        for place in range(first, end):
            a = order[place]
            middle = centroids[a, axis]
            left = place - 1
            right = place + 1
            n = 0
            farthest = FARTHEST
            while left >= 0 or right < n_centroids:
                # Of the next ones on both sides, the one that is nearer along the axis.
                gap = 0x7FFF
                left_gap = 0x7FFF
                if right < n_centroids:
                    gap = centroids[order[right], axis] - middle
                if left >= 0:
                    left_gap = middle - centroids[order[left], axis]
                if left >= 0 and (left_gap <= gap or right == n_centroids):
                    gap = left_gap
                    b = order[left]
                    left -= 1
                else:
                    b = order[right]
                    right += 1
                if n == room and gap * gap >= farthest:
                    break
                distance = _distance(centroids, a, centroids, b)
                if n == room:
                    if distance >= farthest:
                        continue
                    n -= 1
                k = n
                while k > 0 and neighbors[a, k - 1, 0] > distance:
                    neighbors[a, k, 0] = neighbors[a, k - 1, 0]
                    neighbors[a, k, 1] = neighbors[a, k - 1, 1]
                    k -= 1
                neighbors[a, k, 0] = distance
                neighbors[a, k, 1] = b
                n += 1
                if n == room:
                    farthest = neighbors[a, n - 1, 0]
            for k in range(n):
                neighbors[a, k, 2] = _root(neighbors[a, k, 0])


def measure_radii(
    points: cython.const[cython.short][:, ::1],
    starts: cython.const[cython.int][::1],
    centers: cython.const[cython.short][:, ::1],
    radii: cython.int[::1],
) -> None:
    """Set radii to the distance from each group's centre to its farthest point, rounded up.

    Group g has the points from starts[g] to before starts[g + 1].
    """
    g: cython.Py_ssize_t
    i: cython.Py_ssize_t
    distance: cython.int
    farthest: cython.int
    with cython.nogil:
        for g in range(centers.shape[0]):
            farthest = 0
            for i in range(starts[g], starts[g + 1]):
                distance = _distance(points, i, centers, g)
                if distance > farthest:
                    farthest = distance
            radii[g] = _root(farthest)


def sum_clusters(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    labels: cython.const[cython.int][::1],
    totals: cython.longlong[:, ::1],
) -> None:
    """Add each point to the row of its label in totals: weight, weighted dimensions 0..3, squared length."""
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(points.shape[0]):
            _add(points, i, weights[i], totals, labels[i])


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _add(
    points: cython.const[cython.short][:, ::1],
    i: cython.Py_ssize_t,
    weight: cython.longlong,
    totals: cython.longlong[:, ::1],
    a: cython.Py_ssize_t,
) -> cython.int:
    x0: cython.longlong = points[i, 0]
    x1: cython.longlong = points[i, 1]
    x2: cython.longlong = points[i, 2]
    x3: cython.longlong = points[i, 3]
    totals[a, 0] += weight
    totals[a, 1] += weight * x0
    totals[a, 2] += weight * x1
    totals[a, 3] += weight * x2
    totals[a, 4] += weight * x3
    totals[a, 5] += weight * (x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3)
    return 0


def assign(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    starts: cython.const[cython.int][::1],
    centers: cython.const[cython.short][:, ::1],
    radii: cython.const[cython.int][::1],
    first: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    centroids: cython.const[cython.short][:, ::1],
    neighbors: cython.const[cython.int][:, :, ::1],
    labels: cython.int[::1],
    candidates: cython.int[::1],
    totals: cython.longlong[:, ::1],
) -> None:
    """Replace the labels of the points of groups first..end by those of their nearest centroids.

    starts and radii are those of measure_radii. Points that change their label are moved between the rows
    of totals (as sum_clusters leaves them). candidates (K) is scratch.
    """
    n_centroids: cython.Py_ssize_t = centroids.shape[0]
    room: cython.Py_ssize_t = neighbors.shape[1]
    limit: cython.longlong
    radius: cython.longlong
    g: cython.Py_ssize_t
    i: cython.Py_ssize_t
    a: cython.Py_ssize_t
    b: cython.Py_ssize_t
    k: cython.Py_ssize_t
    j: cython.Py_ssize_t
    block: cython.Py_ssize_t
    n_points: cython.Py_ssize_t
    lanes: cython.Py_ssize_t
    n_candidates: cython.Py_ssize_t
    nearest: cython.Py_ssize_t = 0
    candidate: cython.int
    mask: cython.int
    distance: cython.int
    least: cython.int
    c0: cython.short
    c1: cython.short
    c2: cython.short
    c3: cython.short
    d0: cython.short
    d1: cython.short
    d2: cython.short
    d3: cython.short
    complete: cython.bint = room == n_centroids - 1
    x0 = cython.declare(cython.short[64])
    x1 = cython.declare(cython.short[64])
    x2 = cython.declare(cython.short[64])
    x3 = cython.declare(cython.short[64])
    distances = cython.declare(cython.int[64])
    smallest = cython.declare(cython.int[64])
    found = cython.declare(cython.int[64])
    with cython.nogil:
        for g in range(first, end):
            # The centroid nearest to the centre: one at more than twice the distance from a is not nearer.
            a = labels[starts[g]]
            least = _distance(centers, g, centroids, a)
            if g > first:
                # The group before is mostly near, and so may be its centroid.
                distance = _distance(centers, g, centroids, nearest)
                if distance < least:
                    least = distance
                    a = nearest
            nearest = a
            limit = least
            limit *= 4
            k = 0
            while k < room and neighbors[a, k, 0] <= limit:
                b = neighbors[a, k, 1]
                distance = _distance(centers, g, centroids, b)
                if distance < least or (distance == least and b < nearest):
                    least = distance
                    nearest = b
                k += 1
            if k == room and not complete:
                for b in range(n_centroids):
                    distance = _distance(centers, g, centroids, b)
                    if distance < least or (distance == least and b < nearest):
                        least = distance
                        nearest = b
            a = nearest
            # Candidates: a, and centroids that may be as near to some point of the group. Such a point lies
            # beyond the plane between a and the candidate, which is (distance - least) / (2 * |a - b|) from
            # the centre.
            radius = radii[g]
            candidates[0] = a
            n_candidates = 1
            if radius > 0:
                limit = 2 * (_root(least) + radius)
                limit *= limit
                k = 0
                while k < room and neighbors[a, k, 0] <= limit:
                    b = neighbors[a, k, 1]
                    distance = _distance(centers, g, centroids, b)
                    if distance - least <= 2 * radius * neighbors[a, k, 2]:
                        # In the order of the indices, so that the first of equally near ones is found.
                        j = n_candidates
                        while j > 0 and candidates[j - 1] > b:
                            candidates[j] = candidates[j - 1]
                            j -= 1
                        candidates[j] = b
                        n_candidates += 1
                    k += 1
                if k == room and not complete:
                    # The list ended too soon: all that are not farther than a by the group's diameter.
                    limit = _root(least) + 2 * radius
                    limit *= limit
                    n_candidates = 0
                    for b in range(n_centroids):
                        if _distance(centers, g, centroids, b) <= limit:
                            candidates[n_candidates] = b
                            n_candidates += 1
            if n_candidates == 1:
                for i in range(starts[g], starts[g + 1]):
                    if labels[i] != a:
                        _add(points, i, -weights[i], totals, labels[i])
                        _add(points, i, weights[i], totals, a)
                        labels[i] = a
                continue
            # Points in blocks, by loops so simple that compilers make vector instructions of them; filled up
            # to a multiple of eight. No difference of coordinates exceeds 16 bits.
            block = starts[g]
            while block < starts[g + 1]:
                n_points = starts[g + 1] - block
                if n_points > 64:
                    n_points = 64
                lanes = (n_points + 7) & ~7
                for j in range(lanes):
                    i = block + j if j < n_points else block
                    x0[j] = points[i, 0]
                    x1[j] = points[i, 1]
                    x2[j] = points[i, 2]
                    x3[j] = points[i, 3]
                    smallest[j] = FARTHEST
                    found[j] = 0
                for k in range(n_candidates):
                    candidate = candidates[k]
                    c0 = centroids[candidate, 0]
                    c1 = centroids[candidate, 1]
                    c2 = centroids[candidate, 2]
                    c3 = centroids[candidate, 3]
                    for j in range(lanes):
                        d0 = x0[j] - c0
                        d1 = x1[j] - c1
                        d2 = x2[j] - c2
                        d3 = x3[j] - c3
                        distances[j] = d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3
                    for j in range(lanes):
                        # All bits set where the candidate is nearer.
                        mask = -(distances[j] < smallest[j])
                        found[j] = (candidate & mask) | (found[j] & ~mask)
                        smallest[j] = (distances[j] & mask) | (smallest[j] & ~mask)
                for j in range(n_points):
                    i = block + j
                    if labels[i] != found[j]:
                        _add(points, i, -weights[i], totals, labels[i])
                        _add(points, i, weights[i], totals, found[j])
                        labels[i] = found[j]
                block += 64


def measure_errors(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    centroids: cython.const[cython.short][:, ::1],
    labels: cython.const[cython.int][::1],
    errors: cython.longlong[::1],
) -> None:
    """Set errors to the weighted squared distance of each point to its centroid."""
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(points.shape[0]):
            errors[i] = weights[i] * _distance(points, i, centroids, labels[i])
