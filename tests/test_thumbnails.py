"""Thumbnails: means of what each pixel covers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import fail, photo, pictures, succeed

import kmcodec
from kmcodec import thumbnails
from kmcodec.pictures import load_picture
from kmcodec.thumbnails import fit_size, make_thumbnail


def average(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Return exact means: each pixel as many times as makes the areas whole."""
    values = pixels.astype(np.float64)
    if pixels.shape[2] == 4:
        values[:, :, :3] *= values[:, :, 3:] / 255
    many = values.repeat(height, axis=0).repeat(width, axis=1)
    rows, columns = pixels.shape[:2]
    means: NDArray[np.float64] = many.reshape(height, rows, width, columns, -1).mean(axis=(1, 3))
    if pixels.shape[2] == 4:
        means[:, :, :3] *= 255 / np.maximum(means[:, :, 3:], 1e-9)
    return means


@given(pictures(), st.integers(1, 24), st.integers(1, 5), st.sampled_from([1, 50, 1 << 18]))
def test_means(pixels: NDArray[np.uint8], size: int, strip_rows: int, block: int) -> None:
    """Each pixel is the mean of what it covers, weighed by opacity, however strips and blocks are cut."""
    data = kmcodec.encode(pixels, 16, strip_rows=min(strip_rows, len(pixels)))
    pixels = kmcodec.decode(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thumbnails, "_BLOCK_PIXELS", block)
        small = make_thumbnail(kmcodec.KmqReader(data), size)
    height, width = pixels.shape[:2]
    if max(height, width) <= size:
        np.testing.assert_array_equal(pixels, small)
        return
    assert fit_size(height, width, size) == small.shape[:2]
    expected = average(pixels, *small.shape[:2])
    if pixels.shape[2] == 4:
        # Colours that can hardly be seen are not certain.
        seen = expected[:, :, 3] >= 1
        np.testing.assert_allclose(small[:, :, 3], expected[:, :, 3], atol=0.51)
        small, expected = small[seen], expected[seen]
    np.testing.assert_allclose(small, expected, atol=0.51)


@pytest.mark.parametrize(
    ("shape", "expected"), [((300, 451), (170, 256)), ((2, 5000), (1, 256)), ((4000, 4000), (256, 256))]
)
def test_sizes(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    """The longer side has the size, the other one its share, and at least a pixel."""
    assert expected == fit_size(*shape, 256)


def test_command(tmp_path: Path) -> None:
    """The command writes a PNG under any name, over an empty file as file managers make one."""
    kmcodec.write(tmp_path / "photo.kmq", photo(), 16)
    (tmp_path / "out").touch()
    assert b"" == succeed(tmp_path, "thumbnail", "--size", "32", "--", "photo.kmq", "out")
    with Image.open(tmp_path / "out") as image:
        assert ("PNG", (32, 24)) == (image.format, image.size)
    succeed(tmp_path, "thumbnail", "photo.kmq", "out")
    np.testing.assert_array_equal(kmcodec.read(tmp_path / "photo.kmq"), load_picture(tmp_path / "out"))


def test_profile_goes_along(tmp_path: Path) -> None:
    """Of the metadata, the thumbnail has the colour profile, without which its colours are others."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    metadata = kmcodec.Metadata(icc_profile=profile, texts=(kmcodec.Text("Title", "A"),))
    kmcodec.write(tmp_path / "photo.kmq", photo(), 16, metadata=metadata)
    succeed(tmp_path, "thumbnail", "photo.kmq", "out", "--size", "20")
    with Image.open(tmp_path / "out") as image:
        assert (profile, None) == (image.info["icc_profile"], image.info.get("Title"))


def test_refusals(tmp_path: Path) -> None:
    """Damage is an error of one line, and what is there stays."""
    data = bytearray(kmcodec.encode(photo(), 16))
    data[-9] ^= 1
    (tmp_path / "bad.kmq").write_bytes(data)
    (tmp_path / "out").write_bytes(b"mine")
    assert "bad.kmq: strip_crc" in fail(tmp_path, "thumbnail", "bad.kmq", "out", "--size", "20")
    assert "is the input itself" in fail(tmp_path, "thumbnail", "bad.kmq", "bad.kmq", status=2)
    assert b"mine" == (tmp_path / "out").read_bytes()
    # One colour, for whose pixels the file holds nothing.
    huge = bytearray(kmcodec.encode(np.zeros((1, 1, 3), np.uint8), 1))
    huge[12:20] = b"\0\0\x10\0\0\0\x10\0"
    import zlib

    huge[20:24] = b"\0\0\x10\0"
    huge[28:32] = zlib.crc32(huge[:28]).to_bytes(4, "little")
    (tmp_path / "huge.kmq").write_bytes(huge)
    assert "the limit" in fail(tmp_path, "thumbnail", "huge.kmq", "out")
