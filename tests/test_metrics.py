"""The measures, against scikit-image and against values computed by hand."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import photo, pictures

import kmcodec
from kmcodec import metrics
from kmcodec.threads import Workers


def lay_on(pixels: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """Restate what a viewer does, one channel after the other."""
    alpha = pixels[:, :, 3] / 255
    channels = [pixels[:, :, c] * alpha + background * (1 - alpha) for c in range(3)]
    return np.rint(np.dstack(channels)).astype(np.uint8)


def compare(height: int, width: int, n_colors: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a picture, and what n_colors make of it."""
    pixels = photo(height, width)
    return pixels, kmcodec.quantize(pixels, n_colors).to_rgb()


def test_psnr_by_hand() -> None:
    """20 log10 of 255 over the root of the mean error of a sample."""
    assert math.inf == metrics.psnr_db(0)
    assert 0 == metrics.psnr_db(3 * 255**2)
    assert 20 * math.log10(255 / 5) == pytest.approx(metrics.psnr_db(3 * 5**2))


def test_alpha_is_measured_on_black_and_on_white() -> None:
    """The mean of the error on black and of that on white."""
    a = np.array([[[255, 255, 255, 255]]], np.uint8)
    b = np.array([[[255, 255, 255, 0]]], np.uint8)
    # White against nothing: wrong by 255 in three channels on black, right on white.
    assert 3 * 255**2 / 2 == metrics.mean_squared_error(a, b)
    assert 0 == metrics.mean_squared_error(b, np.array([[[9, 9, 9, 0]]], np.uint8))
    assert 0 == metrics.mean_squared_error(a, a[:, :, :3])


def test_blocks_do_not_show() -> None:
    """Large pictures are compared in blocks, with the same result."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 700, 500, 3)).astype(np.uint8)
    expected = ((a.astype(float) - b) ** 2).sum(axis=2).mean()
    assert metrics.mean_squared_error(a, b) == pytest.approx(expected, rel=1e-12)
    psnr = 10 * np.log10(255**2 / ((a.astype(float) - b) ** 2).mean())
    assert metrics.psnr_db(expected) == pytest.approx(psnr)


@given(pictures(max_side=80, channels=(3,)), st.integers(0, 2**32 - 1))
def test_worst_region_is_the_worst(a: NDArray[np.uint8], seed: int) -> None:
    """It has the largest mean error of all regions of a grid, and says where it lies."""
    b = np.random.default_rng(seed).integers(0, 256, a.shape, np.uint8)
    region = metrics.find_worst_region(a, b)
    errors = ((a.astype(float) - b) ** 2).sum(axis=2)
    within = errors[region.y : region.y + region.height, region.x : region.x + region.width]
    assert (region.height, region.width) == within.shape
    assert region.mse == pytest.approx(within.mean())
    # No worse than the whole, and of a size of 17 to 32 where there is more than one.
    assert region.mse >= errors.mean() - 1e-9
    for side, length in zip((region.height, region.width), errors.shape, strict=True):
        assert side == length if length <= 32 else 16 <= side <= 32


def test_worst_region_by_hand() -> None:
    """A single wrong pixel is in it; of equally bad regions it is the first."""
    same = np.zeros((70, 70, 3), np.uint8)
    assert metrics.Region(0, 0, 23, 23, 0.0) == metrics.find_worst_region(same, same)
    a = np.zeros((100, 64, 3), np.uint8)
    b = a.copy()
    b[99, 40] = 8
    assert metrics.Region(32, 75, 32, 25, 3 * 64 / (32 * 25)) == metrics.find_worst_region(a, b)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [(7, 7), (8, 100), (101, 9), (150, 200)])
def test_ssim_is_that_of_scikit_image(size: tuple[int, int], threads: int) -> None:
    """With its defaults, although it is measured in blocks and channels."""
    measure = pytest.importorskip("skimage.metrics").structural_similarity
    a, b = compare(*size, 4)
    with Workers(threads) as workers, Workers(threads + 1) as others:
        # To the last bit.
        similarities = [metrics.structural_similarity(a, b, w) for w in (workers, others)]
        assert similarities[0] == similarities[1]
        expected = measure(a, b, channel_axis=2, data_range=255)
        assert metrics.structural_similarity(a, b, workers) == pytest.approx(expected, rel=1e-12)


def test_ssim_with_alpha() -> None:
    """The mean of what is seen on black and on white."""
    measure = pytest.importorskip("skimage.metrics").structural_similarity
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 20, 30, 4), np.uint8)
    both = [measure(lay_on(a, v), lay_on(b, v), channel_axis=2, data_range=255) for v in (0, 255)]
    with Workers(2) as workers:
        assert metrics.structural_similarity(a, b, workers) == pytest.approx(sum(both) / 2, rel=1e-12)


def test_small_pictures_have_no_ssim() -> None:
    """Where no window fits, there is none."""
    pytest.importorskip("skimage")
    with Workers(1) as workers:
        assert metrics.structural_similarity(*compare(6, 50, 2), workers) is None


@pytest.mark.parametrize("n_colors", [1, 5])
def test_color_difference_is_that_of_scikit_image(n_colors: int) -> None:
    """Mean, percentile and maximum over all pixels, though each pair of colours is measured once."""
    color = pytest.importorskip("skimage.color")
    a, b = compare(31, 57, n_colors)
    expected = color.deltaE_ciede2000(color.rgb2lab(a), color.rgb2lab(b))
    with Workers(2) as workers:
        found = metrics.measure_color_difference(a, b, workers)
    assert found.mean == pytest.approx(expected.mean())
    assert found.p95 == pytest.approx(np.percentile(expected, 95))
    assert found.maximum == pytest.approx(expected.max())


def test_color_difference_by_hand() -> None:
    """Black and white are 100 apart."""
    pytest.importorskip("skimage")
    a = np.zeros((1, 20, 3), np.uint8)
    b = a.copy()
    b[0, 0] = 255
    with Workers(2) as workers:
        found = metrics.measure_color_difference(a, b, workers)
    assert (5.0, 5.0, 100.0) == pytest.approx(tuple(found), abs=1e-4)


def test_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it says how to get it; the rest works."""
    monkeypatch.setitem(sys.modules, "skimage", None)
    a, b = compare(10, 10, 2)
    with Workers(1) as workers, pytest.raises(kmcodec.MissingExtraError, match="kmcodec.report"):
        metrics.structural_similarity(a, b, workers)
    with Workers(1) as workers, pytest.raises(kmcodec.MissingExtraError, match="kmcodec.report"):
        metrics.measure_color_difference(a, b, workers)
    report = kmcodec.report(a, kmcodec.encode(a, 2))
    assert (None, None) == (report.ssim, report.delta_e_mean)
    assert report.mse > 0
