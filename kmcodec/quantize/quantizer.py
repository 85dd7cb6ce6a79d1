"""Pixels in, indexed image out: the steps of quantization in their order.

Or, for many pictures at once, the first steps only: pictures in, one palette out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_pixels
from kmcodec.errors import TargetError
from kmcodec.image import MAX_COLORS, IndexedImage, drop_opaque_alpha
from kmcodec.metrics import mean_squared_error, psnr_db, structural_similarity
from kmcodec.quantize.choose import Quality, choose_n_colors, choose_palette_for_goal
from kmcodec.quantize.histogram import ColorCounter, Histogram, count_picture, look_up
from kmcodec.quantize.options import Iteration, Request, check_options
from kmcodec.quantize.palette import choose_palette
from kmcodec.threads import Workers


def quantize(
    rgb: ArrayLike,
    n_colors: int | Literal["auto"] = 64,
    *,
    max_colors: int = MAX_COLORS,
    target_psnr: float | None = None,
    target_ssim: float | None = None,
    space: str = "srgb",
    init: str = "split",
    effort: str = "default",
    seed: int = 0,
    dither: str = "none",
    dither_strength: float = 1.0,
    keep: ArrayLike | None = None,
    palette: ArrayLike | None = None,
    threads: int | None = None,
    on_iteration: Callable[[Iteration], Any] | None = None,
) -> IndexedImage:
    """Reduce a picture to at most n_colors colours with k-means.

    A picture with at most n_colors distinct colours comes back exactly. Otherwise the palette has
    n_colors distinct colours (fewer only where colours differ in nothing that can be seen), from dark to
    light, and without dithering each of them is used, and every pixel has the index of the nearest one.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        sRGB, with straight alpha as fourth channel. An alpha channel that is 255 everywhere is dropped.
        Not modified.
    n_colors : int or "auto", default 64
        K, 1..65536. "auto" takes the least number of colours that reaches the targets; without a target, the
        elbow of the error curve up to K = 256 (see kmcodec.tune).
    max_colors : int, default 65536
        The most that "auto" may take.
    target_psnr, target_ssim : float, optional
        For "auto": what the result must reach at least, in decibels, and as kmcodec.report measures SSIM.
    space : {"srgb", "oklab"}, default "srgb"
        Where distances are taken: in sRGB, for the lowest error in the usual measures, or in Oklab, for the
        least visible differences.
    init : {"split", "kmeans++", "random"}, default "split"
        How the first centroids are chosen: by splitting the cluster that gains most across its principal
        axis; by k-means++; or as the colours of random pixels.
    effort : {"fast", "default", "best"}, default "default"
        How long to look for a lower error.
    seed : int, default 0
        0..2**64 - 1. For "kmeans++" and "random".
    dither : {"none", "diffusion", "ordered"}, default "none"
        Whether neighbouring pixels mix colours that the palette has not: by error diffusion, or with a
        matrix, which suits pictures that move or are compressed afterwards.
    dither_strength : float, default 1.0
        0..1: how much of the error is made up for.
    keep : array_like, shape (n, 3) or (n, 4), integers in 0..255, optional
        Colours that the palette has exactly, whether used or not; n is at most n_colors.
    palette : array_like, shape (K, 3) or (K, 4), integers in 0..255, optional
        The whole palette, in the order that it will have. There is no k-means then, and n_colors, init,
        effort, seed and keep do not count.
    threads : int, optional
        Default: all processors. The result does not depend on it.
    on_iteration : callable, optional
        Is called with an Iteration each time; ``history.append`` of a list records them all. With a target,
        each number of colours that is tried begins with number 0.

    Returns
    -------
    IndexedImage

    Raises
    ------
    TargetError
        If no number of colours that is allowed reaches the targets.
    MissingExtraError
        If target_ssim is given, and scikit-image is not installed.
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    pixels = check_pixels(rgb)
    request = check_options(
        n_colors,
        max_colors=max_colors,
        target_psnr=target_psnr,
        target_ssim=target_ssim,
        space=space,
        init=init,
        effort=effort,
        seed=seed,
        dither=dither,
        dither_strength=dither_strength,
        keep=keep,
        palette=palette,
        on_iteration=on_iteration,
    )
    with Workers(threads) as workers:
        return CountedPicture(pixels, workers).quantize(request, workers)


