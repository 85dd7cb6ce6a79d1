"""Quantization: k-means held against a plain statement of it, and against its promises."""

from __future__ import annotations

import hashlib
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
from support import SAMPLES, photo, pictures, squared_distances

import kmcodec
from kmcodec.metrics import mean_squared_error
from kmcodec.pictures import load_picture
from kmcodec.quantize import lloyd, seeding
from kmcodec.quantize.colorspace import SPACES
from kmcodec.quantize.grouping import Groups, group_points
from kmcodec.quantize.histogram import count_picture
from kmcodec.quantize.options import EFFORTS, INITS
from kmcodec.threads import Workers

SRGB = SPACES["srgb"]
EFFORT_ITERATIONS = {name: effort.iterations for name, effort in EFFORTS.items()}
WORKERS = Workers(1)


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


def group(colors: NDArray[np.uint8], weights: NDArray[np.int64], n_groups: int) -> Groups:
    """Return colours, each a row, as groups."""
    codes = count_picture(colors[None], WORKERS)[0].codes
    return group_points(codes, SRGB.to_points(colors), weights, n_groups)[0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 70))
def test_lloyd_agrees_with_the_plain_statement(seed: int, k: int, n_groups: int) -> None:
    """From the same start, the same centroids by the same steps, however points are grouped."""
    rng = np.random.default_rng(seed)
    colors = count_picture(rng.integers(0, 256, (1, 60, 3), np.uint8), WORKERS)[0].colors
    weights = rng.integers(1, 50, len(colors))
    groups = group(colors, weights, n_groups)
    points = groups.points
    # Colours of the picture: no cluster is empty, then or later, for few clusters that start apart.
    start = points[rng.choice(len(points), k, replace=False)]
    history: list[int] = []
    centroids, assignment = lloyd.refine_centroids(
        groups,
        start,
        rng.integers(0, k, len(points)).astype(np.int32),
        WORKERS,
        max_iterations=100,
        on_iteration=lambda inertia, _: history.append(inertia),
    )
    try:
        with np.errstate(divide="raise", invalid="raise"):
            expected, inertias = plain_kmeans(points.astype(np.int64), weights, start.astype(np.int64))
    except FloatingPointError:
        return  # A cluster ran empty, which the plain statement has no answer to.
    assert inertias == history
    np.testing.assert_array_equal(expected, centroids)
    assert history[-1] == assignment.measure_inertia(centroids)


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
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("k", [1, 2, 16, 64])
def test_inertia_never_rises(init: str, effort: str, k: int) -> None:
    """Each iteration lowers the inertia, and the history tells the truth."""
    pixels = photo()
    history: list[kmcodec.Iteration] = []
    image = kmcodec.quantize(pixels, k, init=init, effort=effort, seed=3, on_iteration=history.append)
    inertias = [iteration.inertia for iteration in history]
    assert list(range(len(history))) == [iteration.number for iteration in history]

    def measure(centroids: NDArray[np.float64]) -> float:
        distances = ((pixels.reshape(-1, 1, 3) - centroids) ** 2).sum(axis=2)
        return float(distances.min(axis=1).sum())

    assert all(iteration.centroids.shape == (k, 3) for iteration in history)
    # The last iterations are on all colours: exact. Those before take near colours together.
    assert measure(history[-1].centroids) == pytest.approx(inertias[-1], rel=1e-9)
    within = measure(history[0].centroids) - inertias[0]
    assert abs(within) <= 0.2 * inertias[0] + 9 * pixels[:, :, 0].size
    searched = inertias[: -EFFORT_ITERATIONS[effort]]
    assert sorted(searched, reverse=True) == searched
    # Rounding to 8 bits costs little.
    error = ((pixels.astype(int) - image.to_rgb()) ** 2).sum()
    assert error <= inertias[-1] + 0.3 * 3 * pixels[:, :, 0].size


