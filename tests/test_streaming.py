"""Pictures that are read, written and decoded by rows: the same files as of whole pictures."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import fail, indexed_images, names, photo, pictures, run, succeed

import kmcodec
from kmcodec import rows, streaming
from kmcodec.cli import decode
from kmcodec.container.writer import write_image
from kmcodec.pictures import load_picture, write_png
from kmcodec.threads import Workers


class Slices:
    """Give rows by slicing, and nothing else, as the arrays of h5py and zarr do."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.shape, self.dtype, self._pixels = pixels.shape, pixels.dtype, pixels

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        return self._pixels[part]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every picture be too large for one block."""
    monkeypatch.setattr(streaming, "_BLOCK_PIXELS", 100)


class TestWriter:
    """KmqWriter writes rows as they come."""

    @settings(suppress_health_check=[HealthCheck.large_base_example])
    @given(indexed_images(), st.one_of(st.none(), st.integers(1, 25)), st.data())
    def test_any_cut(self, image: kmcodec.IndexedImage, strip_rows: int | None, data: st.DataObject) -> None:
        """However the rows are cut, the file is the same."""
        buffer = io.BytesIO()
        options: Any = {"strip_rows": strip_rows, "sections": image.sections}
        with kmcodec.KmqWriter(buffer, image.palette, image.width, image.height, **options) as writer:
            start = 0
            while start < image.height:
                stop = data.draw(st.integers(start, image.height))
                writer.append(image.indices[start:stop])
                start = stop
        assert write_image(image, strip_rows=strip_rows) == buffer.getvalue()

    def test_path(self, tmp_path: Path) -> None:
        """A path holds the old file until the new one is complete."""
        path = tmp_path / "a.kmq"
        path.write_bytes(b"old")
        with kmcodec.KmqWriter(path, [(1, 2, 3), (4, 5, 6)], 8, 4) as writer:
            writer.append(np.ones((4, 8), np.uint8))
            assert b"old" == path.read_bytes()
        assert ["a.kmq"] == names(tmp_path)
        assert (4, 5, 6) == tuple(kmcodec.read(path)[3, 7])

    def test_unfinished_files_are_not_kept(self, tmp_path: Path) -> None:
        """Missing rows are an error; after this and any other exception the old file is still there."""
        path = tmp_path / "a.kmq"
        path.write_bytes(b"old")
        with pytest.raises(ValueError, match="4 rows, found 3 only"):
            self.write_three_rows(path, None)
        with pytest.raises(KeyError):
            self.write_three_rows(path, KeyError())
        writer = kmcodec.KmqWriter(path, [(1, 2, 3)], 8, 4)
        with pytest.raises(ValueError, match="found 0 only"):
            writer.close()
        assert ["a.kmq"] == names(tmp_path)
        assert b"old" == path.read_bytes()

    @staticmethod
    def write_three_rows(path: Path, error: Exception | None) -> None:
        """Write three rows of four."""
        with kmcodec.KmqWriter(path, [(1, 2, 3)], 8, 4) as writer:
            writer.append(np.zeros((3, 8), np.uint8))
            if error is not None:
                raise error

    @pytest.mark.parametrize(
        ("indices", "error"),
        [
            (np.zeros((5, 8), np.uint8), ValueError),
            (np.zeros((1, 7), np.uint8), ValueError),
            (np.zeros(8, np.uint8), ValueError),
            (np.full((1, 8), 2, np.uint8), ValueError),
            (np.zeros((1, 8), np.uint16), TypeError),
            (np.zeros((1, 8)), TypeError),
        ],
    )
    def test_bad_rows(self, indices: NDArray[Any], error: type[Exception]) -> None:
        """Rows of another width, type or number, and indices that the palette has not, are refused."""
        writer = kmcodec.KmqWriter(io.BytesIO(), [(1, 2, 3), (4, 5, 6)], 8, 4)
        with pytest.raises(error):
            writer.append(indices)

    def test_files_that_take_little_at_a_time(self) -> None:
        """Everything arrives in a file without a buffer; one that takes nothing is an error."""

        class Raw(io.RawIOBase):
            def __init__(self, most: int) -> None:
                self.data, self.most = bytearray(), most

            def write(self, data: Any) -> int:
                self.data += bytes(data)[: self.most]
                return min(self.most, len(data))

        image = kmcodec.quantize(photo(), 16)
        slow: Any = Raw(100)
        with kmcodec.KmqWriter(slow, image.palette, 64, 48) as writer:
            writer.append(image.indices)
        assert write_image(image) == slow.data
        stuck: Any = Raw(0)
        with pytest.raises(BlockingIOError):
            kmcodec.KmqWriter(stuck, image.palette, 64, 48)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (([(1, 2)], 1, 1), ValueError),
            (([(1, 2, 256)], 1, 1), ValueError),
            (([(1, 2, 3)], 0, 1), ValueError),
            (([(1, 2, 3)], 1, 2**32), ValueError),
            (([(1, 2, 3)], 1.0, 1), TypeError),
        ],
    )
    def test_bad_arguments(self, tmp_path: Path, arguments: Any, error: type[Exception]) -> None:
        """What cannot be written is refused before there is a file."""
        with pytest.raises(error):
            kmcodec.KmqWriter(tmp_path / "a.kmq", *arguments)
        assert [] == names(tmp_path)


@pytest.mark.usefixtures("small_blocks")
class TestEncoding:
    """Two passes over blocks give the file that the whole picture gives."""

    @given(pictures(max_side=30), st.integers(1, 300), st.sampled_from(["none", "diffusion", "ordered"]))
    def test_same_file(self, pixels: NDArray[np.uint8], n_colors: int, dither: str) -> None:
        """For any picture, with or without alpha and dithering."""
        buffer = io.BytesIO()
        header = streaming.write_rows(buffer, Slices(pixels), n_colors, dither=dither, recipe=True)
        assert kmcodec.encode(pixels, n_colors, dither=dither, recipe=True) == buffer.getvalue()
        assert header.file_bytes == len(buffer.getvalue())

    @pytest.mark.parametrize("keep", [None, [(255, 0, 0, 128)]])
    def test_alpha_in_some_blocks(self, keep: Any) -> None:
        """A picture of which most is opaque has the same file; so has one whose alpha is 255 throughout."""
        pixels = np.dstack([photo(60, 40), np.full((60, 40), 255, np.uint8)])
        for _ in range(2):
            buffer = io.BytesIO()
            streaming.write_rows(buffer, Slices(pixels), 20, keep=keep)
            assert kmcodec.encode(pixels, 20, keep=keep) == buffer.getvalue()
            pixels[30:33, :, 3] = 77

    @pytest.mark.parametrize("threads", [1, 3])
    def test_threads_and_overflowing_counters(self, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
        """Neither the number of threads nor counters that are collected in between show in the file."""
        from kmcodec.quantize import histogram

        monkeypatch.setattr(histogram, "_MOST_COUNTED", 1000)
        monkeypatch.setattr(histogram, "_LEAST_COUNTED", 16)
        monkeypatch.setattr(histogram, "_LEAST_LOOKED_UP", 16)
        for pixels in (photo(60, 40), np.dstack([photo(60, 40), photo(60, 40, 1)[:, :, 0]])):
            buffer = io.BytesIO()
            streaming.write_rows(buffer, Slices(pixels), 20, threads=threads)
            assert kmcodec.encode(pixels, 20) == buffer.getvalue()

    def test_memory_maps(self, tmp_path: Path) -> None:
        """kmcodec.write reads a memory map block by block; metadata and progress as for others."""
        np.save(tmp_path / "a.npy", photo())
        mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
        metadata = kmcodec.Metadata(texts=(kmcodec.Text("Title", "a"),))
        told: list[tuple[str, int, int]] = []
        kmcodec.write(
            tmp_path / "a.kmq",
            mapped,
            16,
            strip_rows=7,
            metadata=metadata,
            on_progress=lambda *step: told.append(step),
        )
        expected = kmcodec.encode(photo(), 16, strip_rows=7, metadata=metadata)
        assert expected == (tmp_path / "a.kmq").read_bytes()
        assert {"counting colours", "writing"} == {name for name, _, _ in told}
        assert ("writing", 64 * 48, 64 * 48) == told[-1]

    @pytest.mark.parametrize(
        ("pixels", "error"),
        [
            (np.zeros((4, 4, 3), np.uint16), TypeError),
            (np.zeros((4, 4), np.uint8), ValueError),
            (np.zeros((4, 0, 3), np.uint8), ValueError),
            (np.zeros((4, 4, 2), np.uint8), ValueError),
        ],
    )
    def test_other_arrays_are_refused(
        self, tmp_path: Path, pixels: NDArray[Any], error: type[Exception]
    ) -> None:
        """What is no picture is the caller's mistake, and no file is written."""
        with pytest.raises(error):
            kmcodec.write(tmp_path / "a.kmq", Slices(pixels))
        assert [] == names(tmp_path)

    @pytest.mark.parametrize(
        "options",
        [{"strip_rows": 0}, {"n_colors": 0}, {"metadata": kmcodec.Metadata(xmp=b"\xff")}, {"dither": "x"}],
    )
    def test_mistakes_are_found_before_the_work(self, options: dict[str, Any]) -> None:
        """What is asked for is checked before a row is read."""

        class Unreadable(Slices):
            def __getitem__(self, part: slice) -> NDArray[np.uint8]:
                raise AssertionError

        with pytest.raises(ValueError):
            streaming.write_rows(io.BytesIO(), Unreadable(photo()), **options)


