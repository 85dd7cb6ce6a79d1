"""The recipe of a file: how it was made, so that it can be made again (specification, section 5.4).

Nothing in it depends on the clock or the machine: the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.checks import check_colors
from kmcodec.image import MAX_COLORS
from kmcodec.quantize.quantizer import quantize
from kmcodec.version import __version__

# What decides the palette where none is given; and what decides the indices, always.
_SEARCH_OPTIONS = ("init", "effort")
_TARGETS = ("target_psnr", "target_ssim")
_OPTIONS = ("space", "dither")


def build_recipe(
    n_colors: int | str,
    options: Mapping[str, Any],
    *,
    max_bytes: int | None = None,
    lossy: float | None = None,
) -> dict[str, Any]:
    """Return what was asked of kmcodec.quantize, ready for JSON.

    Parameters
    ----------
    n_colors : int or "auto"
        K, as it was asked for.
    options : mapping
        Options of kmcodec.quantize; the defaults of others are filled in.
    max_bytes : int, optional
    lossy : float, optional
        As for kmcodec.encode.
    """
    defaults = inspect.signature(quantize).parameters
    chosen = {name: options.get(name, parameter.default) for name, parameter in defaults.items()}
    recipe: dict[str, Any] = {"program": f"kmcodec {__version__}"}
    if chosen["palette"] is not None:
        recipe["palette"] = _list_colors("palette", chosen["palette"])
    else:
        recipe["colors"] = n_colors if isinstance(n_colors, str) else int(n_colors)
        if chosen["max_colors"] != MAX_COLORS:
            recipe["max_colors"] = int(chosen["max_colors"])
        recipe.update((name, float(chosen[name])) for name in _TARGETS if chosen[name] is not None)
        recipe.update((name, chosen[name]) for name in _SEARCH_OPTIONS)
        recipe["seed"] = int(chosen["seed"])
        if chosen["keep"] is not None:
            recipe["keep"] = _list_colors("keep", chosen["keep"])
    if max_bytes is not None:
        recipe["max_bytes"] = int(max_bytes)
    if lossy is not None:
        recipe["lossy"] = float(lossy)
    recipe.update((name, chosen[name]) for name in _OPTIONS)
    if chosen["dither"] != "none":
        recipe["dither_strength"] = float(chosen["dither_strength"])
    return recipe


def describe_source(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the members of a recipe that say what it was made of; pixels are those of the whole picture."""
    digest = PixelHash(pixels.shape)
    digest.add(pixels)
    return digest.describe()


class PixelHash:
    """Describe the source of a file: size and SHA-256 of a picture that comes in parts of whole rows.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of the picture.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._digest = hashlib.sha256()

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Add the next rows, shape (rows, width, channels)."""
        self._digest.update(np.ascontiguousarray(pixels).data)

    def describe(self) -> dict[str, Any]:
        """Return the members of a recipe."""
        height, width, channels = self._shape
        return {
            "source_width": width,
            "source_height": height,
            "source_channels": channels,
            "source_sha256": self._digest.hexdigest(),
        }


def _list_colors(name: str, colors: Any) -> list[str]:
    return [f"#{bytes(color).hex()}" for color in check_colors(name, colors)]
