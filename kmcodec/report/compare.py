"""Compare a .kmq file with what other formats make of the same picture.

Owns what counts as the same quality: the same pixels, or the same PSNR against the original. Every file is
made here and now, decoded again and checked; nothing is estimated.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.checks import check_pixels
from kmcodec.errors import MissingExtraError, PictureError
from kmcodec.image import IndexedImage, drop_opaque_alpha
from kmcodec.metrics import mean_squared_error, psnr_db, structural_similarity
from kmcodec.pictures import decode_picture
from kmcodec.report.codings import ADJECTIVES
from kmcodec.report.lossless import plan_lossless
from kmcodec.report.lossy import list_lossy_coders, plan_lossy
from kmcodec.report.rival import Recoded, Rival, Task
from kmcodec.report.steps import Steps
from kmcodec.report.verdict import write_verdict
from kmcodec.threads import OnProgress, Workers

_Pixels = NDArray[np.uint8]


class Comparison(NamedTuple):
    """Hold a .kmq file beside its rivals.

    Attributes
    ----------
    rivals : tuple of Rival
        The .kmq file first, then what it is in the other coding, if that is known; the others by size, those
        without a file last.
    sentence : str
        The verdict, in plain words.
    """

    rivals: tuple[Rival, ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, ready for JSON; rivals as Rival.to_dict has them."""
        return {"rivals": [rival.to_dict() for rival in self.rivals], "sentence": self.sentence}


def compare(
    original: ArrayLike,
    image: IndexedImage,
    *,
    kmq_bytes: int,
    kmq_seconds: float | None = None,
    coding: str = "packed",
    recoded: Recoded | None = None,
    source_bytes: int | None = None,
    source_name: str = "",
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Compare a .kmq file with other formats at the same quality.

    Lossless formats are given the pixels of the .kmq file, and have to give back exactly those. Lossy formats
    are given the original, and get the least quality whose PSNR is that of the .kmq file or better; it is
    found by bisection, which takes PSNR to rise with quality. The files have no metadata. Times are those of
    one encode each, one after the other, while nothing else runs here.

    Parameters
    ----------
    original : array_like, shape (height, width, 3) or (height, width, 4), uint8
        sRGB with straight alpha. Not modified.
    image : IndexedImage
        The .kmq file, decoded.
    kmq_bytes : int
        Size of the .kmq file.
    kmq_seconds : float, optional
        What it took to encode.
    coding : str, default "packed"
        Of the .kmq file.
    recoded : Recoded, optional
        The same pixels in the other coding. The rivals then have to stand up to the smaller of the two.
    source_bytes : int, optional
        Size of the file from which the original was read.
    source_name : str
        Its name, to show.
    threads : int, optional
        By default as many as there are processors. oxipng always uses all of those, and AVIF two.
    on_progress : callable, optional
        Is told the name of the work, and steps done and in all; from any thread, one call at a time.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        If original is no such array, or has another width or height than image.
    """
    original = check_pixels(original)
    if original.shape[:2] != image.indices.shape:
        raise ValueError(
            f"the original has {original.shape[1]} x {original.shape[0]} pixels,"
            f" the .kmq file {image.width} x {image.height}"
        )
    # Alpha that is 255 everywhere would cost formats, or bar them, idly.
    original, image = drop_opaque_alpha(original), replace(image, palette=drop_opaque_alpha(image.palette))
    pixels = image.to_rgb()
    target_mse = mean_squared_error(original, pixels)
    with Workers(threads) as workers:
        coders = list_lossy_coders(image.indices.size, workers.count)
        tasks = plan_lossless(image, workers.count)
        n_searches = sum(len(coder.variants) for coder in coders)
        steps = Steps(on_progress, n_searches + len(tasks) + len(coders))
        steps.start("looking for qualities")
        tasks += plan_lossy(coders, original, image, target_mse, workers, steps.count_step)
        kmq = Rival(
            name=".kmq",
            settings=_describe_kmq(image, coding),
            is_lossless=True,
            file_bytes=kmq_bytes,
            seconds=kmq_seconds,
            psnr_db=psnr_db(target_mse),
            ssim=_measure_ssim(original, pixels, workers),
            note="",
        )
        others = []
        for task in tasks:
            steps.start(task.name)
            others.append(_run(task, original, pixels, kmq, workers))
            steps.count_step()
    source = None if source_bytes is None else _describe_source(source_bytes, source_name, kmq)
    ranked = sorted([*others, source] if source else others, key=_rank)
    if recoded is None:
        return Comparison((kmq, *ranked), write_verdict(kmq, others, source))
    again = kmq._replace(
        name=".kmq recoded",
        settings=_describe_kmq(image, recoded.coding),
        file_bytes=recoded.file_bytes,
        seconds=recoded.seconds,
    )
    return Comparison((kmq, again, *ranked), write_verdict(kmq, others, source, recoded))


def _describe_kmq(image: IndexedImage, coding: str) -> str:
    if len(image.palette) == 1:
        # There is nothing to code.
        return "1 colour"
    return f"{len(image.palette)} colours, {ADJECTIVES[coding]}"


def _rank(rival: Rival) -> float:
    return math.inf if rival.file_bytes is None else rival.file_bytes


def _describe_source(file_bytes: int, name: str, kmq: Rival) -> Rival:
    return Rival(
        name="original file",
        settings=f"{name}, as it is" if name else "as it is",
        is_lossless=False,
        file_bytes=file_bytes,
        seconds=None,
        psnr_db=math.inf,
        ssim=None if kmq.ssim is None else 1.0,
        note="",
    )


def _run(task: Task, original: _Pixels, pixels: _Pixels, kmq: Rival, workers: Workers) -> Rival:
    """Return what the file of a rival takes, made once, decoded and checked."""
    without = Rival(task.name, task.settings, task.is_lossless, None, None, None, None, task.obstacle)
    if task.obstacle:
        return without
    try:
        start = time.perf_counter()
        data = task.encode()
        seconds = time.perf_counter() - start
        decoded = decode_picture(data, task.format_name)
    except PictureError as error:
        return without._replace(note=f"failed: {error}")
    made = without._replace(file_bytes=len(data), seconds=seconds)
    if not task.is_lossless:
        psnr = psnr_db(mean_squared_error(original, decoded))
        return made._replace(psnr_db=psnr, ssim=_measure_ssim(original, decoded, workers))
    if not _are_equal(pixels, decoded):
        return without._replace(note="failed: does not give back the same pixels")
    return made._replace(psnr_db=kmq.psnr_db, ssim=kmq.ssim)


def _are_equal(a: _Pixels, b: _Pixels) -> bool:
    """Return whether pictures are the same in every sample; what has no alpha is opaque."""
    if a.shape[2] < b.shape[2]:
        a, b = b, a
    is_alike = a.shape[2] == b.shape[2] or bool((a[:, :, 3] == 255).all())
    return is_alike and np.array_equal(a[:, :, : b.shape[2]], b)


def _measure_ssim(a: _Pixels, b: _Pixels, workers: Workers) -> float | None:
    """Return SSIM, or None where it cannot be measured, be it that scikit-image is missing or broken."""
    try:
        return structural_similarity(a, b, workers)
    except (MissingExtraError, ImportError):
        return None
