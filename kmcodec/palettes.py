"""Palette files -> colours: GIMP palettes, lists of hexadecimal numbers, Adobe colour tables, pictures, .kmq.

Owns the formats of palette files. Knows nothing of how a palette is used.
"""

from __future__ import annotations

import io
import os
import re

import numpy as np
from numpy.typing import NDArray

from kmcodec.container.layout import SIGNATURE
from kmcodec.container.reader import KmqReader
from kmcodec.errors import PaletteError
from kmcodec.image import MAX_COLORS
from kmcodec.pictures import load_palette

# What comes from a pipe has no suffix.
_HEX_LINE = re.compile(rb"#?(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8})[ \t\r]*(?:\n|$)")


def read_palette(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a palette file.

    Parameters
    ----------
    path : path-like
        A GIMP palette (.gpl); text with a colour as RRGGBB or RRGGBBAA a line (.hex); an Adobe colour
        table (.act); a .kmq file, whose palette is taken; or a picture, whose palette is taken if it has one,
        else its distinct colours, in the order in which they come.

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
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if data.startswith(SIGNATURE):
        return KmqReader(data).palette
    if data.startswith(b"GIMP Palette"):
        colors = _parse_gpl(data)
    elif suffix == ".act":
        colors = _parse_act(data)
    elif suffix in (".hex", ".txt") or _HEX_LINE.match(data):
        colors = _parse_hex(data)
    elif suffix == ".gpl":
        raise PaletteError("line 1: expected 'GIMP Palette'")
    else:
        colors = load_palette(io.BytesIO(data))
    if len(colors) == 0:
        raise PaletteError("no colours in it")
    if len(colors) > MAX_COLORS:
        raise PaletteError(f"{len(colors)} colours, more than {MAX_COLORS}")
    return colors


def _split_lines(data: bytes) -> list[str]:
    # A byte that is not UTF-8 can only stand in a name or a comment, or is an error of its line.
    return data.decode("utf-8-sig", errors="replace").splitlines()


def _parse_gpl(data: bytes) -> NDArray[np.uint8]:
    colors: list[list[int]] = []
    for number, line in enumerate(_split_lines(data)[1:], 2):
        words = line.split()
        if not words or words[0].startswith("#") or (not colors and words[0] in ("Name:", "Columns:")):
            continue
        try:
            color = [int(word) for word in words[:3]]
        except ValueError:
            color = []
        if len(color) != 3 or not all(0 <= value <= 255 for value in color):
            raise PaletteError(
                f"line {number}: expected red, green and blue in 0..255, found {line.strip()!r}"
            )
        colors.append(color)
    return np.array(colors, np.uint8).reshape(-1, 3)


def _parse_hex(data: bytes) -> NDArray[np.uint8]:
    colors: list[tuple[int, ...]] = []
    for number, line in enumerate(_split_lines(data), 1):
        text = line.strip()
        if not text or text.startswith((";", "//")):
            continue
        try:
            colors.append(parse_color(text))
        except ValueError as error:
            raise PaletteError(f"line {number}: {error}") from None
    if any(len(color) == 4 for color in colors):
        colors = [(*color, 255)[:4] for color in colors]
    return np.array(colors, np.uint8).reshape(len(colors), -1 if colors else 3)


def _parse_act(data: bytes) -> NDArray[np.uint8]:
    # 256 colours; then, if there is more, how many of them count, and which is transparent.
    if len(data) not in (768, 772):
        raise PaletteError(f"expected a colour table of 768 or 772 bytes, found {len(data)}")
    colors = np.frombuffer(data[:768], np.uint8).reshape(-1, 3)
    if len(data) == 768:
        return colors.copy()
    count, transparent = int.from_bytes(data[768:770], "big"), int.from_bytes(data[770:], "big")
    if not 1 <= count <= 256:
        raise PaletteError(f"expected a count of 1..256 at offset 768, found {count}")
    colors = colors[:count]
    if transparent >= count:
        return colors.copy()
    alpha = np.full((count, 1), 255, np.uint8)
    alpha[transparent] = 0
    return np.hstack([colors, alpha])


def parse_color(text: str) -> tuple[int, ...]:
    """Return a colour written as RRGGBB or RRGGBBAA in hexadecimal, with or without # before it.

    Raises
    ------
    ValueError
        If it is not so written.
    """
    digits = text.removeprefix("#")
    if len(digits) not in (6, 8) or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"expected a colour as #rrggbb or #rrggbbaa, found {text!r}")
    return tuple(bytes.fromhex(digits))
