"""kmq palette: one palette for many pictures."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.cli import inputs, outputs
from kmcodec.cli.encode import list_kept, warn_of_slowness
from kmcodec.cli.failures import UsageError, naming, show_path
from kmcodec.cli.progress import Progress
from kmcodec.errors import PaletteError
from kmcodec.metrics import psnr_db
from kmcodec.palettes.colors import hash_palette, list_colors
from kmcodec.palettes.files import encode_palette, find_palette_format
from kmcodec.palettes.textual import build_hex
from kmcodec.pictures import measure_picture
from kmcodec.quantize.choose import choose_palette_for_goal, measure_labels
from kmcodec.quantize.options import EFFORTS, Iteration, check_options
from kmcodec.quantize.quantizer import count_pictures
from kmcodec.report import text
from kmcodec.rows import opening_rows
from kmcodec.streaming import read_blocks
from kmcodec.threads import Workers


def run(options: argparse.Namespace) -> int:
    """Choose a palette, and write or print it."""
    output = None if options.output == "-" else options.output
    if options.inputs.count("-") > 1:
        raise UsageError("only one INPUT can be standard input")
    if output is not None:
        try:
            find_palette_format(output)
        except PaletteError as error:
            raise UsageError(str(error)) from None
        outputs.check(output, options.inputs, force=options.force)
    keep = list_kept(options.keep, options.colors)
    start = time.perf_counter()
    with Progress() as progress:

        def show(iteration: Iteration) -> None:
            progress.show_step("k-means", iteration.number, EFFORTS[options.effort].max_steps)

        request = check_options(
            options.colors,
            space=options.space,
            init=options.init,
            effort=options.effort,
            seed=options.seed,
            keep=keep,
            on_iteration=show,
        )
        with Workers(options.threads) as workers:
            histogram = count_pictures(_read_pictures(options, progress), workers)
            progress.show_task("k-means")
            choice = choose_palette_for_goal(histogram, request, workers)
    seconds = time.perf_counter() - start
    palette = choice.palette
    if output is not None:
        with naming(output):
            encoded = encode_palette(palette, output)
        outputs.write(output, encoded, force=options.force)
    if options.json:
        counts = np.bincount(choice.labels, histogram.counts, len(palette)).astype(np.int64)
        mse = measure_labels(histogram, palette, choice.labels)
        outputs.print_json(
            {
                "pictures": len(options.inputs),
                "colors": len(palette),
                "palette": list_colors(palette),
                "palette_sha256": hash_palette(palette),
                "pixels": counts.tolist(),
                "mse": mse,
                "psnr_db": psnr_db(mse) if mse else None,
                "seconds": round(seconds, 6),
            }
        )
    elif output is None:
        print(build_hex(palette).decode(), end="")
    elif not options.quiet:
        colors, pictures = text.count(len(palette), "colour"), text.count(len(options.inputs), "picture")
        print(f"{show_path(output)}: {colors} from {pictures}, SHA-256 {hash_palette(palette)}")
    return 0


def _read_pictures(options: argparse.Namespace, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    """Yield all pictures, large ones block by block."""
    for number, path in enumerate(options.inputs):
        progress.show_task("counting colours", number, len(options.inputs))
        with ExitStack() as stack:
            stack.enter_context(naming(path))
            rows: Any = None
            if path != "-":
                rows = stack.enter_context(opening_rows(path, partial(measure_picture, path)))
            if rows is None:
                rows = inputs.load(path)[0].pixels
            if number == 0:
                warn_of_slowness(options, rows.shape)
            yield from read_blocks(rows)
