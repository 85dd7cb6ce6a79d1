"""kmq animate: the iterations of k-means as an animation."""

from __future__ import annotations

import argparse
import os

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import UsageError, show_path
from kmcodec.cli.interrupts import ending_at_once
from kmcodec.cli.progress import Progress
from kmcodec.pictures import ANIMATION_FORMATS, encode_animation
from kmcodec.report.animate import draw_iterations, list_durations, share_palette


def run(options: argparse.Namespace) -> int:
    """Draw the iterations, and write them."""
    with ending_at_once(), Progress() as progress:
        outputs.check_matplotlib()
        output = outputs.resolve(options.output, options.input, ".gif", force=options.force)
        suffix = ".gif" if output == "-" else os.path.splitext(output)[1].lower()
        if suffix not in ANIMATION_FORMATS:
            raise UsageError(f"animations are written as .gif, .webp or .png, not as {show_path(output)}")
        format_name = ANIMATION_FORMATS[suffix]
        picture, _ = inputs.load(options.input)
        progress.show_task("k-means")
        frames = draw_iterations(
            picture.pixels,
            options.colors,
            axes_space=options.axes,
            on_progress=progress.show_share,
            space=options.space,
            init=options.init,
            effort=options.effort,
            seed=options.seed,
            threads=options.threads,
        )
        progress.show_task("writing")
        drawn = share_palette(frames) if format_name == "GIF" else frames
        encoded = encode_animation(drawn, format_name, list_durations(frames))
    outputs.write(output, encoded, force=options.force)
    return 0
