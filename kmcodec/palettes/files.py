"""Whole palette files: which format a file has, and where it goes.

Owns the swatches that a palette is drawn as; the other formats have modules of their own.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_colors
from kmcodec.container.layout import SIGNATURE
from kmcodec.container.reader import KmqReader
from kmcodec.errors import PaletteError
from kmcodec.files import write_atomically
from kmcodec.image import MAX_COLORS, IndexedImage, drop_opaque_alpha, to_indices
from kmcodec.palettes import adobe, textual
from kmcodec.pictures import encode_picture, load_palette

#: Formats that are written, by suffix.
FORMATS = (".gpl", ".hex", ".act", ".ase", ".json", ".css", ".png")

_Parse = Callable[[bytes], NDArray[np.uint8]]

# What is known by its first bytes, whatever its name.
_SIGNATURES: dict[bytes, _Parse] = {
    SIGNATURE: lambda data: KmqReader(data).palette,
    b"GIMP Palette": textual.parse_gpl,
    adobe.ASE_SIGNATURE: adobe.parse_ase,
}
_SUFFIXES: dict[str, _Parse] = {
    ".gpl": textual.parse_gpl,
    ".hex": textual.parse_hex,
    ".txt": textual.parse_hex,
    ".json": textual.parse_json,
    ".css": textual.parse_css,
    ".act": adobe.parse_act,
    ".ase": adobe.parse_ase,
}

# What comes from a pipe has no suffix.
_HEX_LINE = re.compile(rb"#?(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8})[ \t\r]*(?:\n|$)")
_JSON_START = re.compile(rb"\s*[\[{]")

# A side of a swatch, in pixels: so that one is seen well, and 65536 are still a picture of common size.
_SWATCH_SIDE, _SMALL_SWATCH_SIDE = 32, 8
_FEW_SWATCHES = 1024


def read_palette(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a palette file.

    Parameters
    ----------
    path : path-like
        A GIMP palette (.gpl); text with a colour as RRGGBB or RRGGBBAA a line (.hex); an Adobe colour table
        (.act); Adobe swatches (.ase), of which CMYK is converted without a profile; JSON (.json), a list of
        "#rrggbb" or [r, g, b], also with alpha, by itself or as "colors" of an object; the custom properties
        of a style sheet (.css); a .kmq file, whose palette is taken; or a picture, whose palette is taken if
        it has one, else its distinct colours, in the order in which they come.

    Returns
    -------
    ndarray, shape (K, 3) or, where the file has transparency, (K, 4), uint8
        K is 1..65536.

    Raises
    ------
    OSError
        If the file cannot be read.
    PaletteError
        If it is none of these, or holds no colour or more than 65536.
    PictureError, KmqFormatError, LimitExceededError
        If it is a damaged picture or .kmq file, or one too large.
    """
    with open(path, "rb") as file:
        data = file.read()
    colors = drop_opaque_alpha(_choose_parser(data, _find_suffix(path))(data))
    if len(colors) == 0:
        raise PaletteError("no colours in it")
    if len(colors) > MAX_COLORS:
        raise PaletteError(f"{len(colors)} colours, more than {MAX_COLORS}")
    return colors


def _choose_parser(data: bytes, suffix: str) -> _Parse:
    for signature, parse in _SIGNATURES.items():
        if data.startswith(signature):
            return parse
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if _JSON_START.match(data):
        return textual.parse_json
    if _HEX_LINE.match(data):
        return textual.parse_hex
    return lambda data: load_palette(io.BytesIO(data))


def write_palette(path: str | os.PathLike[str], palette: ArrayLike) -> None:
    """Write a palette file, which is replaced only when the new one is complete.

    read_palette gives the same colours in the same order; alpha that is 255 everywhere is left out.

    Parameters
    ----------
    path : path-like
        Whose suffix is the format: .gpl, .hex, .act, .ase, .json, .css, or .png for a picture of the colours,
        which has them as its palette.
    palette : array_like, shape (K, 3) or (K, 4), integers in 0..255
        K is 1..65536.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is then still there.
    PaletteError
        If there is no such format, or it cannot hold the palette: .act has at most 256 colours, of which one
        may be transparent; .gpl and .ase have no alpha; .png has more than 256 colours only if they are
        distinct.
    TypeError, ValueError
        If palette has the wrong type, or is out of range.
    """
    colors = check_colors("palette", palette)
    write_atomically(path, encode_palette(colors, path), overwrite=True)


def encode_palette(palette: NDArray[np.uint8], path: str | os.PathLike[str]) -> bytes:
    """Return a palette as the bytes of a file of this path.

    Parameters
    ----------
    palette : ndarray, shape (K, 3) or (K, 4), uint8
    path : path-like
        Whose suffix is the format; in some, the rest of its name is that of the palette.

    Raises
    ------
    PaletteError
        As for write_palette.
    """
    palette = drop_opaque_alpha(palette)
    title = os.path.splitext(os.path.basename(os.fspath(path)))[0]
    match find_palette_format(path):
        case ".gpl":
            return textual.build_gpl(palette, title)
        case ".hex":
            return textual.build_hex(palette)
        case ".json":
            return textual.build_json(palette)
        case ".css":
            return textual.build_css(palette, title)
        case ".act":
            return adobe.build_act(palette)
        case ".ase":
            return adobe.build_ase(palette)
        case _:
            return encode_picture(_draw_swatches(palette))


def find_palette_format(path: str | os.PathLike[str]) -> str:
    """Return the suffix, of FORMATS, of a palette file that is to be written.

    Raises
    ------
    PaletteError
        If there is no such format.
    """
    suffix = _find_suffix(path)
    if suffix not in FORMATS:
        raise PaletteError(f"palettes are written as {', '.join(FORMATS)}, not as {suffix!r}")
    return suffix


def _find_suffix(path: str | os.PathLike[str]) -> str:
    return os.path.splitext(os.fspath(path))[1].lower()


def _draw_swatches(palette: NDArray[np.uint8]) -> IndexedImage:
    """Return a picture of the colours, row by row, as nearly square as can be, and filled to its edges."""
    n_colors = len(palette)
    if n_colors > 256 and len(np.unique(palette, axis=0)) < n_colors:
        raise PaletteError("a PNG has more than 256 colours only if they are distinct, and some are equal")
    side = _SWATCH_SIDE if n_colors <= _FEW_SWATCHES else _SMALL_SWATCH_SIDE
    columns = math.isqrt(n_colors - 1) + 1
    rows = np.array_split(np.arange(n_colors), -(-n_colors // columns))
    # Where a row has fewer, they are wider.
    places = np.arange(side * columns)
    picture = np.stack([row[places * len(row) // len(places)] for row in rows])
    return IndexedImage(palette, to_indices(picture.repeat(side, axis=0), n_colors))
