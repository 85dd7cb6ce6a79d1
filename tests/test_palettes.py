"""Palette files: every format is read, and what is wrong is named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kmcodec
from kmcodec.palettes.colors import parse_color
from kmcodec.palettes.files import read_palette

COLORS = np.array([[255, 0, 0], [0, 128, 7], [255, 0, 0], [1, 2, 3]], np.uint8)


def save(folder: Path, name: str, data: bytes) -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(data)
    return path


def test_gimp_palettes(tmp_path: Path) -> None:
    """Names, columns, comments and names of colours are skipped; order and doubles are kept."""
    text = "GIMP Palette\r\nName: Some\nColumns: 4\n#\n\n255 0 0\tRed\n  0 128   7 dark green\n"
    text += "# a comment\n255 0 0\n1 2 3"
    np.testing.assert_array_equal(COLORS, read_palette(save(tmp_path, "a.gpl", text.encode())))
    # The header decides, whatever the name; bytes that are not UTF-8 may stand in names.
    latin = text.replace("dark", "d\xfcster").encode("latin-1")
    np.testing.assert_array_equal(COLORS, read_palette(save(tmp_path, "a.txt", latin)))


def test_lists_of_hexadecimal_numbers(tmp_path: Path) -> None:
    """With or without #, in either case, with blank lines and comments; alpha if any colour has it."""
    path = save(tmp_path, "a.hex", b"\xef\xbb\xbfff0000\n#008007\n; a comment\n\nFF0000\r\n010203")
    np.testing.assert_array_equal(COLORS, read_palette(path))
    path = save(tmp_path, "b.hex", b"ff000080\n010203\n")
    np.testing.assert_array_equal([[255, 0, 0, 128], [1, 2, 3, 255]], read_palette(path))


def test_adobe_colour_tables(tmp_path: Path) -> None:
    """768 bytes are 256 colours; four more say how many count, and which is transparent."""
    table = COLORS.tobytes() + bytes(768 - 12)
    assert read_palette(save(tmp_path, "a.act", table)).shape == (256, 3)
    path = save(tmp_path, "b.act", table + b"\x00\x04\xff\xff")
    np.testing.assert_array_equal(COLORS, read_palette(path))
    path = save(tmp_path, "c.act", table + b"\x00\x04\x00\x01")
    np.testing.assert_array_equal([255, 0, 255, 255], read_palette(path)[:, 3])


def test_pictures(tmp_path: Path) -> None:
    """The palette of a picture that has one; else its distinct colours as they come."""
    rgb = np.array([COLORS, COLORS[::-1]], np.uint8)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(COLORS[[0, 1, 3]], read_palette(tmp_path / "rgb.png"))
    indexed = Image.new("P", (2, 2))
    indexed.putpalette(COLORS.tobytes())
    indexed.save(tmp_path / "p.png", transparency=b"\xff\x40")
    expected = np.hstack([COLORS, [[255], [64], [255], [255]]])
    np.testing.assert_array_equal(expected, read_palette(tmp_path / "p.png")[:4])
    gif = io.BytesIO()
    indexed.save(gif, "GIF")
    np.testing.assert_array_equal(COLORS[0], read_palette(save(tmp_path, "p.gif", gif.getvalue()))[0])


def test_kmq_files(tmp_path: Path) -> None:
    """The palette of a .kmq file, also of one with alpha."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    image = kmcodec.quantize(pixels, 5)
    kmcodec.write(tmp_path / "a.kmq", pixels, 5)
    np.testing.assert_array_equal(image.palette, read_palette(tmp_path / "a.kmq"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "a.gpl",
            b"GIMP Palette\n1 2 3\n1 2\n",
            "line 3: expected red, green and blue in 0..255, found '1 2'",
        ),
        ("a.gpl", b"GIMP Palette\n1 2 256\n", "line 2: "),
        ("a.gpl", b"GIMP Palette\nName: 1\n\nred\n", "line 4: "),
        ("a.gpl", b"GIMP Palette\n", "no colours in it"),
        ("a.gpl", b"1 2 3\n", "line 1: expected 'GIMP Palette'"),
        ("a.gpl", b"", "line 1: expected 'GIMP Palette'"),
        ("a.hex", b"ff0000\n\nff000g\n", "line 3: expected a colour as #rrggbb or #rrggbbaa, found 'ff000g'"),
        ("a.hex", b"", "no colours in it"),
        ("a.hex", b"\xff\xfe\x00", "line 1: "),
        ("a.act", b"", "expected a colour table of 768 or 772 bytes, found 0"),
        ("a.act", bytes(772), "expected a count of 1..256 at offset 768, found 0"),
        ("a.png", b"", "not a picture of a known format"),
        ("a", b"x", "not a picture of a known format"),
        ("a.kmq", b"\x89KMQ\r\n\x1a\n", "offset 8"),
    ],
)
def test_errors_say_where(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    """A file that is no palette is a KmqError of one line, which names the place."""
    with pytest.raises(kmcodec.KmqError) as caught:
        read_palette(save(tmp_path, name, data))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_colours(tmp_path: Path) -> None:
    """A picture of more than 65536 colours is no palette."""
    values = np.arange(70000)
    pixels = np.stack([values % 251, values // 251, values // 300], axis=1).astype(np.uint8)
    Image.fromarray(pixels.reshape(280, 250, 3)).save(tmp_path / "many.png")
    with pytest.raises(kmcodec.PaletteError, match="70000 colours, more than 65536"):
        read_palette(tmp_path / "many.png")


@given(st.binary(max_size=400), st.sampled_from(["gpl", "hex", "act", "png", "kmq", "txt"]), st.booleans())
def test_garbage_is_a_kmq_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str, head: bool
) -> None:
    """Whatever the bytes, colours or a KmqError come out."""
    path = tmp_path_factory.getbasetemp() / f"garbage.{suffix}"
    path.write_bytes((b"GIMP Palette\n" if head else b"") + data)
    try:
        colors = read_palette(path)
    except kmcodec.KmqError:
        return
    assert colors.ndim == 2
    assert colors.shape[1] in (3, 4)
    assert colors.dtype == np.uint8


@given(st.tuples(*[st.integers(0, 255)] * 4), st.booleans(), st.booleans(), st.booleans())
def test_colours_as_text(color: tuple[int, ...], sign: bool, alpha: bool, upper: bool) -> None:
    """#rrggbb and #rrggbbaa in either case."""
    color = color if alpha else color[:3]
    digits = bytes(color).hex()
    assert color == parse_color(("#" if sign else "") + (digits.upper() if upper else digits))


@pytest.mark.parametrize(
    "text", ["", "#", "#12345", "#1234567", "red", "#12345g", "12 456", "#+12345", "##123456"]
)
def test_no_colours(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="expected a colour"):
        parse_color(text)
