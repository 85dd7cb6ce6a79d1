"""Reading parts of a file: lazily, from any source, and no more than is needed."""

from __future__ import annotations

import io
import mmap
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, RangeHandler, indexed_images, photo

import kmcodec
from kmcodec.container.writer import write_image


class CountingFile(io.BytesIO):
    """Count the bytes that are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and count."""
        data = super().read(size)
        self.bytes_read += len(data)
        return data


class DribblingFile(io.BytesIO):
    """Give fewer bytes than are asked for, as raw files may."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read 7 bytes at most."""
        return super().read(min(size or 7, 7))


def encoded(height: int = 300, width: int = 400, strip_rows: int = 50) -> tuple[np.ndarray, bytes]:
    """Return the pixels of a picture of 16 colours, and its file."""
    image = kmcodec.quantize(photo(height, width), 16)
    return image.to_rgb(), write_image(image, strip_rows=strip_rows)


def test_a_region_costs_its_own_bytes_only() -> None:
    """Header, palette and the bytes of the region's rows are read, and nothing else."""
    pixels, data = encoded()
    file = CountingFile(data)
    reader = kmcodec.KmqReader(file)
    opened = file.bytes_read
    assert 32 + 3 * 16 + 4 == opened
    region = reader.region(100, 40, 64, 128)
    np.testing.assert_array_equal(pixels[40:168, 100:164], region)
    assert 128 * 64 // 2 == file.bytes_read - opened
    np.testing.assert_array_equal(pixels[7:9], reader.rows(7, 9))
    assert 128 * 64 // 2 + 2 * 400 // 2 == file.bytes_read - opened


@given(indexed_images(), st.integers(1, 25), st.data())
def test_regions_are_parts_of_the_picture(
    image: kmcodec.IndexedImage, strip_rows: int, data: st.DataObject
) -> None:
    """A region has the pixels that the picture has there, verified or not, in memory and in a file."""
    file = write_image(image, strip_rows=strip_rows)
    x, y = data.draw(st.integers(0, image.width - 1)), data.draw(st.integers(0, image.height - 1))
    width = data.draw(st.integers(1, image.width - x))
    height = data.draw(st.integers(1, image.height - y))
    expected = image.to_rgb()[y : y + height, x : x + width]
    for source in (file, io.BytesIO(file)):
        for verify in (None, True, False):
            region = kmcodec.KmqReader(source).region(x, y, width, height, verify=verify)
            np.testing.assert_array_equal(expected, region)


@given(indexed_images(), st.integers(1, 25))
def test_strips_are_the_picture(image: kmcodec.IndexedImage, strip_rows: int) -> None:
    """Going through the strips gives all rows, in strips of strip_rows."""
    reader = kmcodec.KmqReader(io.BytesIO(write_image(image, strip_rows=strip_rows)))
    strips = list(reader)
    np.testing.assert_array_equal(image.to_rgb(), np.concatenate(strips))
    assert all(len(strip) == min(strip_rows, image.height) for strip in strips[:-1])
    np.testing.assert_array_equal(image.indices, np.concatenate(list(reader.strips())))


def test_damage_in_a_region() -> None:
    """In memory a damaged strip is noticed by default; a file is verified on request."""
    pixels, data = encoded()
    damaged = bytearray(data)
    damaged[-10] ^= 0xFF
    for source, verify in ((damaged, None), (io.BytesIO(damaged), True)):
        reader = kmcodec.KmqReader(source)
        np.testing.assert_array_equal(pixels[:250], reader.rows(0, 250, verify=verify))
        with pytest.raises(kmcodec.KmqFormatError, match="strip_crc of strip 5"):
            reader.rows(249, 251, verify=verify)
    assert (1, 400, 3) == kmcodec.KmqReader(io.BytesIO(damaged)).rows(299, 300).shape


