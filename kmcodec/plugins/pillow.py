"""Pillow opens and saves .kmq files once this module is imported, or kmcodec.register called.

Owns how a .kmq file looks as an Image, and what becomes of an Image in a .kmq file. Up to 256 colours are
mode P, with alpha as the transparency that PNG has there; more are RGB or RGBA.

An Image's info has icc_profile, exif, xmp and dpi (or aspect), as for other formats; "recipe", how the file
was made; and texts by their keywords, which its attribute text has, too, as for PNG.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImagePalette
from PIL.PngImagePlugin import iTXt

from kmcodec.checks import check_integer
from kmcodec.container import parts
from kmcodec.container.layout import SIGNATURE, Header
from kmcodec.container.reader import KmqReader
from kmcodec.container.salvage import Salvager
from kmcodec.container.source import Source
from kmcodec.container.writer import write_image
from kmcodec.errors import KmqError, KmqFormatError, PictureError
from kmcodec.image import MAX_COLORS, IndexedImage, Section, drop_opaque_alpha
from kmcodec.metadata import Metadata, check_metadata
from kmcodec.pictures import (
    SPECIAL_KEYWORDS,
    collect_metadata,
    list_palette,
    to_pixels,
    to_save_arguments,
    transpose_upright,
)

_MOST_P_COLORS = 256

# Options of Image.save that stand for what an Image has in its info.
_INFO_OPTIONS = ("icc_profile", "exif", "xmp", "dpi")

# Options that leave a palette as it is, if it has no more than n_colors.
_KEEPING_OPTIONS = {"n_colors", "coding", "strip_rows", "recipe", "threads", "on_progress"}

# What programs tell Image.save whatever the format, and formats without a use for it ignore.
_IGNORED_OPTIONS = {"optimize", "progressive", "quality", "subsampling"}


class KmqImageFile(ImageFile.ImageFile):
    """Be a .kmq file as an Image: header, palette and metadata at once, pixels when they are asked for.

    Attributes
    ----------
    text : dict of str to str
        Texts by their keywords; of several with one keyword, the last.
    """

    format = "KMQ"
    format_description = "K-means palette picture"
    # As in an Image that comes out of a pickle, with its pixels.
    _is_pending = False

    def _open(self) -> None:
        assert self.fp is not None
        try:
            source = Source(self.fp)
            header = parts.read_header(source)
            palette = parts.read_palette(source, header)
            metadata = Metadata.from_sections(_read_sections(source, header))
        except KmqFormatError as error:
            # What Pillow takes for "not of this format", and its Parser for "not all of it yet".
            raise SyntaxError(str(error)) from None
        self._size = header.width, header.height
        self._mode = "RGBA" if header.has_alpha else "RGB"
        self.text = {
            text.keyword: iTXt(text.text, text.language, text.translated_keyword) for text in metadata.texts
        }
        self.info.update(_to_info(metadata, self.text))
        if header.n_colors <= _MOST_P_COLORS:
            self._mode = "P"
            self.palette = ImagePalette.raw("RGB", palette[:, :3].tobytes())
            if header.has_alpha:
                self.info["transparency"] = palette[:, 3].tobytes()
        # The list of tiles stays empty: there is nothing for Pillow's own decoders.
        self._is_pending = True

    def verify(self) -> None:
        """Check every byte of the file.

        Raises
        ------
        OSError
            If the file is not valid.
        RuntimeError
            If the picture has been loaded, or closed.
        """
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        try:
            KmqReader(self.fp, max_pixels=None).verify()
        except KmqFormatError as error:
            raise OSError(str(error)) from error
        finally:
            super().verify()

    # Pillow's type for it is in a C module.
    def load(self) -> Any:
        """Decode the pixels; of a damaged file what is intact, if ImageFile.LOAD_TRUNCATED_IMAGES is set.

        Raises
        ------
        OSError
            If the file is not valid.
        ValueError
            If it has been closed.
        """
        if self._is_pending:
            if self.fp is None:
                raise ValueError("Operation on closed image")
            try:
                pixels = self._decode(self.fp)
            except KmqFormatError as error:
                raise OSError(str(error)) from error
            self.load_prepare()
            self.frombytes(pixels.data)
            self._is_pending = False
            self.readonly = 0
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()

    def _decode(self, file: IO[bytes]) -> NDArray[Any]:
        """Return indices or pixels, as the mode has them."""
        as_indices = self.mode == "P"
        try:
            # Pillow has a limit of its own, which has been looked at.
            reader = KmqReader(file, max_pixels=None)
            return reader.indices() if as_indices else reader.pixels()
        except KmqFormatError:
            if not ImageFile.LOAD_TRUNCATED_IMAGES:
                raise
        # As with other formats, what is lost is zero.
        pixels = np.zeros((self.height, self.width, len(self.getbands()))[: 2 if as_indices else 3], np.uint8)
        for run in Salvager(file, max_pixels=None, as_indices=as_indices).runs():
            if run.state != "lost":
                pixels[run.start : run.stop] = run.pixels
        return pixels


def _read_sections(source: Source, header: Header) -> tuple[Section, ...]:
    try:
        return parts.read_sections(source, header)
    except KmqFormatError:
        if not ImageFile.LOAD_TRUNCATED_IMAGES:
            raise
        return ()


def _to_info(metadata: Metadata, texts: dict[str, iTXt]) -> dict[str, Any]:
    """Return what an Image's info has of metadata."""
    # In lower case are Pillow's own keys, which a file must not set at will.
    info: dict[str, Any] = {
        keyword: text
        for keyword, text in texts.items()
        if not keyword.islower() and keyword not in SPECIAL_KEYWORDS
    }
    info.update(to_save_arguments(metadata))
    if metadata.density is not None and not metadata.density.is_per_metre:
        info["aspect"] = metadata.density[:2]
    if metadata.recipe is not None:
        info["recipe"] = dict(metadata.recipe)
    return info


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write an Image for Image.save, which passes its options in encoderinfo."""
    if 0 in image.size:
        raise ValueError("cannot write empty image as KMQ")
    options = {name: value for name, value in image.encoderinfo.items() if name not in _IGNORED_OPTIONS}
    given = {name: _to_given(name, options.pop(name)) for name in _INFO_OPTIONS if name in options}
    metadata = options.pop("metadata", None)
    if metadata is not None:
        check_metadata(metadata)
    else:
        metadata, notes = collect_metadata(image, given)
        for note in notes:
            warnings.warn(f"saving as KMQ: {note}", stacklevel=3)
        if given.get("dpi") and metadata.density is None:
            raise ValueError(f"dpi must be two positive numbers, found {given['dpi']!r}")
    if given.get("exif") or given.get("xmp"):
        # What is given says which side is up, as it would in other formats.
        image = image.copy()
        image.info.update((name, value) for name, value in given.items() if value)
    try:
        data = None
        if image.mode == "P" and _KEEPING_OPTIONS.issuperset(options):
            data = _encode_palette(image, metadata, **options)
        if data is None:
            data = _encode_pixels(image, metadata, **options)
    except KmqError as error:
        raise OSError(str(error)) from error
    file.write(data)


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write the one picture of an Image for programs that pass save_all=True whatever the format."""
    others = list(image.encoderinfo.pop("append_images", None) or ())
    frames = getattr(image, "n_frames", 1) + len(others)
    if frames != 1:
        raise ValueError(f"a .kmq file holds one picture, found {frames}")
    _save(image, file, filename)


