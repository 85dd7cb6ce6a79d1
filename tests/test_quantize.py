"""Quantization: k-means held against a plain statement of it, and against its promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import photo, pictures, squared_distances

import kmcodec
from kmcodec.quantize import colorspace, lloyd, seeding
from kmcodec.quantize.histogram import Histogram
from kmcodec.report.measure import mean_squared_error
from kmcodec.threads import Workers

INITS = ("split", "kmeans++", "random")


def plain_kmeans(
    points: NDArray[np.int64], weights: NDArray[np.int64], centroids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[int]]:
    """State k-means in a few lines: assign to the nearest, move to the mean, until nothing moves."""
    inertias: list[int] = []
    while True:
        distances = ((points[:, None] - centroids) ** 2).sum(axis=2)
        labels = distances.argmin(axis=1)
        inertia = int((weights * distances.min(axis=1)).sum())
        if inertias and inertia == inertias[-1]:
            return centroids, inertias
        inertias.append(inertia)
        previous = centroids
        sums = np.zeros_like(centroids)
        totals = np.zeros(len(centroids), np.int64)
        np.add.at(sums, labels, weights[:, None] * points)
        np.add.at(totals, labels, weights)
        centroids = np.floor(sums / totals[:, None] + 0.5).astype(np.int64)
        if (centroids == previous).all():
            return centroids, inertias


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_lloyd_agrees_with_the_plain_statement(seed: int, k: int) -> None:
    """From the same start, the same centroids by the same steps."""
    rng = np.random.default_rng(seed)
    colors = np.unique(rng.integers(0, 256, (60, 3), np.uint8), axis=0)
    points, weights = colorspace.to_points(colors), rng.integers(1, 50, len(colors))
    # Colours of the picture: no cluster is empty, then or later, for few clusters that start apart.
    start = points[rng.choice(len(points), k, replace=False)]
    history: list[lloyd.Iteration] = []
    with Workers(1) as workers:
        tree = lloyd.PointTree(points, weights, workers)
        centroids = lloyd.refine_centroids(tree, start, history.append)
    try:
        with np.errstate(divide="raise", invalid="raise"):
            expected, inertias = plain_kmeans(points.astype(np.int64), weights, start.astype(np.int64))
    except FloatingPointError:
        return  # A cluster ran empty, which the plain statement has no answer to.
    assert inertias == [iteration.inertia for iteration in history]
    np.testing.assert_array_equal(expected, centroids)


@settings(max_examples=150)
@given(
    pictures(),
    st.one_of(st.integers(1, 64), st.integers(1, 65536)),
    st.sampled_from(INITS),
    st.integers(0, 9),
)
def test_promises_of_quantize(pixels: NDArray[np.uint8], n_colors: int, init: str, seed: int) -> None:
    """At most K colours, distinct, each used; every pixel has its nearest; exact if it can be."""
    before = pixels.copy()
    image = kmcodec.quantize(pixels, n_colors, init=init, seed=seed, threads=2)
    np.testing.assert_array_equal(before, pixels)
    assert pixels.shape[:2] == image.indices.shape
    assert len(image.palette) <= n_colors
    assert len(np.unique(image.palette, axis=0)) == len(image.palette)
    assert len(np.unique(image.indices)) == len(image.palette)
    opaque = pixels.shape[2] == 3 or bool((pixels[:, :, 3] == 255).all())
    distinct = np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)
    if len(distinct) <= n_colors:
        shown = pixels[:, :, :3] if opaque else pixels
        np.testing.assert_array_equal(shown, image.to_rgb())
        assert len(distinct) == len(image.palette)
    elif opaque:
        assert n_colors == len(image.palette)
        distances = squared_distances(pixels[:, :, :3], image.palette)
        np.testing.assert_array_equal(distances.argmin(axis=1), image.indices.reshape(-1))


@given(pictures(max_side=16, channels=(4,)), st.integers(1, 20))
def test_pixels_with_alpha_have_their_nearest_colour(pixels: NDArray[np.uint8], n_colors: int) -> None:
    """With alpha, nearest means least visible error on black and on white."""
    image = kmcodec.quantize(pixels, n_colors)
    decoded = image.to_rgb()
    if decoded.shape[2] == 3:
        decoded = np.dstack([decoded, np.full(decoded.shape[:2], 255, np.uint8)])
    palette = np.hstack(
        [image.palette, np.full((len(image.palette), 4 - image.palette.shape[1]), 255, np.uint8)]
    )

    def shown(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
        alpha = colors[..., 3:] / 255
        on_black = colors[..., :3] * alpha
        return np.concatenate([on_black, on_black + 255 * (1 - alpha)], axis=-1)

    errors = ((shown(pixels.reshape(-1, 1, 4)) - shown(palette)) ** 2).sum(axis=2) / 2
    chosen = errors[np.arange(len(errors)), image.indices.reshape(-1)]
    # The integer coordinates are within 1/64 of these: where several are as near, any may be taken.
    assert (chosen <= errors.min(axis=1) + 0.05 * (1 + np.sqrt(errors.min(axis=1)))).all()


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("k", [1, 2, 16, 64])
def test_inertia_never_rises(init: str, k: int) -> None:
    """Each iteration lowers the inertia, and the history tells the truth."""
    pixels = photo()
    history: list[kmcodec.Iteration] = []
    image = kmcodec.quantize(pixels, k, init=init, seed=3, on_iteration=history.append)
    inertias = [iteration.inertia for iteration in history]
    assert sorted(set(inertias), reverse=True) == inertias
    assert list(range(len(history))) == [iteration.number for iteration in history]
    for iteration in (history[0], history[-1]):
        assert iteration.centroids.shape == (k, 3)
        distances = ((pixels.reshape(-1, 1, 3) - iteration.centroids) ** 2).sum(axis=2)
        assert distances.min(axis=1).sum() == pytest.approx(iteration.inertia, rel=1e-9)
    # Rounding to 8 bits costs little.
    error = ((pixels.astype(int) - image.to_rgb()) ** 2).sum()
    assert error <= inertias[-1] + 0.3 * 3 * pixels[:, :, 0].size


def test_splitting_is_a_better_start_than_chance() -> None:
    """Splitting starts nearer to the end than random colours or k-means++."""
    pixels = photo(96, 96)

    def first_inertia(**options: Any) -> float:
        history: list[kmcodec.Iteration] = []
        kmcodec.quantize(pixels, 32, on_iteration=history.append, **options)
        return history[0].inertia

    others = [first_inertia(init=init, seed=seed) for init in ("random", "kmeans++") for seed in range(4)]
    assert first_inertia() < min(others)


@pytest.mark.parametrize("init", INITS)
def test_threads_do_not_show(init: str) -> None:
    """The number of threads never shows in the result."""
    pixels = photo(128, 160)
    encoded = {kmcodec.encode(pixels, 40, init=init, seed=5, threads=n) for n in (1, 2, 3, 4, 8, None)}
    assert len(encoded) == 1


@pytest.mark.parametrize("channels", [3, 4])
def test_uncompiled_kernels_give_the_same_bytes(channels: int, tmp_path: Path) -> None:
    """Compiled or not, the same bytes."""
    pixels = photo(24, 32)
    if channels == 4:
        pixels = np.dstack([pixels, photo(24, 32, seed=1)[:, :, 0]])
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import sys, numpy, kmcodec; pixels = numpy.load('pixels.npy');"
        f"data = b''.join(kmcodec.encode(pixels, 16, init=init, strip_rows=5) for init in {INITS});"
        "assert not kmcodec.COMPILED; sys.stdout.buffer.write(data)"
    )
    environment = {**os.environ, "KMCODEC_UNCOMPILED": "1", "KMCODEC_REQUIRE_COMPILED": "0"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=tmp_path, env=environment, check=True
    )
    assert b"".join(kmcodec.encode(pixels, 16, init=init, strip_rows=5) for init in INITS) == run.stdout


def test_required_compilation_is_required(tmp_path: Path) -> None:
    """KMCODEC_REQUIRE_COMPILED=1 turns missing kernels into an error."""
    environment = {**os.environ, "KMCODEC_UNCOMPILED": "1", "KMCODEC_REQUIRE_COMPILED": "1"}
    run = subprocess.run(
        [sys.executable, "-c", "import kmcodec.kernels"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert "ImportError: kmcodec's kernels are not compiled" in run.stderr


def test_seed_decides_random_starts() -> None:
    """Same seed, same bytes; another seed, another start. The split start has no chance in it."""
    pixels = photo()
    for init in ("kmeans++", "random"):
        assert kmcodec.encode(pixels, 12, init=init, seed=1) == kmcodec.encode(pixels, 12, init=init, seed=1)
        assert kmcodec.encode(pixels, 12, init=init, seed=1) != kmcodec.encode(pixels, 12, init=init, seed=2)
    assert kmcodec.encode(pixels, 12, seed=1) == kmcodec.encode(pixels, 12, seed=2)


@pytest.mark.parametrize("init", INITS)
def test_first_centroids_are_distinct_colours(init: str) -> None:
    """Random starts are distinct colours of the picture; a colour that fills it does no harm."""
    pixels = photo(20, 20)
    pixels[:, 1:] = 7
    histogram = Histogram.count(pixels)
    points = colorspace.to_points(histogram.colors)
    for k in (1, 5, len(points)):
        centroids = seeding.SEEDINGS[init](points, histogram.counts, k, 11)
        assert len(np.unique(centroids, axis=0)) == k
        if init != "split":
            assert {tuple(c) for c in centroids.tolist()} <= {tuple(p) for p in points.tolist()}


def test_a_colour_that_fills_the_picture_is_drawn_once() -> None:
    """Random starts end soon, even if all but a few pixels have one colour."""
    points = colorspace.to_points(np.arange(30, dtype=np.uint8).reshape(10, 3))
    weights = np.array([2**40] + [1] * 9)
    assert len(np.unique(seeding.seed_random(points, weights, 10, 0), axis=0)) == 10


def test_random_numbers_are_splitmix() -> None:
    """The first numbers for seed 1234567 are those of the algorithm's reference."""
    generator = seeding.SplitMix64(1234567)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert expected == [generator.below(2**64) for _ in range(3)]


