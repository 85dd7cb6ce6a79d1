# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Assign weighted points to their nearest centroids with a k-d tree over the points.

The filtering algorithm of Kanungo et al., "An efficient k-means clustering algorithm: analysis and
implementation", IEEE TPAMI 24(7), 2002: the centroids that can be nearest to a point in a box of the
tree are filtered on the way down, and a box with one centroid left is assigned as a whole, by its stored
moments. The result is exact, and the same as that of a full search: nearest by squared Euclidean
distance, ties to the lowest index.

Points and centroids are rows of four int16 (unused dimensions zero) of magnitude at most 16320, so that
a squared distance fits 32 bits and weighted sums over 2**30 pixels fit 64.

A tree is three arrays with one row a node, in preorder:
    boxes    least coordinate in dimensions 0..3, greatest in dimensions 0..3
    spans    first point, end of points, end of subtree (the next node outside it), depth
    moments  sum of weights, weighted sums of dimensions 0..3, weighted sum of squares
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["accumulate", "build_tree"]


def build_tree(
    points: cython.short[:, ::1],
    weights: cython.longlong[::1],
    order: cython.int[::1],
    leaf_points: cython.Py_ssize_t,
    boxes: cython.short[:, ::1],
    spans: cython.int[:, ::1],
    moments: cython.longlong[:, ::1],
    stack: cython.int[:, ::1],
) -> int:
    """Build the tree and return its number of nodes, or -1 if boxes has too few rows for it.

    Reorders points and weights, and order with them, so that each node's points are contiguous. A box
    is cut at the middle of its longest side, so that boxes stay compact and the depth is bounded by
    the bits of a coordinate (at most 60). stack is scratch of at least 64 rows: first, end, parent, depth.
    """
    n_nodes: cython.Py_ssize_t = 0
    room: cython.Py_ssize_t = boxes.shape[0]
    top: cython.Py_ssize_t = 0
    first: cython.Py_ssize_t
    end: cython.Py_ssize_t
    left: cython.Py_ssize_t
    right: cython.Py_ssize_t
    i: cython.Py_ssize_t
    node: cython.Py_ssize_t
    d: cython.int
    axis: cython.int
    cut: cython.int
    side: cython.int
    longest: cython.int
    depth: cython.int
    x: cython.int
    square: cython.longlong
    coordinate: cython.short
    weight: cython.longlong
    number: cython.int
    with cython.nogil:
        stack[0, 0] = 0
        stack[0, 1] = points.shape[0]
        stack[0, 2] = 0
        top = 1
        while top > 0:
            top -= 1
            first = stack[top, 0]
            end = stack[top, 1]
            depth = stack[top, 2]
            if n_nodes == room:
                n_nodes = -1
                break
            node = n_nodes
            n_nodes += 1
            spans[node, 0] = first
            spans[node, 1] = end
            spans[node, 3] = depth
            for d in range(4):
                boxes[node, d] = points[first, d]
                boxes[node, 4 + d] = points[first, d]
            for d in range(6):
                moments[node, d] = 0
            for i in range(first, end):
                weight = weights[i]
                square = 0
                for d in range(4):
                    x = points[i, d]
                    if x < boxes[node, d]:
                        boxes[node, d] = points[i, d]
                    if x > boxes[node, 4 + d]:
                        boxes[node, 4 + d] = points[i, d]
                    moments[node, 1 + d] += weight * x
                    square += x * x
                moments[node, 0] += weight
                moments[node, 5] += weight * square
            axis = 0
            longest = -1
            for d in range(4):
                side = boxes[node, 4 + d] - boxes[node, d]
                if side > longest:
                    longest = side
                    axis = d
            if end - first <= leaf_points or longest == 0:
                continue
            # Rounded down, so that the least stays left of the cut and the greatest right of it.
            cut = (boxes[node, axis] + boxes[node, 4 + axis]) >> 1
            left = first
            right = end - 1
            while left <= right:
                if points[left, axis] <= cut:
                    left += 1
                else:
                    for d in range(4):
                        coordinate = points[left, d]
                        points[left, d] = points[right, d]
                        points[right, d] = coordinate
                    weight = weights[left]
                    weights[left] = weights[right]
                    weights[right] = weight
                    number = order[left]
                    order[left] = order[right]
                    order[right] = number
                    right -= 1
            # The left half lies on top of the stack: preorder.
            stack[top, 0] = left
            stack[top, 1] = end
            stack[top, 2] = depth + 1
            stack[top + 1, 0] = first
            stack[top + 1, 1] = left
            stack[top + 1, 2] = depth + 1
            top += 2
        # In preorder, a subtree ends at the next node that is not deeper; from the back, each node
        # finds it by leaping over the subtrees of its children.
        for i in range(n_nodes):
            node = n_nodes - 1 - i
            end = node + 1
            while end < n_nodes and spans[end, 3] > spans[node, 3]:
                end = spans[end, 2]
            spans[node, 2] = end
    return n_nodes


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _squared_distance(
    centroids: cython.const[cython.short][:, ::1],
    z: cython.int,
    x0: cython.int,
    x1: cython.int,
    x2: cython.int,
    x3: cython.int,
) -> cython.int:
    return (
        (centroids[z, 0] - x0) * (centroids[z, 0] - x0)
        + (centroids[z, 1] - x1) * (centroids[z, 1] - x1)
        + (centroids[z, 2] - x2) * (centroids[z, 2] - x2)
        + (centroids[z, 3] - x3) * (centroids[z, 3] - x3)
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _dominated(
    boxes: cython.const[cython.short][:, ::1],
    node: cython.Py_ssize_t,
    centroids: cython.const[cython.short][:, ::1],
    candidate: cython.int,
    rival: cython.int,
) -> cython.bint:
    """Return whether every point of the box is nearer to rival than to candidate."""
    # It is enough to ask the corner of the box that lies farthest in candidate's direction.
    d: cython.int
    corner: cython.int
    to_candidate: cython.int
    to_rival: cython.int
    difference: cython.int = 0
    for d in range(4):
        if centroids[candidate, d] > centroids[rival, d]:
            corner = boxes[node, 4 + d]
        else:
            corner = boxes[node, d]
        to_candidate = centroids[candidate, d] - corner
        to_rival = centroids[rival, d] - corner
        difference += to_candidate * to_candidate - to_rival * to_rival
    return difference > 0


def accumulate(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    boxes: cython.const[cython.short][:, ::1],
    spans: cython.const[cython.int][:, ::1],
    moments: cython.const[cython.longlong][:, ::1],
    roots: cython.const[cython.int][::1],
    centroids: cython.const[cython.short][:, ::1],
    candidates: cython.int[:, ::1],
    remaining: cython.int[::1],
    totals: cython.longlong[:, ::1],
    labels: cython.int[::1],
) -> int:
    """Assign the points below the nodes in roots; add to totals; return the inertia.

    totals has a row a centroid: sum of weights, weighted sums of dimensions 0..3. labels, unless it is
    empty, receives the nearest centroid of each point. candidates (a row of len(centroids) for each level
    of the tree and one more) and remaining (an entry for each such row) are scratch.
    """
    n_centroids: cython.Py_ssize_t = centroids.shape[0]
    write_labels: cython.bint = labels.shape[0] > 0
    inertia: cython.longlong = 0
    r: cython.Py_ssize_t
    node: cython.Py_ssize_t
    end: cython.Py_ssize_t
    above: cython.Py_ssize_t
    level: cython.Py_ssize_t
    i: cython.Py_ssize_t
    c: cython.Py_ssize_t
    kept: cython.Py_ssize_t
    base: cython.int
    d: cython.int
    z: cython.int
    nearest: cython.int
    distance: cython.int
    least: cython.int
    weight: cython.longlong
    coordinate: cython.longlong
    m0: cython.int
    m1: cython.int
    m2: cython.int
    m3: cython.int
    with cython.nogil:
        for c in range(n_centroids):
            candidates[0, c] = c
        remaining[0] = n_centroids
        for r in range(roots.shape[0]):
            node = roots[r]
            end = spans[node, 2]
            base = spans[node, 3]
            while node < end:
                above = spans[node, 3] - base
                level = above + 1
                # The centroid nearest to the middle of the box dominates most of the others.
                m0 = (boxes[node, 0] + boxes[node, 4]) >> 1
                m1 = (boxes[node, 1] + boxes[node, 5]) >> 1
                m2 = (boxes[node, 2] + boxes[node, 6]) >> 1
                m3 = (boxes[node, 3] + boxes[node, 7]) >> 1
                nearest = 0
                least = 0x7FFFFFFF
                for c in range(remaining[above]):
                    z = candidates[above, c]
                    distance = _squared_distance(centroids, z, m0, m1, m2, m3)
                    if distance < least:
                        least = distance
                        nearest = z
                kept = 0
                for c in range(remaining[above]):
                    z = candidates[above, c]
                    if not _dominated(boxes, node, centroids, z, nearest):
                        candidates[level, kept] = z
                        kept += 1
                remaining[level] = kept
                if kept == 1:
                    weight = moments[node, 0]
                    totals[nearest, 0] += weight
                    inertia += moments[node, 5]
                    for d in range(4):
                        coordinate = centroids[nearest, d]
                        totals[nearest, 1 + d] += moments[node, 1 + d]
                        inertia += (weight * coordinate - 2 * moments[node, 1 + d]) * coordinate
                    if write_labels:
                        for i in range(spans[node, 0], spans[node, 1]):
                            labels[i] = nearest
                    node = spans[node, 2]
                elif spans[node, 2] == node + 1:
                    for i in range(spans[node, 0], spans[node, 1]):
                        m0 = points[i, 0]
                        m1 = points[i, 1]
                        m2 = points[i, 2]
                        m3 = points[i, 3]
                        least = 0x7FFFFFFF
                        for c in range(kept):
                            z = candidates[level, c]
                            distance = _squared_distance(centroids, z, m0, m1, m2, m3)
                            if distance < least:
                                least = distance
                                nearest = z
                        weight = weights[i]
                        totals[nearest, 0] += weight
                        totals[nearest, 1] += weight * m0
                        totals[nearest, 2] += weight * m1
                        totals[nearest, 3] += weight * m2
                        totals[nearest, 4] += weight * m3
                        inertia += weight * least
                        if write_labels:
                            labels[i] = nearest
                    node += 1
                else:
                    node += 1
    return inertia
