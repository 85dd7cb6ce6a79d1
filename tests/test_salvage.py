"""What can be saved of a damaged file is saved, and what is lost is said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import fail, indexed_images, photo, run, succeed

import kmcodec
from kmcodec.container.layout import Header, crc_bytes
from kmcodec.container.salvage import Salvager
from kmcodec.container.writer import write_image
from kmcodec.pictures import load_picture

FILL = np.array([255, 0, 255], np.uint8)
METADATA = kmcodec.Metadata(texts=(kmcodec.Text("Title", "a"),))


def encoded() -> tuple[np.ndarray, bytearray]:
    """Return a picture of 48 rows, and its file of 6 strips with a section."""
    data = bytearray(kmcodec.encode(photo(), 16, strip_rows=8, metadata=METADATA))
    return kmcodec.decode(data), data


def test_an_intact_file_is_decoded() -> None:
    """Nothing is lost of an intact file, and no fault is found."""
    pixels, data = encoded()
    salvaged = kmcodec.salvage(data)
    np.testing.assert_array_equal(pixels, salvaged.pixels)
    assert ([], [], []) == (salvaged.lost, salvaged.unchecked, salvaged.faults)
    assert METADATA == kmcodec.Metadata.from_sections(salvaged.sections)


def test_every_intact_strip_is_saved() -> None:
    """Damaged strips are filled; the others are as they were."""
    pixels, data = encoded()
    header = kmcodec.KmqReader(data).header
    for number in (1, 2, 4):
        data[header.strip_offset(number) + 5] ^= 0x10
    salvaged = kmcodec.salvage(io.BytesIO(data))
    assert [(8, 24), (32, 40)] == salvaged.lost
    expected = pixels.copy()
    expected[8:24] = expected[32:40] = FILL
    np.testing.assert_array_equal(expected, salvaged.pixels)
    assert [f"strip_crc of strip {n}" for n in (1, 2, 4)] == [fault.field for fault in salvaged.faults]


@pytest.mark.parametrize("strip_rows", [8, 48])
@pytest.mark.parametrize("missing", [1, 3, 4, 5, 100, 600, 1200])
def test_a_truncated_file_yields_its_first_rows(strip_rows: int, missing: int) -> None:
    """Rows before the cut are there; those whose checksum is missing are named."""
    pixels = photo()
    whole = kmcodec.encode(pixels, 16, strip_rows=strip_rows)
    pixels, data = kmcodec.decode(whole), whole[:-missing]
    salvaged = kmcodec.salvage(data)
    # Each row has 32 bytes, each strip 4 more; the last strips are gone.
    there = salvaged.lost[0][0] if salvaged.lost else 48
    np.testing.assert_array_equal(pixels[:there], salvaged.pixels[:there])
    assert there >= 48 - -(-missing // 32)
    assert (salvaged.pixels[there:] == FILL).all()
    assert [fault.field for fault in salvaged.faults] == ["file"]
    if salvaged.unchecked:
        ((start, stop),) = salvaged.unchecked
        assert (there - there % strip_rows if there % strip_rows else there - strip_rows, there) == (
            start,
            stop,
        )


@given(indexed_images(), st.integers(1, 5), st.data())
def test_any_cut_or_damage_behind_the_palette(
    image: kmcodec.IndexedImage, strip_rows: int, data: st.DataObject
) -> None:
    """Whatever is damaged, all rows come back: right, filled, or named as unchecked."""
    file = bytearray(write_image(image, strip_rows=strip_rows))
    header = kmcodec.KmqReader(file).header
    place = data.draw(st.integers(header.sections_offset, len(file) - 1))
    file[place] ^= data.draw(st.integers(1, 255))
    del file[data.draw(st.integers(header.sections_offset, len(file))) :]
    salvaged = kmcodec.salvage(file)
    assert salvaged.faults
    expected = image.to_rgb()
    assert expected.shape == salvaged.pixels.shape
    known = np.ones(image.height, bool)
    for start, stop in salvaged.lost:
        known[start:stop] = False
        assert (salvaged.pixels[start:stop, :, :3] == FILL).all()
    for start, stop in salvaged.unchecked:
        known[start:stop] = False
    np.testing.assert_array_equal(expected[known], salvaged.pixels[known])


def test_damaged_metadata_is_left_out() -> None:
    """All rows are saved without it."""
    pixels, data = encoded()
    data[90] ^= 1
    salvaged = kmcodec.salvage(data)
    np.testing.assert_array_equal(pixels, salvaged.pixels)
    assert ((), ["sections_crc"]) == (salvaged.sections, [fault.field for fault in salvaged.faults])


def test_what_follows_the_file_is_ignored() -> None:
    """A file that goes on is decoded, and the fault is told."""
    pixels, data = encoded()
    salvaged = kmcodec.salvage(data + b"more")
    np.testing.assert_array_equal(pixels, salvaged.pixels)
    assert ["file"] == [fault.field for fault in salvaged.faults]


@pytest.mark.parametrize("place", [0, 8, 13, 30, 33, 81])
def test_without_header_and_palette_nothing_can_be_saved(place: int) -> None:
    """Damage there is an error, as for decode."""
    _, data = encoded()
    data[place] ^= 0x40
    with pytest.raises(kmcodec.KmqFormatError):
        kmcodec.salvage(data)
    with pytest.raises(kmcodec.KmqFormatError):
        kmcodec.salvage(data[:60])


def test_what_is_missing_takes_no_time() -> None:
    """Millions of strips that the file has not are one run; of faults, the first thousand are told."""
    image = kmcodec.IndexedImage(np.zeros((2, 3), np.uint8), np.zeros((5000, 1), np.uint8))
    data = bytearray(write_image(image, strip_rows=1))
    salvager = Salvager(data[:100], max_pixels=None)
    assert len(list(salvager.runs())) < 20
    for number in range(5000):
        data[salvager.header.strip_offset(number) + 1] ^= 1
    salvaged = kmcodec.salvage(data)
    assert [(0, 5000)] == salvaged.lost
    assert 1000 == len(salvaged.faults)


def test_indices() -> None:
    """Salvager gives indices where they are asked for, and 0 for lost ones."""
    _, data = encoded()
    reader = kmcodec.KmqReader(bytes(data))
    data[reader.header.strip_offset(1) + 5] ^= 0x10
    runs = list(Salvager(data[:-5], as_indices=True).runs())
    expected = reader.indices().copy()
    expected[8:16] = 0
    # The last bytes of the last row.
    expected[-1] = 0
    np.testing.assert_array_equal(expected, np.concatenate([run.pixels for run in runs]))
    one = write_image(kmcodec.IndexedImage(np.array([[7, 8, 9]], np.uint8), np.zeros((5, 4), np.uint8)))
    assert [0] * 20 == [int(i) for run in Salvager(one, as_indices=True).runs() for i in run.pixels.flat]


class _StrictFile(io.BytesIO):
    """Refuse to be asked for more than there is: a file would set aside memory for it."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= len(self.getbuffer()) - self.tell()
        return super().read(size)


