"""Picture files <-> arrays and metadata. With Pillow, which only this and Pillow's plugin for .kmq import.

Owns what becomes of every kind of picture on its way to 8-bit RGB: orientation, transparency, 16 bits,
greys, inks; and where each format has its metadata. Knows nothing of .kmq.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kmcodec.errors import LimitExceededError, PictureError
from kmcodec.image import IndexedImage
from kmcodec.metadata import (
    METRES_PER_INCH,
    Density,
    Metadata,
    Text,
    is_exif,
    is_rgb_profile,
    is_text,
    is_utf8,
    reset_orientation,
    reset_xmp_orientation,
)
from kmcodec.rows import load_npy
from kmcodec.threads import Workers

# Pixels that are worked on at a time.
_BLOCK_PIXELS = 1 << 20

#: Pixels that a picture may have unless the caller says otherwise.
DEFAULT_MAX_PIXELS = 1 << 28

# For 16-bit samples Pillow has raw modes that keep the high byte. The one of the other byte order
# keeps the low byte, and both together make the sample.
_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def load_picture(
    source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Load a picture file as pixels only; parameters and errors are those of read_picture.

    Returns
    -------
    ndarray, shape (height, width, 3) or, where the file has transparency, (height, width, 4), uint8
        Straight alpha.
    """
    return read_picture(source, max_pixels=max_pixels).pixels


class Picture(NamedTuple):
    """Hold a picture as it was read from a file.

    Attributes
    ----------
    pixels : ndarray, shape (height, width, 3) or, where the file has transparency, (height, width, 4), uint8
        sRGB, or in the colours of the profile; straight alpha.
    metadata : Metadata
    notes : tuple of str
        What could not be taken along.
    """

    pixels: NDArray[np.uint8]
    metadata: Metadata
    notes: tuple[str, ...]


def read_picture(
    source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int | None = DEFAULT_MAX_PIXELS
) -> Picture:
    """Read a picture file.

    Orientation from EXIF is applied, and set to upright in the metadata; 16 bits are rounded to 8; of several
    frames the first is taken. A colour profile is not applied, but goes along.

    Parameters
    ----------
    source : path-like or seekable binary file object
        Any file that Pillow opens.
    max_pixels : int or None, default 2**28

    Returns
    -------
    Picture

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
            return read_picture(file, max_pixels=max_pixels)
    with _pillow_errors(), _open_image(source) as image:
        _check_size(*image.size, max_pixels)
        pixels = _to_array(image, source)
        # Now, since in some files metadata follows the pixels.
        metadata, notes = collect_metadata(image)
        return Picture(pixels, metadata, notes)


def parse_picture(data: bytes, *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a picture from the bytes of a picture file, or of a .npy file.

    Parameters
    ----------
    data : bytes
    max_pixels : int or None, default 2**28

    Returns
    -------
    Picture
        An array has no metadata.

    Raises
    ------
    PictureError, LimitExceededError
        As for read_picture.
    """
    pixels = load_npy(data)
    if pixels is None:
        return read_picture(io.BytesIO(data), max_pixels=max_pixels)
    _check_size(pixels.shape[1], pixels.shape[0], max_pixels)
    return Picture(pixels, Metadata(), ())


def measure_picture(source: str | os.PathLike[str]) -> int | None:
    """Return the pixels of a picture file, or None if Pillow does not know it."""
    try:
        with open(source, "rb") as file, _pillow_errors(), _open_image(file) as image:
            return image.width * image.height
    except PictureError:
        return None


def read_metadata(source: str | os.PathLike[str]) -> Picture | None:
    """Return a picture file without its pixels, or None if Pillow does not know it."""
    try:
        with open(source, "rb") as file, _pillow_errors(), _open_image(file) as image:
            return Picture(np.zeros((0, 0, 3), np.uint8), *collect_metadata(image))
    except PictureError:
        return None


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
        _check_size(*image.size, max_pixels)
        if image.mode != "P":
            pixels = _to_array(image, source)
            colors = pixels.reshape(-1, pixels.shape[2])
            colors, first = np.unique(colors, axis=0, return_index=True)
            return np.ascontiguousarray(colors[np.argsort(first)])
        return list_palette(image)


