"""Pillow opens and saves .kmq files."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError
from support import SAMPLES, indexed_images, photo, pictures, run, set_bits, tiny

import kmcodec
from kmcodec.container.layout import Header, crc_bytes
from kmcodec.container.writer import write_image
from kmcodec.metadata import Density, Metadata, Text

ICC_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a b="c"/></x:xmpmeta>'
METADATA = Metadata(
    icc_profile=ICC_PROFILE,
    exif=Image.Exif().tobytes()[6:],
    xmp=XMP,
    texts=(Text("Title", "Ünique", "en", "Titel"), Text("Comment", "none")),
    density=Density(11811, 5906),
)


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    """Register the plugin, and for other modules take it out again."""
    kmcodec.register()
    yield
    Image.ID.remove("KMQ")
    for registry in (Image.OPEN, Image.SAVE, Image.SAVE_ALL, Image.MIME):
        del registry["KMQ"]
    del Image.EXTENSION[".kmq"]


def saved(image: Image.Image, **options: Any) -> bytes:
    """Return an Image as a .kmq file."""
    buffer = io.BytesIO()
    image.save(buffer, "KMQ", **options)
    return buffer.getvalue()


def opened(data: bytes) -> ImageFile.ImageFile:
    """Open a .kmq file that is in memory."""
    image = Image.open(io.BytesIO(data))
    assert "KMQ" == image.format
    return image


def with_exif(image: Image.Image, orientation: int) -> Image.Image:
    """Return an Image as a camera leaves it, opened from a file."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    return Image.open(buffer)