def test_illegal_indices_are_found_without_checksums() -> None:
    """An index that is not in the palette is an error at its place, in an unverified region too."""
    image = kmcodec.IndexedImage(np.zeros((5, 3), np.uint8), np.zeros((4, 10), np.uint8))
    data = bytearray(write_image(image))
    # Pixel 5 of row 2 is index 25, in bits 75 to 77.
    place = 32 + 15 + 4 + 75 // 8
    data[place] |= 0b00011100
    with pytest.raises(kmcodec.KmqFormatError, match="index in strip 0") as caught:
        kmcodec.KmqReader(io.BytesIO(data)).region(4, 2, 3, 1)
    assert place == caught.value.offset


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_show(threads: int) -> None:
    """However many threads unpack the strips, the result and the error are the same."""
    image = kmcodec.quantize(photo(1100, 2000), 16)
    data = write_image(image, strip_rows=100, threads=threads)
    assert write_image(image, strip_rows=100) == data
    reader = kmcodec.KmqReader(io.BytesIO(data))
    np.testing.assert_array_equal(image.indices, reader.indices(threads=threads))
    np.testing.assert_array_equal(image.to_rgb(), reader.pixels(threads=threads))
    reader.verify(threads=threads)
    damaged = bytearray(data)
    for place in (len(data) // 3, len(data) // 2, len(data) - 100):
        damaged[place] ^= 1
    with pytest.raises(kmcodec.KmqFormatError, match="strip_crc of strip 3"):
        kmcodec.decode(damaged, threads=threads)


def test_sources(tmp_path: Path) -> None:
    """Paths, file objects that give little at a time, and memory maps are read alike."""
    pixels, data = encoded()
    path = tmp_path / "a.kmq"
    path.write_bytes(data)
    with kmcodec.open(path) as reader:
        np.testing.assert_array_equal(pixels, reader.pixels())
    np.testing.assert_array_equal(pixels, kmcodec.KmqReader(DribblingFile(data)).pixels())
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with kmcodec.KmqReader(mapped) as reader:
            np.testing.assert_array_equal(pixels, reader.pixels())
        # Nothing looks into it any more.
        mapped.close()
        assert (16, 3) == reader.palette.shape


def test_sections_are_read_before_pixels() -> None:
    """Opening reads no metadata; what gives pixels does: a section can say that they mean something else."""
    metadata = kmcodec.Metadata(texts=(kmcodec.Text("Title", "long " * 1000),))
    data = bytearray(kmcodec.encode(photo(), 4, metadata=metadata))
    file = CountingFile(bytes(data))
    reader = kmcodec.KmqReader(file)
    assert file.bytes_read < 100
    for _ in range(3):
        reader.region(0, 0, 8, 8)
    assert 5000 < file.bytes_read < 5500
    data[60] ^= 1
    reader = kmcodec.KmqReader(io.BytesIO(data))
    for read in (
        lambda: reader.sections,
        lambda: reader.region(0, 0, 8, 8),
        reader.pixels,
        reader.indices,
        reader.verify,
        lambda: list(reader),
    ):
        with pytest.raises(kmcodec.KmqFormatError, match="sections_crc"):
            read()
    unknown = (ROOT / "spec" / "vectors" / "invalid" / "section-required-alone.kmq").read_bytes()
    with pytest.raises(kmcodec.KmqFormatError, match="section type"):
        kmcodec.KmqReader(unknown).region(0, 0, 1, 1)


@pytest.mark.parametrize("kind", ["pixels", "salvage"])
def test_a_tiny_file_cannot_ask_for_much_memory(kind: str) -> None:
    """A picture of one colour, or one of which most is missing, counts eightfold against the limit."""
    width = 1 << 25
    read = kmcodec.decode if kind == "pixels" else kmcodec.salvage
    one_color = kmcodec.IndexedImage(np.zeros((1, 3), np.uint8), np.zeros((1, 1), np.uint8))
    data = write_image(one_color)
    from test_container import with_header

    with pytest.raises(kmcodec.LimitExceededError, match="of one colour is 33554432"):
        read(with_header(data, 12, (width + 1).to_bytes(4, "little")))
    assert read(with_header(data, 12, (1 << 20).to_bytes(4, "little"))) is not None
    if kind == "salvage":
        image = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((1, 1), np.uint8))
        missing = with_header(write_image(image), 12, (width + 1).to_bytes(4, "little"))
        with pytest.raises(kmcodec.LimitExceededError, match="mostly missing is 33554432"):
            read(missing)


def test_a_region_over_http(tmp_path: Path, server: str) -> None:
    """Through fsspec, a region of a file on a web server costs its own bytes; or some blocks read ahead."""
    pixels, data = encoded(2000, 1000, 100)
    (tmp_path / "large.kmq").write_bytes(data)
    sent = []
    for options in ({"cache_type": "none"}, {"block_size": 1 << 12}):
        RangeHandler.sent = 0
        with fsspec.open(f"{server}/large.kmq", **options) as file:
            reader = kmcodec.KmqReader(file)
            region = reader.region(500, 1000, 64, 64)
        np.testing.assert_array_equal(pixels[1000:1064, 500:564], region)
        sent.append(RangeHandler.sent)
    # Header, palette and 64 rows of 32 bytes; these lie in 32 kB of the file, of 1 MB.
    assert 32 + 3 * 16 + 4 + 64 * 32 == sent[0]
    assert sent[1] < 64 * 500 + 6 * (1 << 12)


def test_regions_in_numpy_integers() -> None:
    """Integers of few bits do not overflow; what is no integer is refused."""
    pixels, data = encoded()
    reader = kmcodec.KmqReader(data)
    region = reader.region(*np.array([200, 100, 200, 200], np.uint8))
    np.testing.assert_array_equal(pixels[100:300, 200:400], region)
    with pytest.raises(TypeError):
        reader.region(0.0, 0, 1, 1)  # type: ignore[arg-type]


def test_text_files_are_refused(tmp_path: Path) -> None:
    """A file that was opened as text is the caller's mistake."""
    (tmp_path / "a").write_text("abc")
    with (tmp_path / "a").open() as file, pytest.raises(TypeError, match="binary"):
        kmcodec.KmqReader(file)  # type: ignore[arg-type]