@given(pictures(), st.integers(1, 40), st.sampled_from(sorted(EFFORTS)))
def test_more_effort_is_not_in_vain(pixels: NDArray[np.uint8], n_colors: int, effort: str) -> None:
    """Every effort and space keeps the promises."""
    for space in SPACES:
        image = kmcodec.quantize(pixels, n_colors, effort=effort, space=space)
        assert len(np.unique(image.palette, axis=0)) == len(image.palette) <= n_colors
        assert len(np.unique(image.indices)) == len(image.palette)


def test_splitting_is_a_better_start_than_chance() -> None:
    """Splitting starts nearer to the end than random colours or k-means++."""
    pixels = photo(96, 96)

    def first_inertia(**options: Any) -> float:
        history: list[kmcodec.Iteration] = []
        kmcodec.quantize(pixels, 32, on_iteration=history.append, **options)
        return history[0].inertia

    others = [first_inertia(init=init, seed=seed) for init in ("random", "kmeans++") for seed in range(4)]
    assert first_inertia() < min(others)


def crop(name: str, side: int = 48) -> NDArray[np.uint8]:
    """Return the middle of one of the samples."""
    pixels = load_picture(SAMPLES / name)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


#: Sets of options that between them use everything that makes a file.
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "16": {"n_colors": 16},
    "256": {"n_colors": 256},
    "fast": {"n_colors": 24, "effort": "fast"},
    "best": {"n_colors": 8, "effort": "best"},
    "oklab": {"n_colors": 12, "space": "oklab"},
    "kmeans++": {"n_colors": 12, "init": "kmeans++", "seed": 5},
    "random": {"n_colors": 12, "init": "random", "seed": 6, "strip_rows": 7},
    "diffusion": {"n_colors": 6, "dither": "diffusion"},
    "ordered": {"n_colors": 6, "dither": "ordered", "dither_strength": 0.8},
    "keep": {"n_colors": 9, "keep": [(255, 0, 0), (1, 2, 3)]},
    "palette": {"palette": [(0, 0, 0), (90, 80, 70), (200, 210, 220)], "dither": "diffusion"},
}
PICTURES = ("chelsea.png", "chart.png", "icon.png")

#: SHA-256 of the files, the first 16 digits. They change only when the encoder is meant to change.
PINS = {
    "chelsea.png default": "45d8e1f2bec0a220",
    "chelsea.png 16": "4fe05d0b7d4cdd36",
    "chelsea.png 256": "e94e656ab1ca34fc",
    "chelsea.png fast": "7a3ce2bcb7d4e7d7",
    "chelsea.png best": "13b7648fd05de45f",
    "chelsea.png oklab": "00558cc57a5fcd33",
    "chelsea.png kmeans++": "8bc4d361a1ca0f73",
    "chelsea.png random": "e4c2b2c271426a74",
    "chelsea.png diffusion": "dd88ad7251d56f52",
    "chelsea.png ordered": "83687285f9848ae3",
    "chelsea.png keep": "b010decd37f1f3e1",
    "chelsea.png palette": "1c304ab48eeb4e35",
    "chart.png default": "64f3a9649b7c7c2e",
    "chart.png 16": "5edf9d3e634ee5b5",
    "chart.png 256": "64f3a9649b7c7c2e",
    "chart.png fast": "c23270aebb69ae26",
    "chart.png best": "47b7534c07032a10",
    "chart.png oklab": "7f0f18bbbd54db28",
    "chart.png kmeans++": "1afdf1ec6b168c94",
    "chart.png random": "a0f9c6112c522a7c",
    "chart.png diffusion": "f40e1d33ab930301",
    "chart.png ordered": "25919750f246cc0f",
    "chart.png keep": "697aa34da9acbc0c",
    "chart.png palette": "3308392273907ca1",
    "icon.png default": "bd34a50ae602fc01",
    "icon.png 16": "a0f3f7372d122d65",
    "icon.png 256": "440be656b68dc532",
    "icon.png fast": "31f69e7ae8dc863f",
    "icon.png best": "cc4aee8f9a9b7fd9",
    "icon.png oklab": "0a9dfb528a75a3b2",
    "icon.png kmeans++": "2ddd4d6f20a1f73c",
    "icon.png random": "9233899709d46a98",
    "icon.png diffusion": "a4687f35a9523ab0",
    "icon.png ordered": "9f147f257f6581b7",
    "icon.png keep": "f152e20c1879c883",
    "icon.png palette": "1aaf0acd5d313010",
}


