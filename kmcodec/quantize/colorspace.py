"""Colours <-> points of the space in which k-means takes distances.

Owns the meaning of a point's coordinates. A point is a row of four int16, squared distances fit 31 bits, and
every colour becomes the same point on every machine: all arithmetic is on integers.

With alpha the distance between two colours is the squared error that the eye can see, averaged over a
black and a white background. With premultiplied coordinates p and opacity a (all 0..1), the difference on
a background b is dp - b da in each coordinate, and the mean of its square over two backgrounds 0 and 1 is
(dp - da / 2)**2 + (da / 2)**2. So p - a / 2 for each coordinate in which black and white differ, and a / 2
once for each of them, all in the fourth, are coordinates whose Euclidean distance is just that. Colours of
invisible pixels are all the same point.
"""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ColorSpace(Protocol):
    """Turn colours into points and back.

    Attributes
    ----------
    scale : int
        Steps of a coordinate in one unit of the space's own distances.
    """

    scale: int

    def to_points(self, colors: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Return the points of colours.

        Parameters
        ----------
        colors : ndarray, shape (n, 3) or (n, 4), uint8
            sRGB, with straight alpha if there are four columns.

        Returns
        -------
        ndarray, shape (n, 4), int16
        """

    def to_colors(self, points: NDArray[np.int16], channels: int) -> NDArray[np.uint8]:
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

    def describe_points(self, points: NDArray[np.int16], channels: int) -> NDArray[np.float64]:
        """Return points as colours, for people to look at.

        Parameters
        ----------
        points : ndarray, shape (n, 4), int16
        channels : int
            3 or 4.

        Returns
        -------
        ndarray, shape (n, channels), float64
            sRGB in 0..255, as fractions where the space has them; with four channels premultiplied by the
            alpha in the fourth, 0..255.
        """


class _Srgb:
    """Take red, green and blue as they are: squared distances are the usual squared errors.

    In steps of 1/64, so that centroids lie between colours.
    """

    #: 255 * 64 is the most that int16 leaves room for, with sums of four squared differences in 31 bits.
    scale = 64

    # sqrt(3) / 2 * scale, times 1024: three coordinates share the fourth.
    _ALPHA_FACTOR = 56756

    def to_points(self, colors: NDArray[np.uint8]) -> NDArray[np.int16]:
        points = np.zeros((len(colors), 4), np.int16)
        if colors.shape[1] == 3:
            points[:, :3] = colors
            points *= self.scale
            return points
        alpha = colors[:, 3:].astype(np.int32)
        # Rounded to nearest: 127 is half of 255, and no tie is possible with an odd divisor.
        premultiplied = (colors[:, :3] * alpha * self.scale + 127) // 255
        points[:, :3] = premultiplied - alpha * (self.scale // 2)
        points[:, 3:] = (alpha * self._ALPHA_FACTOR + 512) >> 10
        return points

    def to_colors(self, points: NDArray[np.int16], channels: int) -> NDArray[np.uint8]:
        wide = points.astype(np.int64)
        if channels == 3:
            return ((wide[:, :3] + self.scale // 2) // self.scale).astype(np.uint8)
        fine_alpha = wide[:, 3:]
        alpha = np.minimum((fine_alpha * 2048 + self._ALPHA_FACTOR) // (2 * self._ALPHA_FACTOR), 255)
        # p in steps of 1/scale, with the centroid's own, unrounded opacity.
        premultiplied = wide[:, :3] + fine_alpha * (self.scale // 2 * 1024) // self._ALPHA_FACTOR
        divisor = 2 * self.scale * np.maximum(alpha, 1)
        straight = np.clip((premultiplied * 510 + divisor // 2) // divisor, 0, 255)
        straight[alpha[:, 0] == 0] = 0
        return np.hstack([straight, alpha]).astype(np.uint8)

    def describe_points(self, points: NDArray[np.int16], channels: int) -> NDArray[np.float64]:
        if channels == 3:
            return points[:, :3] / self.scale
        alpha = points[:, 3:] * (1024 / self._ALPHA_FACTOR)
        return np.hstack([points[:, :3] / self.scale + alpha / 2, alpha])


# Fixed-point numbers: of linear light, 20 bits after the point; of the matrices, 40.
_LIGHT_BITS = 20
_MATRIX_BITS = 40

# Linear sRGB to the responses of three cones, and their cube roots to lightness and two opponent colours:
# B. Ottosson, "A perceptual color space for image processing", 2020.
_CONES = (
    (4122214708, 5363325363, 514459929),
    (2119034982, 6806995451, 1073969566),
    (883024619, 2817188376, 6299787005),
)
_OPPONENTS = (
    (2104542553, 7936177850, -40720468),
    (19779984951, -24285922050, 4505937099),
    (259040371, 7827717662, -8086757660),
)
# Their inverses, as given there.
_ROOTS = (
    (10000000000, 3963377774, 2158037573),
    (10000000000, -1055613458, -638541728),
    (10000000000, -894841775, -12914855480),
)
_LIGHTS = (
    (40767416621, -33077115913, 2309699292),
    (-12684380046, 26097574011, -3413193965),
    (-41960863, -7034186147, 17076147010),
)


def _fixed_point(matrix: tuple[tuple[int, ...], ...], bits: int) -> NDArray[np.int64]:
    """Return a matrix of ten-digit decimals as fixed-point numbers, rounded to nearest."""
    return np.array([[((value << bits + 1) // 10**10 + 1) >> 1 for value in row] for row in matrix], np.int64)


@functools.cache
def _linear_light() -> NDArray[np.int64]:
    """Return the linear light of the 256 values of sRGB (IEC 61966-2-1), in steps of 2**-20."""
    light = []
    for value in range(256):
        if value <= 10:
            # value / 255 / 12.92
            light.append(((value << _LIGHT_BITS) * 200 + 255 * 1292) // (2 * 255 * 1292))
        else:
            # (x / y)**2.4 with x / y = (value / 255 + 0.055) / 1.055: the fifth root of its 12th power.
            x, y = value * 1000 + 55 * 255, 1055 * 255
            power = (x**12 << 5 * (_LIGHT_BITS + 1)) // y**12
            light.append((_fifth_root(power) + 1) >> 1)
    return np.array(light, np.int64)


def _fifth_root(n: int) -> int:
    """Return the integer part of the fifth root of n, by Newton's method from above."""
    root = 1 << -(-n.bit_length() // 5)
    while True:
        better = (4 * root + n // root**4) // 5
        if better >= root:
            return root
        root = better


def _cube_root(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the integer part of the cube roots of values in 0..2**62."""
    # Floating point only guesses; the two comparisons decide.
    roots: NDArray[np.int64] = np.cbrt(values).astype(np.int64)
    roots -= roots * roots * roots > values
    following = roots + 1
    roots += following * following * following <= values
    return roots


class _Oklab:
    """Take distances in Oklab, where equal distances look about equally different.

    Coordinates are lightness, and the two opponent colours times two: the eye tells small differences of
    colour apart better than Oklab's own scale says (measured by CIEDE2000).
    """

    #: Steps in the lightness from black to white.
    scale = 16000

    _CHROMA = 2

    def _to_oklab(self, colors: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return lightness and opponent colours times two, in 1/16 of a step."""
        light = _linear_light()[colors]
        cones = light @ _fixed_point(_CONES, _MATRIX_BITS).T
        roots = _cube_root(cones)
        matrix = _fixed_point(_OPPONENTS, 20) * np.array([[1], [self._CHROMA], [self._CHROMA]])
        lab: NDArray[np.int64] = (roots @ matrix.T >> 8) * (16 * self.scale) + (1 << 31) >> 32
        return lab

    def to_points(self, colors: NDArray[np.uint8]) -> NDArray[np.int16]:
        lab = self._to_oklab(colors[:, :3])
        points = np.zeros((len(colors), 4), np.int16)
        if colors.shape[1] == 4:
            alpha = colors[:, 3:].astype(np.int64)
            lab = (lab * alpha + 127) // 255
            halves = (alpha * (16 * self.scale // 2) + 127) // 255
            lab[:, :1] -= halves
            points[:, 3:] = (halves + 8) >> 4
        points[:, :3] = (lab + 8) >> 4
        return points

    def to_colors(self, points: NDArray[np.int16], channels: int) -> NDArray[np.uint8]:
        lab = points[:, :3].astype(np.int64)
        alpha = np.full((len(points), 1), 255, np.int64)
        if channels == 4:
            halves = points[:, 3:].astype(np.int64)
            alpha = np.minimum((halves * 255 * 4 + self.scale) // (2 * self.scale), 255)
            lab[:, :1] += halves
            divisor = np.maximum(halves * 2, 1)
            lab = (lab * self.scale * 2 + divisor) // (2 * divisor)
        lab = np.clip(lab, -self.scale, self.scale)
        lab[:, 0] *= self._CHROMA
        # In steps of 2**-20.
        roots = lab @ _fixed_point(_ROOTS, 30).T // (self._CHROMA * self.scale << 10)
        cones = roots * roots >> 20
        cones = cones * roots >> 20
        light = cones @ _fixed_point(_LIGHTS, 20).T >> 20
        table = _linear_light()
        srgb = np.searchsorted(table[:-1] + table[1:], 2 * light, side="right")
        if channels == 3:
            return srgb.astype(np.uint8)
        srgb[alpha[:, 0] == 0] = 0
        return np.hstack([srgb, alpha]).astype(np.uint8)

    def describe_points(self, points: NDArray[np.int16], channels: int) -> NDArray[np.float64]:
        colors = self.to_colors(points, channels).astype(np.float64)
        if channels == 4:
            colors[:, :3] *= colors[:, 3:] / 255
        return colors


#: Spaces, by the names that users give.
SPACES: dict[str, ColorSpace] = {"srgb": _Srgb(), "oklab": _Oklab()}


def sort_palette(palette: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the distinct colours of a palette from dark to light.

    The order is total, so that equal sets of colours always make equal palettes.

    Parameters
    ----------
    palette : ndarray, shape (K, 3) or (K, 4), uint8

    Returns
    -------
    ndarray, shape (k, 3 or 4), uint8
        k at most K.
    ndarray, shape (K,), int32
        The place of each of the K colours among the k.
    """
    order = _order_colors(palette)
    ordered = palette[order]
    first = np.ones(len(palette), np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    places = np.empty(len(palette), np.int32)
    places[order] = np.cumsum(first) - 1
    return ordered[first], places


def rank_colors(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the place of each colour in an order from dark to light, shape (n,), int32."""
    ranks = np.empty(len(colors), np.int32)
    ranks[_order_colors(colors)] = np.arange(len(colors))
    return ranks


def _order_colors(colors: NDArray[np.uint8]) -> NDArray[np.intp]:
    luma = colors[:, :3] @ np.array([299, 587, 114], np.int64)
    # By luma first; lexsort takes the last key for the first.
    return np.lexsort((*colors.T[::-1], luma))
