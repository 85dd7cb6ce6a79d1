"""Checks of the arguments that callers pass, in one place and in the same words everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
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


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return value, which must be one of choices.

    Parameters
    ----------
    name : str
        What the caller calls it.
    value : str
    choices : iterable of str

    Raises
    ------
    ValueError
        If it is none of them.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, found {value!r}")
    return str(value)


def check_colors(name: str, colors: Any) -> NDArray[np.uint8]:
    """Return colours as an array.

    Parameters
    ----------
    name : str
        What the caller calls them.
    colors : array_like, shape (n, 3) or (n, 4)
        Integers, 0..255; n is 1..65536.

    Returns
    -------
    ndarray, uint8
        Not copied if colors is one.

    Raises
    ------
    TypeError, ValueError
        If it is not such an array.
    """
    array = np.asarray(colors)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integers, found {array.dtype}")
    if array.ndim != 2 or array.shape[1] not in (3, 4) or not 1 <= len(array) <= 65536:
        raise ValueError(f"{name} must have shape (1..65536, 3 or 4), found {array.shape!r}")
    if array.min() < 0 or array.max() > 255:
        raise ValueError(f"{name} must be in 0..255, found {int(array.min())}..{int(array.max())}")
    return array.astype(np.uint8, copy=False)


def check_number(name: str, value: Any) -> float:
    """Return value, which must be a number of Python or NumPy, as a float.

    Raises
    ------
    TypeError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    return float(value)


def check_fraction(name: str, value: Any) -> float:
    """Return value, which must be a number in 0..1, as a float.

    Raises
    ------
    TypeError, ValueError
        If it is not such a number.
    """
    number = check_number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be in 0..1, found {value!r}")
    return number


def check_target(name: str, value: Any, greatest: float = math.inf) -> float | None:
    """Return value, which must be None or a finite number above 0 and at most greatest, as a float.

    Raises
    ------
    TypeError, ValueError
        If it is neither.
    """
    if value is None:
        return None
    number = check_number(name, value)
    if not (0 < number <= greatest and math.isfinite(number)):
        bound = "finite" if math.isinf(greatest) else f"at most {greatest}"
        raise ValueError(f"{name} must be above 0 and {bound}, found {value!r}")
    return number
