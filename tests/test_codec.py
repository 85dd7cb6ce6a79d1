"""The library as its users call it: round trips."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import photo, pictures

import kmcodec


@given(pictures(), st.integers(1, 65536), st.one_of(st.none(), st.integers(1, 30)))
def test_decoding_gives_the_quantized_picture(
    pixels: NDArray[np.uint8], n_colors: int, strip_rows: int | None
) -> None:
    """decode(encode(x)) is quantize(x), and exact for a picture of at most K colours."""
    decoded = kmcodec.decode(kmcodec.encode(pixels, n_colors, strip_rows=strip_rows))
    np.testing.assert_array_equal(kmcodec.quantize(pixels, n_colors).to_rgb(), decoded)
    if len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) <= n_colors:
        opaque = pixels.shape[2] == 3 or bool((pixels[:, :, 3] == 255).all())
        np.testing.assert_array_equal(pixels[:, :, :3] if opaque else pixels, decoded)


@given(pictures(), st.integers(1, 300), st.integers(0, 300))
def test_encoding_again_changes_nothing(pixels: NDArray[np.uint8], n_colors: int, more: int) -> None:
    """An encoded picture, decoded and encoded with as many colours or more, is the same file."""
    first = kmcodec.encode(pixels, n_colors)
    assert first == kmcodec.encode(kmcodec.decode(first), n_colors + more)


def test_files_hold_what_encode_returns(tmp_path: Path) -> None:
    """write, read and open are encode and decode on files."""
    path = tmp_path / "picture.kmq"
    pixels = photo()
    kmcodec.write(path, pixels, 16, strip_rows=10)
    assert kmcodec.encode(pixels, 16, strip_rows=10) == path.read_bytes()
    decoded = kmcodec.decode(path.read_bytes())
    np.testing.assert_array_equal(decoded, kmcodec.read(path))
    with kmcodec.open(path) as reader:
        assert (64, 48) == (reader.width, reader.height)
        assert (16, 3) == reader.palette.shape
        np.testing.assert_array_equal(decoded, reader.pixels())
        np.testing.assert_array_equal(decoded, reader.palette[reader.indices()])
        np.testing.assert_array_equal(decoded[5:25, 7:20], reader.region(7, 5, 13, 20))
    with pytest.raises(ValueError, match="closed file"):
        reader.pixels()


def test_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    """What cannot be encoded does not touch the file."""
    path = tmp_path / "picture.kmq"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="n_colors"):
        kmcodec.write(path, photo(), 0)
    assert b"old" == path.read_bytes()
    assert ["picture.kmq"] == os.listdir(tmp_path)  # names, not paths


def test_bad_files_do_not_stay_open(tmp_path: Path) -> None:
    """Open closes what it cannot read: a warning of an unclosed file would fail this test."""
    path = tmp_path / "bad.kmq"
    for content in (b"", b"no picture"):
        path.write_bytes(content)
        with pytest.raises(kmcodec.KmqFormatError, match="signature"):
            kmcodec.open(path)
    with pytest.raises(FileNotFoundError):
        kmcodec.read(tmp_path / "missing.kmq")


def test_file_that_shrinks_while_it_is_open_is_refused() -> None:
    """A file cut after it was opened ends in KmqFormatError."""
    file = io.BytesIO(kmcodec.encode(photo(), 4, strip_rows=8))
    reader = kmcodec.KmqReader(file)
    file.truncate(100)
    with pytest.raises(kmcodec.KmqFormatError, match="end of the file"):
        reader.pixels()


class TestIndexedImage:
    """An indexed image is valid, or is not made."""

    PALETTE = np.zeros((3, 3), np.uint8)
    INDICES = np.zeros((2, 2), np.uint8)

    @pytest.mark.parametrize(
        ("palette", "indices", "error"),
        [
            (PALETTE.astype(int), INDICES, TypeError),
            (PALETTE[0], INDICES, ValueError),
            (PALETTE[:, :2], INDICES, ValueError),
            (PALETTE[:0], INDICES, ValueError),
            (np.zeros((65537, 3), np.uint8), INDICES.astype(np.uint16), ValueError),
            (PALETTE, INDICES.astype(np.uint16), TypeError),
            (np.zeros((257, 3), np.uint8), INDICES, TypeError),
            (PALETTE, INDICES[0], ValueError),
            (PALETTE, INDICES[:0], ValueError),
            (PALETTE, INDICES + np.uint8(3), ValueError),
        ],
    )
    def test_invariants(
        self, palette: NDArray[np.uint8], indices: NDArray[np.uint8], error: type[Exception]
    ) -> None:
        """Dtypes, shapes and ranges are checked when it is made."""
        with pytest.raises(error):
            kmcodec.IndexedImage(palette, indices)

    def test_frozen(self) -> None:
        """Nothing of it can be changed afterwards; the caller's arrays stay writable."""
        indices = self.INDICES.copy()
        image = kmcodec.IndexedImage(self.PALETTE, indices)
        with pytest.raises(AttributeError):
            image.palette = self.PALETTE  # type: ignore[misc]
        with pytest.raises(ValueError, match="read-only"):
            image.indices[0, 0] = 1
        indices[0, 0] = 1
        assert (2, 2) == (image.width, image.height)
