"""Compare kmcodec.quantize with other quantizers: error and time.

    python benchmarks/quantize.py PICTURE... [-k 16 64 256] [--best-known CSV] [--json OUT] [--slow]
        [--megapixels N]

Peers are those that are installed: libimagequant (package imagequant), pngquant (the command), Pillow's
median cut and octree, and with --slow scikit-learn's KMeans (greedy k-means++, 50 iterations, on distinct
colours) and OpenCV's kmeans (20 iterations), which take seconds for each picture. `pip install '.[bench]'`
installs them.

Each method runs in this process on the picture as an array (pngquant as a command, on a PNG), without
dithering; kmcodec with as many threads as there are processors. Methods take turns, five times; a time is
the median of a method's times, and a speed the median of the ratios of libimagequant's time to the method's
in the same round.

The error is the mean over pixels of the summed squared R, G, B error; of a picture with alpha, the mean of
that on black, on white and on middle grey. With scikit-image, delta E 2000 is the mean over pixels. Every
result is checked to have at most K colours, and kmcodec's to come back from a .kmq file.

The summary has geometric means over pictures. --best-known names a CSV file of the columns image, k and
best_known: errors are also given relative to those above 0.5.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import io
import json
import math
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import kmcodec
from kmcodec.container.writer import write_image
from kmcodec.pictures import load_picture

Pixels = NDArray[np.uint8]

ROUNDS = 5
SLOW_ROUNDS = 1
REFERENCE = "libimagequant"


class Result(NamedTuple):
    """Hold one method's result on one picture."""

    picture: str
    k: int
    method: str
    mse: float
    delta_e: float | None
    milliseconds: float
    speed: float | None
    relative_mse: float | None


def main() -> None:
    """Print a row for each picture, K and method, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+")
    parser.add_argument("-k", type=int, nargs="+", default=[16, 64, 256], metavar="K")
    parser.add_argument("--best-known", metavar="CSV")
    parser.add_argument("--json", metavar="OUT")
    parser.add_argument("--megapixels", type=float, help="resize each picture to so many")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--no-peers", action="store_true", help="kmcodec only")
    parser.add_argument("--no-delta-e", action="store_true", help="it takes longer than all the rest")
    options = parser.parse_args()
    if not kmcodec.COMPILED:
        raise SystemExit("the kernels are not compiled: there is nothing to measure")
    best_known = read_best_known(options.best_known)
    methods = list(list_methods(peers=not options.no_peers, slow=options.slow))
    print(
        "| picture | K | method | mse | of best known | delta E | ms | speed |\n"
        "|---|--:|---|--:|--:|--:|--:|--:|"
    )
    results = []
    for path in options.pictures:
        pixels = load_picture(path)
        if options.megapixels:
            pixels = resize(pixels, options.megapixels)
        name = os.path.splitext(os.path.basename(path))[0]
        for k in options.k:
            for result in compare(
                name, pixels, k, methods, best_known.get((name, k)), not options.no_delta_e
            ):
                print(format_row(result), flush=True)
                results.append(result)
    print(summarize(results))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([result._asdict() for result in results], file, indent=1)


def resize(pixels: Pixels, megapixels: float) -> Pixels:
    """Return a picture of that many megapixels."""
    height, width = pixels.shape[:2]
    scale = (megapixels * 1e6 / (width * height)) ** 0.5
    size = round(scale * width), round(scale * height)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def read_best_known(path: str | None) -> dict[tuple[str, int], float]:
    """Return the best known error of each picture and K; those of 0.5 or less are hardly errors."""
    if path is None:
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = [(row["image"], int(row["k"]), float(row["best_known"])) for row in csv.DictReader(file)]
    return {(image, k): value for image, k, value in rows if value > 0.5}


Method = tuple[str, int, Callable[[Pixels, int], Callable[[], Pixels]]]


def list_methods(*, peers: bool, slow: bool) -> Iterator[Method]:
    """Yield name, rounds and a function that prepares a picture and K, and returns what is to be timed."""
    for effort in ("fast", "default", "best"):
        yield f"kmcodec {effort}", ROUNDS, prepare_kmcodec(effort=effort)
    yield "kmcodec oklab", ROUNDS, prepare_kmcodec(space="oklab")
    if not peers:
        return
    if importlib.util.find_spec("imagequant"):
        yield REFERENCE, ROUNDS, prepare_imagequant
    if shutil.which("pngquant"):
        yield "pngquant", SLOW_ROUNDS, prepare_pngquant
    yield "Pillow median cut", ROUNDS, prepare_pillow(Image.Quantize.MEDIANCUT)
    yield "Pillow octree", ROUNDS, prepare_pillow(Image.Quantize.FASTOCTREE)
    if slow and importlib.util.find_spec("sklearn"):
        yield "scikit-learn", SLOW_ROUNDS, prepare_sklearn
    if slow and importlib.util.find_spec("cv2"):
        yield "OpenCV", SLOW_ROUNDS, prepare_opencv


def prepare_kmcodec(**options: Any) -> Callable[[Pixels, int], Callable[[], Pixels]]:
    """Return the function that prepares kmcodec with these options."""

    def prepare(pixels: Pixels, k: int) -> Callable[[], Pixels]:
        image = kmcodec.quantize(pixels, k, **options)
        np.testing.assert_array_equal(image.to_rgb(), kmcodec.decode(write_image(image)))
        return lambda: kmcodec.quantize(pixels, k, **options)  # type: ignore[return-value]

    return prepare


def prepare_imagequant(pixels: Pixels, k: int) -> Callable[[], Pixels]:
    """Prepare libimagequant at its usual speed."""
    imagequant = importlib.import_module("imagequant")
    height, width = pixels.shape[:2]
    data = add_alpha(pixels).tobytes()

    def run() -> Pixels:
        indices, palette = imagequant.quantize_raw_rgba_bytes(data, width, height, 0.0, min(k, 256))
        colors = np.array(palette, np.uint8).reshape(-1, 4)
        return colors[np.frombuffer(indices, np.uint8).reshape(height, width)]

    return run


def prepare_pngquant(pixels: Pixels, k: int) -> Callable[[], Pixels]:
    """Prepare pngquant at its slowest and best."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    command = ["pngquant", "--speed", "1", "--nofs", str(min(k, 256)), "-"]

    def run() -> Pixels:
        output = subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=True).stdout
        return np.asarray(Image.open(io.BytesIO(output)).convert("RGBA"))

    return run


