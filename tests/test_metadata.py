"""What goes with a picture comes through; what is hostile harms nothing."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin
from support import photo, run, succeed

import kmcodec
from kmcodec.container.writer import write_image
from kmcodec.metadata import Density, Metadata, Text, reset_orientation
from kmcodec.pictures import encode_picture, load_picture, read_picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:a="\xc3\xa9"/></x:xmpmeta>'
)
UPRIGHT_XMP = XMP.replace(b'="6"', b'="1"')


def make_exif(orientation: int, order: str = "<") -> bytes:
    """Return EXIF data of two entries: the maker, whose name follows, and the orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHII", 0x010F, 2, 6, 38) + struct.pack(
        order + "HHIHH", 0x0112, 3, 1, orientation, 0
    )
    return mark + struct.pack(order + "IH", 8, 2) + entries + bytes(4) + b"Maker\0"


def save(format_name: str, path: Path, **options: Any) -> None:
    """Save a small picture."""
    Image.fromarray(photo(20, 30)).save(path, format_name, **options)


def reopen(path: Path) -> Any:
    """Return a picture with all that Pillow reads of it."""
    image = Image.open(path)
    image.load()
    return image


# Without surrogates, which are no text.
characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
words = st.text(characters)
languages = st.text(st.characters(min_codepoint=1, max_codepoint=127))
texts = st.builds(Text, st.text(characters, min_size=1), words, languages, words)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
sides = st.integers(1, 2**32 - 1)
everything = st.builds(
    Metadata,
    icc_profile=st.none() | st.just(PROFILE),
    exif=st.none() | st.binary().map(lambda rest: reset_orientation(b"MM\0*" + rest)),
    xmp=st.none() | words.map(str.encode),
    texts=st.lists(texts, max_size=3).map(tuple),
    density=st.none() | st.builds(Density, sides, sides, st.booleans()),
    recipe=st.none() | st.dictionaries(words, json_values, max_size=3),
)


@given(everything)
def test_sections_and_back(metadata: Metadata) -> None:
    """Whatever can be stored comes back as it was."""
    sections = metadata.to_sections()
    assert metadata == Metadata.from_sections(sections)
    image = kmcodec.IndexedImage(np.zeros((1, 3), np.uint8), np.zeros((1, 1), np.uint8), sections)
    assert metadata == kmcodec.KmqReader(write_image(image)).metadata


@given(st.lists(st.tuples(st.sampled_from(["iccp", "exif", "axmp", "text", "dens", "rcpe"]), st.binary())))
def test_arbitrary_payloads_are_read_or_left_out(payloads: list[tuple[str, bytes]]) -> None:
    """A payload that is malformed is left out, and no exception comes of it."""
    sections = tuple(kmcodec.Section(type_.encode(), payload) for type_, payload in payloads)
    Metadata.from_sections(Metadata.from_sections(sections).to_sections())


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"[1]",
        b"\xff",
        b"",
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
)
def test_hostile_recipes_are_left_out(payload: bytes) -> None:
    """Depth, size and what is no JSON end in no recipe."""
    assert Metadata.from_sections((kmcodec.Section(b"rcpe", payload),)).recipe is None


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(icc_profile=b"GRAY"),
        Metadata(exif=b"Exif\0\0II*\0"),
        Metadata(xmp=b"\xff"),
        Metadata(texts=(Text("", "a"),)),
        Metadata(texts=(Text("a", "b\0c"),)),
        Metadata(texts=(Text("a", "b", "é"),)),
        Metadata(texts=(Text("a", "\ud800"),)),
        Metadata(density=Density(0, 1)),
        Metadata(density=Density(1, 2**32)),
        Metadata(recipe={"a": float("nan")}),
        Metadata(recipe=[1]),  # type: ignore[arg-type]
        Metadata(density=Density(1.0, 1)),  # type: ignore[arg-type]
        Metadata(xmp="<x/>"),  # type: ignore[arg-type]
        Metadata(texts=(("a", b"b"),)),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_stored_is_refused(metadata: Metadata) -> None:
    """What would not come back is the caller's mistake."""
    with pytest.raises((TypeError, ValueError)):
        kmcodec.encode(photo(), 2, metadata=metadata)


