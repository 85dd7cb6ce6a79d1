"""How far two pictures are apart: squared error, PSNR, SSIM, CIEDE2000.

Owns the definitions of the measures. Knows nothing of files or of how the numbers are shown. SSIM and
CIEDE2000 are scikit-image's, which comes with the extra kmcodec[report] and is imported when it is used.

Where either picture has alpha, both are laid on black and on white, and what is measured is the mean of the
two errors, or all pixels of the two together.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.errors import MissingExtraError
from kmcodec.threads import Workers, cut_range

#: What is needed for SSIM and CIEDE2000, and how to get it.
HINT = "SSIM and delta E need scikit-image: pip install 'kmcodec[report]'"

#: Side of the windows of SSIM, in pixels: scikit-image's default.
SSIM_WINDOW = 7

#: What differences are multiplied by to be seen. Fixed, so that they can be compared: with 8, the errors of
#: some 256 colours can just be seen, and those of 16 rarely reach white.
AMPLIFICATION = 8

# Pixels that are compared at a time.
_BLOCK_PIXELS = 1 << 18

# The same for SSIM: blocks for all threads, of a size that does not depend on their number, which rounding of
# sums would show.
_SSIM_PIXELS = 1 << 16

# Pairs of colours that are worth a thread.
_LEAST_PAIRS = 1 << 13

# Side of the regions of which the worst is looked for, in pixels.
_REGION_SIDE = 32


class Region(NamedTuple):
    """Say where a part of a picture lies, and how far it is from the original.

    Attributes
    ----------
    x, y, width, height : int
        Pixels, from the upper left corner.
    mse : float
        As mean_squared_error has it.
    """

    x: int
    y: int
    width: int
    height: int
    mse: float


class ColorDifference(NamedTuple):
    """Hold differences of colours that the eye sees, in units of CIEDE2000.

    Attributes
    ----------
    mean, p95, maximum : float
        Over all pixels: mean, 95th percentile, and largest.
    """

    mean: float
    p95: float
    maximum: float


def mean_squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean over the pixels of the squared errors, summed over R, G and B (0..255).

    Parameters
    ----------
    a, b : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        Of equal height and width.
    """
    total = 0.0
    n_rows = max(1, _BLOCK_PIXELS // a.shape[1])
    for top in range(0, len(a), n_rows):
        total += float(square_errors(a[top : top + n_rows], b[top : top + n_rows]).sum())
    return float(total / (a.shape[0] * a.shape[1]))


def psnr_db(mse: float) -> float:
    """Return the peak signal-to-noise ratio in dB of a mean squared error summed over three channels."""
    return math.inf if mse == 0 else 10 * math.log10(255**2 / (mse / 3))


def find_worst_region(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Region:
    """Return where two pictures differ most: of all regions of about 32 x 32 pixels the one of largest mse.

    The picture is cut into regions of nearly equal size; of equally bad ones it is the first, from the top
    and from the left.

    Parameters
    ----------
    a, b : ndarray
        As for mean_squared_error.
    """
    height, width = a.shape[:2]
    columns = _cut_evenly(width)
    worst = Region(0, 0, 0, 0, -1.0)
    tops = [*_cut_evenly(height).tolist(), height]
    for top, bottom in itertools.pairwise(tops):
        errors = square_errors(a[top:bottom], b[top:bottom])
        sizes = np.diff(np.append(columns, width)) * (bottom - top)
        means = np.add.reduceat(errors.sum(axis=0), columns) / sizes
        i = int(means.argmax())
        if means[i] > worst.mse:
            right = int(columns[i + 1]) if i + 1 < len(columns) else width
            worst = Region(int(columns[i]), top, right - int(columns[i]), bottom - top, float(means[i]))
    return worst


def has_scikit_image() -> bool:
    """Return whether SSIM and CIEDE2000 can be measured."""
    try:
        import skimage  # noqa: F401
    except ImportError:
        return False
    return True


def structural_similarity(a: NDArray[np.uint8], b: NDArray[np.uint8], workers: Workers) -> float | None:
    """Return the mean structural similarity index, at most 1; None for pictures of a side below 7 pixels.

    Over R, G and B, in windows of 7 x 7 pixels: what skimage.metrics.structural_similarity gives with
    channel_axis=2 and otherwise its defaults. Source: Z. Wang, A. Bovik, H. Sheikh and E. Simoncelli, "Image
    quality assessment: from error visibility to structural similarity", IEEE Trans. Image Processing 13(4),
    2004.

    Parameters
    ----------
    a, b : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        Of equal height and width.
    workers : Workers

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """
    _require_scikit_image()
    from skimage.metrics import structural_similarity as measure

    height, width = a.shape[:2]
    if min(height, width) < SSIM_WINDOW:
        return None
    margin = SSIM_WINDOW // 2
    # Windows lie whole in the picture, so that rows count from the margin on.
    step = max(1, _SSIM_PIXELS // width)
    means = []
    for first, second in _lay_on_backgrounds(a, b):

        def sum_block(task: tuple[int, int], pair: tuple[NDArray[np.uint8], ...] = (first, second)) -> float:
            top, channel = task
            bottom = min(top + step, height - margin)
            x, y = (p[top - margin : bottom + margin, :, channel] for p in pair)
            return float((bottom - top) * measure(x, y, data_range=255))

        tasks = [(top, c) for top in range(margin, height - margin, step) for c in range(3)]
        means.append(sum(workers.map(sum_block, tasks)) / (3 * (height - 2 * margin)))
    return float(np.mean(means))


def measure_color_difference(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    workers: Workers,
    weights: NDArray[np.int64] | None = None,
) -> ColorDifference:
    """Return how far the colours are apart as the eye sees them.

    Source: G. Sharma, W. Wu and E. Dalal, "The CIEDE2000 color-difference formula", Color Research and
    Application 30(1), 2005.

    Parameters
    ----------
    a, b : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        Of equal height and width.
    workers : Workers
    weights : ndarray, shape (height, width), int64, optional
        How many pixels each stands for, at least 1; default: one.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """
    _require_scikit_image()
    from skimage.color import deltaE_ciede2000, rgb2lab

    # Each pair of colours once: there are far fewer than pixels.
    seen = _lay_on_backgrounds(a, b)
    pairs = np.concatenate([_pack(x) << 24 | _pack(y) for x, y in seen])
    if weights is None:
        pairs, counts = np.unique(pairs, return_counts=True)
    else:
        counts = np.concatenate([weights.ravel()] * len(seen))

    def measure_run(run: tuple[int, int]) -> NDArray[np.float64]:
        part = pairs[slice(*run)]
        labs = [rgb2lab(_unpack(colors)) for colors in (part >> 24, part & 0xFFFFFF)]
        found: NDArray[np.float64] = deltaE_ciede2000(*labs)
        return found

    # In blocks, whose many temporary arrays fit into the caches.
    n_blocks = max(workers.count, len(pairs) // _BLOCK_PIXELS)
    differences = np.concatenate(workers.map(measure_run, cut_range(len(pairs), n_blocks, _LEAST_PAIRS)))
    order = np.argsort(differences)
    differences, counts = differences[order], counts[order]
    ends = np.cumsum(counts)
    # As numpy.percentile has it, of all pixels.
    place = 0.95 * (int(ends[-1]) - 1)
    low, high = (
        float(differences[np.searchsorted(ends, n, side="right")])
        for n in (math.floor(place), math.ceil(place))
    )
    return ColorDifference(
        mean=float((differences * counts).sum() / ends[-1]),
        p95=low + (high - low) * (place - math.floor(place)),
        maximum=float(differences[-1]),
    )


def _require_scikit_image() -> None:
    if not has_scikit_image():
        raise MissingExtraError(HINT)


def _cut_evenly(length: int) -> NDArray[np.intp]:
    """Return where the regions of a side of so many pixels begin."""
    n_regions = -(-length // _REGION_SIDE)
    starts: NDArray[np.intp] = np.arange(n_regions, dtype=np.intp) * length // n_regions
    return starts


def square_errors(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int32] | NDArray[np.float64]:
    """Return the squared errors of colours, summed over R, G and B.

    Parameters
    ----------
    a, b : ndarray, shape (..., 3) or (..., 4), uint8

    Returns
    -------
    ndarray, shape (...), int32, or float64 where either has alpha
    """
    if a.shape[-1] == 3 and b.shape[-1] == 3:
        difference = a.astype(np.int32) - b
        squares: NDArray[np.int32] = np.einsum("...k,...k->...", difference, difference)
        return squares
    (a_color, a_alpha), (b_color, b_alpha) = _premultiply(a), _premultiply(b)
    on_black = a_color - b_color
    on_white = on_black - 255 * (a_alpha - b_alpha)
    errors: NDArray[np.float64] = (np.square(on_black) + np.square(on_white)).sum(axis=-1) / 2
    return errors


def _premultiply(colors: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return colour times alpha (0..255), and alpha (0..1), shape (..., 1)."""
    if colors.shape[-1] == 3:
        return colors.astype(np.float64), np.ones((*colors.shape[:-1], 1))
    alpha = colors[..., 3:] / 255
    return colors[..., :3] * alpha, alpha


def _lay_on_backgrounds(
    a: NDArray[np.uint8], b: NDArray[np.uint8]
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return the pictures as they are seen: as they are, or on black and on white if either has alpha."""
    if a.shape[2] == 3 and b.shape[2] == 3:
        return [(a, b)]
    return [(lay_on(a, background), lay_on(b, background)) for background in (0, 255)]


def lay_on(pixels: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """Return a picture laid on a grey of 0..255, shape (height, width, 3), uint8, rounded."""
    if pixels.shape[2] == 3:
        return pixels
    color, alpha = _premultiply(pixels)
    laid: NDArray[np.uint8] = np.rint(color + background * (1 - alpha)).astype(np.uint8)
    return laid


def _pack(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the colours of pixels as integers 0xRRGGBB, shape (n,)."""
    flat = pixels.reshape(-1, 3).astype(np.int64)
    return flat[:, 0] << 16 | flat[:, 1] << 8 | flat[:, 2]


def _unpack(colors: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=-1).astype(np.uint8)