def colors(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an Image, with alpha."""
    return np.asarray(image.convert("RGBA"))


@contextmanager
def load_truncated() -> Iterator[None]:
    """Let Pillow load what there is of a damaged file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        yield


@st.composite
def palette_images(draw: st.DrawFn) -> Image.Image:
    """Draw Images of mode P, with any kind of transparency."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_colors = draw(st.one_of(st.integers(1, 256), st.sampled_from([1, 2, 3, 255, 256])))
    shape = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    image = Image.fromarray(rng.integers(0, n_colors, shape, np.uint8))
    kind = draw(st.sampled_from(["none", "one", "each", "palette"]))
    channels = 4 if kind == "palette" else 3
    palette = rng.integers(0, 256, channels * n_colors, np.uint8)
    image.putpalette(palette.tobytes(), "RGBA" if kind == "palette" else "RGB")
    if kind == "one":
        image.info["transparency"] = draw(st.integers(0, n_colors - 1))
    elif kind == "each":
        image.info["transparency"] = rng.integers(0, 256, n_colors, np.uint8).tobytes()
    return image


class TestRegistration:
    """kmcodec.register and the import of the module."""

    def test_what_pillow_knows(self) -> None:
        """Suffix, media type, opening and saving are registered, and remain so when it is done again."""
        before = list(Image.ID)
        kmcodec.register()
        assert before == Image.ID
        assert "KMQ" == Image.registered_extensions()[".kmq"]
        assert "image/x-kmq" == Image.MIME["KMQ"]
        assert {"KMQ"} <= set(Image.OPEN) & set(Image.SAVE) & set(Image.SAVE_ALL)

    def test_the_import_is_enough(self, tmp_path: Path) -> None:
        """Importing the module registers it."""
        code = (
            "import kmcodec.plugins.pillow; from PIL import Image;"
            "Image.new('RGB', (3, 2), 'red').save('x.kmq'); print(Image.open('x.kmq').size)"
        )
        command = [sys.executable, "-W", "error", "-c", code]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "(3, 2)" == result.stdout.strip()

    def test_the_command_line_reads_for_itself(self, tmp_path: Path) -> None:
        """Commands that read a picture recognise a .kmq file before Pillow does, as ever."""
        from kmcodec.cli.inputs import load

        (tmp_path / "a.kmq").write_bytes(write_image(tiny(alpha=True)))
        picture, file_bytes = load(str(tmp_path / "a.kmq"))
        np.testing.assert_array_equal(tiny(alpha=True).to_rgb(), picture.pixels)
        assert (tmp_path / "a.kmq").stat().st_size == file_bytes


class TestOpening:
    """Image.open."""

    @pytest.mark.parametrize("kind", [str, Path, io.BytesIO, open])
    def test_sources(self, kind: Any, tmp_path: Path) -> None:
        """Names, paths, bytes in memory and open files can be opened, and have a format."""
        path = tmp_path / "a.kmq"
        path.write_bytes(write_image(tiny()))
        source: Any = path.read_bytes() if kind is io.BytesIO else path
        with ExitStack() as stack:
            file = stack.enter_context(open(path, "rb")) if kind is open else kind(source)
            with Image.open(file) as image:
                assert ("KMQ", "P", (3, 2)) == (image.format, image.mode, image.size)
                assert "image/x-kmq" == image.get_format_mimetype()
                np.testing.assert_array_equal(tiny().indices, np.asarray(image))
            assert kind in (str, Path) or not file.closed

    def test_formats(self) -> None:
        """It can be asked for by name, or left out."""
        data = write_image(tiny())
        assert (3, 2) == Image.open(io.BytesIO(data), formats=["KMQ"]).size
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data), formats=["PNG"])

    def test_invalid_file(self) -> None:
        """What is no .kmq file is SyntaxError, for Pillow to try other formats."""
        from kmcodec.plugins.pillow import KmqImageFile

        with pytest.raises(SyntaxError):
            KmqImageFile(io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(100)))

    @given(indexed_images())
    def test_any_file(self, image: kmcodec.IndexedImage) -> None:
        """Up to 256 colours are mode P with the file's palette and indices; more are RGB or RGBA."""
        pillow = opened(write_image(image))
        if len(image.palette) > 256:
            assert ("RGB", "RGBA")[image.palette.shape[1] - 3] == pillow.mode
            np.testing.assert_array_equal(image.to_rgb(), np.asarray(pillow))
            return
        assert "P" == pillow.mode
        np.testing.assert_array_equal(image.indices, np.asarray(pillow))
        assert image.palette[:, :3].reshape(-1).tolist() == pillow.getpalette()
        assert (image.palette.shape[1] == 4) == pillow.has_transparency_data
        mode = "RGBA" if pillow.has_transparency_data else "RGB"
        np.testing.assert_array_equal(image.to_rgb(), np.asarray(pillow.convert(mode)))

    def test_opening_reads_no_pixel(self) -> None:
        """Only what comes before the pixels is read, until they are asked for."""
        data = write_image(tiny())
        file = CountingFile(data)
        # Other formats, if they are loaded, look for themselves.
        image = Image.open(file, formats=["KMQ"])
        assert file.furthest < len(data)
        image.load()
        assert file.furthest == len(data)

    def test_load_closes_what_open_opened(self, tmp_path: Path) -> None:
        """A file that Pillow has opened is closed with the pixels, and loading again does nothing."""
        path = tmp_path / "a.kmq"
        path.write_bytes(write_image(tiny()))
        image = Image.open(path)
        file = image.fp
        assert file is not None
        image.load()
        assert file.closed
        image.load()
        image.close()

    def test_closed_image(self, tmp_path: Path) -> None:
        """After it was closed, there are no pixels to be had."""
        path = tmp_path / "a.kmq"
        path.write_bytes(write_image(tiny()))
        with Image.open(path) as image:
            pass
        with pytest.raises(ValueError, match="closed"):
            image.load()

    def test_frames(self) -> None:
        """There is one frame."""
        image = opened(write_image(tiny()))
        assert (1, False, 0) == (
            getattr(image, "n_frames", 1),
            getattr(image, "is_animated", False),
            image.tell(),
        )
        image.seek(0)
        with pytest.raises(EOFError):
            image.seek(1)

    def test_what_images_can_do(self) -> None:
        """Copies, pickles, conversions, crops and thumbnails work, loaded or not."""
        rgb = photo()
        data = kmcodec.encode(rgb, 300, metadata=METADATA)
        expected = kmcodec.decode(data)
        np.testing.assert_array_equal(expected, np.asarray(opened(data).copy()))
        again = pickle.loads(pickle.dumps(opened(data)))
        np.testing.assert_array_equal(expected, np.asarray(again))
        assert again.info == opened(data).info
        np.testing.assert_array_equal(expected[5:9, 3:7], np.asarray(opened(data).crop((3, 5, 7, 9))))
        assert ("L", (64, 48)) == (opened(data).convert("L").mode, opened(data).size)
        thumbnail = opened(data)
        thumbnail.thumbnail((16, 16))
        assert (16, 12) == thumbnail.size
        changed = opened(data)
        changed.putpixel((0, 0), (1, 2, 3))
        assert (1, 2, 3) == changed.getpixel((0, 0))
        assert changed.draft("L", (8, 8)) is None

    def test_threads(self) -> None:
        """Images are opened and loaded side by side."""
        data = kmcodec.encode(photo(), 16, strip_rows=4)
        expected = kmcodec.decode(data)
        results: list[NDArray[np.uint8]] = []
        threads = [
            threading.Thread(target=lambda: results.append(np.asarray(opened(data).convert("RGB"))))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 4 == len(results)
        for result in results:
            np.testing.assert_array_equal(expected, result)

    @pytest.mark.parametrize("step", [1, 7, 10**6])
    @pytest.mark.parametrize("coding", ["packed", "context"])
    def test_parser(self, coding: Any, step: int) -> None:
        """A file can be fed to Pillow's parser in pieces of any size."""
        data = kmcodec.encode(photo(8, 8), 16, coding=coding, metadata=Metadata(texts=(Text("A", "b"),)))
        parser = ImageFile.Parser()
        for start in range(0, len(data), step):
            parser.feed(data[start : start + step])
        assert parser.image is not None
        np.testing.assert_array_equal(kmcodec.decode(data), np.asarray(parser.close().convert("RGB")))

    def test_parser_of_a_truncated_file(self) -> None:
        """It says so at the end."""
        data = write_image(tiny())
        for end in (20, len(data) - 1):
            parser = ImageFile.Parser()
            parser.feed(data[:end])
            with pytest.raises(OSError):
                parser.close()


class CountingFile(io.BytesIO):
    """Remember how far was read."""

    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, as ever."""
        data = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return data


class TestInfo:
    """What an opened Image has in its info."""

    def test_everything(self) -> None:
        """Profile, EXIF, XMP, density, texts and recipe are where Pillow's users look for them."""
        image = opened(kmcodec.encode(photo(), 4, metadata=METADATA, recipe=True))
        info = image.info
        assert ICC_PROFILE == info["icc_profile"]
        assert METADATA.exif is not None
        assert b"Exif\0\0" + METADATA.exif == info["exif"]
        assert XMP == info["xmp"]
        assert (300, 150) == tuple(round(value, 1) for value in info["dpi"])
        assert ("Ünique", b"none") == (info["Title"], info["comment"])
        assert {"Title": "Ünique", "Comment": "none"} == image.text  # type: ignore[attr-defined]
        assert 4 == info["recipe"]["colors"]
        assert "transparency" not in info

    def test_nothing(self) -> None:
        """Without metadata, info is empty."""
        assert {} == opened(write_image(tiny())).info

    def test_aspect(self) -> None:
        """A density without a unit is an aspect, as for PNG."""
        image = opened(kmcodec.encode(photo(), 4, metadata=Metadata(density=Density(2, 1, False))))
        assert {"aspect": (2, 1)} == image.info
        assert Density(2, 1, False) == kmcodec.KmqReader(saved(image)).metadata.density

    def test_getexif(self) -> None:
        """Pillow's own method finds EXIF; the picture is upright, whatever EXIF and XMP say."""
        exif = Image.Exif()
        exif[0x010F], exif[0x0112] = "Maker", 6
        xmp = XMP.replace(b"<a ", b'<a tiff:Orientation="6" ')
        metadata = Metadata(exif=exif.tobytes()[6:], xmp=xmp)
        image = opened(kmcodec.encode(photo(), 4, metadata=metadata))
        assert {0x010F: "Maker", 0x0112: 1} == dict(image.getexif())
        assert b'tiff:Orientation="1"' in image.info["xmp"]
        assert image.size == ImageOps.exif_transpose(image).size

    def test_getxmp(self) -> None:
        """XMP can be had taken apart, as of other formats."""
        pytest.importorskip("defusedxml")
        image = opened(kmcodec.encode(photo(), 4, metadata=Metadata(xmp=XMP)))
        assert {"xmpmeta": {"a": {"b": "c"}}} == image.getxmp()

    @pytest.mark.parametrize("keyword", ["transparency", "exif", "Raw profile type exif", "dpi"])
    def test_texts_that_would_pass_for_something_else(self, keyword: str) -> None:
        """A text whose keyword has a meaning for Pillow stays out of info."""
        image = opened(kmcodec.encode(photo(), 4, metadata=Metadata(texts=(Text(keyword, "x"),))))
        assert {} == image.info
        assert {keyword: "x"} == image.text  # type: ignore[attr-defined]
        image.convert("RGBA")
        assert {} == dict(image.getexif())


class TestSavingPalettes:
    """Images of mode P."""

    @given(palette_images(), st.sampled_from(["packed", "context"]))
    def test_they_come_back(self, image: Image.Image, coding: str) -> None:
        """Palette, indices and colours are the same, also of entries that no pixel has."""
        again = opened(saved(image, coding=coding))
        assert "P" == again.mode
        np.testing.assert_array_equal(np.asarray(image), np.asarray(again))
        assert image.getpalette() == again.getpalette()
        np.testing.assert_array_equal(colors(image), colors(again))
        # And again.
        assert saved(again) == saved(opened(saved(again)))

    def test_indices_without_an_entry(self) -> None:
        """Where the palette has no entry, it gets what Pillow shows there."""
        image = Image.fromarray(np.array([[0, 1, 2, 200]], np.uint8))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.info["transparency"] = 200
        again = opened(saved(image))
        np.testing.assert_array_equal(np.asarray(image), np.asarray(again))
        np.testing.assert_array_equal(colors(image), colors(again))
        assert saved(Image.new("P", (2, 2)))

    def test_few_enough(self) -> None:
        """n_colors that the palette does not exceed changes nothing; fewer colours are chosen anew."""
        image = Image.fromarray(np.arange(8, dtype=np.uint8).reshape(2, 4))
        image.putpalette(np.random.default_rng(0).integers(0, 256, 24, np.uint8).tobytes())
        assert saved(image) == saved(image, n_colors=8) == saved(image, n_colors=np.uint16(9))
        fewer = opened(saved(image, n_colors=3))
        assert 9 == len(fewer.getpalette() or ())

    def test_options_that_choose(self) -> None:
        """What asks for other colours or another order is done as for any other picture."""
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette([9, 9, 9, 200, 200, 200])
        data = saved(image, palette=[(0, 0, 0), (255, 255, 255)])
        assert [0, 0, 0, 255, 255, 255] == opened(data).getpalette()

    def test_recipe(self) -> None:
        """The recipe is that the palette was given."""
        image = Image.fromarray(np.array([[0, 1]], np.uint8))
        image.putpalette([9, 9, 9, 200, 200, 200])
        recipe = opened(saved(image, recipe=True)).info["recipe"]
        assert ["#090909", "#c8c8c8"] == recipe["palette"]
        assert (2, 1, 3) == tuple(recipe[f"source_{name}"] for name in ("width", "height", "channels"))


class TestSaving:
    """Image.save."""

    @given(pictures(max_side=16))
    def test_few_colors_are_exact(self, pixels: NDArray[np.uint8]) -> None:
        """RGB and RGBA come back exactly where n_colors suffices."""
        image = Image.fromarray(pixels)
        np.testing.assert_array_equal(colors(image), colors(opened(saved(image, n_colors=65536))))

    def test_it_is_encode(self) -> None:
        """Without metadata, the file is that of kmcodec.encode with the same options."""
        rgb = photo()
        image = Image.fromarray(rgb)
        assert kmcodec.encode(rgb) == saved(image)
        options: dict[str, Any] = {
            "n_colors": 12,
            "coding": "context",
            "space": "oklab",
            "dither": "diffusion",
            "effort": "fast",
            "keep": [(1, 2, 3)],
            "strip_rows": 7,
            "threads": 1,
            "recipe": True,
        }
        assert kmcodec.encode(rgb, **options) == saved(image, **options)
        assert kmcodec.encode(rgb, max_bytes=1500) == saved(image, max_bytes=1500)
        lossy: dict[str, Any] = {"coding": "context", "lossy": 20, "effort": "fast"}
        assert kmcodec.encode(rgb, **lossy) == saved(image, **lossy)

    def test_files(self, tmp_path: Path) -> None:
        """The suffix decides; a name, a path and a file get the same bytes."""
        image = Image.fromarray(photo())
        image.save(tmp_path / "a.kmq", n_colors=4)
        image.save(str(tmp_path / "b.KMQ"), n_colors=4)
        with open(tmp_path / "c", "wb") as file:
            image.save(file, format="kmq", n_colors=4)
        expected = saved(image, n_colors=4)
        assert [expected] * 3 == [(tmp_path / name).read_bytes() for name in ("a.kmq", "b.KMQ", "c")]

    def test_onto_itself(self, tmp_path: Path) -> None:
        """An Image can be saved to the file that it was opened from, before its pixels were asked for."""
        path = tmp_path / "a.kmq"
        path.write_bytes(write_image(tiny()))
        with Image.open(path) as image:
            image.save(path, coding="context")
        np.testing.assert_array_equal(tiny().to_rgb(), kmcodec.read(path))

    def test_options_of_other_formats(self) -> None:
        """What programs pass to every format is ignored; what is misspelt is an error that names it."""
        image = Image.fromarray(photo(8, 8))
        assert saved(image) == saved(image, quality=90, optimize=True, progressive=True, subsampling=0)
        for kind in (image, image.convert("P")):
            with pytest.raises(TypeError, match="n_color"):
                saved(kind, n_color=3)

    def test_options_do_not_stay(self) -> None:
        """What was asked of one file is not asked of the next."""
        image = Image.fromarray(photo(8, 8))
        expected = saved(image)
        saved(image, n_colors=2, xmp=XMP)
        assert expected == saved(image)
        assert {} == image.info

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"n_colors": 0}, ValueError),
            ({"n_colors": "four"}, ValueError),
            ({"coding": "zip"}, ValueError),
            ({"max_bytes": 3}, OSError),
            ({"n_colors": "auto", "max_colors": 2, "target_psnr": 90}, OSError),
            ({"dpi": 300}, ValueError),
            ({"dpi": (0, 300)}, ValueError),
            ({"dpi": (float("inf"), 300)}, ValueError),
        ],
    )
    def test_failures_leave_nothing(
        self, options: dict[str, Any], error: type[Exception], tmp_path: Path
    ) -> None:
        """A wrong argument is ValueError, what is out of reach OSError, and there is no file."""
        with pytest.raises(error):
            Image.fromarray(photo(8, 8)).save(tmp_path / "a.kmq", **options)
        assert [] == list(tmp_path.iterdir())

    def test_empty(self) -> None:
        """An Image without pixels cannot be saved."""
        for mode in ("RGB", "P"):
            with pytest.raises(ValueError, match="empty"):
                saved(Image.new(mode, (0, 3)))

    def test_no_animations(self) -> None:
        """Programs may ask for all frames, as long as there is one; a failure spoils no later save."""
        image = Image.new("RGB", (1, 1))
        expected = saved(image)
        assert expected == saved(image, save_all=True) == saved(image, save_all=True, append_images=[])
        with pytest.raises(ValueError, match="one picture, found 3"):
            saved(image, save_all=True, append_images=[image, image])
        assert expected == saved(image)
        with (
            Image.open(SAMPLES / "readme" / "chelsea-8.gif") as frames,
            pytest.raises(ValueError, match=f"one picture, found {getattr(frames, 'n_frames', 0)}"),
        ):
            saved(frames, save_all=True)

    @pytest.mark.parametrize("mode", ["RGB", "P"])
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"icc_profile": 5}, TypeError, "icc_profile must be bytes, not int"),
            ({"icc_profile": "sRGB"}, TypeError, "icc_profile must be bytes, not str"),
            ({"exif": {274: 1}}, TypeError, "exif must be bytes, not dict"),
            ({"xmp": 5}, TypeError, "xmp must be bytes, not int"),
            ({"dpi": "a"}, ValueError, "dpi must be two positive numbers, found 'a'"),
            ({"metadata": {"Title": "x"}}, TypeError, "metadata must be kmcodec.Metadata, not dict"),
            ({"metadata": {}}, TypeError, "metadata must be kmcodec.Metadata, not dict"),
            ({"n_colors": "16"}, ValueError, "n_colors must be an int or 'auto', found '16'"),
            ({"n_colors": True}, TypeError, "n_colors must be an int, not bool"),
            ({"n_colors": 65537}, ValueError, "n_colors must be in 1..65536, found 65537"),
        ],
    )
    def test_wrong_options(
        self, mode: str, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        """What is wrong with an option is said in its words, whatever the mode."""
        with pytest.raises(error, match=message):
            saved(Image.new(mode, (2, 2)), **options)


class TestModes:
    """What becomes of each mode."""

    @pytest.mark.parametrize(
        "mode", ["1", "L", "LA", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
    )
    def test_conversion(self, mode: str) -> None:
        """It is Pillow's own, and keeps alpha."""
        rgba = np.dstack([photo(8, 8), photo(8, 8, seed=1)[:, :, 0]])
        source = Image.fromarray(rgba)
        image = (source if "A" in mode.upper() else source.convert("RGB")).convert(mode)
        np.testing.assert_array_equal(colors(image), colors(opened(saved(image, n_colors=256))))

    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
    def test_sixteen_bits(self, mode: str) -> None:
        """They become 8 by rounding."""
        grey = np.array([[0, 128, 129, 257, 65535]], np.uint16)
        if mode == "I":
            image = Image.fromarray(grey.astype(np.int32))
        else:
            data = grey.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
            image = Image.frombytes(mode, (5, 1), data)
        assert mode == image.mode
        assert [0, 0, 1, 1, 255] == colors(opened(saved(image)))[0, :, 0].tolist()

    def test_lab(self) -> None:
        """LAB becomes sRGB."""
        lab = Image.merge("LAB", [Image.new("L", (2, 2), value) for value in (255, 128, 128)])
        assert (np.abs(colors(opened(saved(lab)))[:, :, :3].astype(int) - 255) <= 2).all()

    @pytest.mark.parametrize("mode", ["F", "La"])
    def test_refused(self, mode: str) -> None:
        """What has no known range, or Pillow does not convert, is an error that names the mode."""
        with pytest.raises(OSError, match=f"cannot write mode {mode} as KMQ"):
            saved(Image.new(mode, (2, 2)))

    def test_a_transparent_color(self) -> None:
        """The transparent colour of an RGB picture becomes alpha."""
        image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
        image.info["transparency"] = (4, 5, 6)
        assert [255, 0] == colors(opened(saved(image)))[0, :, 3].tolist()


class TestSavingMetadata:
    """What goes along."""

    @pytest.mark.parametrize("palette", [True, False])
    def test_from_kmq_to_kmq(self, palette: bool) -> None:
        """Everything but the recipe goes from one file to the next."""
        data = kmcodec.encode(photo(), 16 if palette else 300, metadata=METADATA, recipe=True)
        reader = kmcodec.KmqReader(saved(opened(data)))
        assert METADATA == reader.metadata

    @pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "TIFF"])
    def test_from_other_formats(self, format_name: str) -> None:
        """What an opened picture has goes along, as with kmq encode."""
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        buffer = io.BytesIO()
        Image.fromarray(photo()).save(
            buffer, format_name, icc_profile=ICC_PROFILE, exif=exif, xmp=XMP, dpi=(300, 300)
        )
        image = opened(saved(Image.open(buffer)))
        assert ICC_PROFILE == image.info["icc_profile"]
        assert "Maker" == image.getexif()[0x010F]
        if format_name in ("JPEG", "WEBP"):
            assert XMP == image.info["xmp"]
        if format_name != "WEBP":
            assert (300, 300) == tuple(round(value) for value in image.info["dpi"])

    @pytest.mark.parametrize("palette", [True, False])
    def test_options(self, palette: bool) -> None:
        """Options come before what the Image has; empty ones leave it out."""
        image = opened(kmcodec.encode(photo(), 16 if palette else 300, metadata=METADATA))
        exif = Image.Exif()
        exif[0x010F] = "Other"
        other = opened(saved(image, exif=exif, xmp="<other/>", dpi=(100, 50), n_colors=300))
        assert "Other" == other.getexif()[0x010F]
        assert (b"<other/>", ICC_PROFILE) == (other.info["xmp"], other.info["icc_profile"])
        assert (100, 50) == tuple(round(value) for value in other.info["dpi"])
        bare = opened(saved(image, exif=b"", xmp=None, dpi=None, icc_profile=None))
        assert {"Title", "comment", "Comment"} >= set(bare.info)
        none = opened(saved(Image.fromarray(photo()), exif=Image.Exif()))
        assert {} == none.info
        mine = kmcodec.KmqReader(saved(image, metadata=Metadata(xmp=XMP))).metadata
        assert Metadata(xmp=XMP) == mine

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("mode", ["RGB", "P"])
    def test_pictures_are_upright(self, mode: str, orientation: int) -> None:
        """Orientation is applied and reset, whether EXIF is the Image's own, given, or left out."""
        pixels = Image.fromarray(np.array([[0, 100, 200], [50, 150, 250]], np.uint8)).convert(mode)
        image = with_exif(pixels, orientation)
        expected = colors(ImageOps.exif_transpose(image))
        exif = image.info["exif"]
        for data in (saved(image), saved(image, exif=exif), saved(image, exif=b""), saved(pixels, exif=exif)):
            again = opened(data)
            np.testing.assert_array_equal(expected, colors(again))
            assert mode != "P" or again.getpalette() == image.getpalette()
            assert 1 == again.getexif().get(0x0112, 1)
        assert "Maker" == opened(saved(image)).getexif()[0x010F]

    def test_what_does_not_fit_is_said(self) -> None:
        """A profile that is not for RGB is left out, with a warning."""
        image = Image.fromarray(photo(8, 8))
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        with pytest.warns(UserWarning, match="profile") as caught:
            data = saved(image, icc_profile=lab)
        assert __file__ == caught[0].filename
        assert {} == opened(data).info