def list_palette(image: Image.Image, least: int = 1) -> NDArray[np.uint8]:
    """Return the colours of the palette of an Image of mode P, used or not.

    Parameters
    ----------
    image : Image
    least : int, default 1
        How many to return at least, up to 256: an Image can have indices for which its palette has no entry.

    Returns
    -------
    ndarray, shape (K, 3) or, with transparency, (K, 4), uint8
    """
    # All indices that there can be, a pixel of each, in an Image that is like it in everything else.
    row = image.resize((256, 1))
    row.putdata(range(256))
    colors = np.asarray(row.convert("RGBA" if row.has_transparency_data else "RGB"))[0]
    entries = len(image.getpalette("RGB") or ()) // 3
    return np.ascontiguousarray(colors[: max(entries, least)])


def _check_size(width: int, height: int, max_pixels: int | None) -> None:
    if max_pixels is not None and width * height > max_pixels:
        raise LimitExceededError(f"the picture has {width} x {height} pixels, the limit is {max_pixels}")


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
        # Some plugins look at the limit again when they load pixels.
        with _without_limit:
            yield Image.open(source)


class _WithoutLimit:
    """Lift Pillow's limit of pixels, which is one for all threads, until the last that needs it is done."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                Image.MAX_IMAGE_PIXELS = self._limit


_without_limit = _WithoutLimit()


def _to_array(image: Image.Image, source: BinaryIO) -> NDArray[np.uint8]:
    if _rawmodes(image) and image.mode in ("L", "LA", "RGB", "RGBA"):
        return _load_wide(image, source)
    return to_pixels(image)


def to_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an Image, upright.

    Parameters
    ----------
    image : Image
        Of any mode. Not modified, but for being loaded.

    Returns
    -------
    ndarray, shape (height, width, 3) or, with transparency, (height, width, 4), uint8

    Raises
    ------
    PictureError
        If its samples have no known range.
    ValueError
        If Pillow does not know how to make RGB of its mode.
    OSError
        If its file is damaged.
    """
    transparency = image.info.get("transparency")
    # Pillow turns over inks of 8 bits where white is zero, but not those of 16.
    is_negative = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0  # type: ignore[attr-defined]
    image = transpose_upright(image)
    if image.mode.startswith("I"):
        return _reduce(_wide_grey(image, transparency, is_negative=is_negative))
    if image.mode == "F":
        raise PictureError("floating-point samples have no known range")
    if image.mode == "LAB":
        return np.asarray(_lab_to_rgb(image))
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def transpose_upright(image: Image.Image) -> Image.Image:
    """Return a copy of an Image, turned as its orientation says, if its EXIF data is well-formed."""
    # Imported here: reading a palette or writing a PNG does without.
    from PIL import ImageOps

    # Damage to the pixels is found now; what else goes wrong is the metadata's fault, and harms no pixel.
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image.copy()


def _rawmode(tile: tuple[object, ...]) -> str:
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _rawmodes(image: Image.Image) -> list[str]:
    """Return the raw modes of 16-bit samples that Pillow would cut to 8 bits."""
    tiles = getattr(image, "tile", [])
    return [_rawmode(tile) for tile in tiles if _rawmode(tile)[-3:] in _OTHER_ORDER]


def _load_wide(image: Image.Image, source: BinaryIO) -> NDArray[np.uint8]:
    """Return a picture of 16 bits, of which Pillow cuts off 8, rounded; shape (height, width, 3 or 4)."""
    rawmode = _rawmodes(image)[0]
    transparency = image.info.get("transparency")
    if rawmode == "LA;16B":
        # No raw mode has its low bytes, but as RGBA of 8 bits its four bytes come out as they are.
        # There is no public way to change the mode before the pixels are decoded.
        image._mode = "RGBA"  # noqa: SLF001
        _set_rawmode(image, rawmode, "RGBA")
        both = np.asarray(transpose_upright(image))
        # Grey thrice, then alpha.
        return _join_bytes(both[:, :, [0, 0, 0, 2]], both[:, :, [1, 1, 1, 3]], None)
    high = np.asarray(transpose_upright(image))
    with _open_image(source) as again:
        _set_rawmode(again, rawmode, rawmode[:-3] + _OTHER_ORDER[rawmode[-3:]])
        low = np.asarray(transpose_upright(again))
    return _join_bytes(high, low, transparency)


