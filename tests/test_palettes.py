"""Palette files: every format is read, and what is wrong is named."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import kmcodec
from kmcodec.palettes.colors import parse_color
from kmcodec.palettes.files import FORMATS, encode_palette, read_palette, write_palette

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


def swatch(name: str, model: bytes, *values: float) -> bytes:
    """Return a colour of a file of Adobe swatches."""
    text = f"{name}\0".encode("utf-16-be")
    data = struct.pack(f">H{len(text)}s4s{len(values)}fH", len(text) // 2, text, model, *values, 0)
    return struct.pack(">HI", 1, len(data)) + data


def swatches(*blocks: bytes) -> bytes:
    """Return a file of Adobe swatches."""
    return struct.pack(">4sHHI", b"ASEF", 1, 0, len(blocks)) + b"".join(blocks)


def test_adobe_swatches(tmp_path: Path) -> None:
    """All groups and colour models; CMYK without a profile, and L*a*b* clipped to sRGB."""
    group = struct.pack(">HIH2s", 0xC001, 4, 1, b"\0\0")
    end = struct.pack(">HI", 0xC002, 0)
    data = swatches(
        swatch("black", b"RGB ", 0, 0, 0),
        group,
        swatch("orange", b"RGB ", 1, 128 / 255, 7 / 255),
        swatch("", b"Gray", 0.5),
        swatch("cyan", b"CMYK", 1, 0, 0, 0.2),
        end,
        swatch("white", b"LAB ", 1, 0, 0),
        # Red in the white of D50, as sRGB's own profile has it; and a green that no screen has.
        swatch("red", b"LAB ", 0.542917, 80.8125, 69.8851),
        swatch("green", b"LAB ", 0.6, -128, 60),
    )
    expected = [[0, 0, 0], [255, 128, 7], [128, 128, 128], [0, 204, 204], [255, 255, 255], [255, 0, 0]]
    found = read_palette(save(tmp_path, "a.ase", data))
    np.testing.assert_array_equal(expected, found[:-1])
    assert 0 == found[-1, 0]
    # The signature decides, whatever the name.
    np.testing.assert_array_equal(found, read_palette(save(tmp_path, "a.txt", data)))


@pytest.mark.parametrize(
    "text",
    [
        '["#ff0000", "008007", "#FF0000", "#010203"]',
        "[[255, 0, 0], [0, 128, 7], [255, 0, 0], [1, 2, 3]]",
        '{"name": "Some", "colors": ["ff0000", [0, 128, 7], "ff0000", "010203"]}',
        '\n{"colors": 4, "palette": ["#ff0000", "#008007", "#ff0000", "#010203"]}',
    ],
)
def test_json(tmp_path: Path, text: str) -> None:
    """A list, or an object that has one, as others write it and as kmq prints it; of text or of numbers."""
    np.testing.assert_array_equal(COLORS, read_palette(save(tmp_path, "a.json", text.encode())))
    # What comes from a pipe has no suffix.
    np.testing.assert_array_equal(COLORS, read_palette(save(tmp_path, "a", text.encode())))


def test_json_with_alpha(tmp_path: Path) -> None:
    """Colours with and without alpha may be mixed."""
    path = save(tmp_path, "a.json", b'["#01020304", [5, 6, 7], [8, 9, 10, 11]]')
    np.testing.assert_array_equal([[1, 2, 3, 4], [5, 6, 7, 255], [8, 9, 10, 11]], read_palette(path))


def test_style_sheets(tmp_path: Path) -> None:
    """Custom properties in all ways of writing them; nothing else is looked at."""
    text = """
        /* --no: #123456; */
        .btn--primary:hover, a { color: #abcdef; background: red }
        :root {
            --red: #f00; --green:#008007
            ;   --again-1:rgb( 255 0 0 );
            --\N{SNOWMAN}: RGBA(1, 2, 3, 1)
        }
    """
    np.testing.assert_array_equal(COLORS, read_palette(save(tmp_path, "a.css", text.encode())))
    text = ":root{--a:#12345678;--b:#abc8;--c:rgb(100% 50% 0%/.5);--d:rgba(1,2,3,50%)}"
    expected = [[0x12, 0x34, 0x56, 0x78], [0xAA, 0xBB, 0xCC, 0x88], [255, 128, 0, 128], [1, 2, 3, 128]]
    np.testing.assert_array_equal(expected, read_palette(save(tmp_path, "b.css", text.encode())))


WRITTEN = {
    ".gpl": b"GIMP Palette\nName: my colours\nColumns: 16\n#\n255   0   0\t#ff0000\n  0 128   7\t#008007\n",
    ".hex": b"ff0000\n008007\n",
    ".json": b'[\n  "#ff0000",\n  "#008007"\n]\n',
    ".css": b":root {\n  --my-colours-0: #ff0000;\n  --my-colours-1: #008007;\n}\n",
    ".act": b"\xff\0\0\0\x80\x07".ljust(768, b"\0") + b"\0\2\xff\xff",
    ".ase": swatches(
        swatch("#ff0000", b"RGB ", 1, 0, 0)[:-1] + b"\2",
        swatch("#008007", b"RGB ", 0, 128 / 255, 7 / 255)[:-1] + b"\2",
    ),
}


@pytest.mark.parametrize("suffix", WRITTEN)
def test_what_is_written(tmp_path: Path, suffix: str) -> None:
    """Each format is as other programs expect it, and takes the place of an older file."""
    path = tmp_path / f"my colours{suffix}"
    for colors in (COLORS, COLORS[:2]):
        kmcodec.write_palette(path, colors)
    assert WRITTEN[suffix] == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_swatches(tmp_path: Path) -> None:
    """A PNG shows the colours row by row, each in a square or, where a row has fewer, a wider field."""
    colors = np.array([[i, 2 * i, 255 - i] for i in range(11)], np.uint8)
    write_palette(tmp_path / "a.PNG", colors)
    with Image.open(tmp_path / "a.PNG") as image:
        assert ("PNG", "P", (128, 96)) == (image.format, image.mode, image.size)
        pixels = np.asarray(image)
    assert [0, 1, 2, 3] == pixels[0, ::32].tolist()
    assert [4, 5, 6, 7] == pixels[32, ::32].tolist()
    assert [8, 9, 10] == pixels[95, 20::43].tolist()
    assert np.array_equal(pixels[64], pixels[95])


@st.composite
def palettes(draw: st.DrawFn, alpha: str, most: int) -> NDArray[np.uint8]:
    """Draw palettes with any alpha, with one transparent colour, or without alpha."""
    n_colors = draw(st.one_of(st.integers(1, most), st.sampled_from([1, 2, 255, 256, most])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    colors = rng.integers(0, 256, (n_colors, 3), np.uint8)
    # Doubles are kept.
    colors[-1] = colors[0]
    kind = draw(st.sampled_from(["none", "opaque", "one", "any"][: {"none": 2, "one": 3, "any": 4}[alpha]]))
    if kind == "none":
        return colors
    values = rng.integers(0, 256, (n_colors, 1), np.uint8)
    if kind != "any":
        values[:] = 255
    if kind == "one":
        values[draw(st.integers(0, n_colors - 1))] = 0
    return np.hstack([colors, values])


HELD = {
    ".gpl": ("none", 300),
    ".hex": ("any", 300),
    ".act": ("one", 256),
    ".ase": ("none", 300),
    ".json": ("any", 300),
    ".css": ("any", 300),
    ".png": ("any", 256),
}


@given(st.data())
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """What is written is read as the same colours in the same order, but for an opaque alpha."""
    assert set(FORMATS) == set(HELD)
    suffix = data.draw(st.sampled_from(FORMATS))
    palette = data.draw(palettes(*HELD[suffix]))
    path = tmp_path_factory.getbasetemp() / f"there{suffix}"
    path.write_bytes(encode_palette(palette, path))
    expected = palette[:, :3] if (palette[:, 3:] == 255).all() else palette
    np.testing.assert_array_equal(expected, read_palette(path))


def test_pictures_of_many_colours(tmp_path: Path) -> None:
    """Swatches of more than 256 colours are their own palette, in order."""
    rng = np.random.default_rng(0)
    numbers = rng.permutation(5000)
    colors = np.stack([numbers % 251, numbers // 251, numbers % 7], axis=1)
    for palette in (colors[:300], colors):
        write_palette(tmp_path / "a.png", palette)
        np.testing.assert_array_equal(palette, read_palette(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("name", "palette", "message"),
    [
        ("a.gpl", [(0, 0, 0, 254)], "has no place for alpha"),
        ("a.ase", [(0, 0, 0, 254)], "has no place for alpha"),
        ("a.act", [(0, 0, 0, 254)], "one transparent colour at most"),
        ("a.act", [(0, 0, 0, 0), (1, 1, 1, 0)], "one transparent colour at most"),
        ("a.act", [(0, 0, 0)] * 257, "at most 256 colours, found 257"),
        ("a.png", [(0, 0, 0)] * 257, "only if they are distinct"),
        ("a.xyz", [(0, 0, 0)], "not as '.xyz'"),
        ("a", [(0, 0, 0)], "palettes are written as .gpl, .hex, .act, .ase, .json, .css, .png"),
    ],
)
def test_what_a_format_cannot_hold(
    tmp_path: Path, name: str, palette: list[tuple[int, ...]], message: str
) -> None:
    """Nothing is lost in silence: it is an error, and no file is written."""
    with pytest.raises(kmcodec.PaletteError) as caught:
        write_palette(tmp_path / name, palette)
    assert message in str(caught.value)
    assert [] == list(tmp_path.iterdir())


def test_odd_names(tmp_path: Path) -> None:
    """Names of files become names of palettes as far as the format allows."""
    for suffix in (".gpl", ".css"):
        path = tmp_path / f"a\nb: {{c}} \N{SNOWMAN}{suffix}"
        write_palette(path, COLORS)
        np.testing.assert_array_equal(COLORS, read_palette(path))


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
        ("a.json", b"", "line 1: not JSON: Expecting value"),
        ("a.json", b'["#ff0000",\n\n "#00ff00"', "line 3: not JSON: Expecting ',' delimiter"),
        ("a.json", b"4", "expected a list of colours, or an object with one that is called 'colors'"),
        ("a.json", b'{"colors": {}}', "expected a list of colours, or an object"),
        ("a.json", b"[]", "no colours in it"),
        ("a.json", b'["#ff0000",\n"red"]', "entry 2: expected a colour as #rrggbb or #rrggbbaa, found 'red'"),
        ("a.json", b"[[0, 0, 0], [0, 0, 256]]", "entry 2: expected "),
        ("a.json", b"[[0, 0, 1.0]]", "entry 1: expected "),
        ("a.json", b"[[0, 0, true]]", "entry 1: expected "),
        ("a.json", b"[[0, 0]]", "three or four integers in 0..255, found [0, 0]"),
        ("a.json", b"[" * 100_000, "found lists of lists"),
        ("a.json", b"[" + b"9" * 5000 + b"]", "found a number of thousands of digits"),
        ("a.css", b"", "no colours in it"),
        ("a.css", b"a { color: red }", "no colours in it"),
        (
            "a.css",
            b"/*\n*/ :root {\n--a: #123456;\n\n--b:\n#12345; }",
            "line 5: expected a colour as #rgb, #rrggbb, #rrggbbaa or rgb(), found '#12345'",
        ),
        ("a.css", b"a{--b:red}", "line 1: "),
        ("a.css", b"a{--b:rgb(1,2)}", "line 1: "),
        ("a.css", b"a{--b:rgb(1,2,256)}", "line 1: "),
        ("a.css", b"a{--b:rgb(1,2,-3)}", "line 1: "),
        ("a.css", b"a{--b:rgb(1,2,3,4)}", "line 1: "),
        ("a.css", b"a{--b:rgb(1,2,nan)}", "line 1: "),
        ("a.css", b"a{--b:rgb(1,2," + b"9" * 5000 + b")}", "line 1: "),
        ("a.ase", b"ASEF", "offset 4: expected a header of 12 bytes, found the end of the file"),
        ("a.ase", b"ASEX" + bytes(8), "offset 0: expected b'ASEF', found b'ASEX'"),
        ("a.ase", b"ASEF" + bytes(8), "offset 4: expected version 1, found 0"),
        ("a.ase", swatches(), "no colours in it"),
        ("a.ase", swatches(b""), "offset 12: expected a block, found the end of the file"),
        ("a.ase", swatches() + b"?", "offset 12: expected the end of the file, found 1 bytes more"),
        ("a.ase", swatches(b"\0\1\0\0\1\0"), "offset 14: expected a length of at most 0, found 256"),
        (
            "a.ase",
            swatches(b"\0\7" + bytes(4)),
            "offset 12: expected a colour or a group, found a block of type",
        ),
        ("a.ase", swatches(b"\0\1" + bytes(4)), "offset 20: expected RGB, Gray, CMYK or LAB, found b''"),
        ("a.ase", swatches(swatch("", b"HSB ", 1, 1, 1)), "offset 22: expected RGB, Gray, CMYK or LAB"),
        ("a.ase", swatches(swatch("", b"CMYK", 1, 1, 1)), "offset 26: expected 4 values, found 14 bytes"),
        ("a.ase", swatches(swatch("", b"RGB ", 0, 1, 1.1)), "offset 34: expected a value of 0..1, found 1.1"),
        ("a.ase", swatches(swatch("", b"RGB ", float("nan"), 0, 0)), "offset 26: expected a value of 0..1"),
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


def check_garbage(path: Path, data: bytes) -> None:
    """Hold whatever is read to be colours or a KmqError of one line."""
    path.write_bytes(data)
    try:
        colors = read_palette(path)
    except kmcodec.KmqError as error:
        caught = error
    else:
        assert colors.ndim == 2
        assert colors.shape[1] in (3, 4)
        assert colors.dtype == np.uint8
        return
    assert 1 == len(str(caught).splitlines())
    if path.suffix not in (".png", ".kmq") and not data.startswith(b"\x89KMQ"):
        assert isinstance(caught, kmcodec.PaletteError)


STARTS = {
    ".gpl": b"GIMP Palette\n",
    ".ase": b"ASEF\0\1\0\0\0\0\0\1\0\1\0\0",
    ".css": b"a{--b:",
    ".json": b"[",
}


@given(st.binary(max_size=400), st.sampled_from([*FORMATS, ".kmq", ".txt"]), st.booleans())
def test_garbage_is_a_kmq_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str, head: bool
) -> None:
    """Whatever the bytes, colours or a KmqError come out."""
    path = tmp_path_factory.getbasetemp() / f"garbage{suffix}"
    check_garbage(path, (STARTS.get(suffix, b"") if head else b"") + data)


@given(st.sampled_from(FORMATS), st.data())
def test_mutations_are_a_kmq_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    """A palette file with bytes changed, lost or put in gives colours or a KmqError."""
    path = tmp_path_factory.getbasetemp() / f"mutated{suffix}"
    mutated = bytearray(encode_palette(COLORS, path))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(mutated)))
        end = start + data.draw(st.integers(0, 4))
        mutated[start:end] = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(PIECES)))
    check_garbage(path, bytes(mutated))


PIECES = [
    b"--a:",
    b"rgb(",
    b"1e999",
    b"[",
    b"{",
    b'"',
    b"\n",
    b"/*",
    b"\xff\xff\xff\xff",
    b"#",
    b"-1",
    b"NaN",
]


@pytest.mark.parametrize(
    "text", [b"--a:" + b" " * 200_000 + b"{", b"-" * 200_000, b"/*" * 100_000, b";--a" * 50_000]
)
def test_style_sheets_take_no_long_time(tmp_path: Path, text: bytes) -> None:
    """What could make patterns try again and again does not."""
    path = save(tmp_path, "a.css", text)
    with pytest.raises(kmcodec.PaletteError):
        read_palette(path)


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