def prepare_pillow(quantizer: Image.Quantize) -> Callable[[Pixels, int], Callable[[], Pixels]]:
    """Return the function that prepares one of Pillow's quantizers."""

    def prepare(pixels: Pixels, k: int) -> Callable[[], Pixels]:
        # Median cut knows no alpha: it gets the picture without.
        channels = 3 if quantizer == Image.Quantize.MEDIANCUT else 4
        image = Image.fromarray(pixels[:, :, :channels])
        return lambda: np.asarray(
            image.quantize(min(k, 256), method=quantizer, dither=Image.Dither.NONE).convert("RGBA")
        )

    return prepare


def prepare_sklearn(pixels: Pixels, k: int) -> Callable[[], Pixels]:
    """Prepare scikit-learn's KMeans on distinct colours."""
    cluster = importlib.import_module("sklearn.cluster")

    def run() -> Pixels:
        flat = pixels.reshape(-1, pixels.shape[2])
        colors, inverse, counts = np.unique(flat, axis=0, return_inverse=True, return_counts=True)
        kmeans = cluster.KMeans(min(k, len(colors)), n_init=1, max_iter=50, random_state=0)
        labels = kmeans.fit_predict(colors.astype(np.float64), sample_weight=counts)
        palette = np.clip(np.rint(kmeans.cluster_centers_), 0, 255).astype(np.uint8)
        found: Pixels = palette[labels[inverse.reshape(-1)]].reshape(pixels.shape)
        return found

    return run