def _join_bytes(high: NDArray[np.uint8], low: NDArray[np.uint8], transparency: object) -> NDArray[np.uint8]:
    """Return samples, given as their high and their low bytes, rounded to 8 bits; in little memory."""
    height, width, channels = high.shape
    has_key = isinstance(transparency, tuple) and channels == 3
    joined = np.empty((height, width, 4 if has_key else channels), np.uint8)
    step = max(1, _BLOCK_PIXELS // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        wide: NDArray[np.uint16] = high[rows].astype(np.uint16) << np.uint16(8) | low[rows]
        joined[rows, :, :channels] = _reduce(wide)
        if has_key:
            joined[rows, :, 3] = (wide != np.array(transparency)).any(axis=2) * np.uint8(255)
    return joined


def _set_rawmode(image: Image.Image, old: str, new: str) -> None:
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]  # of ImageFile, which open returns
        if _rawmode(tile) == old:
            arguments = (new, *tile[3][1:]) if isinstance(tile[3], tuple) else new
            tile = tile._replace(args=arguments)
        tiles.append(tile)
    image.tile = tiles  # type: ignore[attr-defined]


def _wide_grey(image: Image.Image, transparency: object, *, is_negative: bool) -> NDArray[np.uint16]:
    """Return a grey picture of 16 bits (or of 32 that hold no more) as RGB or RGBA."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise PictureError("32-bit samples have no known range")
    grey = grey.astype(np.uint16)
    if is_negative:
        grey = 65535 - grey
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


# Of TIFF; 0 where white is zero.
_PHOTOMETRIC_TAG = 262

_XMP_KEYWORD = "XML:com.adobe.xmp"
_RAW_EXIF_KEYWORD = "Raw profile type exif"
#: Keywords of texts of PNG that hold what has a place of its own.
SPECIAL_KEYWORDS = (_XMP_KEYWORD, _RAW_EXIF_KEYWORD)
_EXIF_MARK = b"Exif\0\0"

# Tags of a TIFF file that describe the picture and not how it is stored: description, maker, model, program,
# date, artist, copyright; then the places of EXIF and of GPS data.
_DESCRIPTIVE_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_DESCRIPTIVE_IFDS = (0x8769, 0x8825)

_UNITS_PER_METRE = {1: 1 / METRES_PER_INCH, 2: 100.0}


def collect_metadata(
    image: Image.Image, given: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata of an Image whose pixels have been read, and what had to be left out.

    Parameters
    ----------
    image : Image
    given : mapping, optional
        icc_profile, exif, xmp or dpi that count instead of its own; empty for none.

    Returns
    -------
    metadata : Metadata
        Orientation is reset: the picture is upright.
    notes : tuple of str
        Ready to be shown to users.
    """
    notes = []
    profile = given.get("icc_profile", image.info.get("icc_profile"))
    if profile and not is_rgb_profile(profile):
        notes.append("its colour profile is not one for RGB, and is left out")
        profile = None
    try:
        exif = _read_exif(image, given)
    except Exception:
        exif = b""
    if exif is not None:
        exif = reset_orientation(exif)
        if not is_exif(exif) or _find_orientation(exif) != 1:
            notes.append("its EXIF data is malformed, and is left out")
            exif = None
    xmp = given.get("xmp", image.info.get("xmp"))
    if isinstance(xmp, bytes):
        xmp = reset_xmp_orientation(xmp.rstrip(b"\0"))
        if not is_utf8(xmp):
            notes.append("its XMP data is not text, and is left out")
            xmp = None
    texts = _read_texts(image)
    well_formed = tuple(text for text in texts if is_text(text))
    if len(well_formed) < len(texts):
        notes.append("a text is malformed, and is left out")
    metadata = Metadata(profile or None, exif, xmp or None, well_formed, _read_density(image, given))
    return metadata, tuple(notes)


def _read_exif(image: Image.Image, given: Mapping[str, Any]) -> bytes | None:
    exif = given.get("exif", image.info.get("exif"))
    if exif:
        return bytes(exif).removeprefix(_EXIF_MARK)
    if "exif" in given:
        return None
    if _RAW_EXIF_KEYWORD in image.info:
        # In hexadecimal, below a name and a length.
        lines = str(image.info[_RAW_EXIF_KEYWORD]).split("\n")
        return bytes.fromhex("".join(lines[3:])).removeprefix(_EXIF_MARK)
    if image.format != "TIFF":
        return None
    tags, described = image.getexif(), Image.Exif()
    for tag in _DESCRIPTIVE_TAGS:
        if tag in tags:
            described[tag] = tags[tag]
    for tag in _DESCRIPTIVE_IFDS:
        if entries := tags.get_ifd(tag):
            described[tag] = dict(entries)
    return described.tobytes().removeprefix(_EXIF_MARK) if len(described) else None


