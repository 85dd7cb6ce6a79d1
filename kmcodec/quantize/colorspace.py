"""Colours <-> points of the space in which k-means takes distances.

Owns the meaning of a point's coordinates. A point is a row of four int16. For opaque colours they are
red, green, blue in steps of 1/64 and a zero, so that squared distances are the usual squared errors times
64**2.

With alpha the distance between two colours is the squared error that the eye can see, averaged over a
black and a white background. With premultiplied channels p and opacity a (all 0..1), the difference on a
background b is dp - b da in each channel, and the mean of its square over b = 0 and b = 1 is
(dp - da / 2)**2 + (da / 2)**2. So p - a / 2 for each channel, and a * sqrt(3) / 2 for the three second
terms together, are coordinates whose Euclidean distance is just that. Colours of invisible pixels
are all the same point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Steps of a coordinate in one step of an 8-bit colour. 255 * 64 is the most that int16 leaves room
#: for, with sums of four squared differences still in 32 bits.
SCALE = 64

# sqrt(3) / 2 * SCALE, times 1024.
_ALPHA_FACTOR = 56756


def to_points(colors: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the points of colours.

    Parameters
    ----------
    colors : ndarray, shape (n, 3) or (n, 4), uint8
        sRGB, with straight alpha if there are four columns.

    Returns
    -------
    ndarray, shape (n, 4), int16
    """
    points = np.zeros((len(colors), 4), np.int16)
    if colors.shape[1] == 3:
        points[:, :3] = colors
        points *= SCALE
        return points
    alpha = colors[:, 3:].astype(np.int32)
    # Rounded to nearest: 127 is half of 255, and no tie is possible with an odd divisor.
    premultiplied = (colors[:, :3] * alpha * SCALE + 127) // 255
    points[:, :3] = premultiplied - alpha * (SCALE // 2)
    points[:, 3:] = (alpha * _ALPHA_FACTOR + 512) >> 10
    return points


def to_colors(points: NDArray[np.int16], channels: int) -> NDArray[np.uint8]:
    """Return the 8-bit colours nearest to points.

    Parameters
    ----------
    points : ndarray, shape (n, 4), int16
        Centroids: points of colours, or means of such points.
    channels : int
        3 or 4, as many columns as the colours had that the points came from.

    Returns
    -------
    ndarray, shape (n, channels), uint8
    """
    wide = points.astype(np.int64)
    if channels == 3:
        return ((wide[:, :3] + SCALE // 2) // SCALE).astype(np.uint8)
    fine_alpha = wide[:, 3:]
    alpha = np.minimum((fine_alpha * 2048 + _ALPHA_FACTOR) // (2 * _ALPHA_FACTOR), 255)
    # p in steps of 1/SCALE, with the centroid's own, unrounded opacity.
    premultiplied = wide[:, :3] + fine_alpha * (SCALE // 2 * 1024) // _ALPHA_FACTOR
    divisor = 2 * SCALE * np.maximum(alpha, 1)
    straight = np.clip((premultiplied * 510 + divisor // 2) // divisor, 0, 255)
    straight[alpha[:, 0] == 0] = 0
    return np.hstack([straight, alpha]).astype(np.uint8)


def sort_palette(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the distinct colours of a palette from dark to light.

    The order is total, so that equal sets of colours always make equal palettes.

    Parameters
    ----------
    palette : ndarray, shape (K, 3) or (K, 4), uint8

    Returns
    -------
    ndarray, shape (at most K, 3 or 4), uint8
    """
    distinct = np.unique(palette, axis=0)
    luma = distinct[:, :3] @ np.array([299, 587, 114], np.int64)
    # Stable, so that colours of equal luma keep the order of unique.
    return distinct[np.argsort(luma, kind="stable")]


def describe_points(points: NDArray[np.int16], channels: int) -> NDArray[np.float64]:
    """Return points as fractional colours, for people to look at.

    Parameters
    ----------
    points : ndarray, shape (n, 4), int16
    channels : int
        3 or 4.

    Returns
    -------
    ndarray, shape (n, channels), float64
        sRGB in 0..255; with four channels premultiplied by the alpha in the fourth, 0..255.
    """
    if channels == 3:
        return points[:, :3] / SCALE
    alpha = points[:, 3:] * (1024 / _ALPHA_FACTOR)
    return np.hstack([points[:, :3] / SCALE + alpha / 2, alpha])
