"""kmq plot: a picture of a picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from kmcodec.cli import inputs, outputs
from kmcodec.cli.failures import CommandError, UsageError, naming, show_path
from kmcodec.cli.interrupts import ending_at_once
from kmcodec.cli.progress import Progress
from kmcodec.container.reader import KmqReader
from kmcodec.image import IndexedImage
from kmcodec.pictures import Picture
from kmcodec.quantize.options import Iteration
from kmcodec.quantize.quantizer import quantize
from kmcodec.report import plots
from kmcodec.report.tune import tune


def run(options: argparse.Namespace) -> int:
    """Draw what is asked for."""
    with ending_at_once(), Progress() as progress:
        output = outputs.resolve(
            options.output,
            options.original,
            f"-{options.kind}.png",
            force=options.force,
            others=[] if options.input is None else [options.input],
        )
        outputs.check_plot(output, [], force=options.force)
        if options.original == options.input == "-":
            raise UsageError("only one of ORIGINAL and IN.kmq can be standard input")
        if options.input is not None and options.kind in ("elbow", "convergence"):
            raise UsageError(f"the plot {options.kind} is of the original alone")
        progress.show_task("reading")
        picture, _ = inputs.load(options.original)
        with plots.drawing():
            figure = _DRAWINGS[options.kind](options, picture, progress)
            progress.show_task("drawing")
            drawn = outputs.render_plot(output, figure)
    outputs.write(output, drawn, force=options.force)
    return 0


def _load_image(options: argparse.Namespace, picture: Picture, progress: Progress) -> IndexedImage:
    """Return the .kmq file, or what encoding the original gives where there is none."""
    if options.input is None:
        progress.show_task("k-means")
        return quantize(picture.pixels, options.colors, **_options_of(options))
    with inputs.opening_kmq(options.input) as file, naming(options.input):
        image = KmqReader(file, on_progress=progress.show_share).image()
    if image.indices.shape != picture.pixels.shape[:2]:
        raise CommandError(
            f"{show_path(options.input)}: has {image.width} x {image.height} pixels, the original"
            f" {picture.pixels.shape[1]} x {picture.pixels.shape[0]}"
        )
    return image


def _options_of(options: argparse.Namespace) -> dict[str, Any]:
    names = ("space", "init", "effort", "seed", "threads")
    return {name: getattr(options, name) for name in names}


def _draw_comparison(options: argparse.Namespace, picture: Picture, progress: Progress) -> Any:
    return plots.draw_comparison(picture.pixels, _load_image(options, picture, progress))


def _draw_palette(options: argparse.Namespace, picture: Picture, progress: Progress) -> Any:
    return plots.draw_palette(_load_image(options, picture, progress))


def _draw_space(options: argparse.Namespace, picture: Picture, progress: Progress) -> Any:
    return plots.draw_space(picture.pixels, _load_image(options, picture, progress), options.kind)


def _draw_elbow(options: argparse.Namespace, picture: Picture, progress: Progress) -> Any:
    progress.show_task("tracing the curve")
    curve = tune(picture.pixels, space=options.space, perceptual=False, threads=options.threads)
    return plots.draw_elbow(curve)


def _draw_convergence(options: argparse.Namespace, picture: Picture, progress: Progress) -> Any:
    progress.show_task("k-means")
    history: list[Iteration] = []
    quantize(picture.pixels, options.colors, on_iteration=history.append, **_options_of(options))
    if not history:
        raise CommandError(
            f"{show_path(options.original)}: has at most {options.colors} colours: nothing to iterate"
        )
    return plots.draw_convergence(history, picture.pixels.shape[0] * picture.pixels.shape[1])


_DRAWINGS: dict[str, Callable[[argparse.Namespace, Picture, Progress], Any]] = {
    "comparison": _draw_comparison,
    "palette": _draw_palette,
    "rgb": _draw_space,
    "oklab": _draw_space,
    "elbow": _draw_elbow,
    "convergence": _draw_convergence,
}