class TestDamage:
    """Files that are not as they should be."""

    @pytest.mark.parametrize("coding", ["packed", "context"])
    def test_every_flipped_bit(self, coding: Any) -> None:
        """Opening, loading and verifying tell of each as OSError."""
        metadata = Metadata(texts=(Text("A", "b"),))
        for data in set_bits(kmcodec.encode(photo(4, 4), 6, coding=coding, strip_rows=2, metadata=metadata)):
            with pytest.raises(OSError):
                opened(data).load()
            with pytest.raises(OSError):
                opened(data).verify()

    @pytest.mark.parametrize("coding", ["packed", "context"])
    @pytest.mark.parametrize("n_colors", [6, 300])
    def test_every_truncation(self, coding: Any, n_colors: int) -> None:
        """Each is OSError; with LOAD_TRUNCATED_IMAGES, what kmcodec.salvage finds is there, the rest zero."""
        metadata = Metadata(texts=(Text("A", "b"),))
        # 301 different colours.
        pixels = np.arange(3 * 301, dtype=np.uint16).reshape(7, 43, 3).astype(np.uint8)
        data = kmcodec.encode(pixels, n_colors, coding=coding, strip_rows=3, metadata=metadata)
        palette_end = kmcodec.KmqReader(data).header.sections_offset
        for end in range(len(data)):
            with pytest.raises(OSError):
                opened(data[:end]).load()
            with pytest.raises(OSError):
                opened(data[:end]).verify()
            if end < palette_end:
                with load_truncated(), pytest.raises(UnidentifiedImageError):
                    opened(data[:end])
                continue
            with load_truncated():
                image = opened(data[:end])
                image.load()
            salvaged = kmcodec.salvage(data[:end])
            expected = salvaged.pixels.copy()
            for start, stop in salvaged.lost:
                expected[start:stop] = kmcodec.KmqReader(data).palette[0] if image.mode == "P" else 0
            np.testing.assert_array_equal(expected, np.asarray(image.convert("RGB")))

    def test_loading_again(self) -> None:
        """What failed to load can be tried again."""
        image = opened(write_image(tiny())[:-1])
        for _ in range(2):
            with pytest.raises(OSError, match="end of the file"):
                image.load()
        with load_truncated():
            np.testing.assert_array_equal(tiny().indices, np.asarray(image))

    def test_verify(self, tmp_path: Path) -> None:
        """An intact file passes, and is closed; verify comes first or not at all."""
        path = tmp_path / "a.kmq"
        path.write_bytes(write_image(tiny()))
        image = Image.open(path)
        file = image.fp
        assert file is not None
        image.verify()
        assert file.closed
        with pytest.raises(RuntimeError):
            image.verify()
        with Image.open(path) as image:
            image.load()
            with pytest.raises(RuntimeError):
                image.verify()
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(OSError, match="end of the file"):
            Image.open(path).verify()


