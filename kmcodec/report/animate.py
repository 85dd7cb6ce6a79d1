"""k-means at work: its iterations, drawn in the colour space and in the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmcodec.image import IndexedImage
from kmcodec.metrics import lay_on
from kmcodec.quantize.options import Iteration
from kmcodec.quantize.quantizer import quantize
from kmcodec.report import plots

# Milliseconds that a frame is shown, and the last one.
_FRAME_MS = 350
_LAST_FRAME_MS = 2500

# Pixels of the picture in a frame, along a side.
_MOST_SIDE = 480


def draw_iterations(
    rgb: NDArray[np.uint8],
    n_colors: int,
    *,
    axes_space: str = "rgb",
    on_progress: Callable[[str, int, int], Any] | None = None,
    **options: Any,
) -> list[NDArray[np.uint8]]:
    """Quantize a picture, and draw a frame for each iteration.

    On the left are its colours, each in the colour of the nearest centroid, and the centroids, as large as
    their share of the pixels; on the right is the picture in the colours of the centroids.

    Parameters
    ----------
    rgb : ndarray, shape (height, width, 3 or 4), uint8
        Not modified.
    n_colors : int
        K.
    axes_space : {"rgb", "oklab"}
        The axes.
    on_progress : callable, optional
        Is told the name of the work, and frames done and in all.
    **options
        Options of kmcodec.quantize.

    Returns
    -------
    list of ndarray, shape (height, width, 3), uint8
        All of one size; a single one where there is nothing to iterate.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    TypeError, ValueError
        As for kmcodec.quantize.
    """
    plots.require_matplotlib()
    history: list[Iteration] = []
    result = quantize(rgb, n_colors, on_iteration=history.append, **options)
    # Every so many pixels: a frame is small.
    step = -(-max(rgb.shape[:2]) // _MOST_SIDE)
    small = rgb[::step, ::step]
    space = options.get("space", "srgb")
    steps = [(_describe(iteration, rgb), to_palette(iteration)) for iteration in history]
    steps.append((f"end: {len(result.palette)} colours", result.palette))
    frames = []
    with plots.drawing():
        colors = plots.sample_colors(small)
        for done, (title, palette) in enumerate(steps):
            image = quantize(small, palette=palette, space=space, threads=options.get("threads"))
            frames.append(_draw_frame(colors, image, title, axes_space, space))
            if on_progress is not None:
                on_progress("drawing", done + 1, len(steps))
    return frames


def share_palette(frames: list[NDArray[np.uint8]]) -> list[IndexedImage]:
    """Return frames in 256 colours, which they share."""
    whole = quantize(np.concatenate(frames), 256)
    height = len(frames[0])
    tops = range(0, whole.height, height)
    return [IndexedImage(whole.palette, whole.indices[top : top + height]) for top in tops]


def list_durations(frames: list[NDArray[np.uint8]]) -> list[int]:
    """Return for how many milliseconds to show each frame."""
    return [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS]


def _draw_frame(
    colors: NDArray[np.uint8], image: IndexedImage, title: str, axes_space: str, space: str
) -> NDArray[np.uint8]:
    figure = plots.new_figure(10, 5, dpi=96)
    left = figure.add_subplot(1, 2, 1, projection="3d")
    # A picture that is all transparent has none.
    if len(colors):
        nearest = quantize(colors[None], palette=image.palette, space=space).to_rgb()[0]
        plots.scatter_colors(left, colors, axes_space, size=5, paint=plots.to_opaque(nearest) / 255)
    counts = np.bincount(image.indices.ravel(), minlength=len(image.palette))
    plots.scatter_centroids(left, image.palette, counts, axes_space)
    plots.frame_space(left, colors, axes_space)
    right = figure.add_subplot(1, 2, 2)
    right.imshow(lay_on(image.to_rgb(), 255), interpolation="nearest")
    right.set_axis_off()
    figure.suptitle(title)
    return plots.to_pixels(figure)


def _describe(iteration: Iteration, rgb: NDArray[np.uint8]) -> str:
    error = iteration.inertia / (rgb.shape[0] * rgb.shape[1])
    return f"iteration {iteration.number}: squared error {error:.4g} per pixel"


def to_palette(iteration: Iteration) -> NDArray[np.uint8]:
    """Return the centroids of an iteration as colours, with straight alpha."""
    centroids = iteration.centroids.copy()
    if centroids.shape[1] == 4:
        centroids[:, :3] *= 255 / np.maximum(centroids[:, 3:], 1)
    return np.clip(np.rint(centroids), 0, 255).astype(np.uint8)
