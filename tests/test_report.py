"""The report's numbers, against values computed by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from support import photo

import kmcodec
from kmcodec.report.measure import mean_squared_error, psnr_db
from kmcodec.report.text import format_report


def test_numbers_of_a_small_picture() -> None:
    """Sizes, ratio, bits per pixel, mse and PSNR by hand."""
    pixels = np.array([[[0, 0, 0], [2, 4, 6]]], np.uint8)
    data = kmcodec.encode(pixels, 1)
    report = kmcodec.report(pixels, data, source_bytes=100)
    assert (
        kmcodec.Report(
            width=2,
            height=1,
            colors=1,
            index_bits=0,
            file_bytes=43,
            raw_bytes=6,
            source_bytes=100,
            ratio=6 / 43,
            bits_per_pixel=172.0,
            mse=1 + 4 + 9,
            psnr_db=10 * math.log10(255**2 * 3 / 14),
        )
        == report
    )


def test_exact_copy_has_infinite_psnr() -> None:
    """Infinity is a number in Python, null in JSON and a word in text."""
    pixels = kmcodec.quantize(photo(), 8).to_rgb()
    report = kmcodec.report(pixels, kmcodec.encode(pixels, 8))
    assert (0, math.inf) == (report.mse, report.psnr_db)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["psnr_db"] is None
    assert "every pixel is exact" in format_report(report, original="a.png", file="a.kmq")


def test_alpha_is_measured_on_black_and_on_white() -> None:
    """The mean of the error on black and of that on white."""
    a = np.array([[[255, 255, 255, 255]]], np.uint8)
    b = np.array([[[255, 255, 255, 0]]], np.uint8)
    # White against nothing: wrong by 255 in three channels on black, right on white.
    assert 3 * 255**2 / 2 == mean_squared_error(a, b)
    assert 0 == mean_squared_error(b, np.array([[[9, 9, 9, 0]]], np.uint8))
    assert 0 == mean_squared_error(a, a[:, :, :3])


def test_blocks_do_not_show() -> None:
    """Large pictures are compared in blocks, with the same result."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 700, 500, 3)).astype(np.uint8)
    expected = ((a.astype(float) - b) ** 2).sum(axis=2).mean()
    assert mean_squared_error(a, b) == pytest.approx(expected, rel=1e-12)
    assert psnr_db(expected) == pytest.approx(10 * np.log10(255**2 / ((a.astype(float) - b) ** 2).mean()))


def test_inputs_are_checked_and_not_modified() -> None:
    """Another size is the caller's mistake; arguments stay as they are."""
    pixels = photo()
    before = pixels.copy()
    data = kmcodec.encode(pixels, 4)
    kmcodec.report(pixels, data)
    np.testing.assert_array_equal(before, pixels)
    with pytest.raises(ValueError, match="48 x 64 pixels, the .kmq file 64 x 48"):
        kmcodec.report(pixels.transpose(1, 0, 2), data)
    with pytest.raises(TypeError, match="uint8"):
        kmcodec.report(pixels.astype(float), data)
    with pytest.raises(ValueError, match="shape"):
        kmcodec.report(pixels[0], data)
    with pytest.raises(kmcodec.KmqFormatError):
        kmcodec.report(pixels, data[:-1])


def test_text_says_when_the_source_was_smaller() -> None:
    """A file that is larger than its source is called that."""
    pixels = photo()
    data = kmcodec.encode(pixels, 4)
    smaller = format_report(kmcodec.report(pixels, data, source_bytes=10**6), original="a.png", file="a.kmq")
    assert f"{10**6 / len(data):.2f} : 1 to a.png" in smaller
    larger = format_report(kmcodec.report(pixels, data, source_bytes=100), original="a.png", file="a.kmq")
    assert f"but {len(data) / 100:.2f} times the size of a.png" in larger
