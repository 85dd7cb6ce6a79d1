"""Picture files of every kind become 8-bit sRGB."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import photo

import kmcodec
from kmcodec.image import to_indices
from kmcodec.pictures import (
    can_encode,
    decode_picture,
    encode_picture,
    find_format,
    has_gif_alpha,
    join_pictures,
    list_suffixes,
    load_picture,
    parse_picture,
)


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    samples: NDArray[np.uint16], depth: int, color_type: int, extra: bytes = b"", interlaced: bool = False
) -> bytes:
    """Write a PNG by hand: Pillow does not write all that it reads."""
    height, width = samples.shape[:2]
    passes = [samples]
    if interlaced:
        starts = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ]
        passes = [samples[y::dy, x::dx] for y, x, dy, dx in starts]
    rows = b""
    for part in passes:
        for row in part if part.size else []:
            bits = "".join(format(int(sample), f"0{depth}b") for sample in row.reshape(-1))
            bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
            rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    parts = [chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def load(data: bytes) -> NDArray[np.uint8]:
    """Load a picture from bytes."""
    return load_picture(io.BytesIO(data))


CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("depth", "color_type"),
    [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6), (16, 6)],
)
def test_png_of_every_depth(depth: int, color_type: int, interlaced: bool) -> None:
    """PNG of 1, 2, 4, 8 and 16 bits, grey and colour, with and without alpha; 16 bits are rounded."""
    rng = np.random.default_rng(depth + color_type)
    channels = CHANNELS[color_type]
    samples = rng.integers(0, 1 << depth, (9, 11, channels), np.uint16)
    expected = np.floor(samples.astype(float) * 255 / ((1 << depth) - 1) + 0.5).astype(np.uint8)
    if channels < 3:
        expected = np.concatenate([expected[:, :, :1]] * 3 + [expected[:, :, 1:]], axis=2)
    np.testing.assert_array_equal(expected, load(png(samples, depth, color_type, interlaced=interlaced)))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette_png(depth: int) -> None:
    """Palette PNG of 1, 2, 4 and 8 bits, with transparency for some entries."""
    rng = np.random.default_rng(depth)
    n = 1 << depth
    palette = rng.integers(0, 256, (n, 3), np.uint8)
    samples = rng.integers(0, n, (5, 7, 1), np.uint16)
    samples[0, 0] = 0
    data = png(samples, depth, 3, chunk(b"PLTE", palette.tobytes()))
    np.testing.assert_array_equal(palette[samples[:, :, 0]], load(data))
    data = png(samples, depth, 3, chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", b"\x07"))
    alpha = np.where(samples == 0, 7, 255).astype(np.uint8)
    np.testing.assert_array_equal(np.dstack([palette[samples[:, :, 0]], alpha]), load(data))


@pytest.mark.parametrize(("depth", "color_type"), [(8, 0), (16, 0), (8, 2), (16, 2)])
def test_transparent_colour(depth: int, color_type: int) -> None:
    """One colour of a PNG without alpha can be declared transparent; at 16 bits all bits count."""
    channels = CHANNELS[color_type]
    samples = np.full((2, 3, channels), 200, np.uint16)
    samples[0, 1] = 201
    data = png(samples, depth, color_type, chunk(b"tRNS", struct.pack(">H", 201) * channels))
    assert [[255, 0, 255], [255, 255, 255]] == load(data)[:, :, 3].tolist()


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    """Save with Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format_name", ["PNG", "BMP", "PPM", "TIFF", "WEBP", "TGA", "GIF"])
def test_lossless_formats(format_name: str) -> None:
    """What is stored exactly is loaded exactly."""
    pixels = kmcodec.quantize(photo(), 100).to_rgb()
    image = Image.fromarray(pixels)
    options = {"lossless": True} if format_name == "WEBP" else {}
    np.testing.assert_array_equal(pixels, load(saved(image, format_name, **options)))


def test_first_frame_is_taken() -> None:
    """Of an animated GIF or a TIFF of pages, the first is loaded."""
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for format_name in ("GIF", "TIFF", "WEBP"):
        options = {"lossless": True} if format_name == "WEBP" else {}
        data = saved(frames[0], format_name, save_all=True, append_images=frames[1:], **options)
        assert [255, 0, 0] == load(data)[0, 0].tolist()


def test_gif_transparency() -> None:
    """A transparent GIF has alpha."""
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0])
    assert [[255, 0], [0, 255]] == load(saved(image, "GIF", transparency=1))[:, :, 3].tolist()


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(format_name: str, orientation: int) -> None:
    """All eight orientations of EXIF, wherever EXIF is kept."""
    # A dark quarter at the upper left of the upright picture, wider than high.
    upright = np.full((16, 32, 3), 250, np.uint8)
    upright[:8, :16] = 5
    flips = {2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}
    stored = upright.transpose(1, 0, 2) if orientation >= 5 else upright
    for axis, flip in enumerate(flips.get(orientation, (0, 0))):
        # What EXIF says of the stored row 0 and column 0, done in the other direction.
        stored = np.flip(stored, axis) if flip else stored
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_name == "WEBP" else {}
    loaded = load(saved(image, format_name, exif=exif, **options))
    assert upright.shape == loaded.shape
    np.testing.assert_allclose(upright.astype(int), loaded.astype(int), atol=3)