class TestArraysInTheShell:
    """kmq encode reads .npy, kmq decode writes it."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        """The file is that of the picture; the array is its pixels."""
        np.save(tmp_path / "a.npy", photo())
        output = succeed(tmp_path, "encode", "a.npy", "-k", "16")
        assert b"a.kmq: 64 x 48, 16 colours, 1,624 bytes" in output
        assert kmcodec.encode(photo(), 16) == (tmp_path / "a.kmq").read_bytes()
        succeed(tmp_path, "decode", "a.kmq", "-o", "b.npy")
        np.testing.assert_array_equal(kmcodec.read(tmp_path / "a.kmq"), np.load(tmp_path / "b.npy"))
        assert kmcodec.encode(photo(), 16) == succeed(tmp_path, "encode", "a.npy", "-k", "16", "-o", "-")

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((3, 3), np.uint8), "an array must be uint8 of shape"),
            (np.zeros((3, 3, 3)), "an array must be uint8 of shape"),
            (np.array([{}, {}]), "an array must be uint8 of shape"),
            (
                np.asfortranarray(np.zeros((4, 3, 3), np.uint8)),
                "(height, width, 3 or 4), found uint8 (4, 3, 3), in the order of Fortran",
            ),
        ],
    )
    def test_other_arrays(self, tmp_path: Path, array: NDArray[Any], message: str) -> None:
        """Arrays that are no pictures, and pickles, are refused in one line."""
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        assert message in fail(tmp_path, "encode", "a.npy")
        assert ["a.npy"] == names(tmp_path)

    def test_report_and_standard_input(self, tmp_path: Path) -> None:
        """An array can be piped in, and be the original of a report."""
        np.save(tmp_path / "a.npy", photo())
        array = (tmp_path / "a.npy").read_bytes()
        (tmp_path / "a.kmq").write_bytes(succeed(tmp_path, "encode", "-", "-k", "16", stdin=array))
        assert kmcodec.encode(photo(), 16) == (tmp_path / "a.kmq").read_bytes()
        assert b"PSNR" in succeed(tmp_path, "report", "a.npy", "a.kmq")

    @pytest.mark.parametrize("shape", ["(-10, -10, 3)", "(True, True, 3)", "(2, 2, 3L)", "(9, 9)", "'a'"])
    def test_headers_that_lie(self, tmp_path: Path, shape: str) -> None:
        """Sides that are no numbers of pixels are refused in one line."""
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
        data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()
        (tmp_path / "a.npy").write_bytes(data)
        assert fail(tmp_path, "encode", "a.npy").startswith("kmq: a.npy: ")

    @pytest.mark.parametrize("length", [7, 20, 100, 1000])
    def test_truncated(self, tmp_path: Path, length: int) -> None:
        """An array that is cut short is refused in one line."""
        np.save(tmp_path / "a.npy", photo())
        (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:length])
        message = fail(tmp_path, "encode", "a.npy")
        assert message.startswith(("kmq: a.npy: not ", "kmq: a.npy: the file ends too early"))


def read_rows(path: Path, n_pixels: int | None = None) -> Any:
    """Return all rows of a TIFF file, or None if it is not to be read by rows."""
    with rows.opening_rows(path, lambda: n_pixels) as opened:
        if opened is None:
            return None
        return opened[0 : min(opened.shape[0], 100)].copy()


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every TIFF be large."""
    monkeypatch.setattr(rows, "_FEW_PIXELS", 0)