def test_random_starts_follow_the_weights() -> None:
    """A colour is drawn in proportion to its pixels."""
    points = colorspace.to_points(np.array([[0, 0, 0], [9, 9, 9]], np.uint8))
    weights = np.array([1, 9])
    for seed_points in (seeding.seed_random, seeding.seed_plus_plus):
        drawn = [int(seed_points(points, weights, 1, seed)[0, 0] > 0) for seed in range(400)]
        assert 0.84 < np.mean(drawn) < 0.95


def test_empty_clusters_are_filled_with_the_worst_served_colour() -> None:
    """A centroid without points moves to the colour that adds most to the inertia."""
    colors = np.array([[0, 0, 0], [10, 0, 0], [200, 0, 0], [255, 255, 255]], np.uint8)
    points, weights = colorspace.to_points(colors), np.array([5, 5, 5, 5])
    far = np.array([[0, 0, 0, 0], [0, 16000, 0, 0], [0, 0, 16000, 0]], np.int16)
    with Workers(1) as workers:
        tree = lloyd.PointTree(points, weights, workers)
        centroids = lloyd.refine_centroids(tree, far)
        assert tree.sum_clusters(centroids).weights.min() > 0
    assert {(320, 0, 0), (12800, 0, 0), (16320, 16320, 16320)} == {tuple(c[:3]) for c in centroids.tolist()}


