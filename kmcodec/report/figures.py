"""The figures of a report's page: which they are, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import IndexedImage
from kmcodec.quantize.colorspace import SPACES
from kmcodec.quantize.options import EFFORTS, INITS, Iteration
from kmcodec.quantize.quantizer import quantize
from kmcodec.report import plots
from kmcodec.report.page import Figure
from kmcodec.report.steps import Steps
from kmcodec.report.tune import tune
from kmcodec.threads import OnProgress

_SPACE_CAPTION = (
    "Left, colours of the original; right, those of the palette, as large as their share of the pixels. Each"
    " point has its own colour."
)


def draw_figures(
    original: NDArray[np.uint8],
    image: IndexedImage,
    recorded: Mapping[str, Any] | None,
    *,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[Figure]:
    """Draw the colour space before and after, the elbow, and the convergence of k-means.

    Parameters
    ----------
    original : ndarray, shape (height, width, 3 or 4), uint8
    image : IndexedImage
        What became of it.
    recorded : mapping or None
        The recipe of the file, from which k-means takes its options where it is run again.
    threads : int, optional
        Default: all processors.
    on_progress : callable, optional
        Is told the name of the work, and steps done and in all.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    options = choose_options(recorded)
    steps = Steps(on_progress, 3)
    steps.start("tracing the curve")
    curve = tune(original, space=options["space"], perceptual=False, threads=threads)
    steps.count_step()
    steps.start("k-means")
    history: list[Iteration] = []
    quantize(original, len(image.palette), on_iteration=history.append, threads=threads, **options)
    steps.count_step()
    steps.start("drawing figures")
    with plots.drawing(for_page=True):
        figures = [
            Figure(
                f"The colours in {name}",
                _SPACE_CAPTION,
                plots.to_svg_element(plots.draw_space(original, image, space)),
            )
            for space, name in (("rgb", "RGB"), ("oklab", "Oklab"))
        ]
        figures.append(
            Figure(
                "How many colours",
                "The error and its elbow, which is where it is farthest below the dashed line; and what"
                " quality costs with packed indices. Powers of two are named: up to them, more colours take"
                " no more bits.",
                plots.to_svg_element(plots.draw_elbow(curve)),
            )
        )
        if history:
            words = ", ".join(f"{name} {value}" for name, value in options.items())
            figures.append(
                Figure(
                    "Convergence of k-means",
                    f"The error at each iteration, run again now with {words}.",
                    plots.to_svg_element(
                        plots.draw_convergence(history, original.shape[0] * original.shape[1])
                    ),
                )
            )
    return figures


def choose_options(recorded: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options for k-means: as a recipe has them where that makes sense, else the defaults."""
    options: dict[str, Any] = {"space": "srgb", "init": "split", "effort": "default", "seed": 0}
    for name, choices in (("space", SPACES), ("init", INITS), ("effort", EFFORTS)):
        value = (recorded or {}).get(name)
        if isinstance(value, str) and value in choices:
            options[name] = value
    seed = (recorded or {}).get("seed")
    if isinstance(seed, int) and 0 <= seed < 2**64:
        options["seed"] = int(seed)
    return options
