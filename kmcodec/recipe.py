"""The recipe of a file: how it was made, so that it can be made again (specification, section 5.4).

Nothing in it depends on the clock or the machine: the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec import __version__
from kmcodec.checks import check_colors
from kmcodec.quantize.quantizer import quantize

# What decides the palette where none is given; and what decides the indices, always.
_SEARCH_OPTIONS = ("init", "effort")
_OPTIONS = ("space", "dither")


def build_recipe(n_colors: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked of kmcodec.quantize, ready for JSON.

    Parameters
    ----------
    n_colors : int
        K, as it was asked for.
    options : mapping
        Options of kmcodec.quantize; the defaults of others are filled in.
    """
    defaults = inspect.signature(quantize).parameters
    chosen = {name: options.get(name, parameter.default) for name, parameter in defaults.items()}
    recipe: dict[str, Any] = {"program": f"kmcodec {__version__}"}
    if chosen["palette"] is not None:
        recipe["palette"] = _list_colors("palette", chosen["palette"])
    else:
        recipe["colors"] = int(n_colors)
        recipe.update((name, chosen[name]) for name in _SEARCH_OPTIONS)
        recipe["seed"] = int(chosen["seed"])
        if chosen["keep"] is not None:
            recipe["keep"] = _list_colors("keep", chosen["keep"])
    recipe.update((name, chosen[name]) for name in _OPTIONS)
    if chosen["dither"] != "none":
        recipe["dither_strength"] = float(chosen["dither_strength"])
    return recipe


def describe_source(shape: tuple[int, ...], sha256: str) -> dict[str, Any]:
    """Return size and hash of a picture of shape (height, width, channels), ready for JSON."""
    height, width, channels = shape
    return {
        "source_width": width,
        "source_height": height,
        "source_channels": channels,
        "source_sha256": sha256,
    }


def hash_pixels(parts: Iterable[NDArray[np.uint8]]) -> str:
    """Return the SHA-256, in hexadecimal, of a picture in parts of whole rows, from the top."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _list_colors(name: str, colors: Any) -> list[str]:
    return [f"#{bytes(color).hex()}" for color in check_colors(name, colors)]
