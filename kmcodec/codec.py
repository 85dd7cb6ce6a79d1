"""Pictures <-> .kmq, as one call each: quantization and container put together."""

from __future__ import annotations

import builtins
import os
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmcodec.budget import fit_colors
from kmcodec.checks import check_pixels
from kmcodec.container.parts import DEFAULT_MAX_PIXELS
from kmcodec.container.reader import KmqReader
from kmcodec.container.writer import check_coding, write_image
from kmcodec.files import write_atomically
from kmcodec.lossy import check_lossy, encode_lossy, is_lossy
from kmcodec.metadata import Metadata, check_metadata
from kmcodec.quantize.quantizer import quantize
from kmcodec.recipe import build_recipe, describe_source
from kmcodec.streaming import Rows, is_on_disk, write_rows
from kmcodec.threads import OnProgress


def encode(
    rgb: ArrayLike,
    n_colors: int | Literal["auto"] = 64,
    *,
    coding: Literal["packed", "context"] = "packed",
    strip_rows: int | None = None,
    metadata: Metadata | None = None,
    recipe: bool = False,
    max_bytes: int | None = None,
    lossy: float | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    rgb : array_like, shape (height, width, 3) or (height, width, 4), uint8
        sRGB, with straight alpha as fourth channel. Not modified.
    n_colors : int or "auto", default 64
        K, 1..65536. A picture of at most that many distinct colours is stored exactly. "auto" as for
        kmcodec.quantize.
    coding : "packed" or "context", default "packed"
        How indices become bytes: ceil(log2 K) bits each, so that any region is read without the rest; or in
        as few as a model of each pixel's surroundings makes them, which takes about a microsecond a pixel, in
        encoding and in decoding.
    strip_rows : int, optional
        Rows that are stored and checked together; default: about a million pixels' worth, with context
        coding four million.
    metadata : Metadata, optional
        What goes with the picture.
    recipe : bool, default False
        Whether to record in the file how it was made: the options, and size and SHA-256 of the pixels.
    max_bytes : int, optional
        Size of the file at most. With packed coding, n_colors is lowered to what fits; with context coding,
        that or other colours where they cost less, whichever gives the lower error, which takes fifty times
        as long as encoding once (fifteen with effort="fast").
    lossy : float, optional
        With context coding, for smaller files: the squared error (R, G and B summed, 0..255) that a bit is
        worth. Where another colour than the nearest costs so many fewer bits, it is taken, and the palette
        fits what was taken. 5 is hardly visible, 20 in smooth gradients, 100 in most places; 0 changes
        nothing. n_colors is then the most; 256 is a good start.
    on_progress : callable, optional
        Is told the name of the work, and pixels done and in all, while they are coded; by any thread, but one
        at a time.
    **options
        Options of kmcodec.quantize.

    Returns
    -------
    bytes
        A .kmq file; the same on every machine.

    Raises
    ------
    TargetError
        If max_bytes, target_psnr or target_ssim is out of reach.
    MissingExtraError
        If target_ssim is given, and scikit-image is not installed.
    TypeError, ValueError
        If an argument has the wrong type, or is out of range.
    """
    pixels = check_pixels(rgb)
    check_coding(coding)
    lossy = check_lossy(lossy, coding, max_bytes)
    metadata = check_metadata(metadata)
    if recipe:
        asked = build_recipe(n_colors, options, max_bytes=max_bytes, lossy=lossy)
        metadata = replace(metadata, recipe=asked | describe_source(pixels))
    sections = metadata.to_sections()
    if is_lossy(coding, lossy, max_bytes):
        return encode_lossy(
            pixels,
            n_colors,
            options,
            lossy,
            max_bytes,
            strip_rows=strip_rows,
            sections=sections,
            on_progress=on_progress,
        )
    if max_bytes is not None:
        n_colors, options = fit_colors(
            n_colors,
            options,
            max_bytes,
            width=pixels.shape[1],
            height=pixels.shape[0],
            has_alpha=bool((pixels[:, :, 3:] != 255).any()),
            strip_rows=strip_rows,
            sections=sections,
        )
    image = replace(quantize(pixels, n_colors, **options), sections=sections)
    return write_image(
        image,
        strip_rows=strip_rows,
        coding=coding,
        threads=options.get("threads"),
        on_progress=on_progress,
    )


def decode(
    data: bytes | bytearray | memoryview,
    *,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    threads: int | None = None,
) -> NDArray[np.uint8]:
    """Decode a picture.

    Parameters
    ----------
    data : bytes-like
        A .kmq file.
    max_pixels : int or None, default 2**28
        A picture of more pixels is refused; None allows any. A picture of one colour, for which a file holds
        no bytes, counts eightfold.
    threads : int, optional
        Default: all processors.

    Returns
    -------
    ndarray, shape (height, width, 3) or, if the file has alpha, (height, width, 4), uint8

    Raises
    ------
    KmqFormatError
        If data is not a valid file, by the least bit.
    LimitExceededError
        If the picture has too many pixels.
    TypeError
        If data is neither bytes-like nor a file object.
    """
    return KmqReader(data, max_pixels=max_pixels).pixels(threads=threads)


def write(
    path: str | os.PathLike[str],
    rgb: ArrayLike | Rows,
    n_colors: int | Literal["auto"] = 64,
    **options: Any,
) -> None:
    """Encode a picture into a file, which is replaced only when the new one is complete.

    Parameters
    ----------
    path : path-like
    rgb : array_like or Rows
        As for encode. A picture on disk is read in blocks, twice, and needs not fit into memory: a memory
        map (``np.load(path, mmap_mode="r")``), or an array that gives its rows by slicing, as those of h5py
        and zarr. target_ssim, target_psnr with dithering, lossy, and max_bytes with context coding need it in
        memory.
    n_colors, **options
        As for encode.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is then still there.
    TargetError, MissingExtraError, TypeError, ValueError
        As for encode.
    """
    if is_on_disk(rgb):
        write_rows(path, cast("Rows", rgb), n_colors, **options)
    else:
        write_atomically(path, encode(cast("ArrayLike", rgb), n_colors, **options), overwrite=True)


def open(path: str | os.PathLike[str], *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> KmqReader:
    """Open a file to read parts of it; use it in a with-block, or close it.

    Parameters
    ----------
    path : path-like
    max_pixels : int or None, default 2**28
        As for decode.

    Returns
    -------
    KmqReader

    Raises
    ------
    OSError
        If the file cannot be read.
    KmqFormatError, LimitExceededError
        As for decode.
    """
    # Without a buffer, so that no more is read than is asked for.
    file = builtins.open(path, "rb", buffering=0)  # noqa: SIM115  # the reader keeps and closes it
    try:
        return KmqReader(file, max_pixels=max_pixels)
    except BaseException:
        file.close()
        raise


def read(path: str | os.PathLike[str], *, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a file.

    Parameters, result and errors are those of open and decode.
    """
    with open(path, max_pixels=max_pixels) as reader:
        return reader.pixels()
