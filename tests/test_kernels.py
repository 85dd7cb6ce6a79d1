"""The kernels, compiled and as plain Python: the same bits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bitarray import bitarray
from bitarray.util import int2ba
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kmcodec import kernels

PLAIN = {name: kernels.load_uncompiled(name) for name in kernels.NAMES}


def both(name: str) -> list[ModuleType]:
    """Return a kernel as installed, and as plain Python."""
    return [getattr(kernels, name), PLAIN[name]]


def same(results: list[Any]) -> Any:
    """Hold the results of both runs to be equal, and return them."""
    first, second = results
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    return first


@given(st.integers(1, 16), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_packing_agrees_with_bitarray(index_bits: int, groups: int, seed: int) -> None:
    """Indices are written most significant bit first, with nothing between them, and read back."""
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if index_bits <= 8 else np.uint16
    indices = rng.integers(0, 1 << index_bits, 8 * groups).astype(dtype)
    expected = bitarray(endian="big")
    for index in indices.tolist():
        expected += int2ba(index, index_bits, "big")
    for kernel in both("bits"):
        payload = np.full(groups * index_bits, 0xAA, np.uint8)
        kernel.pack_groups(indices, payload, index_bits)
        assert expected.tobytes() == payload.tobytes()
        unpacked = np.empty_like(indices)
        assert kernel.unpack_groups(payload, unpacked, index_bits, (1 << index_bits) - 1)
        np.testing.assert_array_equal(indices, unpacked)


@given(st.integers(1, 16), st.integers(1, 12), st.integers(0, 2**32 - 1), st.data())
def test_unpacking_notices_large_indices(
    index_bits: int, groups: int, seed: int, data: st.DataObject
) -> None:
    """The answer is whether all indices are at most last_index."""
    rng = np.random.default_rng(seed)
    payload = rng.integers(0, 256, groups * index_bits).astype(np.uint8)
    last_index = data.draw(st.integers((1 << index_bits) // 2, (1 << index_bits) - 1))
    for kernel in both("bits"):
        indices = np.empty(8 * groups, np.uint16)
        legal = kernel.unpack_groups(payload, indices, index_bits, last_index)
        assert bool((indices <= last_index).all()) == bool(legal)


def random_points(rng: np.random.Generator, n: int, spread: int) -> NDArray[np.int16]:
    """Return points as colorspace makes them, also with the negative coordinates of alpha."""
    return rng.integers(-spread // 2, spread // 2 + 1, (n, 4)).astype(np.int16)


def square_distances(points: NDArray[np.int16], centroids: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the squared distances between all points and all centroids."""
    distances: NDArray[np.int64] = ((points[:, None].astype(np.int64) - centroids) ** 2).sum(axis=2)
    return distances


