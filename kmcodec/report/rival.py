"""The rivals of a .kmq file, and itself in the other coding: what is known of each, and how it is made.

Knows no format in particular.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from kmcodec.image import IndexedImage
from kmcodec.pictures import can_encode

#: How to get what comparisons use beside Pillow.
HINT = "not installed: pip install 'kmcodec[compare]'"

#: Settings by the number of pixels up to which each is used, and what is used above.
Tiers = tuple[tuple[tuple[int, int], ...], int]


class Rival(NamedTuple):
    """Hold one way to store a picture.

    Attributes
    ----------
    name : str
    settings : str
        Of the encoder, to make the file again.
    is_lossless : bool
        Whether the file gives back the pixels of the .kmq file exactly. The original file does not: it has
        its own.
    file_bytes : int or None
        None where there is no such file.
    seconds : float or None
        To encode once with these settings, where it was measured.
    psnr_db : float or None
        Against the original, in dB; infinite for an exact copy, None where there is no file.
    ssim : float or None
        Against the original; None where it was not measured.
    note : str
        Why there is no file, else "".
    """

    name: str
    settings: str
    is_lossless: bool
    file_bytes: int | None
    seconds: float | None
    psnr_db: float | None
    ssim: float | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON.

        Infinity is None there, so that there is one more key: "is_exact" is true where PSNR is infinite, and
        false where it is a number or was not measured.
        """
        is_exact = self.psnr_db == math.inf
        return {**self._asdict(), "psnr_db": None if is_exact else self.psnr_db, "is_exact": is_exact}


class Recoded(NamedTuple):
    """Say what a .kmq file is in the other coding.

    Attributes
    ----------
    coding : str
        "packed" or "context".
    file_bytes : int
    seconds : float or None
        What it takes to encode the original in this way.
    command : str
        What makes the file, to show.
    """

    coding: str
    file_bytes: int
    seconds: float | None
    command: str


class Task(NamedTuple):
    """Say how the file of a rival is made; or why it is not.

    Attributes
    ----------
    name, settings : str
        As of Rival.
    format_name : str
        As Pillow has it.
    is_lossless : bool
    encode : callable
        Returns the file; raises PictureError.
    obstacle : str
        Why encode is not to be called, else "".
    """

    name: str
    settings: str
    format_name: str
    is_lossless: bool
    encode: Callable[[], bytes]
    obstacle: str = ""


def choose_setting(tiers: Tiers, n_pixels: int) -> int:
    """Return the setting for a picture of so many pixels."""
    limits, otherwise = tiers
    return next((setting for limit, setting in limits if n_pixels <= limit), otherwise)


def find_obstacle(image: IndexedImage, format_name: str, title: str, largest_side: int | None = None) -> str:
    """Return why a picture cannot be had in a format, or "".

    Parameters
    ----------
    image : IndexedImage
    format_name, title : str
        As Pillow has it, and for people.
    largest_side : int, optional
        Pixels that the format allows.
    """
    if not can_encode(format_name):
        return HINT if format_name == "JXL" else f"this Pillow has no {title}"
    if largest_side is not None and max(image.width, image.height) > largest_side:
        return f"{title} has sides of at most {largest_side:,} pixels"
    return ""