@pytest.mark.usefixtures("all_large", "small_blocks")
class TestTiff:
    """Large TIFF files are read strip by strip, or by tiles."""

    RGBA = np.dstack([photo(50, 70), photo(50, 70, 1)[:, :, 0]])

    @pytest.mark.parametrize(
        "options",
        [
            {"rowsperstrip": 7},
            {"tile": (16, 32)},
            {"tile": (64, 128), "bigtiff": True},
            {"rowsperstrip": 9, "compression": "zlib"},
            {"tile": (32, 16), "compression": "zlib", "predictor": True, "byteorder": ">"},
            {"bigtiff": True},
            {},
        ],
    )
    @pytest.mark.parametrize("channels", [3, 4])
    def test_layouts(self, tmp_path: Path, options: dict[str, Any], channels: int) -> None:
        """Strips, tiles, one piece; BigTIFF; deflate with a predictor; both orders of bytes."""
        pixels = self.RGBA[:, :, :channels]
        alpha: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **alpha, **options)
        with rows.opening_rows(tmp_path / "a.tif", lambda: None) as opened:
            assert pixels.shape == opened.shape
            for start, stop in ((0, 50), (3, 4), (13, 40), (49, 50)):
                np.testing.assert_array_equal(pixels[start:stop], opened[start:stop])
            kmcodec.write(tmp_path / "a.kmq", opened, 30)
        assert kmcodec.encode(pixels, 30) == (tmp_path / "a.kmq").read_bytes()

    @pytest.mark.parametrize("tile", [None, (16, 16)])
    def test_kinds(self, tmp_path: Path, tile: tuple[int, int] | None) -> None:
        """Grey, 16 bits and premultiplied alpha become what Pillow makes of them, or better."""
        grey = self.RGBA[:, :, 0]
        tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack", tile=tile)
        np.testing.assert_array_equal(np.dstack([grey] * 3), read_rows(tmp_path / "a.tif"))
        tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite", tile=tile)
        np.testing.assert_array_equal(np.dstack([255 - grey] * 3), read_rows(tmp_path / "a.tif"))
        wide = self.RGBA[:, :, :3].astype(np.uint16) * 257 + 100
        tifffile.imwrite(tmp_path / "a.tif", wide, photometric="rgb", tile=tile)
        np.testing.assert_array_equal(self.RGBA[:, :, :3], read_rows(tmp_path / "a.tif"))
        for kind in ("assocalpha", "unassalpha", "unspecified"):
            premultiplied = np.minimum(self.RGBA, self.RGBA[:, :, 3:])
            tifffile.imwrite(
                tmp_path / "a.tif", premultiplied, photometric="rgb", extrasamples=[kind], tile=tile
            )
            expected = load_picture(tmp_path / "a.tif")
            np.testing.assert_array_equal(expected, read_rows(tmp_path / "a.tif"))
        inverted = 65535 - wide[:, :, 0]
        tifffile.imwrite(tmp_path / "a.tif", inverted, photometric="miniswhite", tile=tile)
        np.testing.assert_array_equal(load_picture(tmp_path / "a.tif"), read_rows(tmp_path / "a.tif"))
        np.testing.assert_array_equal(self.RGBA[:, :, [0, 0, 0]], read_rows(tmp_path / "a.tif"))

    def test_few_bits(self, tmp_path: Path) -> None:
        """Samples of fewer bits than a byte are left to Pillow."""
        Image.fromarray(self.RGBA[:, :, 0]).convert("1").save(tmp_path / "a.tif")
        assert read_rows(tmp_path / "a.tif", 1) is None

    def test_missing_tiles_are_black(self, tmp_path: Path) -> None:
        """A tile that is not stored is what TIFF says it is."""
        tifffile.imwrite(
            tmp_path / "a.tif", shape=(50, 70, 3), dtype=np.uint8, photometric="rgb", tile=(16, 16)
        )
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
            page: Any = file.pages[0]
            counts = page.tags["TileByteCounts"]
            counts.overwrite([0] * len(counts.value))
        assert not read_rows(tmp_path / "a.tif").any()

    @pytest.mark.parametrize(
        ("pixels", "options", "message"),
        [
            (np.zeros((9, 9), np.float32), {}, "must be RGB, RGBA or grey of 8 or 16 bits"),
            (np.zeros((3, 9, 9), np.uint8), {"planarconfig": "separate"}, "must be RGB, RGBA or grey"),
            (np.zeros((9, 9, 4), np.uint8), {"photometric": "separated"}, "must be RGB, RGBA or grey"),
        ],
    )
    def test_other_kinds(
        self, tmp_path: Path, pixels: NDArray[Any], options: dict[str, Any], message: str
    ) -> None:
        """What cannot be read by rows is left to Pillow where it is small enough, and else refused."""
        tifffile.imwrite(
            tmp_path / "a.tif", pixels, **({"photometric": "rgb"} if pixels.ndim == 3 else {}) | options
        )
        assert read_rows(tmp_path / "a.tif", 81) is None
        with pytest.raises(kmcodec.PictureError, match=message):
            read_rows(tmp_path / "a.tif", 1 << 30)

    def test_turned(self, tmp_path: Path) -> None:
        """A picture that is not stored upright cannot be read by rows."""
        Image.fromarray(photo()).save(tmp_path / "a.tif", tiffinfo={0x0112: 6})
        assert read_rows(tmp_path / "a.tif", 1) is None
        with pytest.raises(kmcodec.PictureError, match="orientation 6"):
            read_rows(tmp_path / "a.tif")

    @pytest.mark.parametrize("seed", range(40))
    def test_damage(self, tmp_path: Path, seed: int) -> None:
        """A damaged file is read, or is a PictureError."""
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, self.RGBA[:, :, :3], photometric="rgb", tile=(16, 32), compression="zlib")
        data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
        for _ in range(4):
            data[rng.integers(len(data) if seed % 2 else 300)] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if seed % 3 == 0 else data)
        with contextlib.suppress(kmcodec.PictureError, OSError):
            read_rows(path)


