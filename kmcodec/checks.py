"""Checks of the arguments that callers pass, in one place and in the same words everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_pixels(pixels: ArrayLike) -> NDArray[np.uint8]:
    """Return a picture as an array, which is not copied.

    Parameters
    ----------
    pixels : array_like, shape (height, width, 3) or (height, width, 4), uint8

    Raises
    ------
    TypeError, ValueError
        If it is not such an array, or empty.
    """
    array = np.asarray(pixels)
    if array.dtype != np.uint8:
        raise TypeError(f"pixels must be of dtype uint8, found {array.dtype}")
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.size == 0:
        raise ValueError(f"pixels must have shape (height, width, 3 or 4), found {array.shape!r}")
    return array


def check_integer(name: str, value: Any, least: int, greatest: int | None = None) -> int:
    """Return value as an int.

    Parameters
    ----------
    name : str
        What the caller calls it.
    value : int
        least..greatest, or at least least where greatest is None.

    Raises
    ------
    TypeError, ValueError
        If it is not such an integer.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if greatest is None and value < least:
        raise ValueError(f"{name} must be at least {least}, found {value!r}")
    if greatest is not None and not least <= value <= greatest:
        raise ValueError(f"{name} must be in {least}..{greatest}, found {value!r}")
    return int(value)
