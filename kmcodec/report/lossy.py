"""The lossy formats that a .kmq file is compared with, and the search for the quality that equals its own.

They are given the original. Quality is equal where PSNR is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmcodec.errors import PictureError
from kmcodec.image import IndexedImage
from kmcodec.metrics import mean_squared_error
from kmcodec.pictures import decode_picture, encode_picture
from kmcodec.report.rival import Task, Tiers, choose_setting, find_obstacle
from kmcodec.threads import Workers

# Slower is smaller; a search encodes seven times, and shall take seconds. By pixels.
_AVIF_SPEEDS: Tiers = ((1 << 18, 4), (1 << 23, 6)), 8

# libjpeg's own limit; the format's is 65535.
_LARGEST_JPEG_SIDE = 65500
_LARGEST_WEBP_SIDE = 16383
# What libavif decodes unless it is told otherwise.
_LARGEST_AVIF_SIDE = 32768


class LossyCoder(NamedTuple):
    """Describe a lossy format.

    Attributes
    ----------
    name, format_name : str
        For people, and as Pillow has it.
    steps : range
        Of quality, from the worst to the best.
    steps_per_quality : int
        Steps that make 1 of the quality that the encoder takes.
    largest_side : int or None
        Pixels.
    has_alpha : bool
    variants : tuple of (str, dict)
        Settings to try, as words and as options of the encoder.
    """

    name: str
    format_name: str
    steps: range
    steps_per_quality: int
    largest_side: int | None
    has_alpha: bool
    variants: tuple[tuple[str, dict[str, Any]], ...]

    def encode(self, original: NDArray[np.uint8], variant: int, step: int) -> bytes:
        """Return the file of a quality, given as its step."""
        # Encoders whose quality is an integer want an int.
        quality = step if self.steps_per_quality == 1 else step / self.steps_per_quality
        return encode_picture(original, self.format_name, quality=quality, **self.variants[variant][1])


class _Finding(NamedTuple):
    """Say which step of quality a variant needs, and what that takes; or why there is none."""

    variant: int
    step: int = 0
    file_bytes: int = 0
    obstacle: str = ""


def list_lossy_coders(n_pixels: int, n_threads: int) -> tuple[LossyCoder, ...]:
    """Return the lossy formats, with their settings for a picture of so many pixels.

    Parameters
    ----------
    n_pixels : int
    n_threads : int
        For the encoder of JPEG XL.
    """
    speed = choose_setting(_AVIF_SPEEDS, n_pixels)
    jpeg: dict[str, Any] = {"progressive": True, "optimize": True}
    avif: dict[str, Any] = {
        "subsampling": "4:4:4",
        "speed": speed,
        # What is compared here is PSNR.
        "advanced": {"tune": "psnr"},
        # The same file on every machine: tiles would follow the threads, and one thread makes another file
        # than any more do.
        "autotiling": False,
        "max_threads": 2,
    }
    # More effort improves how a JPEG XL looks, but not its PSNR.
    jxl: dict[str, Any] = {"effort": 7, "num_threads": n_threads}
    samplings = ("4:4:4", "4:2:2", "4:2:0")
    jpegs = tuple((f"{name}, progressive, optimized", {"subsampling": name, **jpeg}) for name in samplings)
    avifs = ((f"4:4:4, speed {speed}, tune psnr", avif),)
    return (
        LossyCoder("JPEG", "JPEG", range(1, 101), 1, _LARGEST_JPEG_SIDE, False, jpegs),
        LossyCoder("WebP", "WEBP", range(101), 1, _LARGEST_WEBP_SIDE, True, (("method 6", {"method": 6}),)),
        LossyCoder("AVIF", "AVIF", range(101), 1, _LARGEST_AVIF_SIDE, True, avifs),
        # In halves; in finer steps PSNR does not rise steadily. 100 is for lossless files.
        LossyCoder("JPEG XL", "JXL", range(200), 2, None, True, (("effort 7", jxl),)),
    )


def plan_lossy(
    coders: tuple[LossyCoder, ...],
    original: NDArray[np.uint8],
    image: IndexedImage,
    target_mse: float,
    workers: Workers,
    on_found: Callable[[], None],
) -> list[Task]:
    """Return for each format how the smallest file is made whose error is at most that of the .kmq file.

    Parameters
    ----------
    coders : tuple of LossyCoder
    original : ndarray, shape (height, width, 3) or (height, width, 4), uint8
    image : IndexedImage
        The .kmq file.
    target_mse : float
        Its error.
    workers : Workers
    on_found : callable
        Is called after each variant of each coder, from any thread.
    """
    obstacles = [_find_obstacle(coder, original, image, target_mse) for coder in coders]

    def search(job: tuple[int, int]) -> _Finding:
        i, variant = job
        if obstacles[i]:
            found = _Finding(variant, obstacle=obstacles[i])
        else:
            found = _find_quality(coders[i], variant, original, target_mse)
        on_found()
        return found

    jobs = [(i, variant) for i, coder in enumerate(coders) for variant in range(len(coder.variants))]
    findings = workers.map(search, jobs)
    return [
        _to_task(coder, [found for (j, _), found in zip(jobs, findings, strict=True) if j == i], original)
        for i, coder in enumerate(coders)
    ]


def _find_obstacle(
    coder: LossyCoder, original: NDArray[np.uint8], image: IndexedImage, target_mse: float
) -> str:
    obstacle = find_obstacle(image, coder.format_name, coder.name, coder.largest_side)
    if not obstacle and target_mse == 0:
        obstacle = "this .kmq file is exact, which a lossy file is not"
    if not obstacle and original.shape[2] == 4 and not coder.has_alpha:
        obstacle = f"{coder.name} has no alpha"
    return obstacle


def _find_quality(
    coder: LossyCoder, variant: int, original: NDArray[np.uint8], target_mse: float
) -> _Finding:
    """Return the first step of quality whose error is at most target_mse, by bisection."""
    sizes: dict[int, int] = {}

    def reaches_target(step: int) -> bool:
        data = coder.encode(original, variant, step)
        sizes[step] = len(data)
        return mean_squared_error(original, decode_picture(data, coder.format_name)) <= target_mse

    try:
        i = bisect_left(coder.steps, True, key=reaches_target)
    except PictureError as error:
        return _Finding(variant, obstacle=f"failed: {error}")
    if i == len(coder.steps):
        return _Finding(variant, obstacle="does not reach this PSNR at any quality")
    return _Finding(variant, coder.steps[i], sizes[coder.steps[i]])


def _to_task(coder: LossyCoder, findings: list[_Finding], original: NDArray[np.uint8]) -> Task:
    """Return how the smallest file that was found is made."""
    best = min(findings, key=lambda found: (found.obstacle != "", found.file_bytes))
    settings = f"quality {best.step / coder.steps_per_quality:g}, {coder.variants[best.variant][0]}"
    encode = partial(coder.encode, original, best.variant, best.step)
    return Task(
        coder.name, "" if best.obstacle else settings, coder.format_name, False, encode, best.obstacle
    )