def test_large_tiff_in_the_shell(tmp_path: Path) -> None:
    """A TIFF of many pixels is encoded by rows, with its metadata."""
    pixels = np.zeros((4200, 8000, 3), np.uint8)
    pixels[1000:3000, 2000:6000] = photo(2000, 4000)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        photometric="rgb",
        tile=(256, 256),
        compression="zlib",
        resolution=(1000, 500),
    )
    succeed(tmp_path, "encode", "a.tif", "-k", "16", "--effort", "fast")
    assert kmcodec.encode(pixels, 16, effort="fast") != (tmp_path / "a.kmq").read_bytes()
    with kmcodec.open(tmp_path / "a.kmq") as file:
        assert kmcodec.Density(39370, 19685) == file.metadata.density
        np.testing.assert_array_equal(kmcodec.quantize(pixels, 16, effort="fast").indices, file.indices())


def test_tiff_without_tifffile(tmp_path: Path) -> None:
    """Where it is needed and missing, one line says how to get it."""
    code = (
        "import sys; sys.modules['tifffile'] = None\n"
        "from kmcodec import rows\n"
        "with rows.opening_rows('a.tif', lambda: 1 << 26) as opened: print(opened)\n"
        "with rows.opening_rows('a.tif', lambda: None): pass"
    )
    tifffile.imwrite(tmp_path / "a.tif", photo(), photometric="rgb")
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "None\n" == process.stdout
    assert "needs tifffile: pip install 'kmcodec[tiff]'" in process.stderr


