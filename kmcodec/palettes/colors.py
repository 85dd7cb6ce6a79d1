"""Colours as text, and what all formats of palette files need: colours <-> an array, and its hash."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kmcodec.container.layout import build_entries


def parse_color(text: str) -> tuple[int, ...]:
    """Return a colour written as RRGGBB or RRGGBBAA in hexadecimal, with or without # before it.

    Raises
    ------
    ValueError
        If it is not so written.
    """
    digits = text.removeprefix("#")
    if len(digits) not in (6, 8) or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"expected a colour as #rrggbb or #rrggbbaa, found {reprlib.repr(text)}")
    return tuple(bytes.fromhex(digits))


def list_colors(palette: NDArray[np.uint8]) -> list[str]:
    """Return the colours of a palette, each as #rrggbb or, with alpha, #rrggbbaa."""
    return [f"#{color.tobytes().hex()}" for color in palette]


def join_colors(colors: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """Return colours of three or four channels as an array; if any has alpha, the others are opaque."""
    channels = max(map(len, colors), default=3)
    return np.array([(*color, 255)[:channels] for color in colors], np.uint8).reshape(-1, channels)


def hash_palette(palette: NDArray[np.uint8]) -> str:
    """Return the SHA-256, in hexadecimal, of a palette as a .kmq file has it: all colours, then all alphas.

    Parameters
    ----------
    palette : ndarray, shape (K, 3) or (K, 4), uint8
    """
    return hashlib.sha256(build_entries(palette)).hexdigest()