@pytest.mark.parametrize("k", [257, 1000, 4096])
def test_many_colours(k: int) -> None:
    """Beyond 256 colours the palette is full, and without doubles."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (80, 80, 3), np.uint8)
    image = kmcodec.quantize(pixels, k)
    assert k == len(np.unique(image.palette, axis=0))
    assert image.indices.dtype == np.uint16


def test_as_many_colours_as_there_can_be() -> None:
    """K = 65536 on a picture of more colours."""
    values = np.arange(70000)
    pixels = np.stack([values % 251, values // 251, values // 300], axis=1).astype(np.uint8)
    pixels = pixels.reshape(280, 250, 3)
    image = kmcodec.quantize(pixels, 65536)
    assert 65536 == len(np.unique(image.palette, axis=0))
    assert squared_distances(image.to_rgb()[:1], image.palette).min(axis=1).max() == 0


def test_error_falls_as_colours_are_added() -> None:
    """More colours, less error."""
    pixels = photo(96, 96)
    errors = [
        kmcodec.report(pixels, kmcodec.encode(pixels, k)).mse
        for k in (1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256)
    ]
    assert sorted(set(errors), reverse=True) == errors


def test_invisible_pixels_cost_nothing() -> None:
    """Colours under zero alpha take one palette entry between them, and no part in the distances."""
    rng = np.random.default_rng(0)
    visible = np.array([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 128]], np.uint8)
    pixels = visible[rng.integers(0, 3, (32, 32))]
    pixels[:16] = rng.integers(0, 256, (16, 32, 4))
    pixels[:16, :, 3] = 0
    image = kmcodec.quantize(pixels, 4)
    decoded = image.to_rgb()
    np.testing.assert_array_equal(pixels[16:], decoded[16:])
    assert (decoded[:16, :, 3] == 0).all()
    assert 4 == len(image.palette)


def test_opaque_alpha_is_dropped() -> None:
    """Alpha is kept when any pixel is not opaque, and only then."""
    pixels = np.dstack([photo(), np.full((48, 64), 255, np.uint8)])
    assert (64, 3) == kmcodec.quantize(pixels).palette.shape
    pixels[0, 0, 3] = 0
    assert (64, 4) == kmcodec.quantize(pixels).palette.shape


@pytest.mark.parametrize("channels", [3, 4])
def test_points_and_colours_are_inverse(channels: int) -> None:
    """A colour's point is that colour again, wherever it can be seen."""
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (20000, channels), np.uint8)
    again = colorspace.to_colors(colorspace.to_points(colors), channels)
    if channels == 4:
        np.testing.assert_array_equal(colors[:, 3], again[:, 3])
        # In steps of 1/64, the colour of a nearly invisible pixel is not known to the last step.
        solid = colors[:, 3] >= 16
        np.testing.assert_array_equal(colors[solid], again[solid])
    else:
        np.testing.assert_array_equal(colors, again)