def prepare_opencv(pixels: Pixels, k: int) -> Callable[[], Pixels]:
    """Prepare OpenCV's kmeans on all pixels."""
    cv2 = importlib.import_module("cv2")

    def run() -> Pixels:
        cv2.setRNGSeed(0)
        flat = pixels.reshape(-1, pixels.shape[2]).astype(np.float32)
        criteria = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0.0)
        _, labels, centers = cv2.kmeans(flat, k, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
        # Sums of 32-bit floating point can come to more than 255.
        palette = np.clip(np.rint(centers), 0, 255).astype(np.uint8)
        found: Pixels = palette[labels[:, 0]].reshape(pixels.shape)
        return found

    return run


def compare(
    name: str, pixels: Pixels, k: int, methods: list[Method], best_known: float | None, with_delta_e: bool
) -> Iterator[Result]:
    """Yield the results of all methods on a picture, timed in turn."""
    runs = {method: (rounds, prepare(pixels, k)) for method, rounds, prepare in methods}
    times: dict[str, list[float]] = {method: [] for method in runs}
    decoded = {}
    for turn in range(ROUNDS):
        for method, (rounds, run) in runs.items():
            if turn < rounds:
                start = time.perf_counter()
                output: Any = run()
                times[method].append(time.perf_counter() - start)
                decoded[method] = output.to_rgb() if isinstance(output, kmcodec.IndexedImage) else output
    for method, picture in decoded.items():
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) <= k, method
        ratios = [a / b for a, b in zip(times.get(REFERENCE, []), times[method], strict=False)]
        mse = measure_error(pixels, picture)
        yield Result(
            name,
            k,
            method,
            mse,
            measure_delta_e(pixels, picture) if with_delta_e else None,
            1000 * statistics.median(times[method]),
            statistics.median(ratios) if ratios else None,
            None if best_known is None else mse / best_known,
        )


def add_alpha(pixels: Pixels) -> Pixels:
    """Return a picture with four channels."""
    if pixels.shape[2] == 4:
        return pixels
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


def show_on(pixels: Pixels, background: int) -> NDArray[np.float64]:
    """Return a picture on a grey background, shape (height, width, 3)."""
    alpha = add_alpha(pixels)[:, :, 3:] / 255
    return pixels[:, :, :3] * alpha + background * (1 - alpha)


def measure_error(original: Pixels, picture: Pixels) -> float:
    """Return the mean squared error; with alpha, the mean over three backgrounds."""
    backgrounds = (0, 128, 255) if original.shape[2] == 4 else (0,)
    errors = [((show_on(original, b) - show_on(picture, b)) ** 2).sum(axis=2).mean() for b in backgrounds]
    return float(np.mean(errors))


def measure_delta_e(original: Pixels, picture: Pixels) -> float | None:
    """Return the mean CIEDE2000 difference on middle grey, if scikit-image is there."""
    if not importlib.util.find_spec("skimage"):
        return None
    color = importlib.import_module("skimage.color")
    labs = [color.rgb2lab(show_on(pixels, 128) / 255) for pixels in (original, picture)]
    return float(color.deltaE_ciede2000(*labs).mean())


def format_row(result: Result) -> str:
    """Return a row of the table."""
    cells = [result.picture, str(result.k), result.method, f"{result.mse:.2f}"]
    cells.append("" if result.relative_mse is None else f"{result.relative_mse:.4f}")
    cells.append("" if result.delta_e is None else f"{result.delta_e:.3f}")
    cells += [f"{result.milliseconds:.1f}", "" if result.speed is None else f"{result.speed:.1f}"]
    return f"| {' | '.join(cells)} |"


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean of positive values."""
    return math.exp(statistics.mean(map(math.log, values)))


def summarize(results: list[Result]) -> str:
    """Return the table of means by K and method; errors relative to those of kmcodec's default."""
    base = {(r.picture, r.k): r for r in results if r.method == "kmcodec default"}
    lines = [
        "",
        "| K | method | mse / kmcodec default | of best known | worst | delta E / default | speed | least |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for k, method in dict.fromkeys((r.k, r.method) for r in results):
        rows = [r for r in results if (r.k, r.method) == (k, method)]
        pairs = [(r, base[r.picture, r.k]) for r in rows]
        errors = [r.mse / b.mse for r, b in pairs if r.mse > 0 and b.mse > 0]
        cells = [str(k), method, f"{geometric_mean(errors):.4f}" if errors else ""]
        relative = [(r.relative_mse, r.picture) for r in rows if r.relative_mse is not None]
        cells.append(f"{geometric_mean([value for value, _ in relative]):.4f}" if relative else "")
        cells.append("{:.4f} {}".format(*max(relative)) if relative else "")
        visible = [r.delta_e / b.delta_e for r, b in pairs if r.delta_e and b.delta_e]
        cells.append(f"{geometric_mean(visible):.4f}" if visible else "")
        speeds = [r.speed for r in rows if r.speed is not None]
        cells.append(f"{geometric_mean(speeds):.1f}" if speeds else "")
        cells.append(f"{min(speeds):.1f}" if speeds else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