class TestPng:
    """Large pictures become PNG strip by strip."""

    @pytest.mark.parametrize("n_colors", [1, 2, 16, 200])
    @pytest.mark.parametrize("channels", [3, 4])
    def test_with_palette(self, n_colors: int, channels: int) -> None:
        """Pillow reads the pixels and the metadata."""
        rng = np.random.default_rng(0)
        palette = rng.integers(0, 256, (n_colors, channels), np.uint8)
        palette[0, 3:] = 3
        indices = rng.integers(0, n_colors, (31, 17), np.uint8)
        metadata = kmcodec.Metadata(texts=(kmcodec.Text("Title", "a"),), density=kmcodec.Density(7, 8))
        buffer = io.BytesIO()
        with Workers(2) as workers:
            blocks = [indices[start : start + 4] for start in range(0, 31, 4)]
            write_png(buffer, blocks, (31, 17, channels), palette, metadata, workers)
        np.testing.assert_array_equal(palette[indices], load_picture(buffer))
        with Image.open(buffer) as image:
            assert ({"Title": "a"}, "P") == (image.text, image.mode)  # type: ignore[attr-defined]
            assert pytest.approx((7 * 0.0254, 8 * 0.0254)) == image.info["dpi"]

    @pytest.mark.parametrize("channels", [3, 4])
    def test_without_palette(self, channels: int) -> None:
        """Pixels are written as they are."""
        pixels = np.dstack([photo(), photo(seed=1)])[:, :, :channels]
        buffer = io.BytesIO()
        with Workers(1) as workers:
            write_png(buffer, [pixels[:20], pixels[20:]], pixels.shape, None, kmcodec.Metadata(), workers)
        np.testing.assert_array_equal(pixels, load_picture(buffer))

    def test_too_large(self) -> None:
        """PNG has shorter sides than KMQ."""
        with Workers(1) as workers, pytest.raises(kmcodec.PictureError, match="at most 2147483647 pixels"):
            write_png(io.BytesIO(), [], (1, 1 << 31, 3), None, kmcodec.Metadata(), workers)

    @pytest.mark.parametrize("n_colors", [16, 300])
    def test_in_the_shell(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        n_colors: int,
    ) -> None:
        """A large picture comes out as a small one does, damaged or not."""
        image = kmcodec.quantize(photo(100, 100), n_colors)
        (tmp_path / "a.kmq").write_bytes(write_image(image, strip_rows=9))
        monkeypatch.setattr(decode, "_FEW_PIXELS", 0)
        monkeypatch.chdir(tmp_path)
        from kmcodec.cli import main

        assert 0 == main(["decode", "a.kmq"])
        np.testing.assert_array_equal(image.to_rgb(), load_picture(tmp_path / "a.png"))
        data = bytearray((tmp_path / "a.kmq").read_bytes())
        data[-1] ^= 1
        (tmp_path / "b.kmq").write_bytes(data)
        capsys.readouterr()
        assert 1 == main(["decode", "b.kmq"])
        assert capsys.readouterr().err.startswith("kmq: b.kmq: strip_crc of strip 11")
        assert ["a.kmq", "a.png", "b.kmq"] == names(tmp_path)
        assert 1 == main(["decode", "b.kmq", "--salvage"])
        np.testing.assert_array_equal(kmcodec.salvage(data).pixels, load_picture(tmp_path / "b.png"))