def test_points_are_rounded_to_nearest() -> None:
    """Coordinates are within half a step of what they stand for."""
    rng = np.random.default_rng(1)
    colors = rng.integers(0, 256, (5000, 4), np.uint8)
    points = colorspace.to_points(colors) / 64
    alpha = colors[:, 3:].astype(float)
    expected = np.hstack([colors[:, :3] * alpha / 255 - alpha / 2, alpha * np.sqrt(0.75)])
    assert np.abs(points - expected).max() <= 0.5 / 64 + 1e-3


def test_points_take_visible_distances() -> None:
    """Squared distances are the mean of the squared errors on black and on white."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 2000, 4)).astype(np.uint8)
    measured = ((colorspace.to_points(a).astype(int) - colorspace.to_points(b)) ** 2).sum(axis=1) / 64**2
    expected = [mean_squared_error(x.reshape(1, 1, 4), y.reshape(1, 1, 4)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(expected, measured, rtol=2e-3, atol=2)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        ((np.zeros((2, 2), np.uint8),), {}, ValueError),
        ((np.zeros((2, 2, 2), np.uint8),), {}, ValueError),
        ((np.zeros((0, 2, 3), np.uint8),), {}, ValueError),
        ((np.zeros((2, 2, 3)),), {}, TypeError),
        ((np.zeros((2, 2, 3), np.uint16),), {}, TypeError),
        (("no picture",), {}, TypeError),
        ((photo(), 0), {}, ValueError),
        ((photo(), 65537), {}, ValueError),
        ((photo(), 16.0), {}, TypeError),
        ((photo(), True), {}, TypeError),
        ((photo(), 4), {"init": "best"}, ValueError),
        ((photo(), 4), {"seed": -1}, ValueError),
        ((photo(), 4), {"seed": "a"}, TypeError),
        ((photo(), 4), {"threads": 0}, ValueError),
        ((photo(), 4), {"threads": 1.5}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[object, ...], options: dict[str, object], error: type[Exception]
) -> None:
    """The caller's mistakes are TypeError or ValueError."""
    with pytest.raises(error):
        kmcodec.quantize(*arguments, **options)  # type: ignore[arg-type]


def test_any_memory_layout_is_taken() -> None:
    """Slices, transposed and read-only arrays and lists mean the same pixels."""
    pixels = photo()
    expected = kmcodec.encode(pixels, 8)
    padded = np.zeros((48, 70, 5), np.uint8)
    padded[:, 3:67, 1:4] = pixels
    read_only = pixels.copy()
    read_only.flags.writeable = False
    for same in (padded[:, 3:67, 1:4], np.asfortranarray(pixels), read_only):
        assert expected == kmcodec.encode(same, 8)
    flipped = np.ascontiguousarray(pixels[::-1, ::-1])
    np.testing.assert_array_equal(kmcodec.quantize(flipped, 8).palette, kmcodec.quantize(pixels, 8).palette)