@pytest.mark.parametrize("metadata", [{}, {"Title": "x"}, 5, b"<x/>"])
def test_metadata_of_another_type_are_refused(metadata: Any, tmp_path: Path) -> None:
    """Metadata are kmcodec.Metadata, or none; the message says so, also for what is read in blocks."""
    np.save(tmp_path / "a.npy", photo())
    for call in (
        lambda: kmcodec.encode(photo(), metadata=metadata),
        lambda: kmcodec.write(
            tmp_path / "a.kmq", np.load(tmp_path / "a.npy", mmap_mode="r"), metadata=metadata
        ),
    ):
        with pytest.raises(TypeError, match=r"metadata must be kmcodec\.Metadata, not"):
            call()


class TestOrientation:
    """The orientation is reset, and nothing else is touched."""

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("orientation", [1, 3, 6, 8, 0, 99])
    def test_only_its_value_changes(self, order: str, orientation: int) -> None:
        """All other bytes stay as they are, in both orders of bytes."""
        assert make_exif(1, order) == reset_orientation(make_exif(orientation, order))

    @given(st.binary(max_size=60), st.sampled_from([b"II*\0", b"MM\0*", b""]))
    def test_arbitrary_bytes(self, rest: bytes, mark: bytes) -> None:
        """Whatever the data is, as many bytes come back."""
        assert len(mark + rest) == len(reset_orientation(mark + rest))


