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


@given(
    st.integers(1, 120), st.integers(1, 30), st.sampled_from([1, 4, 200, 16320]), st.integers(0, 2**32 - 1)
)
def test_tree_agrees_with_full_search(n: int, k: int, spread: int, seed: int) -> None:
    """The tree finds what comparing all with all finds; of equally near centroids the first."""
    rng = np.random.default_rng(seed)
    points, centroids = random_points(rng, n, spread), random_points(rng, k, spread)
    weights = rng.integers(1, 1000, n)
    distances = ((points[:, None].astype(np.int64) - centroids) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1)
    results = []
    for kernel in both("kdtree"):
        tree_points, tree_weights = points.copy(), weights.copy()
        order = np.arange(n, dtype=np.int32)
        boxes, spans = np.empty((2 * n, 8), np.int16), np.empty((2 * n, 4), np.int32)
        moments = np.empty((2 * n, 6), np.int64)
        n_nodes = kernel.build_tree(
            tree_points, tree_weights, order, 4, boxes, spans, moments, np.empty((64, 3), np.int32)
        )
        levels = int(spans[:n_nodes, 3].max()) + 2
        totals, labels = np.zeros((k, 5), np.int64), np.empty(n, np.int32)
        inertia = kernel.accumulate(
            tree_points,
            tree_weights,
            boxes,
            spans,
            moments,
            np.zeros(1, np.int32),
            centroids,
            np.empty((levels, k), np.int32),
            np.empty(levels, np.int32),
            totals,
            labels,
        )
        np.testing.assert_array_equal(nearest[order], labels)
        results.append((order, boxes[:n_nodes], spans[:n_nodes], moments[:n_nodes], totals, [inertia]))
    *_, totals, inertia = same(results)
    assert int((weights * distances.min(axis=1)).sum()) == inertia[0]
    expected = np.zeros((k, 5), np.int64)
    np.add.at(expected, nearest, np.hstack([weights[:, None], weights[:, None] * points]))
    np.testing.assert_array_equal(expected, totals)


def test_tree_says_when_there_is_no_room() -> None:
    """A tree that does not fit is refused, not cut short."""
    points = np.arange(400, dtype=np.int16).reshape(100, 4)
    for kernel in both("kdtree"):
        n_nodes = kernel.build_tree(
            points.copy(),
            np.ones(100, np.int64),
            np.arange(100, dtype=np.int32),
            1,
            np.empty((50, 8), np.int16),
            np.empty((50, 4), np.int32),
            np.empty((50, 6), np.int64),
            np.empty((64, 3), np.int32),
        )
        assert n_nodes == -1


@given(st.integers(2, 60), st.sampled_from([1, 3, 500, 16320]), st.integers(0, 2**32 - 1))
def test_splitting_agrees(n: int, spread: int, seed: int) -> None:
    """A cluster whose points differ is split into two that are not empty, by the exact mean."""
    rng = np.random.default_rng(seed)
    points, weights = random_points(rng, n, spread), rng.integers(1, 10**6, n)
    results = []
    for kernel in both("splitting"):
        members = np.arange(n, dtype=np.int32)
        moments, axis = np.empty(6, np.int64), np.empty(4, np.int64)
        kernel.measure_cluster(points, weights, members, 0, n, moments, np.empty((4, 4), np.int64), axis)
        middle = kernel.split_cluster(points, members, 0, n, moments, axis)
        results.append((members, moments, axis, [middle]))
    members, moments, axis, (middle,) = same(results)
    assert [int(weights.sum()), *(weights[:, None] * points).sum(axis=0).tolist()] == moments[:5].tolist()
    assert (moments[5] == 0) == bool((points == points[0]).all())
    if moments[5] > 0:
        assert 0 < middle < n
        side = (points[members].astype(np.int64) @ axis) * moments[0] > axis @ moments[1:5]
        assert [False] * middle + [True] * (n - middle) == side.tolist()


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
    """Colours are counted and found again, also when the table grows in between."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, levels, n * channels).astype(np.uint8)
    results = []
    for kernel in both("histogram"):
        keys, counts = np.empty(0, np.uint32), np.empty(0, np.int64)
        pixel = known = bits = 0
        while pixel < n:
            bits += 2
            table = np.zeros(1 << bits, np.uint64)
            kernel.insert_keys(table, bits, keys[:known])
            room = np.empty(len(table) // 2 - known, np.uint32)
            keys = np.concatenate([keys[:known], room])
            counts = np.concatenate([counts[:known], room.astype(np.int64)])
            pixel, known = kernel.count_colors(pixels, channels, pixel, table, bits, keys, counts, known)
        found = np.empty(n, np.uint8)
        kernel.look_up_pixels(pixels, channels, table, bits, np.arange(known).astype(np.uint8), found)
        results.append((keys[:known], counts[:known], table, found))
    keys, counts, _, found = same(results)
    colors, expected = np.unique(pixels.reshape(-1, channels), axis=0, return_counts=True)
    unpacked = keys.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :channels]
    order = np.lexsort(unpacked.T[::-1])
    np.testing.assert_array_equal(colors, unpacked[order])
    np.testing.assert_array_equal(expected, counts[order])
    np.testing.assert_array_equal(pixels.reshape(-1, channels), unpacked[found])


@pytest.mark.parametrize("name", kernels.NAMES)
def test_compiled_is_what_it_says(name: str) -> None:
    """COMPILED is true exactly where every kernel is an extension module."""
    assert kernels.COMPILED == getattr(kernels, name).COMPILED
    assert not PLAIN[name].COMPILED