def test_a_false_length_takes_no_memory() -> None:
    """Where a field claims more bytes than the file has, no more are asked for."""
    header = Header(3, 2, 1, False, 2, 2**32 - 1)
    palette = bytes(6)
    file = _StrictFile(header.to_bytes() + palette + crc_bytes(palette) + bytes(100))
    salvaged = kmcodec.salvage(file)
    assert [(0, 2)] == salvaged.lost
    with pytest.raises(kmcodec.KmqFormatError):
        kmcodec.KmqReader(file)


def test_the_fill_can_be_chosen() -> None:
    """It is opaque unless it has alpha, which counts for pictures with alpha only."""
    image = kmcodec.IndexedImage(np.zeros((2, 4), np.uint8), np.zeros((2, 1), np.uint8))
    data = write_image(image, strip_rows=1)[:-5]
    assert (1, 2, 3, 255) == tuple(kmcodec.salvage(data, fill=(1, 2, 3)).pixels[1, 0])
    assert (1, 2, 3, 4) == tuple(kmcodec.salvage(data, fill=(1, 2, 3, 4)).pixels[1, 0])
    with pytest.raises(ValueError, match="fill"):
        kmcodec.salvage(data, fill=(1, 2))


class TestShell:
    """kmq decode --salvage."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return a folder with a file of which strips 1 and 4 are damaged."""
        _, data = encoded()
        header = kmcodec.KmqReader(data).header
        for number in (1, 4):
            data[header.strip_offset(number)] ^= 1
        (tmp_path / "a.kmq").write_bytes(data)
        return tmp_path

    def test_saves_and_says_what_is_lost(self, folder: Path) -> None:
        """Status 1, one line that names the rows, and the picture."""
        assert "strip_crc of strip 1" in fail(folder, "decode", "a.kmq")
        message = fail(folder, "decode", "a.kmq", "--salvage")
        assert "kmq: a.kmq: damaged: lost 16 rows (8..15, 32..39), filled with #ff00ff (strip_crc" in message
        pixels, data = load_picture(folder / "a.png"), (folder / "a.kmq").read_bytes()
        np.testing.assert_array_equal(kmcodec.salvage(data).pixels, pixels)
        with Image.open(folder / "a.png") as image:
            assert {"Title": "a"} == image.text  # type: ignore[attr-defined]

    def test_options(self, folder: Path) -> None:
        """The fill, a region and other formats; from standard input too."""
        data = (folder / "a.kmq").read_bytes()
        fail(
            folder, "decode", "a.kmq", "--salvage", "--fill", "#010203", "--region", "2,4,9,9", "-o", "b.png"
        )
        expected = kmcodec.salvage(data, fill=(1, 2, 3)).pixels
        np.testing.assert_array_equal(expected[4:13, 2:11], load_picture(folder / "b.png"))
        fail(folder, "decode", "a.kmq", "--salvage", "-o", "b.npy")
        np.testing.assert_array_equal(kmcodec.salvage(data).pixels, np.load(folder / "b.npy"))
        process = run(folder, "decode", "-", "--salvage", "-o", "-", stdin=data)
        assert 1 == process.returncode
        np.testing.assert_array_equal(kmcodec.salvage(data).pixels, load_picture(io.BytesIO(process.stdout)))

    def test_truncated_download(self, folder: Path) -> None:
        """Its first rows come out, the unchecked ones named."""
        data = kmcodec.encode(photo(), 16)
        (folder / "b.kmq").write_bytes(data[:-1000])
        message = fail(folder, "decode", "b.kmq", "--salvage")
        assert (
            "lost 32 rows (16..47), filled with #ff00ff; unchecked 16 rows (0..15) (file at offset" in message
        )
        np.testing.assert_array_equal(kmcodec.decode(data)[:16], load_picture(folder / "b.png")[:16])

    def test_intact(self, folder: Path) -> None:
        """Status 0 and no word for an intact file."""
        (folder / "b.kmq").write_bytes(kmcodec.encode(photo(), 16))
        assert b"" == succeed(folder, "decode", "b.kmq", "--salvage")

    def test_nothing_to_save(self, folder: Path) -> None:
        """One line says so, and no file is written."""
        (folder / "b.kmq").write_bytes((folder / "a.kmq").read_bytes()[:50])
        assert "kmq: b.kmq: nothing can be saved: file at offset 50" in fail(
            folder, "decode", "b.kmq", "--salvage"
        )
        assert not (folder / "b.png").exists()
