"""Encode and decode small pictures with any options, in both codings: a target for atheris.

python tests/fuzz/roundtrip_target.py [OPTION OF LIBFUZZER]... [CORPUS]
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import kmcodec
from kmcodec.container.layout import CODINGS
from kmcodec.container.writer import write_image
from kmcodec.image import to_indices

MAX_SIDE = 40

#: Draws an integer from a range, both ends included.
Draw: TypeAlias = Callable[[int, int], int]

#: Takes as many bytes, or what there is.
Take: TypeAlias = Callable[[int], bytes]


def check_roundtrip(draw: Draw, take: Take) -> None:
    """Draw a picture and options; encode and decode.

    Every other time, the picture is quantized; else its indices are drawn too, of any K.

    Raises
    ------
    AssertionError
        If the result is not what kmcodec.quantize promises, or not the image that was written.
    Exception
        If anything raises: no argument is out of range.
    """
    if draw(0, 1):
        check_quantized(draw, take)
    else:
        check_written(draw, take)


def check_quantized(draw: Draw, take: Take) -> None:
    """Draw a picture and options; quantize, encode and decode."""
    pixels = draw_picture(draw, take)
    n_colors = draw_n_colors(draw)
    options = draw_options(draw, take, n_colors)
    container: dict[str, Any] = {
        **draw_storage(draw),
        "recipe": bool(draw(0, 1)),
        "threads": (None, draw(1, 4))[draw(0, 1)],
    }
    image = kmcodec.quantize(pixels, n_colors, threads=1, **options)
    data = kmcodec.encode(pixels, n_colors, **container, **options)
    decoded = kmcodec.decode(data)
    assert np.array_equal(image.to_rgb(), decoded), "not what was quantized"
    assert pixels.shape[:2] == decoded.shape[:2]
    if "palette" in options:
        assert np.array_equal(with_alpha(options["palette"]), with_alpha(image.palette)), "another palette"
        return
    assert len(image.palette) <= n_colors, "too many colours"
    colors = distinct(pixels)
    if "keep" in options:
        kept = distinct(options["keep"])
        assert kept <= distinct(image.palette), "a colour was not kept"
        colors |= kept
    if len(colors) <= n_colors:
        assert np.array_equal(with_alpha(pixels), with_alpha(decoded)), "not exact"


def check_written(draw: Draw, take: Take) -> None:
    """Draw an image and how it is stored; write it, and read it in several ways."""
    image, storage = draw_image(draw, take), draw_storage(draw)
    data = write_image(image, threads=(None, draw(1, 4))[draw(0, 1)], **storage)
    reader = kmcodec.KmqReader(data)
    expected_coding = storage["coding"] if len(image.palette) > 1 else "packed"
    assert expected_coding == reader.header.coding, "another coding"
    again = reader.image()
    assert np.array_equal(image.palette, again.palette), "another palette"
    assert np.array_equal(image.indices, again.indices), "other indices"
    assert image.sections == again.sections, "other sections"
    assert np.array_equal(image.to_rgb(), kmcodec.decode(data)), "other pixels"
    reader.verify()
    x, y = draw(0, image.width - 1), draw(0, image.height - 1)
    width, height = draw(1, image.width - x), draw(1, image.height - y)
    region = reader.region(x, y, width, height, verify=(None, False, True)[draw(0, 2)])
    assert np.array_equal(image.to_rgb()[y : y + height, x : x + width], region), "another region"
    assert data == write_image(again, threads=1, **storage), "other bytes the second time"


def draw_image(draw: Draw, take: Take) -> kmcodec.IndexedImage:
    """Draw an image of any K: noise, few of its indices, or rows that repeat, with changes here and there."""
    n_colors, channels = draw_n_colors(draw), draw(3, 4)
    height, width = draw(1, 3 * MAX_SIDE), draw(1, 2 * MAX_SIDE)
    # Every index can come up, the last ones too.
    drawn = draw_bytes(take, 2 * height * width).view(np.uint16).astype(np.int64) * n_colors >> 16
    kind = draw(0, 2)
    if kind == 1:
        drawn %= draw(1, min(n_colors, 5))
        drawn += draw(0, n_colors - 1 - int(drawn.max()))
    elif kind == 2:
        changed = np.arange(height * width) % draw(50, 500) == 0
        drawn = np.where(changed, drawn, np.resize(drawn[: width * draw(1, 3)], height * width))
    sections = [
        kmcodec.Section(b"abcd", take(draw(0, 20))),
        kmcodec.Section(b"text", b"Title\0\0\0" + take(draw(0, 20))),
    ][: draw(0, 2)]
    return kmcodec.IndexedImage(
        draw_colors(draw, take, n_colors, channels),
        to_indices(drawn.reshape(height, width), n_colors),
        tuple(sections),
    )


def draw_storage(draw: Draw) -> dict[str, Any]:
    """Draw a coding and, every other time, rows of a strip: more than one strip, most often."""
    return {
        "coding": CODINGS[draw(0, 1)],
        "strip_rows": (None, draw(1, MAX_SIDE + 1))[draw(0, 1)],
    }


def draw_picture(draw: Draw, take: Take) -> NDArray[np.uint8]:
    """Draw noise, or a picture of few colours; of alpha channels, some are the same everywhere."""
    height, width, channels = draw(1, MAX_SIDE), draw(1, MAX_SIDE), draw(3, 4)
    if draw(0, 1):
        colors = draw_colors(draw, take, draw(1, 16), channels)
        picture = colors[draw_bytes(take, height * width) % len(colors)].reshape(height, width, channels)
    else:
        picture = draw_bytes(take, height * width * channels).reshape(height, width, channels)
    if channels == 4 and draw(0, 3) == 0:
        picture[..., 3] = draw(0, 255) if draw(0, 1) else 255
    return picture


def draw_n_colors(draw: Draw) -> int:
    """Draw K: small, near the powers of two of the sizes of indices, or any."""
    return (draw(1, 17), draw(1, 300), (255, 256, 257, 1 << 12, 65535, 65536)[draw(0, 5)])[draw(0, 2)]


def draw_options(draw: Draw, take: Take, n_colors: int) -> dict[str, Any]:
    """Draw options of kmcodec.quantize that are in range."""
    options: dict[str, Any] = {
        "space": ("srgb", "oklab")[draw(0, 1)],
        "init": ("split", "kmeans++", "random")[draw(0, 2)],
        "effort": ("fast", "default", "best")[draw(0, 2)],
        "dither": ("none", "diffusion", "ordered")[draw(0, 2)],
        "dither_strength": draw(0, 16) / 16,
        "seed": (draw(0, 3), draw(0, 2**64 - 1))[draw(0, 1)],
    }
    fixed = draw(0, 3)
    if fixed == 1:
        options["keep"] = draw_colors(draw, take, draw(1, min(n_colors, 20)), draw(3, 4))
    elif fixed == 2:
        options["palette"] = draw_colors(draw, take, draw(1, 300), draw(3, 4))
    return options


def draw_colors(draw: Draw, take: Take, n_colors: int, channels: int) -> NDArray[np.uint8]:
    """Draw colours, shape (n_colors, channels); some are equal, and some have an alpha of 0 or 255."""
    colors = draw_bytes(take, n_colors * channels).reshape(n_colors, channels)
    if channels == 4 and draw(0, 1):
        colors[:, 3] = np.where(colors[:, 3] < 128, 0, 255)
    return colors


def draw_bytes(take: Take, n_bytes: int) -> NDArray[np.uint8]:
    """Draw bytes; what there is of them is repeated."""
    return np.resize(np.frombuffer(take(n_bytes) or b"\0", np.uint8), n_bytes)


def with_alpha(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return colors, shape (..., 3 or 4), with an alpha channel."""
    if colors.shape[-1] == 4:
        return colors
    return np.concatenate([colors, np.full((*colors.shape[:-1], 1), 255, np.uint8)], axis=-1)


def distinct(colors: NDArray[np.uint8]) -> set[bytes]:
    """Return the distinct colours of a picture or palette, four bytes each."""
    return {bytes(color) for color in with_alpha(colors).reshape(-1, 4)}


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    # Here alone, so that whoever has no atheris can use the rest.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["kmcodec"]):
        importlib.import_module("kmcodec.codec")

    def check(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        check_roundtrip(provider.ConsumeIntInRange, provider.ConsumeBytes)

    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