def hash_all() -> dict[str, str]:
    """Return the hash of each picture and set of options."""
    return {
        f"{name} {label}": hashlib.sha256(kmcodec.encode(crop(name), **options)).hexdigest()[:16]
        for name in PICTURES
        for label, options in OPTIONS.items()
    }


def test_encoded_files_are_pinned() -> None:
    """The same bytes on every machine."""
    assert hash_all() == PINS


@pytest.mark.parametrize("label", OPTIONS)
def test_threads_do_not_show(label: str) -> None:
    """The number of threads never shows in the result."""
    # Large enough for every step to be given to several threads, and of many colours.
    pixels = np.random.default_rng(3).integers(0, 256, (768, 1408, 3), np.uint8)
    pixels = pixels // 3 + np.arange(1408, dtype=np.uint8)[:, None] // 16
    options = {"n_colors": 40, **OPTIONS[label]}
    assert len({kmcodec.encode(pixels, threads=n, **options) for n in (1, 2, 3, 8)}) == 1


def test_uncompiled_kernels_give_the_same_bytes(tmp_path: Path) -> None:
    """Compiled or not, the same bytes."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import kmcodec, test_quantize; assert not kmcodec.COMPILED; print(test_quantize.hash_all())"
    )
    environment = {**os.environ, "KMCODEC_UNCOMPILED": "1", "KMCODEC_REQUIRE_COMPILED": "0"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        check=True,
        text=True,
    )
    assert str(PINS) == run.stdout.strip()


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


@pytest.mark.parametrize("init", seeding.SEEDINGS)
def test_first_centroids_are_distinct_colours(init: str) -> None:
    """Random starts are distinct colours of the picture; a colour that fills it does no harm."""
    pixels = photo(20, 20)
    pixels[:, 1:] = 7
    histogram, _ = count_picture(pixels, WORKERS)
    points = SRGB.to_points(histogram.colors)
    for k in (1, 5, len(points)):
        centroids = seeding.SEEDINGS[init](points, histogram.counts, k, 11)
        assert len(np.unique(centroids, axis=0)) == k
        assert {tuple(c) for c in centroids.tolist()} <= {tuple(p) for p in points.tolist()}


def test_a_colour_that_fills_the_picture_is_drawn_once() -> None:
    """Random starts end soon, even if all but a few pixels have one colour."""
    points = SRGB.to_points(np.arange(30, dtype=np.uint8).reshape(10, 3))
    weights = np.array([2**40] + [1] * 9)
    assert len(np.unique(seeding.seed_random(points, weights, 10, 0), axis=0)) == 10


def test_random_numbers_are_splitmix() -> None:
    """The first numbers for seed 1234567 are those of the algorithm's reference."""
    generator = seeding.SplitMix64(1234567)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert expected == [generator.below(2**64) for _ in range(3)]


def test_random_starts_follow_the_weights() -> None:
    """A colour is drawn in proportion to its pixels."""
    points = SRGB.to_points(np.array([[0, 0, 0], [9, 9, 9]], np.uint8))
    weights = np.array([1, 9])
    for seed_points in (seeding.seed_random, seeding.seed_plus_plus):
        drawn = [int(seed_points(points, weights, 1, seed)[0, 0] > 0) for seed in range(400)]
        assert 0.84 < np.mean(drawn) < 0.95