def _find_orientation(exif: bytes) -> int:
    try:
        parsed = Image.Exif()
        parsed.load(exif)
        return int(parsed.get(0x0112, 1))
    except Exception:  # whatever Pillow meets in it
        return 0


def _read_texts(image: Image.Image) -> list[Text]:
    texts = []
    for keyword, text in getattr(image, "text", {}).items():
        if keyword in SPECIAL_KEYWORDS:
            continue
        language, translated = getattr(text, "lang", None) or "", getattr(text, "tkey", None) or ""
        texts.append(Text(keyword, str(text), _to_text(language), _to_text(translated)))
    comment = image.info.get("comment")
    if comment and not texts:
        texts.append(Text("Comment", _to_text(comment).rstrip("\0")))
    return texts


def _to_text(value: str | bytes) -> str:
    """Return bytes as text: UTF-8, or else Latin-1, which takes all."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _read_density(image: Image.Image, given: Mapping[str, Any]) -> Density | None:
    """Return the density that was given, or that the file itself has; what EXIF says stays there."""
    info, per_metre = image.info, 1 / METRES_PER_INCH
    density, is_per_metre = info.get("dpi"), True
    if "dpi" in given:
        density = given["dpi"]
    elif image.format in ("JPEG", "MPO"):
        # Where JPEG has no density, Pillow makes one up from EXIF.
        density, unit = info.get("jfif_density"), info.get("jfif_unit", 0)
        is_per_metre = unit in _UNITS_PER_METRE
        per_metre = _UNITS_PER_METRE.get(unit, 1.0)
        if not is_per_metre and density is not None and density[0] == density[1]:
            density = None
    elif "aspect" in info:
        density, is_per_metre, per_metre = info["aspect"], False, 1.0
    if density is None:
        return None
    try:
        x, y = (round(float(value) * per_metre) for value in density)
    # Fractions without a denominator, infinities, anything that a file may hold.
    except (ArithmeticError, TypeError, ValueError):
        return None
    return Density(x, y, is_per_metre) if 0 < x < 2**32 and 0 < y < 2**32 else None


# Of PNG: signature and IHDR; keywords, which are Latin-1, with single blanks between words.
_PNG_HEADER_END = 8 + 25
_KEYWORD = re.compile(r"(?=.{1,79}\Z)[!-~\xa1-\xff]+(?: [!-~\xa1-\xff]+)*")
_LARGEST_PNG_SIDE = 2**31 - 1
_LARGEST_CHUNK = 1 << 24

# Width in pixels up to which join_pictures enlarges.
_SMALL_WIDTH = 320


# Formats that Pillow knows, but not how to read; and our own, where its plugin is loaded.
_STUBS = ("BUFR", "GRIB", "HDF5", "KMQ", "MPEG", "WMF")

#: Formats that encode_animation writes, by suffix.
ANIMATION_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}


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
    if name not in Image.SAVE or name in _STUBS:
        raise PictureError(f"no picture format that can be written has the suffix {suffix!r}")
    return name


def list_suffixes() -> frozenset[str]:
    """Return the suffixes of the formats that Pillow reads by itself, such as ".png"."""
    Image.init()
    return frozenset(
        suffix for suffix, name in Image.EXTENSION.items() if name in Image.OPEN and name not in _STUBS
    )


def can_encode(format_name: str) -> bool:
    """Return whether a format can be written, and read again.

    Parameters
    ----------
    format_name : str
        As Pillow names it; "JXL" comes with its plugin, which is loaded here.
    """
    if format_name == "JXL":
        try:
            import pillow_jxl  # noqa: F401  # registers itself with Pillow
        # A plugin that is broken is as good as none.
        except Exception:
            return False
    Image.init()
    return format_name in Image.SAVE and format_name in Image.OPEN


def encode_picture(
    picture: IndexedImage | NDArray[np.uint8],
    format_name: str = "PNG",
    metadata: Metadata | None = None,
    **options: Any,
) -> bytes:
    """Return a picture as bytes of a picture file. May run in several threads.

    Parameters
    ----------
    picture : IndexedImage or ndarray, shape (height, width, 3 or 4), uint8
        An image of at most 256 colours is written with its palette: as PNG, and as GIF where its alpha is of
        the kind that GIF has.
    format_name : str
        As Pillow names it.
    metadata : Metadata, optional
        All but the recipe goes into a PNG, except texts with keywords that PNG cannot hold; other formats
        take what they have a place for.
    **options
        Of the encoder, as Pillow names them; PNG has none here.

    Raises
    ------
    PictureError
        If the format cannot hold the picture.
    """
    # An Image of its own for each call: while it is saved, the options stand in the Image.
    image = _to_image(picture, format_name)
    metadata = metadata or Metadata()
    buffer = io.BytesIO()
    with _encoding(format_name):
        if format_name == "PNG":
            return _encode_png(image, metadata)
        image.save(buffer, format_name, **to_save_arguments(metadata), **options)
    return buffer.getvalue()


def encode_animation(
    frames: Sequence[IndexedImage | NDArray[np.uint8]], format_name: str, durations_ms: list[int]
) -> bytes:
    """Return frames as an animation that repeats for ever.

    Parameters
    ----------
    frames : sequence of IndexedImage or ndarray, shape (height, width, 3), uint8
        At least one, all of one size; for a GIF all indexed, with the same palette, so that nothing flickers.
    format_name : str
        Of ANIMATION_FORMATS.
    durations_ms : list of int
        How long each frame is shown.

    Raises
    ------
    PictureError
        If the format cannot hold the frames.
    """
    images = [_to_image(frame, format_name) for frame in frames]
    options: dict[str, Any] = {"lossless": True} if format_name == "WEBP" else {}
    buffer = io.BytesIO()
    with _encoding(format_name):
        images[0].save(
            buffer,
            format_name,
            save_all=True,
            append_images=images[1:],
            duration=durations_ms,
            loop=0,
            **options,
        )
    return buffer.getvalue()


@contextmanager
def _encoding(format_name: str) -> Iterator[None]:
    """Turn whatever an encoder raises into a PictureError."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"not writable as {format_name}: {reason}") from error


