"""Pictures of a picture: what its colours are, what became of them, and how they were found.

The only importer of matplotlib, which comes with the extra kmcodec[report]. Knows no files: figures are
drawn, and returned as bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmcodec import metrics
from kmcodec.errors import MissingExtraError
from kmcodec.image import IndexedImage
from kmcodec.quantize.colorspace import SPACES
from kmcodec.quantize.options import Iteration
from kmcodec.report.tune import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Formats that render writes, by suffix.
FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}

#: What is needed for plots, and how to get it.
HINT = "plots need matplotlib: pip install 'kmcodec[report]'"

# In pages, text and axes have the colour of the text around them. No plot has this one.
_PAGE_INK = "#010203"
_PAPER_INK = "#222222"
_GRID = "#8888884d"
_ACCENT = "#d9480f"

# Points of a scatter plot: enough to show the shape, few enough to be seen through.
_MOST_POINTS = 5000

# Colours in a plot of the palette; with more they could not be told apart.
_MOST_SWATCHES = 256
_SWATCHES_PER_ROW = 16
_MOST_LABELS = 64

# Pixels of a picture in a plot, along a side.
_MOST_SIDE = 1200


def has_matplotlib() -> bool:
    """Return whether plots can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def require_matplotlib() -> None:
    """Raise MissingExtraError where plots cannot be drawn."""
    if not has_matplotlib():
        raise MissingExtraError(HINT)


@contextmanager
def drawing(*, for_page: bool = False) -> Iterator[None]:
    """Set colours and fonts of the figures that are drawn and rendered in this block.

    Parameters
    ----------
    for_page : bool
        For to_svg_element: transparent, in the colour of the text around it. Otherwise on white.
    """
    require_matplotlib()
    import matplotlib as mpl

    ink = _PAGE_INK if for_page else _PAPER_INK
    settings: dict[str, Any] = {
        "text.color": ink,
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "xtick.color": ink,
        "ytick.color": ink,
        "grid.color": _GRID,
        "legend.frameon": False,
        "figure.facecolor": "none" if for_page else "white",
        "axes.facecolor": "none",
        "savefig.facecolor": "auto",
        "savefig.dpi": 150,
        # Same figure, same bytes.
        "svg.hashsalt": "kmcodec",
    }
    with mpl.rc_context({**mpl.rcParamsDefault, "backend": "agg", **settings}):
        yield


def render(figure: Figure, format_name: str) -> bytes:
    """Return a figure as the bytes of a file; format_name is one of FORMATS' values."""
    buffer = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(buffer, format=format_name, metadata=metadata[format_name], bbox_inches="tight")
    return buffer.getvalue()


def to_svg_element(figure: Figure) -> str:
    """Return a figure, drawn for a page, as an <svg> element in which ink is currentColor."""
    svg = render(figure, "svg").decode()
    return svg[svg.index("<svg") :].replace(_PAGE_INK, "currentColor")


