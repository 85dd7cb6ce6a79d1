"""The indexed image: what quantization makes and a .kmq file holds.

Owns the invariants between palette, indices and metadata. Knows neither how colours were chosen nor how
they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Largest K, set by the 16 bits of an index.
MAX_COLORS = 65536

#: Indices of a palette: uint8 up to 256 colours, else uint16.
Indices: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]


class Section(NamedTuple):
    """Hold one piece of metadata, as its bytes.

    Attributes
    ----------
    type : bytes
        Four ASCII letters; a small first letter marks metadata that a reader may ignore.
    payload : bytes
    """

    type: bytes
    payload: bytes


def to_indices(values: NDArray[Any], n_colors: int) -> Indices:
    """Return values as indices of a palette of n_colors entries: uint8 up to 256, else uint16."""
    return values.astype(np.uint8) if n_colors <= 256 else values.astype(np.uint16)


def empty_indices(shape: int | tuple[int, ...], n_colors: int) -> Indices:
    """Return an array, not initialised, for indices of a palette of n_colors entries."""
    return np.empty(shape, np.uint8) if n_colors <= 256 else np.empty(shape, np.uint16)


def drop_opaque_alpha(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return colors, of shape (..., 3) or (..., 4), without a fourth channel that is 255 everywhere."""
    if colors.shape[-1] == 4 and (colors[..., 3] == 255).all():
        return colors[..., :3]
    return colors


@dataclass(frozen=True, eq=False)
class IndexedImage:
    """Hold a picture as a palette, an index for each pixel, and metadata.

    Arrays are not copied where they already are contiguous; the image's own views of them are
    read-only.

    Attributes
    ----------
    palette : ndarray, shape (K, 3) or (K, 4), uint8
        sRGB colours, 0..255, with straight alpha as fourth column if the picture has any; K is 1..65536.
    indices : ndarray, shape (height, width), uint8 (K <= 256) or uint16
        For each pixel the row of palette that is its colour; 0..K-1.
    sections : tuple of Section
        Metadata, in the order of the file.

    Raises
    ------
    TypeError
        If an array has another dtype.
    ValueError
        If a shape or a value is out of range.
    """

    palette: NDArray[np.uint8]
    indices: Indices
    sections: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        palette, indices = np.asarray(self.palette), np.asarray(self.indices)
        if palette.dtype != np.uint8:
            raise TypeError(f"palette must be of dtype uint8, found {palette.dtype!r}")
        if palette.ndim != 2 or palette.shape[1] not in (3, 4):
            raise ValueError(f"palette must have shape (K, 3) or (K, 4), found {palette.shape!r}")
        if not 1 <= len(palette) <= MAX_COLORS:
            raise ValueError(f"palette must have 1 to {MAX_COLORS} colours, found {len(palette)!r}")
        expected = empty_indices(0, len(palette)).dtype
        if indices.dtype != expected:
            raise TypeError(
                f"indices of {len(palette)} colours must be of dtype {expected}, found {indices.dtype}"
            )
        if indices.ndim != 2 or indices.size == 0:
            raise ValueError(f"indices must have shape (height, width), found {indices.shape!r}")
        if max(indices.shape) > 2**32 - 1:
            raise ValueError(f"a side is at most 2**32 - 1 pixels, found {indices.shape!r}")
        largest = int(indices.max())
        if largest >= len(palette):
            raise ValueError(f"indices must be below {len(palette)}, found {largest!r}")
        for name, array in (("palette", palette), ("indices", indices)):
            view = np.ascontiguousarray(array).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.indices.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.indices.shape[0])

    def to_rgb(self) -> NDArray[np.uint8]:
        """Return the pixels.

        Returns
        -------
        ndarray, shape (height, width, 3) or, with alpha in the palette, (height, width, 4), uint8
        """
        # As fast as it gets: indexing takes several times as long, and indices are in range.
        return np.take(self.palette, self.indices, axis=0, mode="clip")