def decode_picture(data: bytes, format_name: str) -> NDArray[np.uint8]:
    """Return the pixels of a file that encode_picture made. May run in several threads.

    Parameters
    ----------
    data : bytes
    format_name : str
        As Pillow names it.

    Returns
    -------
    ndarray, shape (height, width, 3) or, where the file has transparency, (height, width, 4), uint8

    Raises
    ------
    PictureError
        If the file is not readable.
    """
    with _pillow_errors(), _without_limit, Image.open(io.BytesIO(data), formats=[format_name]) as image:
        return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _to_image(picture: IndexedImage | NDArray[np.uint8], format_name: str) -> Image.Image:
    if not isinstance(picture, IndexedImage):
        return Image.fromarray(picture)
    palette, has_alpha = picture.palette, picture.palette.shape[1] == 4
    if len(palette) <= 256 and format_name == "PNG":
        image = Image.fromarray(picture.indices)
        image.putpalette(palette.tobytes(), "RGBA" if has_alpha else "RGB")
        return image
    if len(palette) <= 256 and format_name == "GIF" and has_gif_alpha(palette):
        image = Image.fromarray(picture.indices)
        image.putpalette(palette[:, :3].tobytes(), "RGB")
        if has_alpha and (palette[:, 3] == 0).any():
            image.info["transparency"] = int(palette[:, 3].argmin())
        return image
    return Image.fromarray(picture.to_rgb())


def has_gif_alpha(palette: NDArray[np.uint8]) -> bool:
    """Return whether GIF can hold the alpha of a palette: one colour may be transparent, and none in part.

    Parameters
    ----------
    palette : ndarray, shape (K, 3) or (K, 4), uint8
    """
    transparent = palette[:, 3:] == 0
    return bool((transparent | (palette[:, 3:] == 255)).all() and transparent.sum() <= 1)


def to_save_arguments(metadata: Metadata) -> dict[str, Any]:
    """Return metadata as arguments of Image.save, of which each format takes those that it knows.

    An opened Image has the same in its info.
    """
    arguments: dict[str, Any] = {"icc_profile": metadata.icc_profile}
    if metadata.xmp is not None:
        arguments["xmp"] = reset_xmp_orientation(metadata.xmp)
    if metadata.exif is not None:
        arguments["exif"] = _EXIF_MARK + reset_orientation(metadata.exif)
    if metadata.density is not None and metadata.density.is_per_metre:
        arguments["dpi"] = metadata.density.dpi
    for text in metadata.texts:
        if text.keyword == "Comment":
            arguments["comment"] = text.text.encode()
    return {name: value for name, value in arguments.items() if value is not None}