def to_pixels(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure as it is seen, shape (height, width, 3), uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def draw_comparison(original: NDArray[np.uint8], image: IndexedImage) -> Figure:
    """Draw a picture before and after, and the amplified difference.

    Parameters
    ----------
    original : ndarray, shape (height, width, 3 or 4), uint8
    image : IndexedImage
        Of the same size.
    """
    # Every so many pixels: a plot is for a look.
    step = -(-max(original.shape[:2]) // _MOST_SIDE)
    before = metrics.lay_on(original[::step, ::step], 255)
    after = metrics.lay_on(image.palette[image.indices[::step, ::step]], 255)
    colors = len(image.palette)
    background = " on white" if 4 in (original.shape[2], image.palette.shape[1]) else ""
    panels = {
        "original": before,
        f"{colors} colour{'s' if colors != 1 else ''}": after,
        f"difference{background}, {metrics.AMPLIFICATION} times": amplify(before, after),
    }
    height, width = before.shape[:2]
    is_wide = width > 2 * height
    rows, columns = (3, 1) if is_wide else (1, 3)
    # In inches; titles need some room beside slim pictures.
    scale = 7.2 / width if is_wide else 4.5 / max(height, width)
    figure = new_figure(columns * max(1.4, scale * width), rows * (max(0.2, scale * height) + 0.3))
    for axes, (title, pixels) in zip(figure.subplots(rows, columns), panels.items(), strict=True):
        axes.imshow(pixels, interpolation="nearest" if max(height, width) < 400 else "antialiased")
        axes.set_title(title)
        axes.set_axis_off()
    return figure


def amplify(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the absolute difference of two pictures times metrics.AMPLIFICATION, at most 255."""
    difference = np.abs(before.astype(np.int16) - after) * metrics.AMPLIFICATION
    amplified: NDArray[np.uint8] = np.minimum(difference, 255).astype(np.uint8)
    return amplified


def draw_palette(image: IndexedImage) -> Figure:
    """Draw the colours of an image, the most used first, with the share of pixels that each has."""
    counts = np.bincount(image.indices.ravel(), minlength=len(image.palette))
    order = np.argsort(-counts, kind="stable")[:_MOST_SWATCHES]
    colors = to_opaque(image.palette[order]) / 255
    columns = min(_SWATCHES_PER_ROW, len(order))
    rows = -(-len(order) // columns)
    # Room for the numbers, where there are any.
    pitch = 1.5 if len(order) <= _MOST_LABELS else 1.0
    figure = new_figure(max(5.0, 0.65 * columns), 0.65 * pitch * rows + 0.6)
    axes = figure.subplots()
    for place, (index, color) in enumerate(zip(order, colors, strict=True)):
        row, column = divmod(place, columns)
        axes.add_patch(_square(column, row * pitch, color))
        if len(order) <= _MOST_LABELS:
            share = 100 * counts[index] / image.indices.size
            axes.text(column + 0.5, row * pitch + 1.25, f"{share:.2g} %", ha="center", va="center", size=8)
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows * pitch + 0.1, -0.1), aspect="equal")
    shown = f"the {len(order)} most used of " if len(order) < len(image.palette) else ""
    axes.set_title(f"{shown}{len(image.palette)} colours, by their share of the pixels")
    axes.set_axis_off()
    return figure


def draw_space(original: NDArray[np.uint8], image: IndexedImage, space: str) -> Figure:
    """Draw colours in a colour space: those of the original, and those of the palette.

    Parameters
    ----------
    original : ndarray, shape (height, width, 3 or 4), uint8
    image : IndexedImage
    space : {"rgb", "oklab"}
        The axes. Points have their own colours; those of the palette are as large as their share of the
        pixels.
    """
    figure = new_figure(8.4, 4)
    before, after = (figure.add_subplot(1, 2, n, projection="3d") for n in (1, 2))
    colors = sample_colors(original)
    scatter_colors(before, colors, space, size=4)
    before.set_title(f"original, {_say_sample(original, len(colors))}")
    counts = np.bincount(image.indices.ravel(), minlength=len(image.palette))
    scatter_centroids(after, image.palette, counts, space)
    after.set_title(f"{len(image.palette)} colours, sized by their share of the pixels")
    for axes in (before, after):
        frame_space(axes, colors, space)
    return figure


def draw_elbow(curve: Curve) -> Figure:
    """Draw error and PSNR against the number of colours, with the elbow."""
    colors = [point.colors for point in curve.points]
    errors = [point.mse for point in curve.points]
    figure = new_figure(8.4, 3.6)
    left, right = figure.subplots(1, 2)
    left.plot(colors, errors, "o-", color="C0", markersize=4)
    if len(colors) > 1:
        # The line from which the elbow is farthest.
        left.plot([colors[0], colors[-1]], [errors[0], errors[-1]], "--", color="C7", linewidth=1)
    elbow = next(point for point in curve.points if point.colors == curve.elbow)
    left.plot([elbow.colors], [elbow.mse], "o", color=_ACCENT, markersize=9, label=f"elbow: {elbow.colors}")
    sizes = {"packed": [point.file_bytes for point in curve.points]}
    coded = [point.context_bytes for point in curve.points if point.context_bytes is not None]
    if len(coded) == len(curve.points):
        sizes["context-coded"] = coded
    for number, (name, file_bytes) in enumerate(sizes.items()):
        places = [
            (size / 1000, point.psnr_db, point.colors)
            for size, point in zip(file_bytes, curve.points, strict=True)
            if point.mse
        ]
        x, y = [kilobytes for kilobytes, _, _ in places], [psnr_db for _, psnr_db, _ in places]
        right.plot(x, y, "o-", color=f"C{2 * number}", markersize=4, label=name)
        for kilobytes, psnr_db, n_colors in places:
            if n_colors == elbow.colors:
                right.plot([kilobytes], [psnr_db], "o", color=_ACCENT, markersize=9)
            # Powers of two, so that the names do not run into each other.
            if n_colors & (n_colors - 1) == 0:
                place = kilobytes, psnr_db
                right.annotate(str(n_colors), place, xytext=(5, -11), textcoords="offset points", size=8)
    left.set(xlabel="colours (K)", ylabel="squared error per pixel", title="error against colours")
    right.set(xlabel="file, kilobytes", ylabel="PSNR, dB", title="quality against size, by colours")
    if len(sizes) == 1:
        right.set_xlabel("file with packed indices, kilobytes")
    elif right.has_data():
        right.legend()
    left.legend()
    for axes in (left, right):
        axes.grid(visible=True)
    return figure


def draw_convergence(history: Sequence[Iteration], n_pixels: int) -> Figure:
    """Draw the error at each step of k-means.

    Parameters
    ----------
    history : sequence of Iteration
        At least one.
    n_pixels : int
        Of the picture.
    """
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    errors = [iteration.inertia / n_pixels for iteration in history]
    axes.plot(range(len(errors)), errors, "o-", color="C0", markersize=4)
    axes.plot(
        [len(errors) - 1], errors[-1:], "o", color=_ACCENT, markersize=8, label=f"end: {errors[-1]:.4g}"
    )
    axes.set(xlabel="iteration", ylabel="squared error per pixel")
    axes.set_title("convergence of k-means")
    axes.grid(visible=True)
    axes.legend()
    return figure


def sample_colors(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return distinct colours of a picture, at most 5000, evenly spread over all of them, shape (n, 3)."""
    flat = pixels.reshape(-1, pixels.shape[2])
    if pixels.shape[2] == 4:
        flat = flat[flat[:, 3] > 0]
    codes = np.unique(flat[:, :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32))
    codes = codes[:: -(-len(codes) // _MOST_POINTS) or 1]
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.uint8)


def scatter_colors(
    axes: Any, colors: NDArray[np.uint8], space: str, *, size: float, paint: Any = None
) -> None:
    """Draw colours as points in 3-D axes, in their own colours or, where given, in those of paint."""
    shown = colors / 255 if paint is None else paint
    axes.scatter(*locate_colors(colors, space).T, c=shown, s=size, linewidths=0, alpha=0.7, rasterized=True)


def scatter_centroids(axes: Any, colors: NDArray[Any], counts: NDArray[np.int64], space: str) -> None:
    """Draw colours as points in 3-D axes, as large as their counts, and seen where they are few."""
    opaque = to_opaque(colors)
    sizes = 12 + 1500 * counts / max(1, counts.sum())
    axes.scatter(
        *locate_colors(opaque, space).T,
        c=opaque / 255,
        s=sizes,
        edgecolors="#888888",
        linewidths=0.5,
        depthshade=False,
        alpha=1,
        # As shapes, thousands of them would be slow to show.
        rasterized=len(colors) > _MOST_SWATCHES,
    )


def frame_space(axes: Any, colors: NDArray[np.uint8], space: str) -> None:
    """Set names and limits of 3-D axes, so that all plots of the colours of a picture can be compared."""
    if space == "rgb":
        axes.set(xlim=(0, 255), ylim=(0, 255), zlim=(0, 255), xlabel="R", ylabel="G", zlabel="B")
    else:
        chroma = float(np.abs(locate_colors(colors, space)[:, :2]).max(initial=0.05))
        limits = (-chroma, chroma)
        axes.set(xlim=limits, ylim=limits, zlim=(0, 1), xlabel="a", ylabel="b", zlabel="L")
    axes.view_init(elev=24, azim=-58)
    axes.locator_params(nbins=4)
    # The names of the axes need room beside the box.
    axes.set_box_aspect((1, 1, 0.8), zoom=0.88)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set_alpha(0)


def new_figure(width: float, height: float, dpi: int = 100) -> Figure:
    """Return a figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def _square(x: float, y: float, color: NDArray[np.float64]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, facecolor=color, edgecolor="#88888880", linewidth=0.5)


def to_opaque(colors: NDArray[Any]) -> NDArray[np.uint8]:
    """Return colours, shape (n, 3 or 4), 0..255, as they are seen on white."""
    rounded = np.rint(colors).astype(np.uint8)
    opaque: NDArray[np.uint8] = metrics.lay_on(rounded[None], 255)[0]
    return opaque


def locate_colors(colors: NDArray[np.uint8], space: str) -> NDArray[np.float64]:
    """Return where colours, shape (n, 3), lie in a plot: R, G, B, or a, b and L of Oklab."""
    if space == "rgb":
        return colors.astype(np.float64)
    oklab = SPACES["oklab"]
    lightness, a, b, _ = (oklab.to_points(colors) / oklab.scale).T
    # The quantizer's opponent colours count double.
    return np.stack([a / 2, b / 2, lightness], axis=-1)


def _say_sample(original: NDArray[np.uint8], n_colors: int) -> str:
    return f"{n_colors} of its colours" if n_colors > _MOST_POINTS // 2 else f"{n_colors} colours"
