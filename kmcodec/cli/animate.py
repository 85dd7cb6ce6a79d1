"""kmq animate: the iterations of k-means as an animation."""

from __future__ import annotations

import argparse

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import UsageError, naming
from kmcodec.cli.progress import Progress
from kmcodec.pictures import ANIMATION_FORMATS, encode_animation, find_format
from kmcodec.report.animate import draw_iterations, list_durations, share_palette


def run(options: argparse.Namespace) -> int:
    """Draw the iterations, and write them."""
    output = outputs.resolve(options.output, options.input, ".gif", force=options.force)
    format_name = "GIF"
    if output != "-":
        with naming(output):
            format_name = find_format(output)
    if format_name not in ANIMATION_FORMATS:
        raise UsageError(f"animations are written as .gif, .webp or .png, not as {format_name}")
    picture, _ = inputs.load(options.input)
    with Progress() as progress:
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
    drawn = share_palette(frames) if format_name == "GIF" else frames
    outputs.write(output, encode_animation(drawn, format_name, list_durations(frames)), force=options.force)
    return 0
