"""kmq palette: one palette for many pictures."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.cli import inputs, outputs, urls
from kmcodec.cli.encode import list_kept, warn_of_slowness
from kmcodec.cli.failures import UsageError, naming, show_path
from kmcodec.cli.progress import Progress
from kmcodec.errors import PaletteError
from kmcodec.metrics import psnr_db
from kmcodec.palettes.colors import hash_palette, list_colors
from kmcodec.palettes.files import encode_palette, find_palette_format
from kmcodec.palettes.textual import build_hex
from kmcodec.quantize.choose import choose_palette_for_goal, measure_labels
from kmcodec.quantize.histogram import Histogram
from kmcodec.quantize.options import EFFORTS, Iteration, check_options
from kmcodec.quantize.palette import Choice
from kmcodec.quantize.quantizer import count_pictures
from kmcodec.report import text
from kmcodec.streaming import read_blocks
from kmcodec.threads import Workers


def run(options: argparse.Namespace) -> int:
    """Choose a palette, and write or print it."""
    output = _check_output(options)
    start = time.perf_counter()
    with Progress() as progress:
        histogram, choice = _choose(options, progress)
    seconds = time.perf_counter() - start
    palette = choice.palette
    if output is not None:
        with naming(output):
            encoded = encode_palette(palette, urls.find_path(output))
        outputs.write(output, encoded, force=options.force)
    if options.json:
        described = _describe(histogram, choice)
        outputs.print_json({"pictures": len(options.inputs), **described, "seconds": round(seconds, 6)})
    elif output is None:
        print(build_hex(palette).decode(), end="")
    elif not options.quiet:
        colors, pictures = text.count(len(palette), "colour"), text.count(len(options.inputs), "picture")
        print(f"{show_path(output)}: {colors} from {pictures}, SHA-256 {hash_palette(palette)}")
    return 0


def _check_output(options: argparse.Namespace) -> str | None:
    """Return the path of the palette file, None for standard output, and check it before any work is done."""
    if options.inputs.count("-") > 1:
        raise UsageError("only one INPUT can be standard input")
    if options.output in (None, "-"):
        return None
    output = str(options.output)
    try:
        find_palette_format(urls.find_path(output))
    except PaletteError as error:
        raise UsageError(str(error)) from None
    outputs.check(output, options.inputs, force=options.force)
    return output


def _choose(options: argparse.Namespace, progress: Progress) -> tuple[Histogram, Choice]:
    """Return the colours of all pictures, and the palette for them."""
    steps = EFFORTS[options.effort].max_steps

    def show(iteration: Iteration) -> None:
        progress.show_step("k-means", iteration.number, steps)

    request = check_options(
        options.colors,
        space=options.space,
        init=options.init,
        effort=options.effort,
        seed=options.seed,
        keep=list_kept(options.keep, options.colors),
        on_iteration=show,
    )
    with Workers(options.threads) as workers:
        histogram = count_pictures(_read_pictures(options, progress), workers)
        progress.show_task("k-means")
        return histogram, choose_palette_for_goal(histogram, request, workers)


def _read_pictures(options: argparse.Namespace, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    """Yield all pictures, large ones block by block."""
    for number, path in enumerate(options.inputs):
        progress.show_task("counting colours", number, len(options.inputs))
        with inputs.opening_rows(path) as rows, naming(path):
            # Whole pictures are read in blocks, too, so that there is one way.
            picture = inputs.load(path)[0].pixels if rows is None else rows
            if number == 0:
                warn_of_slowness(options, picture.shape)
            yield from read_blocks(picture)
        # Not in memory while the next one is read.
        del picture


def _describe(histogram: Histogram, choice: Choice) -> dict[str, Any]:
    """Return a palette for JSON, with what it makes of the pixels of all pictures."""
    palette = choice.palette
    counts = np.bincount(choice.labels, histogram.counts, len(palette)).astype(np.int64)
    mse = measure_labels(histogram, palette, choice.labels)
    return {
        "colors": len(palette),
        "palette": list_colors(palette),
        "palette_sha256": hash_palette(palette),
        "pixels": counts.tolist(),
        "mse": mse,
        # None where it is infinite.
        "psnr_db": psnr_db(mse) if mse else None,
    }