class TestLimits:
    """Pillow's limit of pixels."""

    @pytest.mark.parametrize("n_colors", [1, 2])
    def test_bombs(self, n_colors: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A size above the limit is warned of, above twice the limit refused, by opening."""
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        palette = np.arange(3 * n_colors, dtype=np.uint8).reshape(n_colors, 3)
        allowed, suspicious, bomb = (
            write_image(kmcodec.IndexedImage(palette, np.zeros((height, 10), np.uint8)))
            for height in (10, 11, 21)
        )
        opened(allowed)
        with pytest.warns(Image.DecompressionBombWarning):
            opened(suspicious)
        with pytest.raises(Image.DecompressionBombError):
            opened(bomb)

    def test_a_tiny_file_of_a_huge_picture(self) -> None:
        """43 bytes cannot ask for memory."""
        color = bytes(3)
        data = Header(2**32 - 1, 2**32 - 1, 0, False, 2**32 - 1, 0).to_bytes() + color + crc_bytes(color)
        with pytest.raises(Image.DecompressionBombError):
            Image.open(io.BytesIO(data + bytes(4)))


@pytest.mark.parametrize("coding", ["packed", "context"])
def test_kmq_and_pillow_agree(coding: str, tmp_path: Path) -> None:
    """What Pillow saves, kmq decodes to the same pixels."""
    image = Image.fromarray(photo())
    image.save(tmp_path / "a.kmq", n_colors=16, coding=coding)
    assert 0 == run(tmp_path, "decode", "a.kmq").returncode
    with Image.open(tmp_path / "a.png") as png, Image.open(tmp_path / "a.kmq") as kmq:
        np.testing.assert_array_equal(colors(png), colors(kmq))