class TestThroughFiles:
    """Metadata goes through picture files, .kmq and PNG unchanged."""

    def test_png(self, tmp_path: Path) -> None:
        """Texts, their languages, profile, EXIF, XMP and density of a PNG are in the PNG that is decoded."""
        info = PngImagePlugin.PngInfo()
        info.add_text("Title", "caf\u00e9")
        info.add_itxt("Comment", "\u4e16\u754c", "zh", "\u8a55")
        info.add_itxt("XML:com.adobe.xmp", UPRIGHT_XMP.decode())
        save("PNG", tmp_path / "a.png", pnginfo=info, exif=make_exif(1), icc_profile=PROFILE, dpi=(96, 72))
        succeed(tmp_path, "encode", "a.png")
        succeed(tmp_path, "decode", "a.kmq", "-o", "b.png")
        before, after = reopen(tmp_path / "a.png"), reopen(tmp_path / "b.png")
        for key in ("icc_profile", "exif", "xmp", "dpi"):
            assert before.info[key] == after.info[key]
        assert before.text == after.text
        assert ("zh", "\u8a55") == (after.text["Comment"].lang, after.text["Comment"].tkey)

    def test_text_behind_the_pixels(self, tmp_path: Path) -> None:
        """Chunks of a PNG that follow the pixels count too."""
        png = encode_picture(photo())
        late = encode_picture(photo(), "PNG", Metadata(texts=(Text("Title", "late"),)))
        at = late.index(b"tEXt") - 4
        chunk = late[at : at + 12 + int.from_bytes(late[at : at + 4], "big")]
        (tmp_path / "a.png").write_bytes(png[:-12] + chunk + png[-12:])
        assert (Text("Title", "late"),) == read_picture(tmp_path / "a.png").metadata.texts

    @pytest.mark.parametrize("format_name", ["JPEG", "WEBP"])
    def test_turned_photographs(self, tmp_path: Path, format_name: str) -> None:
        """A photograph that was taken upright is stored upright, and EXIF and XMP say so."""
        save(format_name, tmp_path / "a", exif=b"Exif\0\0" + make_exif(6), icc_profile=PROFILE, xmp=XMP)
        succeed(tmp_path, "encode", "a", "-o", "a.kmq")
        with kmcodec.open(tmp_path / "a.kmq") as file:
            assert (20, 30) == (file.width, file.height)
            assert make_exif(1) == file.metadata.exif
            assert UPRIGHT_XMP == file.metadata.xmp
        succeed(tmp_path, "decode", "a.kmq", "-o", "b.png")
        after = reopen(tmp_path / "b.png")
        assert PROFILE == after.info["icc_profile"]
        assert UPRIGHT_XMP == after.info["xmp"]
        assert b"Exif\0\0" + make_exif(1) == after.info["exif"]

    def test_jpeg_has_comments_and_density(self, tmp_path: Path) -> None:
        """The comment of a JPEG becomes a text; its density is in pixels per metre."""
        save("JPEG", tmp_path / "a.jpg", comment="a caf\u00e9", dpi=(300, 150))
        metadata = read_picture(tmp_path / "a.jpg").metadata
        assert (Text("Comment", "a caf\u00e9"),) == metadata.texts
        assert Density(11811, 5906) == metadata.density
        encoded = encode_picture(photo(), "JPEG", metadata)
        assert metadata == read_picture(io.BytesIO(encoded)).metadata

    def test_tiff(self, tmp_path: Path) -> None:
        """What describes the picture in a TIFF's tags becomes EXIF; profile and density come along."""
        exif = Image.Exif()
        exif[0x010F], exif[0x010E], exif[0x0112] = "Maker", "what it shows", 6
        save("TIFF", tmp_path / "a.tif", exif=exif, icc_profile=PROFILE, dpi=(300, 300))
        succeed(tmp_path, "encode", "a.tif")
        succeed(tmp_path, "decode", "a.kmq")
        after = reopen(tmp_path / "a.png")
        assert (20, 30) == after.size
        assert {0x010F: "Maker", 0x010E: "what it shows"} == dict(after.getexif())
        assert PROFILE == after.info["icc_profile"]
        assert pytest.approx((300, 300), abs=0.01) == after.info["dpi"]

    def test_ratio_of_pixels(self, tmp_path: Path) -> None:
        """A density without a unit stays one."""
        picture = encode_picture(photo(), "PNG", Metadata(density=Density(2, 1, is_per_metre=False)))
        assert Density(2, 1, is_per_metre=False) == read_picture(io.BytesIO(picture)).metadata.density

    def test_raw_exif_in_a_text(self, tmp_path: Path) -> None:
        """EXIF in a PNG's text, in hexadecimal, counts as EXIF and not as text."""
        data = b"Exif\0\0" + make_exif(8)
        info = PngImagePlugin.PngInfo()
        info.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")
        save("PNG", tmp_path / "a.png", pnginfo=info)
        picture = read_picture(tmp_path / "a.png")
        assert (30, 20) == picture.pixels.shape[:2]
        assert Metadata(exif=make_exif(1)) == picture.metadata

    def test_orientation_of_a_caller(self, tmp_path: Path) -> None:
        """What is stored is upright, whatever the EXIF says that comes with it."""
        kmcodec.write(tmp_path / "a.kmq", photo(), 4, metadata=Metadata(exif=make_exif(6)))
        with kmcodec.open(tmp_path / "a.kmq") as file:
            assert make_exif(1) == file.metadata.exif
        stored = kmcodec.IndexedImage(
            np.zeros((1, 3), np.uint8), np.zeros((2, 3), np.uint8), (kmcodec.Section(b"exif", make_exif(6)),)
        )
        (tmp_path / "b.kmq").write_bytes(write_image(stored))
        succeed(tmp_path, "decode", "b.kmq")
        assert (2, 3, 3) == load_picture(tmp_path / "b.png").shape

    @pytest.mark.parametrize("suffix", ["png", "webp"])
    def test_xmp_of_a_caller(self, suffix: str, tmp_path: Path) -> None:
        """As EXIF, XMP that says otherwise does not turn what a file is decoded to."""
        kmcodec.write(tmp_path / "a.kmq", photo(), 4, metadata=Metadata(xmp=XMP))
        succeed(tmp_path, "decode", "a.kmq", "-o", f"a.{suffix}")
        assert UPRIGHT_XMP == reopen(tmp_path / f"a.{suffix}").info["xmp"]

    def test_formats_without_a_place_for_it(self, tmp_path: Path) -> None:
        """A format that cannot hold the metadata is written without it, and a line says so."""
        metadata = Metadata(exif=make_exif(1) + bytes(70_000))
        (tmp_path / "a.kmq").write_bytes(kmcodec.encode(photo(), 4, metadata=metadata))
        process = run(tmp_path, "decode", "a.kmq", "-o", "a.jpg")
        assert 0 == process.returncode
        assert process.stderr.startswith(b"kmq: a.jpg: metadata is left out (not writable as JPEG")
        assert (48, 64, 3) == load_picture(tmp_path / "a.jpg").shape

    def test_broken_exif_in_a_png(self, tmp_path: Path) -> None:
        """The pixels are read all the same."""
        info = PngImagePlugin.PngInfo()
        info.add_text("Raw profile type exif", "no hexadecimal")
        save("PNG", tmp_path / "a.png", pnginfo=info)
        png = encode_picture(photo())
        for broken in (b"garbage", b"II*\0", b""):
            chunk = struct.pack(">I", len(broken)) + b"eXIf" + broken
            chunk += struct.pack(">I", zlib.crc32(b"eXIf" + broken))
            (tmp_path / "b.png").write_bytes(png[:33] + chunk + png[33:])
            np.testing.assert_array_equal(photo(), load_picture(tmp_path / "b.png"))
        notes = read_picture(tmp_path / "a.png").notes
        assert ("its EXIF data is malformed, and is left out",) == notes

    def test_keywords_that_png_cannot_hold(self) -> None:
        """A text that has no place in a PNG is left out of it; others stay."""
        bad = ("\u4e16", "k" * 80, " a", "a  b", "a\n")
        metadata = Metadata(texts=(*(Text(keyword, "b") for keyword in bad), Text("Title", "c")))
        assert (Text("Title", "c"),) == read_picture(
            io.BytesIO(encode_picture(photo(), "PNG", metadata))
        ).metadata.texts

    @pytest.mark.parametrize("format_name", ["JPEG", "TIFF", "WEBP", "GIF", "BMP"])
    def test_other_formats_take_what_they_can(self, format_name: str) -> None:
        """Every format can be written with all kinds of metadata."""
        metadata = Metadata(PROFILE, make_exif(1), UPRIGHT_XMP, (Text("Comment", "a"),), Density(3000, 3000))
        written = read_picture(io.BytesIO(encode_picture(photo(), format_name, metadata)))
        if format_name in ("JPEG", "WEBP"):
            kept = written.metadata
            assert (PROFILE, make_exif(1), UPRIGHT_XMP) == (kept.icc_profile, kept.exif, kept.xmp)

    def test_nothing_comes_along_on_request(self, tmp_path: Path) -> None:
        """With --strip-metadata the file is the one of the bare pixels."""
        save("PNG", tmp_path / "a.png", exif=make_exif(6), icc_profile=PROFILE, dpi=(72, 72))
        succeed(tmp_path, "encode", "a.png", "-k", "4", "--strip-metadata")
        upright = read_picture(tmp_path / "a.png").pixels
        assert kmcodec.encode(upright, 4) == (tmp_path / "a.kmq").read_bytes()


