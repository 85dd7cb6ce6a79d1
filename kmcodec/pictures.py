"""Picture files <-> arrays. The only importer of Pillow.

Owns what becomes of every kind of picture on its way to 8-bit sRGB: orientation, transparency, 16 bits,
greys, inks. Knows nothing of .kmq.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kmcodec.errors import LimitExceededError, PictureError
from kmcodec.image import IndexedImage

#: Pixels that a picture may have unless the caller says otherwise.
DEFAULT_MAX_PIXELS = 1 << 28

# For 16-bit samples Pillow has raw modes that keep the high byte. The one of the other byte order
# keeps the low byte, and both together make the sample.
_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def load_picture(
    source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Load a picture file as sRGB.

    Orientation from EXIF is applied; 16 bits are rounded to 8; of several frames the first is taken. No
    colour profile is applied.

    Parameters
    ----------
    source : path-like or seekable binary file object
        Any file that Pillow opens.
    max_pixels : int or None, default 2**28

    Returns
    -------
    ndarray, shape (height, width, 3) or, where the file has transparency, (height, width, 4), uint8
        Straight alpha.

    Raises
    ------
    OSError
        If the file cannot be opened.
    PictureError
        If it is not a picture, or a damaged one, or one of samples without a known range.
    LimitExceededError
        If it has more than max_pixels pixels.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return load_picture(file, max_pixels=max_pixels)
    with _pillow_errors(), _open_image(source) as image:
        _check_size(image, max_pixels)
        return _to_array(image, source)


def load_palette(source: BinaryIO, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Load the palette of a picture file, or, if it has none, its distinct colours as they come.

    Parameters
    ----------
    source : seekable binary file object
        Any file that Pillow opens.
    max_pixels : int or None, default 2**28

    Returns
    -------
    ndarray, shape (K, 3) or, where the file has transparency, (K, 4), uint8

    Raises
    ------
    PictureError, LimitExceededError
        As for load_picture.
    """
    with _pillow_errors(), _open_image(source) as image:
        _check_size(image, max_pixels)
        if image.mode != "P":
            pixels = _to_array(image, source)
            colors = pixels.reshape(-1, pixels.shape[2])
            colors, first = np.unique(colors, axis=0, return_index=True)
            return np.ascontiguousarray(colors[np.argsort(first)])
        image.load()
        # As many pixels as the palette has entries, one of each.
        palette = image.getpalette("RGB") or []
        row = Image.new("P", (max(len(palette) // 3, 1), 1))
        row.putpalette(palette)
        row.putdata(range(row.width))
        if "transparency" in image.info:
            row.info["transparency"] = image.info["transparency"]
        colors = np.asarray(row.convert("RGBA" if row.has_transparency_data else "RGB"))[0]
    return np.ascontiguousarray(colors)


def _check_size(image: Image.Image, max_pixels: int | None) -> None:
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise LimitExceededError(
            f"the picture has {image.width} x {image.height} pixels, the limit is {max_pixels}"
        )


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Turn whatever Pillow raises for a bad file into PictureError."""
    try:
        yield
    except (PictureError, LimitExceededError):
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture of a known format") from None
    # Plugins meet damage as SyntaxError, struct.error, IndexError, zlib.error and more.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"not readable as a picture: {reason}") from error


@contextmanager
def _open_image(source: BinaryIO) -> Iterator[Image.Image]:
    source.seek(0)
    with warnings.catch_warnings():
        # What Pillow warns of (odd metadata, sizes) either does not matter here or is checked.
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(source)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
        yield image


def _to_array(image: Image.Image, source: BinaryIO) -> NDArray[np.uint8]:
    if _rawmodes(image) and image.mode in ("L", "LA", "RGB", "RGBA"):
        return _reduce(_load_wide(image, source))
    transparency = image.info.get("transparency")
    image = _transpose(image)
    if image.mode.startswith("I"):
        return _reduce(_wide_grey(image, transparency))
    if image.mode == "F":
        raise PictureError("floating-point samples have no known range")
    if image.mode == "LAB":
        return np.asarray(_lab_to_rgb(image))
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _transpose(image: Image.Image) -> Image.Image:
    # Imported here: reading a palette or writing a PNG does without.
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _rawmode(tile: tuple[object, ...]) -> str:
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _rawmodes(image: Image.Image) -> list[str]:
    """Return the raw modes of 16-bit samples that Pillow would cut to 8 bits."""
    tiles = getattr(image, "tile", [])
    return [_rawmode(tile) for tile in tiles if _rawmode(tile)[-3:] in _OTHER_ORDER]


def _load_wide(image: Image.Image, source: BinaryIO) -> NDArray[np.uint16]:
    """Return all 16 bits of a picture of which Pillow keeps the high 8; shape (height, width, 3 or 4)."""
    rawmode = _rawmodes(image)[0]
    transparency = image.info.get("transparency")
    if rawmode == "LA;16B":
        # No raw mode has its low bytes, but as RGBA of 8 bits its four bytes come out as they are.
        # There is no public way to change the mode before the pixels are decoded.
        image._mode = "RGBA"  # noqa: SLF001
        _set_rawmode(image, rawmode, "RGBA")
        both = np.asarray(_transpose(image)).astype(np.uint16)
        grey, alpha = both[:, :, 0] << 8 | both[:, :, 1], both[:, :, 2] << 8 | both[:, :, 3]
        return np.dstack([grey, grey, grey, alpha])
    high = np.asarray(_transpose(image)).astype(np.uint16)
    with _open_image(source) as again:
        _set_rawmode(again, rawmode, rawmode[:-3] + _OTHER_ORDER[rawmode[-3:]])
        wide: NDArray[np.uint16] = high << 8 | np.asarray(_transpose(again))
    if isinstance(transparency, tuple) and wide.shape[2] == 3:
        opaque = (wide != np.array(transparency)).any(axis=2)
        wide = np.dstack([wide, opaque * np.uint16(65535)])
    return wide


def _set_rawmode(image: Image.Image, old: str, new: str) -> None:
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]  # of ImageFile, which open returns
        if _rawmode(tile) == old:
            arguments = (new, *tile[3][1:]) if isinstance(tile[3], tuple) else new
            tile = tile._replace(args=arguments)
        tiles.append(tile)
    image.tile = tiles  # type: ignore[attr-defined]


def _wide_grey(image: Image.Image, transparency: object) -> NDArray[np.uint16]:
    """Return a grey picture of 16 bits (or of 32 that hold no more) as RGB or RGBA."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise PictureError("32-bit samples have no known range")
    grey = grey.astype(np.uint16)
    channels = [grey, grey, grey]
    if isinstance(transparency, int):
        channels.append((grey != transparency) * np.uint16(65535))
    return np.dstack(channels)


def _reduce(wide: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Round 16 bits to 8: 65535 is 255, and 257 steps are one; no tie is possible, 257 being odd."""
    return ((wide.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return converted


# Width in pixels up to which join_pictures enlarges.
_SMALL_WIDTH = 320


def find_format(path: str) -> str:
    """Return the name of the format that a file has by its suffix, such as ".png".

    Raises
    ------
    PictureError
        If Pillow writes no such format.
    """
    suffix = os.path.splitext(path)[1]
    if suffix.lower() == ".png":
        return "PNG"
    Image.init()
    name = Image.EXTENSION.get(suffix.lower())
    if name not in Image.SAVE:
        raise PictureError(f"no picture format that can be written has the suffix {suffix!r}")
    return name


def encode_picture(picture: IndexedImage | NDArray[np.uint8], format_name: str = "PNG") -> bytes:
    """Return a picture as bytes of a picture file.

    Parameters
    ----------
    picture : IndexedImage or ndarray, shape (height, width, 3 or 4), uint8
        As PNG, an image of at most 256 colours is written with its palette.
    format_name : str
        As Pillow names it.

    Raises
    ------
    PictureError
        If the format cannot hold the picture.
    """
    if isinstance(picture, IndexedImage) and format_name == "PNG" and len(picture.palette) <= 256:
        image = Image.fromarray(picture.indices)
        image.putpalette(picture.palette.tobytes(), "RGBA" if picture.palette.shape[1] == 4 else "RGB")
    else:
        image = Image.fromarray(picture.to_rgb() if isinstance(picture, IndexedImage) else picture)
    buffer = io.BytesIO()
    try:
        if format_name == "PNG":
            _save_png(image, buffer)
        else:
            image.save(buffer, format_name)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"not writable as {format_name}: {reason}") from error
    return buffer.getvalue()


def _save_png(image: Image.Image, buffer: io.BytesIO) -> None:
    """Do what image.save does, without loading all other common formats: a tenth of kmq's start-up."""
    from PIL import PngImagePlugin  # noqa: F401  # registers the format

    image.encoderinfo, image.encoderconfig = {}, ()
    Image.SAVE["PNG"](image, buffer, "")


def join_pictures(
    left: NDArray[np.uint8], right: NDArray[np.uint8], captions: tuple[str, str]
) -> NDArray[np.uint8]:
    """Draw two pictures beside each other, with a caption below each.

    Parameters
    ----------
    left, right : ndarray, shape (height, width, 3 or 4), uint8
        Of equal height and width. Transparency is shown on white.
    captions : (str, str)

    Returns
    -------
    ndarray, shape (taller, wider, 3), uint8
    """
    from PIL import ImageDraw, ImageFont

    # Icons and sprites are enlarged, by whole steps and with square pixels, to where they can be seen.
    scale = max(1, _SMALL_WIDTH // left.shape[1])
    height, width = scale * left.shape[0], scale * left.shape[1]
    gap = max(8, width // 64)
    font = ImageFont.load_default(max(12, min(width // 24, 32)))
    boxes = [ImageDraw.Draw(Image.new("1", (1, 1))).textbbox((0, 0), caption, font) for caption in captions]
    cell = max(width, *(int(box[2]) for box in boxes))
    canvas = Image.new(
        "RGB", (2 * cell + 3 * gap, height + 3 * gap + int(max(box[3] for box in boxes))), "white"
    )
    draw = ImageDraw.Draw(canvas)
    for x, pixels, caption in ((gap, left, captions[0]), (2 * gap + cell, right, captions[1])):
        picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(picture, (x, gap), picture if pixels.shape[2] == 4 else None)
        draw.text((x, height + 2 * gap), caption, "black", font)
    return np.asarray(canvas)