def test_empty_clusters_are_filled_with_the_worst_served_colour() -> None:
    """A centroid without points moves to the colour that adds most to the inertia, or goes."""
    colors = np.array([[0, 0, 0], [10, 0, 0], [200, 0, 0], [255, 255, 255]], np.uint8)
    groups = group(colors, np.array([5, 5, 5, 5]), 4)
    far = np.array([[0, 0, 0, 0], [0, 16000, 0, 0], [0, 0, 16000, 0]], np.int16)
    labels = np.zeros(4, np.int32)
    centroids, assignment = lloyd.refine_centroids(groups, far, labels, WORKERS, max_iterations=9)
    assert assignment.weights.min() > 0
    assert {(320, 0, 0), (12800, 0, 0), (16320, 16320, 16320)} == {tuple(c[:3]) for c in centroids.tolist()}
    # Five centroids for four colours, one of them twice.
    start = groups.points[[0, 1, 2, 2, 3]]
    centroids, _ = lloyd.refine_centroids(groups, start, labels, WORKERS, max_iterations=9)
    np.testing.assert_array_equal(groups.points, centroids)


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


@pytest.mark.parametrize("effort", ["fast", "default"])
def test_error_falls_as_colours_are_added(effort: str) -> None:
    """More colours, less error."""
    pixels = photo(96, 96)
    errors = [
        kmcodec.report(pixels, kmcodec.encode(pixels, k, effort=effort)).mse
        for k in (*range(1, 10), 12, 16, 24, 32, 48, 64, 128, 256, 512, 1024, 2048, 4096)
    ]
    assert sorted(set(errors), reverse=True) == errors


def test_few_pixels_of_a_colour_far_off_are_served() -> None:
    """A handful of pixels beside a flat area gets its own colour, however large the area is."""
    pixels = np.zeros((600, 600, 3), np.uint8)
    pixels[0] = np.arange(600, dtype=np.uint8)[:, None]
    pixels[1, :5] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]]
    assert kmcodec.report(pixels, kmcodec.encode(pixels, 255)).mse < 0.003


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
    again = SRGB.to_colors(SRGB.to_points(colors), channels)
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
    points = SRGB.to_points(colors) / 64
    alpha = colors[:, 3:].astype(float)
    expected = np.hstack([colors[:, :3] * alpha / 255 - alpha / 2, alpha * np.sqrt(0.75)])
    assert np.abs(points - expected).max() <= 0.5 / 64 + 1e-3