class TestHostile:
    """Broken metadata does not keep a picture from being encoded."""

    @pytest.mark.parametrize(
        ("options", "note"),
        [
            ({"icc_profile": b"no profile"}, "its colour profile is not one for RGB, and is left out"),
            (
                {"icc_profile": PROFILE.replace(b"RGB XYZ ", b"GRAYXYZ ")},
                "its colour profile is not one for RGB, and is left out",
            ),
            ({"exif": b"Exif\0\0garbage"}, "its EXIF data is malformed, and is left out"),
        ],
    )
    def test_broken_metadata_is_left_out(self, tmp_path: Path, options: dict[str, bytes], note: str) -> None:
        """One line says so; with --quiet none."""
        save("JPEG", tmp_path / "a.jpg", **options)
        process = run(tmp_path, "encode", "a.jpg", "-k", "4")
        assert (0, f"kmq: a.jpg: {note}\n") == (process.returncode, process.stderr.decode())
        assert b"" == succeed(tmp_path, "encode", "a.jpg", "-k", "4", "--force", "--quiet")
        assert 0 == kmcodec.KmqReader((tmp_path / "a.kmq").read_bytes()).header.sections_bytes

    def test_malformed_texts_are_left_out(self, tmp_path: Path) -> None:
        """A language that is none does not keep a picture from being encoded."""
        info = PngImagePlugin.PngInfo()
        info.add_itxt("Comment", "a", "\u00e9")
        info.add_text("Title", "b")
        save("PNG", tmp_path / "a.png", pnginfo=info)
        picture = read_picture(tmp_path / "a.png")
        assert ((Text("Title", "b"),), ("a text is malformed, and is left out",)) == (
            picture.metadata.texts,
            picture.notes,
        )

    @pytest.mark.parametrize("count", [2, 0xFFFF])
    @pytest.mark.parametrize("offset", [8, 0xFFFFFFFF, 2**31])
    def test_exif_that_lies(self, tmp_path: Path, count: int, offset: int) -> None:
        """Offsets and counts beyond the data are carried or left out."""
        exif = b"II*\0" + struct.pack("<IH", offset, count) + make_exif(6)[10:]
        save("JPEG", tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
        assert 0 == run(tmp_path, "encode", "a.jpg").returncode

    def test_text_is_shown_without_its_control_characters(self, tmp_path: Path) -> None:
        """Info prints a line for a text, whatever is in it."""
        hostile = Text("a\x1b[31m", "line\nbreak\u202e\x07" + "x" * 1000)
        data = kmcodec.encode(photo(), 2, metadata=Metadata(texts=(hostile,), recipe={"a\nb": "\x1b"}))
        (tmp_path / "a.kmq").write_bytes(data)
        lines = succeed(tmp_path, "info", "a.kmq").decode().splitlines()
        assert r"text       a\x1b[31m: line\nbreak\u202e\x07x" in lines[-2]
        assert r"recipe     a\nb: \x1b" == lines[-1]
        assert all(line.isprintable() for line in lines)
        (text, _) = json.loads(succeed(tmp_path, "info", "a.kmq", "--json"))["sections"]
        assert hostile._asdict().items() <= text.items()


class TestRecipe:
    """A recipe says how a file was made."""

    def test_it_is_complete(self) -> None:
        """Options, defaults too, and what the source was."""
        pixels = photo()
        metadata = kmcodec.KmqReader(
            kmcodec.encode(pixels, 9, recipe=True, space="oklab", keep=[(1, 2, 3)], dither="ordered")
        ).metadata
        assert metadata.recipe == {
            "program": f"kmcodec {kmcodec.__version__}",
            "colors": 9,
            "init": "split",
            "effort": "default",
            "seed": 0,
            "keep": ["#010203"],
            "space": "oklab",
            "dither": "ordered",
            "dither_strength": 1.0,
            "source_width": 64,
            "source_height": 48,
            "source_channels": 3,
            "source_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        }

    def test_with_a_given_palette(self) -> None:
        """What did not count is not recorded."""
        recipe = kmcodec.KmqReader(
            kmcodec.encode(photo(), palette=[(0, 0, 0), (255, 255, 255)], recipe=True)
        ).metadata.recipe
        assert recipe is not None
        assert ["#000000", "#ffffff"] == recipe["palette"]
        assert {"colors", "seed", "init", "effort"} & recipe.keys() == set()

    def test_in_the_shell(self, tmp_path: Path) -> None:
        """The same input gives the same bytes, those of the library; info prints them."""
        Image.fromarray(photo()).save(tmp_path / "photo.png")
        succeed(tmp_path, "encode", "photo.png", "-k", "16", "--recipe")
        first = (tmp_path / "photo.kmq").read_bytes()
        assert kmcodec.encode(photo(), 16, recipe=True, keep=None, palette=None) == first
        succeed(tmp_path, "encode", "photo.png", "-k", "16", "--recipe", "--force", "--threads", "3")
        assert first == (tmp_path / "photo.kmq").read_bytes()
        assert b"recipe     colors: 16" in succeed(tmp_path, "info", "photo.kmq")
