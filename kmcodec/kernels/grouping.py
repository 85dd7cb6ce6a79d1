# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Cut sorted colours into runs of near ones, fine where many pixels lie and coarse elsewhere.

Colours are sorted by Morton code, so that all colours with the same leading bits, which fill a box of
colour space, are a run. Points are as in clusters. Validates nothing.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from kmcodec.kernels import plain as cython

COMPILED = cython.compiled
__all__ = ["cut_runs"]

# Moments (sum of weights, weighted sums of dimensions 0..3 and of squared lengths) are kept for every
# 16th place in the order, so that those of any run take at most 30 additions.
STEP_BITS = cython.declare(cython.int, 4)
# Four classes of inertia for each power of two.
CLASSES = cython.declare(cython.int, 256)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _add_points(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    first: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    moments: cython.longlong[:, ::1],
    row: cython.Py_ssize_t,
    sign: cython.longlong,
) -> cython.int:
    i: cython.Py_ssize_t
    weight: cython.longlong
    x0: cython.longlong
    x1: cython.longlong
    x2: cython.longlong
    x3: cython.longlong
    for i in range(first, end):
        weight = sign * weights[i]
        x0 = points[i, 0]
        x1 = points[i, 1]
        x2 = points[i, 2]
        x3 = points[i, 3]
        moments[row, 0] += weight
        moments[row, 1] += weight * x0
        moments[row, 2] += weight * x1
        moments[row, 3] += weight * x2
        moments[row, 4] += weight * x3
        moments[row, 5] += weight * (x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3)
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _measure(
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    sums: cython.const[cython.longlong][:, ::1],
    first: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    moments: cython.longlong[:, ::1],
    row: cython.Py_ssize_t,
) -> cython.int:
    """Set a row of moments to those of points first..end."""
    d: cython.int
    for d in range(6):
        moments[row, d] = sums[end >> STEP_BITS, d] - sums[first >> STEP_BITS, d]
    _add_points(points, weights, (first >> STEP_BITS) << STEP_BITS, first, moments, row, -1)
    _add_points(points, weights, (end >> STEP_BITS) << STEP_BITS, end, moments, row, 1)
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _classify(moments: cython.longlong[:, ::1], row: cython.Py_ssize_t) -> cython.int:
    """Return the class of a run's inertia: the higher, the more."""
    weight: cython.longlong = moments[row, 0]
    inertia: cython.longlong = moments[row, 5]
    total: cython.longlong
    mean: cython.longlong
    bits: cython.int = 0
    d: cython.int
    for d in range(1, 5):
        # Rounded down, for negatives too: what that adds is less than a step of the coordinates.
        total = moments[row, d]
        mean = total // weight if total >= 0 else -((weight - 1 - total) // weight)
        inertia += (weight * mean - 2 * moments[row, d]) * mean
    if inertia < weight:
        return 0
    inertia <<= 2
    while inertia > 7:
        inertia >>= 1
        bits += 1
    # Now 4..7.
    return 4 * bits + (inertia & 3)


def cut_runs(
    codes: cython.const[cython.uint][::1],
    points: cython.const[cython.short][:, ::1],
    weights: cython.const[cython.longlong][::1],
    sums: cython.longlong[:, ::1],
    moments: cython.longlong[:, ::1],
    runs: cython.int[:, ::1],
    classes: cython.int[::1],
) -> int:
    """Halve, again and again, the run of greatest inertia at the highest bit in which its codes differ.

    runs (n_runs, 3) receives the beginning and the end of each, in no order; column 2 is scratch, as are
    sums (n // 16 + 1, 6), moments (n_runs, 6) and classes (256). Returns how many runs there are: fewer
    than there is room for only if no points differ within one.
    """
    n_points: cython.Py_ssize_t = points.shape[0]
    n_runs: cython.Py_ssize_t = 1
    run: cython.int
    left: cython.int
    right: cython.int
    middle: cython.int
    d: cython.int
    c: cython.int
    highest: cython.int
    difference: cython.uint
    bit: cython.uint
    code: cython.uint
    i: cython.Py_ssize_t
    with cython.nogil:
        for d in range(6):
            sums[0, d] = 0
        for i in range(1, sums.shape[0]):
            for d in range(6):
                sums[i, d] = sums[i - 1, d]
            _add_points(points, weights, (i - 1) << STEP_BITS, i << STEP_BITS, sums, i, 1)
        for c in range(CLASSES):
            classes[c] = -1
        runs[0, 0] = 0
        runs[0, 1] = n_points
        runs[0, 2] = -1
        _measure(points, weights, sums, 0, n_points, moments, 0)
        highest = _classify(moments, 0)
        classes[highest] = 0
        while n_runs < runs.shape[0]:
            while highest > 0 and classes[highest] < 0:
                highest -= 1
            if highest == 0:
                break
            run = classes[highest]
            classes[highest] = runs[run, 2]
            difference = codes[runs[run, 0]] ^ codes[runs[run, 1] - 1]
            bit = 1
            while difference > 1:
                difference >>= 1
                bit <<= 1
            # The first code that has this bit.
            left = runs[run, 0]
            right = runs[run, 1]
            while left < right:
                middle = (left + right) >> 1
                code = codes[middle]
                if code & bit:
                    right = middle
                else:
                    left = middle + 1
            runs[n_runs, 0] = left
            runs[n_runs, 1] = runs[run, 1]
            runs[run, 1] = left
            _measure(points, weights, sums, left, runs[n_runs, 1], moments, n_runs)
            for d in range(6):
                moments[run, d] -= moments[n_runs, d]
            c = _classify(moments, run)
            runs[run, 2] = classes[c]
            classes[c] = run
            if c > highest:
                highest = c
            c = _classify(moments, n_runs)
            runs[n_runs, 2] = classes[c]
            classes[c] = n_runs
            if c > highest:
                highest = c
            n_runs += 1
    return n_runs