def sum_points(points: NDArray[np.int16], weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each point weight, weighted coordinates and weighted squared length."""
    wide = points.astype(np.int64)
    squares = (wide * wide).sum(axis=1, keepdims=True)
    sums: NDArray[np.int64] = np.hstack([np.ones_like(squares), wide, squares]) * weights[:, None]
    return sums


@given(
    st.integers(1, 120),
    st.integers(1, 60),
    st.integers(1, 40),
    st.sampled_from([1, 4, 200, 16320]),
    st.integers(0, 2**32 - 1),
)
def test_assignment_agrees_with_full_search(n: int, k: int, room: int, spread: int, seed: int) -> None:
    """Groups, lists of neighbours and vectors find what comparing all with all finds; of equals the first."""
    rng = np.random.default_rng(seed)
    points, centroids = random_points(rng, n, spread), random_points(rng, k, spread)
    weights = rng.integers(1, 1000, n)
    nearest = square_distances(points, centroids).argmin(axis=1)
    starts = np.unique(np.append(rng.integers(0, n, rng.integers(0, n)), [0, n])).astype(np.int32)
    centers = points[starts[:-1]]
    old_labels = rng.integers(0, k, n).astype(np.int32)
    order = np.argsort(centroids[:, 1], kind="stable").astype(np.int32)
    results = []
    for kernel in both("assignment"):
        radii = np.empty(len(centers), np.int32)
        kernel.measure_radii(points, starts, centers, radii)
        neighbors = np.full((k, min(k - 1, room), 3), -1, np.int32)
        kernel.list_neighbors(centroids, 1, order, 0, k // 2, neighbors)
        kernel.list_neighbors(centroids, 1, order, k // 2, k, neighbors)
        totals, labels = np.zeros((k, 6), np.int64), old_labels.copy()
        kernel.sum_clusters(points, weights, labels, totals)
        kernel.assign(
            points,
            weights,
            starts,
            centers,
            radii,
            0,
            len(centers),
            centroids,
            neighbors,
            labels,
            np.empty(k, np.int32),
            totals,
        )
        errors = np.empty(n, np.int64)
        kernel.measure_errors(points, weights, centroids, labels, errors)
        results.append((radii, neighbors, labels, totals, errors))
    radii, neighbors, labels, totals, errors = same(results)
    np.testing.assert_array_equal(nearest, labels)
    expected = np.zeros((k, 6), np.int64)
    np.add.at(expected, nearest, sum_points(points, weights))
    np.testing.assert_array_equal(expected, totals)
    np.testing.assert_array_equal(weights * square_distances(points, centroids).min(axis=1), errors)
    for g, radius in enumerate(radii.tolist()):
        farthest = int(square_distances(points[starts[g] : starts[g + 1]], centers[g : g + 1]).max())
        assert radius**2 >= farthest > (radius - 1) ** 2 or farthest == radius == 0
    between = square_distances(centroids, centroids)
    for a in range(k):
        listed = neighbors[a].tolist()
        assert [int(between[a, b]) for _, b, _ in listed] == [distance for distance, _, _ in listed]
        assert sorted(np.delete(between[a], a).tolist())[:room] == [distance for distance, _, _ in listed]


@given(st.integers(1, 150), st.integers(1, 60), st.sampled_from([1, 6, 256]), st.integers(0, 2**32 - 1))
def test_cutting_agrees(n: int, room: int, spread: int, seed: int) -> None:
    """Runs follow one another, share their leading bits, and are as many as asked where points differ."""
    rng = np.random.default_rng(seed)
    codes = np.unique(rng.integers(0, spread**3, n).astype(np.uint32))
    n = len(codes)
    points = (random_points(rng, n, 30) + (codes[:, None] >> 10)).astype(np.int16)
    weights = rng.integers(1, 50, n)
    results = []
    for kernel in both("grouping"):
        runs, moments = np.zeros((room, 3), np.int32), np.zeros((room, 6), np.int64)
        sums, classes = np.zeros((n // 16 + 1, 6), np.int64), np.zeros(256, np.int32)
        n_runs = kernel.cut_runs(codes, points, weights, sums, moments, runs, classes)
        results.append((runs[:n_runs], moments[:n_runs], [n_runs]))
    runs, moments, (n_runs,) = same(results)
    bounds = sorted((first, end) for first, end, _ in runs.tolist())
    assert [0, *(end for _, end in bounds)] == [*(first for first, _ in bounds), n]
    for (first, end, _), moment in zip(runs.tolist(), moments, strict=True):
        np.testing.assert_array_equal(sum_points(points, weights)[first:end].sum(axis=0), moment)
        bits = int(codes[first] ^ codes[end - 1]).bit_length()
        assert not [
            c for c in codes if c >> bits == codes[first] >> bits and not codes[first] <= c <= codes[end - 1]
        ]
    if n_runs < room:
        # Whole runs only where points lie within a step of each other.
        for first, end, _ in runs.tolist():
            part = points[first:end]
            mean = (weights[first:end, None] * part).sum(axis=0) // weights[first:end].sum()
            error = weights[first:end] @ ((part - mean) ** 2).sum(axis=1)
            assert end == first + 1 or error < weights[first:end].sum()


class PlainClusters:
    """The state of a search, as the kernels keep it."""

    def __init__(self, points: NDArray[np.int16], weights: NDArray[np.int64], k: int) -> None:
        self.points, self.weights = points, weights
        self.members = np.zeros((len(points), 4), np.int32)
        self.clusters = np.zeros((k, 13), np.int64)
        self.centroids = np.zeros((k, 4), np.int16)
        self.halves = np.zeros((k, 8), np.int16)

    @property
    def state(self) -> tuple[Any, ...]:
        """The arguments that most kernels begin with."""
        return self.points, self.weights, self.members, self.clusters, self.centroids

    def check(self) -> None:
        """Hold lists, sums and inertia to agree with labels and centroids."""
        labels = self.members[:, 0]
        expected = np.zeros((len(self.clusters), 6), np.int64)
        np.add.at(expected, labels, sum_points(self.points, self.weights))
        np.testing.assert_array_equal(expected, self.clusters[:, :6])
        errors = ((self.points.astype(np.int64) - self.centroids[labels]) ** 2).sum(axis=1) * self.weights
        inertia = np.zeros(len(self.clusters), np.int64)
        np.add.at(inertia, labels, errors)
        np.testing.assert_array_equal(inertia, self.clusters[:, 6])
        for a, head in enumerate(self.clusters[:, 10].tolist()):
            listed, before = [], -1
            while head >= 0:
                assert before == self.members[head, 3]
                listed.append(head)
                before, head = head, int(self.members[head, 2])
            assert np.flatnonzero(labels == a).tolist() == sorted(listed)


@given(
    st.integers(1, 90),
    st.integers(1, 14),
    st.integers(0, 3),
    st.sampled_from([1, 3, 500, 16320]),
    st.integers(0, 2**32 - 1),
)
def test_clusters_agree(n: int, k: int, n_fixed: int, spread: int, seed: int) -> None:
    """Splits, Lloyd steps and swaps keep their books, and lower the inertia; fixed centroids stay."""
    rng = np.random.default_rng(seed)
    points, weights = random_points(rng, n, spread), rng.integers(1, 10**6, n)
    n_fixed = min(n_fixed, k)
    start = random_points(rng, max(n_fixed, 1), spread)
    labels = square_distances(points, start).argmin(axis=1)
    results = []
    for kernel in both("clusters"):
        clusters = PlainClusters(points, weights, k)
        clusters.centroids[: len(start)] = start
        clusters.members[:, 0] = labels
        kernel.build_clusters(
            points,
            weights,
            clusters.members,
            clusters.clusters[: len(start)],
            clusters.centroids[: len(start)],
        )
        found = kernel.split_clusters(*clusters.state, clusters.halves, len(start), n_fixed)
        clusters.clusters, clusters.centroids = clusters.clusters[:found], clusters.centroids[:found]
        clusters.check()
        inertia = [int(clusters.clusters[:, 6].sum())]
        rivals, moves = np.empty((found, 3), np.int32), np.empty((n, 2), np.int32)
        for _ in range(4):
            kernel.reassign(*clusters.state, rivals, moves, n_fixed)
            clusters.check()
            inertia.append(int(clusters.clusters[:, 6].sum()))
        kept = clusters.members.copy(), clusters.clusters.copy(), clusters.centroids.copy()
        swap = (*clusters.state, clusters.halves, *kept, rivals, moves, n_fixed)
        failures = kernel.swap_centroids(*swap, 6, 4, 3, 0)
        clusters.check()
        inertia.append(int(clusters.clusters[:, 6].sum()))
        while kernel.reassign(*clusters.state, rivals, moves, n_fixed):
            pass
        # Nothing moves any more: each point is with its nearest.
        distances = square_distances(points, clusters.centroids)
        own = distances[np.arange(n), clusters.members[:, 0]]
        np.testing.assert_array_equal(distances.min(axis=1), own)
        inertia.append(kernel.move_centroids(clusters.clusters, clusters.centroids, n_fixed))
        assert sorted(inertia, reverse=True) == inertia
        np.testing.assert_array_equal(start[:n_fixed], clusters.centroids[:n_fixed])
        results.append((clusters.members, clusters.clusters, clusters.centroids, inertia, [found, failures]))
    same(results)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_distances_agree(n: int, seed: int) -> None:
    """Distances to the chosen points, and the point at which their sum passes a number."""
    rng = np.random.default_rng(seed)
    points, weights = random_points(rng, n, 16320), rng.integers(1, 100, n)
    chosen = rng.integers(0, n, 3)
    target = int(rng.integers(0, 10**9))
    results = []
    for kernel in both("distances"):
        distances = np.full(n, 2**31 - 1, np.int32)
        potentials = [kernel.lower_distances(points, weights, int(c), distances) for c in chosen]
        found = kernel.find_potential(weights, distances, target) if potentials[-1] > target else -1
        results.append((distances, potentials, [found]))
    distances, potentials, (found,) = same(results)
    expected = ((points[:, None].astype(np.int64) - points[chosen]) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_array_equal(expected, distances)
    assert int((weights * expected).sum()) == potentials[-1]
    if found >= 0:
        cumulative = np.cumsum(weights * expected)
        assert int(np.searchsorted(cumulative, target, side="right")) == found


@given(st.integers(1, 200), st.sampled_from([3, 4]), st.sampled_from([1, 2, 256]), st.integers(0, 2**32 - 1))
def test_counting_agrees(n: int, channels: int, levels: int, seed: int) -> None:
    """Colours are counted, sorted and found again, also when the table grows in between."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, levels, n * channels).astype(np.uint8)
    spread = (
        rng.permutation(np.arange(256, dtype=np.uint32))
        << (8 * np.arange(channels, dtype=np.uint32))[:, None]
    )
    spread = spread.astype(np.uint32)
    gathered = rng.integers(0, 2**32, 1 << 4 * channels).astype(np.uint32) & np.uint32(0x0F0F0F0F)
    results = []
    for kernel in both("histogram"):
        slots = np.empty(n, np.int32)
        bits, table, pixel, known = 2, np.zeros(4, np.uint64), 0, 0
        while True:
            pixel, known = kernel.count_colors(pixels, spread, pixel, table, bits, known, slots)
            if pixel == n:
                break
            bits += 2
            larger, moved = np.zeros(1 << bits, np.uint64), np.zeros(len(table), np.int32)
            kernel.grow_table(table, larger, bits, moved)
            slots[:pixel] = moved[slots[:pixel]]
            table = larger
        entries = np.zeros(known + 1, np.uint64)
        kernel.list_entries(table, entries)
        entries = np.concatenate([entries[:known], entries[: known // 2]])
        scratch = np.empty_like(entries)
        passes = 8 * channels // 8
        kernel.sort_entries(entries, scratch, 8, np.zeros((passes, 256), np.intp))
        ordered = scratch if passes % 2 else entries
        codes, counts = np.empty(len(ordered), np.uint32), np.empty(len(ordered), np.int64)
        colors = np.empty((len(ordered), channels), np.uint8)
        n_colors = kernel.unpack_entries(ordered, gathered, colors, codes, counts)
        assert known == n_colors
        row_of_slot, found = np.zeros(len(table), np.int32), np.empty(n, np.int32)
        kernel.number_slots(codes[:known], table, bits, row_of_slot)
        kernel.look_up(slots, row_of_slot, found)
        results.append((ordered, colors[:known], codes[:known], counts[:known], found))
    _, colors, codes, counts, found = same(results)
    assert sorted(codes.tolist()) == codes.tolist()
    expected = sum(spread[c, pixels[c::channels]].astype(np.int64) for c in range(channels))
    np.testing.assert_array_equal(expected, codes[found])
    occurrences = np.bincount(found)
    assert all(count in (o, 2 * o) for count, o in zip(counts.tolist(), occurrences.tolist(), strict=True))
    halves = gathered[codes >> (4 * channels)] << 4 | gathered[codes & ((1 << 4 * channels) - 1)]
    np.testing.assert_array_equal(halves.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :channels], colors)


@pytest.mark.parametrize("name", kernels.NAMES)
def test_compiled_is_what_it_says(name: str) -> None:
    """COMPILED is true exactly where every kernel is an extension module."""
    assert kernels.COMPILED == getattr(kernels, name).COMPILED
    assert not PLAIN[name].COMPILED