def _to_given(name: str, value: Any) -> Any:
    """Return what an option of _INFO_OPTIONS stands for: bytes, but for dpi; empty for none."""
    if isinstance(value, Image.Exif):
        value = value.tobytes() if len(value) else b""
    elif isinstance(value, str) and name == "xmp":
        value = value.encode()
    # As Pillow's other formats do, whatever is empty is taken for none.
    if name == "dpi" or not value:
        return value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    return bytes(value)


def _encode_palette(
    image: Image.Image,
    metadata: Metadata,
    n_colors: Any = _MOST_P_COLORS,
    recipe: bool = False,
    **options: Any,
) -> bytes | None:
    """Return a file with palette and indices of an Image of mode P; None if it has more than n_colors."""
    image = transpose_upright(image)
    indices = np.asarray(image)
    palette = drop_opaque_alpha(list_palette(image, int(indices.max()) + 1))
    if isinstance(n_colors, str) or check_integer("n_colors", n_colors, 1, MAX_COLORS) < len(palette):
        return None
    indexed = IndexedImage(palette, indices)
    if recipe:
        # Imported here, as below: opening does without the quantizer.
        from kmcodec.recipe import build_recipe, describe_source

        made = build_recipe(len(palette), {"palette": palette}) | describe_source(indexed.to_rgb())
        metadata = replace(metadata, recipe=made)
    return write_image(replace(indexed, sections=metadata.to_sections()), **options)


def _encode_pixels(image: Image.Image, metadata: Metadata, **options: Any) -> bytes:
    """Return a file with the colours of an Image, quantized if they are too many."""
    from kmcodec.codec import encode

    try:
        pixels = to_pixels(image)
    # What Pillow does not convert is ValueError.
    except (PictureError, ValueError) as error:
        raise OSError(f"cannot write mode {image.mode} as KMQ: {error}") from error
    return encode(pixels, metadata=metadata, **options)


def register() -> None:
    """Let Pillow open and save .kmq files; to call it again changes nothing.

    ``Image.save`` then takes the options of kmcodec.encode, and icc_profile, exif, xmp and dpi in place of
    those that the Image has; empty ones leave them out. An Image of mode P keeps palette and indices, unless
    options ask for other colours. Pictures are stored upright. What cannot be read or written is OSError.
    """
    Image.register_open(KmqImageFile.format, KmqImageFile, _accept)
    Image.register_save(KmqImageFile.format, _save)
    Image.register_save_all(KmqImageFile.format, _save_all)
    Image.register_extension(KmqImageFile.format, ".kmq")
    Image.register_mime(KmqImageFile.format, "image/x-kmq")


register()