def test_limits_in_the_shell(tmp_path: Path) -> None:
    """What is too large is refused before it is decoded; --max-pixels allows more, and less."""
    from test_container import with_header

    one_color = write_image(kmcodec.IndexedImage(np.zeros((1, 3), np.uint8), np.zeros((1, 1), np.uint8)))
    huge = with_header(with_header(one_color, 12, b"\xff" * 4), 16, b"\xff" * 4)
    huge = with_header(huge, 20, b"\xff" * 4)
    (tmp_path / "huge.kmq").write_bytes(huge)
    for output in ("a.png", "a.npy", "a.webp"):
        message = fail(tmp_path, "decode", "huge.kmq", "-o", output)
        assert "18446744065119617025 pixels" in message
        assert "--max-pixels allows more" in message
    assert "4294967295 x 4294967295" in run(tmp_path, "info", "huge.kmq").stdout.decode()
    (tmp_path / "a.kmq").write_bytes(kmcodec.encode(photo(), 4))
    assert "the limit is 3071" in fail(tmp_path, "decode", "a.kmq", "--max-pixels", "3071")
    assert "more than 9 pixels" in fail(
        tmp_path, "decode", "a.kmq", "--max-pixels", "9", "--region", "0,0,2,5"
    )
    succeed(tmp_path, "decode", "a.kmq", "--max-pixels", "3072")
    succeed(tmp_path, "decode", "huge.kmq", "--region", "4294967290,5,5,5", "-o", "part.png")
    # A pipe is read no further than the header says that it is too large.
    process = run(tmp_path, "decode", "-", "-o", "b.png", stdin=with_header(huge, 10, b"\1\0") + bytes(1000))
    assert b"kmq: standard input: the picture has 4294967295" in process.stderr
    assert "--fill goes with --salvage" in fail(tmp_path, "decode", "a.kmq", "--fill", "000000", status=2)