def test_inks_greys_and_bits() -> None:
    """CMYK, grey, bilevel and 16-bit TIFF and PGM are converted."""
    grey = photo()[:, :, 0]
    np.testing.assert_array_equal(np.dstack([grey] * 3), load(saved(Image.fromarray(grey), "PNG")))
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = load(saved(cmyk, "JPEG", quality=100))[4, 4].astype(int)
    assert abs(red - [255, 0, 0]).max() <= 3
    bilevel = Image.fromarray(grey > 128)
    assert {0, 255} == set(np.unique(load(saved(bilevel, "PNG"))).tolist())
    wide = Image.fromarray(np.array([[0, 128, 129, 65535]], np.uint16))
    for format_name in ("TIFF", "PPM", "PNG"):
        assert [0, 0, 1, 255] == load(saved(wide, format_name))[0, :, 1].tolist()


def tiff_rgb16(byte_order: str) -> bytes:
    """Write an uncompressed TIFF of one row, three samples of 16 bits."""
    samples = [0, 128, 129, 255, 256, 65535]
    pack = ("<" if byte_order == "II" else ">") + "{}"
    strip = struct.pack(pack.format("6H"), *samples)
    tags = [
        (256, 3, 1, 2),
        (257, 3, 1, 1),
        (258, 3, 3, 8 + len(strip)),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 3, 1, 1),
        (279, 4, 1, len(strip)),
    ]
    bits = struct.pack(pack.format("3H"), 16, 16, 16)
    entries = b"".join(
        struct.pack(pack.format("HHI"), tag, kind, n)
        + (
            struct.pack(pack.format("HH"), value, 0)
            if kind == 3 and n == 1
            else struct.pack(pack.format("I"), value)
        )
        for tag, kind, n, value in tags
    )
    offset = 8 + len(strip) + len(bits)
    head = byte_order.encode() + struct.pack(pack.format("HI"), 42, offset)
    return head + strip + bits + struct.pack(pack.format("H"), len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("byte_order", ["II", "MM"])
def test_colour_tiff_of_16_bits(byte_order: str) -> None:
    """16 bits of a colour TIFF are rounded, in both byte orders."""
    assert [[[0, 0, 1], [1, 1, 255]]] == load(tiff_rgb16(byte_order)).tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a picture of a known format"),
        (b"GIF89a", "not a picture"),
        (b"plain text", "not a picture of a known format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "picture"),
    ],
)
def test_bad_files_are_refused(data: bytes, message: str) -> None:
    """What is no picture is a PictureError of one line."""
    with pytest.raises(kmcodec.PictureError, match=message) as caught:
        load(data)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_refused(format_name: str) -> None:
    """A picture file that ends early is refused, wherever it ends."""
    data = saved(Image.fromarray(photo()), format_name)
    refused = 0
    for end in range(0, len(data) - 1, max(1, len(data) // 40)):
        try:
            load(data[:end])
        except kmcodec.PictureError:
            refused += 1
    assert refused >= 30


def test_samples_without_range_are_refused() -> None:
    """Floating-point and wide integer samples have no white to go by."""
    for pixels in (np.ones((2, 2), np.float32), np.full((2, 2), 70000, np.int32)):
        with pytest.raises(kmcodec.PictureError, match="no known range"):
            load(saved(Image.fromarray(pixels), "TIFF"))


def test_limit_comes_before_loading() -> None:
    """A picture over the limit is refused by its header; Pillow's own limit is not touched."""
    limit = Image.MAX_IMAGE_PIXELS
    data = saved(Image.new("1", (20000, 20000)), "PNG")
    with pytest.raises(kmcodec.LimitExceededError, match="20000 x 20000"):
        load(data)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("n_colors", [1, 2, 3, 16, 200, 256, 300])
@pytest.mark.parametrize("channels", [3, 4])
def test_png_of_an_indexed_image(n_colors: int, channels: int) -> None:
    """A PNG shows just what the image shows, alpha included; up to 256 colours it has their palette."""
    rng = np.random.default_rng(n_colors)
    palette = rng.integers(0, 256, (n_colors, channels), np.uint8)
    indices = to_indices(rng.integers(0, n_colors, (30, 40)), n_colors)
    image = kmcodec.IndexedImage(palette, indices)
    data = encode_picture(image)
    assert Image.open(io.BytesIO(data)).mode == (
        "P" if n_colors <= 256 else "RGB" if channels == 3 else "RGBA"
    )
    loaded = load(data)
    if channels == 4 and loaded.shape[2] == 3:
        loaded = np.dstack([loaded, np.full((30, 40), 255, np.uint8)])
    np.testing.assert_array_equal(image.to_rgb(), loaded)


def test_suffix_decides_the_format() -> None:
    """Formats that Pillow writes are known by their suffix, others refused."""
    assert ["PNG", "JPEG", "WEBP"] == [find_format("a.b" + suffix) for suffix in (".PNG", ".jpg", ".webp")]
    for suffix in ("", ".kmq", ".txt"):
        with pytest.raises(kmcodec.PictureError, match="suffix"):
            find_format("a" + suffix)


def test_damaged_arrays_are_told_in_words() -> None:
    """What NumPy says of a header that it cannot read comes without the addresses of objects."""
    header = b"{'descr': f(), 'fortran_order': False, 'shape': (1, 1, 3)}"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(kmcodec.PictureError, match=r"not readable as \.npy") as failure:
        parse_picture(data)
    assert "0x" not in str(failure.value)


def test_kmq_is_no_picture_format() -> None:
    """A .kmq file is not taken for a picture, even where Pillow has been taught the format."""
    kmcodec.register()
    with pytest.raises(kmcodec.PictureError, match="suffix"):
        find_format("a.kmq")
    assert ".kmq" not in list_suffixes()


def test_format_that_cannot_hold_the_picture() -> None:
    """JPEG has no alpha: that is said, not hidden."""
    with pytest.raises(kmcodec.PictureError, match="not writable as JPEG"):
        encode_picture(np.zeros((4, 4, 4), np.uint8), "JPEG")


def test_side_by_side_shows_both() -> None:
    """Both pictures stand in the joined one, as they are, transparency on white."""
    left = photo(400, 500)
    right = np.zeros((400, 500, 4), np.uint8)
    joined = join_pictures(left, right, ("left", "right"))
    gap = max(8, 500 // 64)
    np.testing.assert_array_equal(left, joined[gap : gap + 400, gap : gap + 500])
    assert (joined[gap : gap + 400, 2 * gap + 500 : 2 * gap + 1000] == 255).all()


def test_path_and_file_are_the_same(tmp_path: Path) -> None:
    """A picture is loaded from a path as from a file object."""
    path = tmp_path / "picture.png"
    path.write_bytes(saved(Image.fromarray(photo()), "PNG"))
    np.testing.assert_array_equal(photo(), load_picture(path))
    with pytest.raises(FileNotFoundError):
        load_picture(tmp_path / "missing.png")


@pytest.mark.parametrize("alphas", [None, [255, 255, 255], [255, 0, 255]])
def test_gif_keeps_a_palette(alphas: list[int] | None) -> None:
    """A GIF has the colours of the image itself, and not others that were found again."""
    palette = np.array([[250, 1, 2], [3, 240, 5], [6, 7, 230]], np.uint8)
    if alphas is not None:
        palette = np.column_stack([palette, np.array(alphas, np.uint8)])
    image = kmcodec.IndexedImage(palette, np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    found = load(encode_picture(image, "GIF"))
    np.testing.assert_array_equal(image.to_rgb()[:, :, : found.shape[2]], found)
    assert (4 if alphas == [255, 0, 255] else 3) == found.shape[2]


def test_alpha_that_gif_can_hold() -> None:
    """One colour of a GIF may be transparent, none in part."""
    alphas = {(255, 255): True, (255, 0): True, (0, 0): False, (255, 254): False, (0, 1): False}
    for values, expected in alphas.items():
        palette = np.column_stack([np.zeros((2, 3), np.uint8), np.array(values, np.uint8)])
        assert expected == has_gif_alpha(palette)
    assert has_gif_alpha(np.zeros((2, 3), np.uint8))


def test_decoding_what_was_encoded() -> None:
    """Files made here are read again without Pillow's limit of pixels, and damage is a PictureError."""
    pixels = photo()
    data = encode_picture(pixels, "WEBP", lossless=True)
    np.testing.assert_array_equal(pixels, decode_picture(data, "WEBP"))
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
        assert {pixels.shape} == set(pool.map(lambda _: decode_picture(data, "WEBP").shape, range(100)))
        assert 1 == Image.MAX_IMAGE_PIXELS
    with pytest.raises(kmcodec.PictureError):
        decode_picture(data[:40], "WEBP")
    with pytest.raises(kmcodec.PictureError, match="WEBP"):
        encode_picture(pixels, "WEBP", quality=1000)


def test_formats_that_can_be_encoded() -> None:
    """A format counts if it is written and read; one that nobody knows does not."""
    assert [True, True, False, False] == [can_encode(name) for name in ("PNG", "JPEG", "PDF", "no such")]