class CountedPicture:
    """Hold a picture whose colours are counted, to quantize it as often as is asked.

    Counting them takes about as long as choosing a few of them.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        As for quantize.
    workers : Workers

    Attributes
    ----------
    pixels : ndarray, shape (height, width, 3) or (height, width, 4), uint8
        Without an alpha channel that is 255 everywhere.
    histogram : Histogram
    """

    def __init__(self, pixels: NDArray[np.uint8], workers: Workers) -> None:
        self.pixels = drop_opaque_alpha(pixels)
        self.histogram, self._rows = count_picture(self.pixels, workers)

    def quantize(self, request: Request, workers: Workers) -> IndexedImage:
        """Do what quantize does.

        Raises
        ------
        TargetError, MissingExtraError
            As for quantize.
        """

        def measure(n_colors: int) -> Quality:
            result = self._render(request._replace(n_colors=n_colors), workers).to_rgb()
            ssim = None
            if request.goal is not None and request.goal.target_ssim is not None:
                ssim = structural_similarity(self.pixels, result, workers)
                if ssim is None:
                    raise TargetError("the SSIM of a picture of a side below 7 pixels is not defined")
            return Quality(psnr_db(mean_squared_error(self.pixels, result)), ssim)

        chosen = choose_n_colors(self.histogram, request, workers, measure)
        return self._render(request._replace(n_colors=chosen), workers)

    def _render(self, request: Request, workers: Workers) -> IndexedImage:
        choice = choose_palette(self.histogram, request, workers)
        if choice.ditherer is None:
            indices = look_up(self._rows, choice.list_indices(), workers)
        else:
            indices = choice.ditherer.dither(self._rows, workers)
        return IndexedImage(choice.palette, indices)


def build_palette(
    pictures: Iterable[ArrayLike],
    n_colors: int | Literal["auto"] = 64,
    *,
    space: str = "srgb",
    init: str = "split",
    effort: str = "default",
    seed: int = 0,
    keep: ArrayLike | None = None,
    threads: int | None = None,
    on_iteration: Callable[[Iteration], Any] | None = None,
) -> NDArray[np.uint8]:
    """Choose one palette for many pictures, the one that they would have as parts of one picture.

    Each pixel counts the same, whichever picture it is in, so that the squared error of all together is
    least. A picture that is to count more can be given more than once.

    Parameters
    ----------
    pictures : iterable of array_like, each of shape (height, width, 3) or (height, width, 4), uint8
        At least one; of any sizes, some with alpha and some without. If they come from a generator, only one
        needs to be in memory at a time, and of a large one only a part: its parts count as pictures. Not
        modified.
    n_colors : int or "auto", default 64
        K, 1..65536; "auto" takes the elbow of the error curve up to K = 256.
    space, init, effort, seed, keep, threads, on_iteration
        As for quantize.

    Returns
    -------
    ndarray, shape (K, 3) or, where a pixel is not opaque, (K, 4), uint8
        From dark to light; for the argument palette of quantize, encode and write.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    request = check_options(
        n_colors, space=space, init=init, effort=effort, seed=seed, keep=keep, on_iteration=on_iteration
    )
    with Workers(threads) as workers:
        return choose_palette_for_goal(count_pictures(pictures, workers), request, workers).palette


def count_pictures(pictures: Iterable[ArrayLike], workers: Workers) -> Histogram:
    """Count the colours of pictures together.

    Parameters
    ----------
    pictures : iterable of array_like
        As for build_palette.
    workers : Workers

    Raises
    ------
    TypeError, ValueError
        If pictures has none, or what is not one.
    """
    counter = ColorCounter(workers)
    is_empty = True
    for picture in pictures:
        counter.add(check_pixels(picture))
        # Not in memory while the next one is read.
        del picture
        is_empty = False
    if is_empty:
        raise ValueError("pictures must be at least one, found none")
    return counter.finish()