def test_points_take_visible_distances() -> None:
    """Squared distances are the mean of the squared errors on black and on white."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 2000, 4)).astype(np.uint8)
    measured = ((SRGB.to_points(a).astype(int) - SRGB.to_points(b)) ** 2).sum(axis=1) / 64**2
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
        ((photo(), 4), {"space": "rgb"}, ValueError),
        ((photo(), 4), {"effort": "most"}, ValueError),
        ((photo(), 4), {"effort": None}, ValueError),
        ((photo(), 4), {"dither": "yes"}, ValueError),
        ((photo(), 4), {"dither_strength": 1.1}, ValueError),
        ((photo(), 4), {"dither_strength": float("nan")}, ValueError),
        ((photo(), 4), {"dither_strength": "1"}, TypeError),
        ((photo(), 4), {"keep": [(1, 2, 300)]}, ValueError),
        ((photo(), 4), {"keep": [(1, 2)]}, ValueError),
        ((photo(), 4), {"keep": []}, (TypeError, ValueError)),
        ((photo(), 4), {"keep": [(1.5, 2, 3)]}, TypeError),
        ((photo(), 4), {"keep": [(i, 2, 3) for i in range(5)]}, ValueError),
        ((photo(), 4), {"palette": np.zeros((65537, 3), np.uint8)}, ValueError),
        ((photo(), 4), {"seed": -1}, ValueError),
        ((photo(), 4), {"seed": "a"}, TypeError),
        ((photo(), 4), {"threads": 0}, ValueError),
        ((photo(), 4), {"threads": 1.5}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[object, ...], options: dict[str, object], error: Any
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


def test_oklab_is_what_it_says() -> None:
    """Integer tables agree with the definition in floating point, and every colour comes back."""
    rng = np.random.default_rng(0)
    colors = np.vstack(
        [
            rng.integers(0, 256, (20000, 3), np.uint8),
            np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(-1, 3),
        ]
    )
    encoded = colors / 255
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    cones = (
        light
        @ np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        ).T
    )
    lab = (
        np.cbrt(cones)
        @ np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        ).T
    )
    oklab = SPACES["oklab"]
    points = oklab.to_points(colors)
    assert np.abs(points[:, :3] / 16000 - lab * [1, 2, 2]).max() < 1e-4
    assert (points[:, 3] == 0).all()
    np.testing.assert_array_equal(colors, oklab.to_colors(points, 3))
    with_alpha = np.hstack([colors, rng.integers(0, 256, (len(colors), 1), np.uint8)])
    again = oklab.to_colors(oklab.to_points(with_alpha), 4)
    np.testing.assert_array_equal(with_alpha[:, 3], again[:, 3])
    solid = with_alpha[:, 3] >= 128
    assert np.abs(again[solid].astype(int) - with_alpha[solid]).max() <= 1
    # Invisible colours are all the same.
    with_alpha[:, 3] = 0
    assert len(np.unique(oklab.to_points(with_alpha), axis=0)) == 1


def test_oklab_looks_nearer() -> None:
    """Distances in Oklab make smaller visible differences, and larger squared errors in sRGB."""
    pixels = photo(96, 96)
    oklab = SPACES["oklab"]

    def measure(space: str) -> tuple[float, float]:
        decoded = kmcodec.quantize(pixels, 24, space=space).to_rgb()
        flat, same = pixels.reshape(-1, 3), decoded.reshape(-1, 3)
        visible = ((oklab.to_points(flat).astype(float) - oklab.to_points(same)) ** 2).sum(axis=1)
        return float(visible.mean()), mean_squared_error(pixels, decoded)

    (visible, squared), (visible_oklab, squared_oklab) = measure("srgb"), measure("oklab")
    assert visible_oklab < visible
    assert squared_oklab > squared


@settings(max_examples=60)
@given(
    pictures(),
    st.integers(1, 20),
    st.lists(st.tuples(*[st.integers(0, 255)] * 4), min_size=1, max_size=6),
    st.sampled_from(INITS),
    st.sampled_from(sorted(SPACES)),
    st.booleans(),
)
def test_kept_colours_are_in_the_palette(
    pixels: NDArray[np.uint8],
    n_colors: int,
    keep: list[tuple[int, ...]],
    init: str,
    space: str,
    opaque: bool,
) -> None:
    """Colours to keep are in the palette, bit for bit, and everything else is as promised."""
    colors = np.array(keep)[:n_colors, : 3 if opaque else 4]
    image = kmcodec.quantize(pixels, n_colors, keep=colors, init=init, space=space)
    palette = image.palette
    assert len(np.unique(palette, axis=0)) == len(palette) <= n_colors
    if palette.shape[1] == 3:
        assert opaque or (colors[:, 3] == 255).all()
        colors = colors[:, :3]
    elif opaque:
        colors = np.hstack([colors, np.full((len(colors), 1), 255)])
    listed = {tuple(color) for color in palette.tolist()}
    assert {tuple(color) for color in colors.tolist()} <= listed
    used = {tuple(palette[i].tolist()) for i in np.unique(image.indices)}
    assert listed - used <= {tuple(color) for color in colors.tolist()}


def test_a_logo_keeps_its_red() -> None:
    """A colour that hardly occurs stays what it is, and pixels of it take it."""
    pixels = photo(64, 64)
    red = (228, 0, 43)
    pixels[5, 5:8] = red
    plain = kmcodec.quantize(pixels, 8).to_rgb()
    kept = kmcodec.quantize(pixels, 8, keep=[red]).to_rgb()
    assert tuple(plain[5, 6]) != red
    assert (kept[5, 5:8] == red).all()


@settings(max_examples=60)
@given(
    pictures(),
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=30),
    st.sampled_from(["none", "diffusion", "ordered"]),
)
def test_a_given_palette_is_taken_as_it_is(
    pixels: NDArray[np.uint8], palette: list[tuple[int, ...]], dither: str
) -> None:
    """Order, doubles and unused colours stay; without dithering each pixel takes the first nearest."""
    image = kmcodec.quantize(pixels, palette=palette, dither=dither)
    if image.palette.shape[1] == 3:
        np.testing.assert_array_equal(palette, image.palette)
    else:
        np.testing.assert_array_equal(palette, image.palette[:, :3])
    if dither == "none" and pixels.shape[2] == 3:
        distances = squared_distances(pixels, image.palette)
        np.testing.assert_array_equal(distances.argmin(axis=1), image.indices.reshape(-1))


@pytest.mark.parametrize("dither", ["diffusion", "ordered"])
def test_dithering_keeps_the_mean(dither: str) -> None:
    """Seen from afar, dithered areas have the picture's colours, which the palette has not."""
    ramp = np.linspace(20, 235, 128)
    pixels = np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], 128), axis=2).astype(np.uint8)
    plain = kmcodec.quantize(pixels, 8)
    dithered = kmcodec.quantize(pixels, 8, dither=dither)
    np.testing.assert_array_equal(plain.palette, dithered.palette)

    def blur(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        blocks: NDArray[np.float64] = picture.reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))
        # The border lies outside the colours of the palette.
        return blocks[2:-2, 2:-2]

    def error(image: kmcodec.IndexedImage) -> float:
        return float(((blur(image.to_rgb()) - blur(pixels)) ** 2).sum(axis=2).mean())

    assert error(dithered) < 0.1 * error(plain)
    assert error(kmcodec.quantize(pixels, 8, dither=dither, dither_strength=0.5)) < error(plain)
    undithered = kmcodec.quantize(pixels, 8, dither=dither, dither_strength=0)
    np.testing.assert_array_equal(plain.indices, undithered.indices)