def _encode_png(image: Image.Image, metadata: Metadata) -> bytes:
    """Do what image.save does, without loading all other common formats: a tenth of kmq's start-up."""
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if metadata.xmp is not None:
        info.add_itxt(_XMP_KEYWORD, reset_xmp_orientation(metadata.xmp).decode())
    for text in metadata.texts:
        if not _KEYWORD.fullmatch(text.keyword):
            # There is no place for it.
            continue
        if text.language or text.translated_keyword or not _is_latin(text.text):
            info.add_itxt(text.keyword, text.text, text.language, text.translated_keyword)
        else:
            info.add_text(text.keyword, text.text)
    buffer = io.BytesIO()
    exif = None if metadata.exif is None else reset_orientation(metadata.exif)
    image.encoderinfo = {"pnginfo": info, "icc_profile": metadata.icc_profile, "exif": exif}
    image.encoderconfig = ()
    Image.SAVE["PNG"](image, buffer, "")
    if metadata.density is not None:
        # Behind the header. Pillow knows densities per inch only, which are not whole numbers.
        chunk = _build_chunk(b"pHYs", struct.pack(">IIB", *metadata.density))
        png = buffer.getbuffer()
        return b"".join((png[:_PNG_HEADER_END], chunk, png[_PNG_HEADER_END:]))
    return buffer.getvalue()


def _build_chunk(type_: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(type_))
    return struct.pack(">I", len(data)) + type_ + data + struct.pack(">I", crc)


def write_png(
    file: BinaryIO,
    blocks: Iterable[NDArray[Any]],
    shape: tuple[int, int, int],
    palette: NDArray[np.uint8] | None,
    metadata: Metadata,
    workers: Workers,
) -> None:
    """Write a PNG as its rows come, in the memory of a block for each thread.

    Parameters
    ----------
    file : binary file object
        Need not be seekable.
    blocks : iterable of ndarray
        Runs of rows, from the top: indices, shape (rows, width), uint8, where there is a palette of at most
        256 colours; else pixels, shape (rows, width, 3 or 4), uint8.
    shape : (int, int, int)
        Height, width and channels of the picture.
    palette : ndarray or None
    metadata : Metadata
    workers : Workers

    Raises
    ------
    PictureError
        If a side has more than 2**31 - 1 pixels.
    """
    height, width, channels = shape
    if max(height, width) > _LARGEST_PNG_SIDE:
        raise PictureError(f"a PNG has sides of at most {_LARGEST_PNG_SIDE} pixels")
    # All but the pixels comes from a picture of one pixel.
    if palette is None:
        frame = _encode_png(Image.new("RGB" if channels == 3 else "RGBA", (1, 1)), metadata)
    else:
        pixel = Image.new("P", (1, 1))
        pixel.putpalette(palette.tobytes(), "RGBA" if channels == 4 else "RGB")
        frame = _encode_png(pixel, metadata)
    # 8 bits, and the rest as it is there.
    header = struct.pack(">IIB", width, height, 8) + frame[25:29]
    file.write(frame[:8] + _build_chunk(b"IHDR", header))
    file.write(frame[_PNG_HEADER_END : _find_chunk(frame, b"IDAT")])
    # The header of zlib's format; then each block compressed by itself, as pigz does; then the checksum.
    file.write(_build_chunk(b"IDAT", b"\x78\x9c"))
    checksum = 1
    remaining = iter(blocks)
    while batch := list(itertools.islice(remaining, workers.count)):
        for compressed, filtered in workers.map(_compress_block, batch):
            checksum = zlib.adler32(filtered.data, checksum)
            for start in range(0, len(compressed), _LARGEST_CHUNK):
                file.write(_build_chunk(b"IDAT", compressed[start : start + _LARGEST_CHUNK]))
    # An empty last block of deflate.
    file.write(_build_chunk(b"IDAT", b"\x03\x00" + struct.pack(">I", checksum)))
    file.write(_build_chunk(b"IEND", b""))


def _compress_block(block: NDArray[Any]) -> tuple[bytes, NDArray[np.uint8]]:
    """Return rows, deflated up to a whole byte; and as they were before, each after its filter (none)."""
    rows = block.reshape(len(block), -1)
    filtered = np.zeros((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 1:] = rows
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(filtered.data) + compressor.flush(zlib.Z_SYNC_FLUSH), filtered


def _find_chunk(png: bytes, type_: bytes) -> int:
    """Return where the first chunk of a type begins in a PNG that has one."""
    at = 8
    while png[at + 4 : at + 8] != type_:
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return at


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


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