@pytest.mark.parametrize("dither", ["diffusion", "ordered"])
def test_colours_of_the_palette_are_not_dithered(dither: str) -> None:
    """Where the palette has the colour, there is nothing to mix."""
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    image = kmcodec.quantize(pixels, dither=dither, palette=[(0, 0, 0), (120, 130, 140), (255, 255, 255)])
    np.testing.assert_array_equal(pixels, image.to_rgb())


@given(pictures(), st.sampled_from(["diffusion", "ordered"]), st.sampled_from(sorted(SPACES)))
def test_exact_pictures_are_not_dithered(pixels: NDArray[np.uint8], dither: str, space: str) -> None:
    """A picture of at most K colours comes back exactly, also colours that nobody can tell apart."""
    image = kmcodec.quantize(pixels, 65536, dither=dither, space=space)
    np.testing.assert_array_equal(kmcodec.quantize(pixels, 65536).to_rgb(), image.to_rgb())
    shown = pixels[:, :, : image.palette.shape[1]]
    np.testing.assert_array_equal(shown, image.to_rgb())


def test_flat_areas_show_no_worms() -> None:
    """Diffusion of a flat grey spreads its dots evenly, and does not line them up."""
    pixels = np.full((96, 96, 3), 32, np.uint8)
    dots = kmcodec.quantize(pixels, dither="diffusion", palette=[(0, 0, 0), (255, 255, 255)]).indices == 1
    inner = dots[16:, :]
    share = 32 / 255
    assert inner.mean() == pytest.approx(share, rel=0.05)
    for direction in ((0, 1), (1, 0), (1, 1), (1, -1)):
        neighbors = np.roll(inner, direction, axis=(0, 1))
        # As often side by side as chance would have it, or less.
        assert (inner & neighbors).mean() <= share**2
    blocks = inner.reshape(5, 16, 6, 16).mean(axis=(1, 3))
    assert blocks.std() < 0.02
